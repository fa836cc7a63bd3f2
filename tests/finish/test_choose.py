"""Who is chosen by held-out rows, and which penalty by folds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schuss.finish.choose import choose, choose_by_folds


def losses_with(means: list[float], spread: list[float], rows: int = 100) -> Any:
    """Losses `(rows, candidates)` with these means, whose differences vary as told."""
    signs = np.where(np.arange(rows) % 2, 1.0, -1.0)[:, None]
    return (np.array(means) + signs * np.array(spread)).astype(np.float32)


@pytest.mark.parametrize(
    ("means", "spread", "expected"),
    [
        ([0.30, 0.20, 0.21, 0.25], [0, 0, 0, 0], 1),  # the best
        ([0.2009, 0.20, 0.21, 0.25], [0, 0, 0, 0], 0),  # level: 0.18 % of the gain apart
        ([0.2011, 0.20, 0.21, 0.25], [0, 0, 0, 0], 1),  # 0.22 % apart, and surely
        ([0.2049, 0.20, 0.21, 0.25], [0.06, 0, 0, 0], 0),  # level: 0.98 % and less than a standard error
        ([0.2049, 0.20, 0.21, 0.25], [0.04, 0, 0, 0], 1),  # 0.98 % and more than a standard error
        ([0.2051, 0.20, 0.21, 0.25], [1.0, 0, 0, 0], 1),  # unsure, but 1.02 %
        ([0.30, 0.20, 0.21, 0.19], [0, 0, 0, 0.001], 3),  # the champion is surely ahead
        ([0.30, 0.20, 0.21, 0.19], [0, 0, 0, 0.06], 1),  # ahead by 1.7 standard errors only
        ([0.30, 0.20, 0.21, 0.1998], [0, 0, 0, 0], 1),  # ahead by less than counts
        ([0.30, 0.20, 0.21, 0.20], [0, 0, 0, 0], 1),  # no difference
        ([np.nan, 0.20, np.inf, 0.25], [0, 0, 0, 0], 1),
        ([np.nan, np.nan, np.inf, 0.25], [0, 0, 0, 0], 3),
    ],
)
def test_who_is_chosen(means: list[float], spread: list[float], expected: int) -> None:
    place, found = choose(losses_with(means, spread), np.ones(100, np.float32), 0.7)
    assert place == expected
    np.testing.assert_allclose(found, np.where(np.isfinite(means), means, np.inf), rtol=1e-5)


def test_weights_of_held_out_rows_count() -> None:
    losses = np.array([[0.1, 0.3], [0.3, 0.1]], np.float32)
    assert choose(np.c_[losses, [0.5, 0.5]], np.array([3, 1], np.float32), 1.0)[0] == 0
    assert choose(np.c_[losses, [0.5, 0.5]], np.array([1, 3], np.float32), 1.0)[0] == 1


PENALTIES = [1e9, 10.0, 1.0, 0.1]


@pytest.mark.parametrize(("means", "expected"), [([0.4, 0.2, 0.3], 10 ** (-1 / 6)), ([0.2, 0.3, 0.4], 10.0)])
def test_folds_choose_the_lowest_point_of_a_parabola_where_rows_are_sure(means: list[float], expected: float) -> None:
    losses = losses_with([0.9, *means], [0.1, 1e-5, 0, 2e-5])
    choice = choose_by_folds(PENALTIES, losses, np.ones(100, np.float32))
    assert choice.penalty == pytest.approx(expected, rel=1e-3)
    assert choice.place == (2 if expected < 10 else 1)
    assert 0.2 <= choice.loss <= 0.25


@pytest.mark.parametrize("gain", [0.004, 0.006])
def test_what_does_not_surely_gain_is_the_constant_prediction(gain: float) -> None:
    losses = losses_with([0.7, 0.7 - gain, 0.8, 0.9], [0.05, 0, 0, 0])
    assert (choose_by_folds(PENALTIES, losses, np.ones(100, np.float32)).penalty == 1e9) == (gain < 0.005)


def test_folds_choose_between_penalties_as_samples_of_the_rows_would() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(400, 1))
    losses = (np.array([1.5, 0.53, 0.5, 0.52]) + common + 0.4 * rng.normal(size=(400, 4))).astype(np.float32)
    weights = rng.integers(1, 4, 400).astype(np.float32)
    share = weights / weights.sum()
    samples = np.array([rng.multinomial(400, np.full(400, 1 / 400)) * share @ losses for _ in range(4000)])[:, 1:]
    parabolas = np.polyfit([1.0, 0.0, -1.0], samples.T, 2)
    lowest = np.where(samples.argmin(axis=1) == 1, -parabolas[1] / (2 * parabolas[0]), 1.0 - samples.argmin(axis=1))
    expected = lowest.mean()
    choice = choose_by_folds(PENALTIES, losses, weights)
    assert np.log10(choice.penalty) == pytest.approx(expected, abs=0.06)
    order = rng.permutation(400)
    assert choose_by_folds(PENALTIES, losses[order], weights[order]).penalty == pytest.approx(choice.penalty, rel=0.01)


def test_penalties_without_a_finite_loss_are_left_out() -> None:
    losses = losses_with([0.9, 0.3, np.inf, 0.3], [0.1, 0.01, 0, 0])
    choice = choose_by_folds(PENALTIES, losses, np.ones(100, np.float32))
    assert 0.1 < choice.penalty < 10.0
    assert choice.loss == pytest.approx(0.3)
