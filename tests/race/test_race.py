"""Standings against NumPy and SciPy, and who goes on in constructed cases."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from schuss.race.race import FINALISTS, GAIN, STANDARD_ERRORS, Standing, hopeless, standing, survivors


def random_losses(rows: int = 500, runs: int = 7) -> np.ndarray:
    rng = np.random.default_rng(0)
    hard = rng.exponential(size=(rows, 1))  # what the rows have in common
    return (hard + 0.1 * rng.normal(size=(rows, runs)) + 0.01 * rng.permutation(runs)).astype(np.float32)


def test_standing_is_the_paired_comparison() -> None:
    losses = random_losses()
    now = standing(losses, np.ones(500, np.float32))
    exact = losses.astype(np.float64)
    best = exact.mean(0).argmin()
    assert now.best == best
    np.testing.assert_allclose(now.means, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(now.behind, exact.mean(0) - exact.mean(0).min(), atol=1e-12)
    for run in set(range(7)) - {best}:
        paired = scipy.stats.ttest_rel(exact[:, run], exact[:, best])
        # the t test divides by n − 1
        assert now.behind[run] / now.errors[run] == pytest.approx(paired.statistic * np.sqrt(500 / 499), rel=1e-9)
    assert now.behind[best] == now.errors[best] == 0
    unpaired = exact.std(0) / np.sqrt(500)
    assert (now.errors < unpaired / 3).all(), "pairing removes what the rows have in common"


def test_weights_are_repeated_rows_for_means_and_differences() -> None:
    losses = random_losses(60)
    times = np.random.default_rng(1).integers(0, 4, 60)
    weighted = standing(losses, times.astype(np.float32))
    repeated = standing(np.repeat(losses, times, axis=0), np.ones(times.sum(), np.float32))
    np.testing.assert_allclose(weighted.means, repeated.means, rtol=1e-12)
    np.testing.assert_allclose(weighted.behind, repeated.behind, atol=1e-12)
    scaled = standing(losses, (7.5 * times).astype(np.float32))
    np.testing.assert_allclose(scaled.errors, weighted.errors, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_runs_that_are_not_finite_are_last(bad: float) -> None:
    losses = random_losses()
    losses[3, 2] = bad
    losses[:, 5] = bad
    now = standing(losses, np.ones(500, np.float32))
    assert now.best not in (2, 5)
    assert np.isinf(now.means[[2, 5]]).all()
    assert np.isinf(now.behind[[2, 5]]).all()
    others = [0, 1, 3, 4, 6]
    alone = standing(losses[:, others], np.ones(500, np.float32))
    for mine, theirs in zip(now, alone, strict=True):
        np.testing.assert_allclose(mine[others], theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("constant", [1.0, np.inf])
def test_no_run_is_finite(constant: float) -> None:
    now = standing(np.full((10, 5), np.nan, np.float32), np.ones(10, np.float32))
    assert np.isinf(now.means).all()
    assert not hopeless(now, constant).any()
    assert len(survivors(now)) == 0


def test_a_row_of_weight_zero_does_not_matter_much() -> None:
    losses = random_losses()
    weights = np.ones(500, np.float32)
    weights[:100] = 0
    np.testing.assert_allclose(standing(losses, weights).means, standing(losses[100:], weights[100:]).means, rtol=1e-12)


def made(means: list[float], errors: float = 1e-6) -> Standing:
    values = np.array(means)
    return Standing(values, values - values.min(), np.full(len(means), errors))


def test_hopeless_needs_to_be_behind_and_to_have_gained_little() -> None:
    # The constant prediction loses 1; the best has gained 0.8, half of which is 0.4.
    now = made([0.2, 0.3, 0.4, 0.59, 0.61, 1.5, np.inf])
    assert hopeless(now, 1.0).tolist() == [False, False, False, False, True, True, True]
    unsure = now._replace(errors=np.full(7, 0.41 / STANDARD_ERRORS + 1e-3))
    assert hopeless(unsure, 1.0).tolist() == [False, False, False, False, False, True, True]
    assert GAIN == 0.5


def test_hopeless_leaves_three() -> None:
    for means in ([0.1, 0.9, 0.95, 0.99, 2.0], [0.99, 2.0, 0.1, 0.9, 0.95]):
        assert (~hopeless(made(means), 1.0)).sum() == FINALISTS
        assert not hopeless(made(means[:3]), 1.0).any()


def test_hopeless_while_nothing_is_better_than_the_constant() -> None:
    now = made([1.2, 1.3, 1.4, 1.5, 9.0])
    assert hopeless(now, 1.0).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("last", [5.0, np.inf])
def test_without_a_constant_only_diverged_runs_are_hopeless(last: float) -> None:
    now = made([0.1, 0.2, 0.3, 4.0, last])
    assert hopeless(now, np.inf).tolist() == [False, False, False, False, bool(np.isinf(last))]


def test_ties_are_not_hopeless() -> None:
    assert not hopeless(made([0.5] * 8, errors=0.0), 1.0).any()


@pytest.mark.parametrize(
    ("means", "places"),
    [
        ([0.5, 0.1, 0.4, 0.2, 0.3, 0.6, 0.7, 0.8], [1, 2, 3, 4]),  # the better half
        ([0.5, 0.1, 0.4, 0.2, 0.3], [1, 3, 4]),  # of five, three
        ([0.5, 0.1, 0.4, 0.2, 0.3, 0.6, 0.7], [1, 2, 3, 4]),  # half of an odd number, rounded up
        ([0.3, 0.2, 0.1], [0, 1, 2]), ([0.3, 0.2], [0, 1]), ([0.3], [0]),
        ([0.5] * 8, [0, 1, 2, 3]),  # ties: the first
        ([np.inf, 0.3, np.inf, 0.2, np.inf, np.inf, np.inf, np.inf], [1, 3]),  # only the finite
    ],
)  # fmt: skip
def test_survivors(means: list[float], places: list[int]) -> None:
    assert survivors(made(means)).tolist() == places
