"""How good the chosen model is on held-out rows that no choice was made by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.chunk import Chunk
from .descent.losses import (
    has_probabilities,
    judge_of,
    predicted_numbers,
    probabilities,
    unit_of,
    values_and_gradients,
)
from .metrics import ClassificationTally, RegressionTally, predicted_classes
from .model import Model

__all__ = ["judge"]

CLASSES_SHOWN = 30
POINTS_SHOWN = 500
BINS = 40
# Bins of the reliability curve, at most, and the rows that each has at least where there are as many.
CURVE_BINS = 15
ROWS_IN_BIN = 20


def judge(model: Model, rows: Chunk, constant: NDArray[np.float64]) -> dict[str, Any]:
    """Score held-out rows: `holdout` (losses, metrics), `confusion` or `residuals`, and `reliability` of probabilities.

    constant : the scores `(outputs,)` of the constant prediction, whose loss is also given. Losses are plain means, in
    the units that `evaluate` gives.
    """
    scores = model.scores(rows.rows)
    loss, scale = judge_of(model.formula), model.encoder.target_scale

    def mean_loss(of: NDArray[Any]) -> float:
        value = float(values_and_gradients(loss, of, rows.targets)[0].mean(dtype=np.float64))
        return unit_of(model.loss, scale) * value

    holdout: dict[str, Any] = {
        "rows": len(scores),
        "loss": mean_loss(scores),
        "constant_loss": mean_loss(np.repeat(constant[None, :], len(scores), axis=0)),
    }
    if model.classes is None:
        predicted, numbers = predicted_numbers(loss, scores), RegressionTally(scale)
        numbers.add(predicted, rows.targets)
        return {"holdout": holdout | numbers.metrics(), "residuals": _residuals(model, predicted, rows.targets)}
    tally = ClassificationTally(len(model.classes))
    tally.add(scores, rows.targets)
    holdout |= tally.metrics()
    judged = {"holdout": holdout, "confusion": _confusion(scores, rows.targets, len(model.classes))}
    if not has_probabilities(model.formula) or not len(scores):
        return judged
    chances = probabilities(model.formula, scores)
    return judged | {
        "holdout": holdout | {"brier": brier_score(chances, rows.targets)},
        "reliability": reliability(chances, rows.targets),
    }


def brier_score(chances: NDArray[Any], targets: NDArray[Any]) -> float:
    """Give the mean of Σⱼ (pⱼ − [j = y])² over the rows (Brier 1950), for two classes half of it, as is usual.

    >>> brier_score(np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1])).__round__(6)
    0.2
    """
    misses = chances.astype(np.float64)
    misses[np.arange(len(targets)), targets] -= 1
    squares = (misses[:, 1:] if chances.shape[1] == 2 else misses) ** 2
    return float(squares.sum(axis=1).mean())


def reliability(chances: NDArray[Any], targets: NDArray[Any]) -> dict[str, list[float]]:
    """Sort rows by a probability into bins of equally many: its mean, the share for which it was so, and the rows.

    The probability is that of the second of two classes, of more that of the predicted class.
    """
    two = chances.shape[1] == 2
    told = chances[:, 1] if two else chances.max(axis=1)
    so = targets == (1 if two else chances.argmax(axis=1))
    bins = min(CURVE_BINS, max(1, len(told) // ROWS_IN_BIN))
    pieces = np.array_split(np.argsort(told, kind="stable"), bins)
    return {
        "predicted": [float(told[piece].mean()) for piece in pieces],
        "actual": [float(so[piece].mean()) for piece in pieces],
        "rows": [len(piece) for piece in pieces],
    }


def _confusion(scores: NDArray[Any], targets: NDArray[Any], classes: int) -> list[list[int]] | None:
    """Count actual (rows) against predicted (columns) classes."""
    if classes > CLASSES_SHOWN:
        return None
    pairs = targets * classes + predicted_classes(scores)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).tolist()


def _residuals(model: Model, predicted: NDArray[Any], targets: NDArray[Any]) -> dict[str, list[float]]:
    """Give some predictions beside the truth, and the distribution of all errors."""
    predicted, actual = (
        np.asarray(values, np.float64) * model.encoder.target_scale + model.encoder.target_mean
        for values in (predicted, targets)
    )
    counts, edges = np.histogram(actual - predicted, BINS)
    shown = np.linspace(0, len(predicted) - 1, min(POINTS_SHOWN, len(predicted))).round().astype(int)
    return {
        "predicted": predicted[shown].tolist(),
        "actual": actual[shown].tolist(),
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }
