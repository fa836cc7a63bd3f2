"""Probabilities on held-out rows: their Brier score and their reliability."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from schuss.judgement import CURVE_BINS, brier_score, reliability

RNG = np.random.default_rng(0)


def test_brier_score_of_two_classes() -> None:
    chance, targets = RNG.random(500), RNG.integers(0, 2, 500)
    found = brier_score(np.column_stack([1 - chance, chance]), targets)
    assert found == pytest.approx(brier_score_loss(targets, chance))


def test_brier_score_of_several_classes() -> None:
    chances, targets = RNG.dirichlet(np.ones(4), 500), RNG.integers(0, 4, 500)
    before = chances.copy()
    assert brier_score(chances, targets) == pytest.approx(((chances - np.eye(4)[targets]) ** 2).sum(axis=1).mean())
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
