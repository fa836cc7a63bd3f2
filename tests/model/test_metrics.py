"""Tallies against scikit-learn's metrics, in one go and in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from schuss.model.metrics import ClassificationTally, RegressionTally

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_classification(classes: int) -> None:
    targets = RNG.integers(0, classes, 1000)
    scores = RNG.normal(size=(1000, 1 if classes == 2 else classes))
    scores[np.arange(1000), 0 if classes == 2 else targets] += 0.5
    tally = ClassificationTally(classes)
    for piece in np.array_split(np.arange(1000), 7):
        tally.add(scores[piece], targets[piece])
    predicted = (scores[:, 0] > 0).astype(int) if classes == 2 else scores.argmax(axis=1)
    found = tally.metrics()
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(targets, predicted))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(targets, predicted, average="macro"))
    if classes == 2:
        assert found["auc"] == pytest.approx(metrics.roc_auc_score(targets, scores[:, 0]), abs=1e-5)
    else:
        assert "auc" not in found


def test_area_with_ties_zeros_and_extremes() -> None:
    scores = np.array([0.0, -0.0, 1e30, -1e30, 1e-30, 3.0, 3.0])
    targets = np.array([0, 1, 1, 0, 1, 0, 1])
    tally = ClassificationTally(2)
    tally.add(scores[:, None], targets)
    assert tally.metrics()["auc"] == pytest.approx(metrics.roc_auc_score(targets, scores))


def test_area_needs_both_classes() -> None:
    tally = ClassificationTally(2)
    tally.add(np.array([[1.0]]), np.array([1]))
    assert tally.metrics() == {"accuracy": 1.0, "macro_f1": 1.0, "auc": None}


def test_regression() -> None:
    scale, mean = 250.0, 1e6
    actual = RNG.normal(mean, scale, 1000)
    predicted = actual + RNG.normal(0, 100, 1000)
    tally = RegressionTally(scale)
    for piece in np.array_split(np.arange(1000), 7):
        tally.add((predicted[piece] - mean) / scale, (actual[piece] - mean) / scale)
    found = tally.metrics()
    assert found["r2"] == pytest.approx(metrics.r2_score(actual, predicted))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(actual, predicted))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(actual, predicted))


def test_nothing_to_tally() -> None:
    assert set(RegressionTally(1.0).metrics().values()) == {None}
    assert set(ClassificationTally(2).metrics().values()) == {None}
    constant = RegressionTally(1.0)
    constant.add(np.zeros(2), np.zeros(2))
    assert constant.metrics()["r2"] is None
