"""Intervals: against SciPy, brute force, scikit-learn, and by how often they hold what they should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score

from schuss import intervals

RNG = np.random.default_rng(5)


@pytest.mark.parametrize(("hits", "rows"), [(0, 7), (7, 7), (3, 20), (950, 1000)])
def test_wilson(hits: int, rows: int) -> None:
    expected = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    assert intervals.wilson(hits / rows, rows) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_mean() -> None:
    values = RNG.normal(size=400)
    expected = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert intervals.mean(values) == pytest.approx(expected, rel=1e-6)
    assert intervals.mean(values[:1]) is None


def test_the_variance_of_the_area_is_that_of_delong() -> None:
    """By its definition: the variance over rows of the share of the other class that a row is ordered rightly with."""
    positive, negative = RNG.normal(1, 1, 60).round(1), RNG.normal(0, 1, 90).round(1)  # rounded: with ties
    pairs = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    area = pairs.mean()
    variance = pairs.mean(axis=1).var(ddof=1) / 60 + pairs.mean(axis=0).var(ddof=1) / 90
    half = intervals.Z * variance**0.5 / (area * (1 - area))
    odds = np.log(area / (1 - area))
    expected = 1 / (1 + np.exp(-(odds - half))), 1 / (1 + np.exp(-(odds + half)))
    assert intervals.auc(negative, positive) == pytest.approx(expected, rel=1e-12)


def test_no_interval_where_the_area_is_at_its_end() -> None:
    assert intervals.auc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) is None
    assert intervals.auc(np.array([0.0]), np.array([2.0, 3.0])) is None


def test_average_precision_is_scikit_learns() -> None:
    positive, negative = RNG.normal(1, 1, 60).round(1), RNG.normal(0, 1, 90).round(1)
    expected = average_precision_score(np.repeat([1, 0], [60, 90]), np.concatenate([positive, negative]))
    found = intervals.average_precision(negative, positive)
    assert found == pytest.approx(expected, rel=1e-12)
    assert intervals.average_precision(negative, positive[:0]) is None


def covered(draw, truth: float, times: int = 400) -> float:
    """How often an interval holds the truth."""
    return float(np.mean([(found := draw()) is not None and found[0] <= truth <= found[1] for _ in range(times)]))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 400 draws 95 % ± 3 standard errors (1.1 %), and what the approximations cost."""

    def area():
        return intervals.auc(RNG.normal(0, 1, 150), RNG.normal(1, 1, 100))

    def precision():
        negative, positive = RNG.normal(0, 1, 150), RNG.normal(1, 1, 150)
        value = intervals.average_precision(negative, positive)
        return intervals.average_precision_interval(value, positive.size)

    def unexplained():
        y = RNG.normal(0, 2, 300)
        return intervals.ratio(RNG.normal(0, 1, 300) ** 2, (y - y.mean()) ** 2)

    many = RNG.normal(0, 1, (2, 400_000)) + np.array([[0.0], [1.0]])
    truth = intervals.average_precision(*many)
    assert covered(area, stats.norm.cdf(2**-0.5)) == pytest.approx(0.95, abs=0.04)
    assert covered(precision, truth) == pytest.approx(0.95, abs=0.05)
    assert covered(unexplained, 0.25) == pytest.approx(0.95, abs=0.04)


def test_the_bootstrap_of_the_confusion_matrix_is_that_of_the_rows() -> None:
    true = RNG.integers(0, 3, 300)
    named = np.where(RNG.random(300) < 0.8, true, RNG.integers(0, 3, 300))
    counts = np.zeros((3, 3), np.int64)
    np.add.at(counts, (true, named), 1)
    draws = []
    for _ in range(600):
        rows = RNG.integers(0, 300, 300)
        draws.append(f1_score(true[rows], named[rows], average="macro"))
    expected = np.quantile(draws, [0.025, 0.975])
    assert intervals.macro_f1(counts) == pytest.approx(expected, abs=0.012)
    assert intervals.macro_f1(counts) == intervals.macro_f1(counts)
    assert intervals.macro_f1(np.zeros((2, 2), np.int64)) is None


def test_an_interval_stays_within_what_can_be() -> None:
    assert intervals.clipped((-0.2, 0.5), 0.0, 1.0) == [0.0, 0.5]
    assert intervals.clipped(None) is None
