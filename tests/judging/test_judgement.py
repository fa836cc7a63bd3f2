"""Probabilities on held-out rows: their Brier score and their reliability."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, brier_score_loss, roc_curve

from schuss.judging.judgement import CURVE_BINS, reliability, squared_misses, threshold_curve

RNG = np.random.default_rng(0)


def test_brier_score_of_two_classes() -> None:
    chance, targets = RNG.random(500), RNG.integers(0, 2, 500)
    found = squared_misses(np.column_stack([1 - chance, chance]), targets).mean()
    assert found == pytest.approx(brier_score_loss(targets, chance))


def test_brier_score_of_several_classes() -> None:
    chances, targets = RNG.dirichlet(np.ones(4), 500), RNG.integers(0, 4, 500)
    before = chances.copy()
    assert squared_misses(chances, targets).mean() == pytest.approx(
        ((chances - np.eye(4)[targets]) ** 2).sum(axis=1).mean()
    )
    assert np.array_equal(chances, before)


def test_reliability_of_two_classes() -> None:
    chance = RNG.random(15 * 40)
    targets = (RNG.random(15 * 40) < chance**2).astype(int)
    found = reliability(np.column_stack([1 - chance, chance]), targets)
    so, told = calibration_curve(targets, chance, n_bins=CURVE_BINS, strategy="quantile")
    np.testing.assert_allclose(found["predicted"], told)
    np.testing.assert_allclose(found["actual"], so)
    assert found["rows"] == [40] * 15


def test_reliability_of_several_classes_is_of_the_predicted_one() -> None:
    chances, targets = RNG.dirichlet(np.ones(3), 70), RNG.integers(0, 3, 70)
    found = reliability(chances, targets)
    assert len(found["rows"]) == 3
    assert np.average(found["actual"], weights=found["rows"]) == pytest.approx(np.mean(chances.argmax(1) == targets))
    assert np.average(found["predicted"], weights=found["rows"]) == pytest.approx(chances.max(1).mean())


def test_few_rows_are_one_bin() -> None:
    found = reliability(np.array([[0.25, 0.75]]), np.array([0]))
    assert found == {"predicted": [0.75], "actual": [0.0], "rows": [1]}


@pytest.mark.parametrize("rows", [40, 3000])
def test_thresholds_are_scikit_learns(rows: int) -> None:
    targets = RNG.integers(0, 2, rows)
    scores = (RNG.normal(size=rows) + targets).round(2)
    found = threshold_curve(scores[targets == 0], scores[targets == 1])
    false, true, _ = roc_curve(targets, scores, drop_intermediate=False)
    assert found is not None
    assert len(found["true_positives"]) == min(len(true), 200) or rows > 1000
    recall = np.array(found["true_positives"]) / found["positives"]
    rate = np.array(found["false_positives"]) / found["negatives"]
    every = {(round(x, 9), round(y, 9)) for x, y in zip(false, true, strict=True)}
    assert {(round(x, 9), round(y, 9)) for x, y in zip(rate, recall, strict=True)} <= every
    assert auc(rate, recall) == pytest.approx(auc(false, true), abs=2e-3)
    assert (rate[0], recall[0], rate[-1], recall[-1]) == (0, 0, 1, 1)


def test_no_thresholds_of_one_class() -> None:
    assert threshold_curve(np.empty(0), np.array([1.0])) is None
