"""How good the chosen model is on held-out rows that no choice was made by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import intervals
from ..data.chunk import Chunk
from ..descent.losses import (
    has_probabilities,
    judge_of,
    predicted_numbers,
    probabilities,
    unit_of,
    values_and_gradients,
)
from ..intervals import clipped
from ..model.metrics import ClassificationTally, RegressionTally, predicted_classes
from ..model.model import Model

__all__ = ["judge"]

CLASSES_SHOWN = 30
POINTS_SHOWN = 500
BINS = 40
# Bins of the reliability curve, at most, and the rows that each has at least where there are as many.
CURVE_BINS = 15
ROWS_IN_BIN = 20
THRESHOLDS = 200


def judge(model: Model, rows: Chunk, constant: NDArray[np.float64]) -> dict[str, Any]:
    """Score held-out rows: `holdout` (losses, metrics), and what a report draws of them.

    That is `intervals` of the metrics, by their names, at 95 %; `confusion` or `residuals`; `reliability` of
    probabilities; and for two classes the `curve` of thresholds.

    constant : the scores `(outputs,)` of the constant prediction, whose loss is also given. Losses are plain means, in
    the units that `evaluate` gives.
    """
    scores = model.scores(rows.rows)
    loss, scale = judge_of(model.formula), model.encoder.target_scale
    unit = unit_of(model.loss, scale)

    def losses(of: NDArray[Any]) -> NDArray[np.float64]:
        return unit * values_and_gradients(loss, of, rows.targets)[0].astype(np.float64)

    own, constants = losses(scores), losses(np.repeat(constant[None, :], len(scores), axis=0))
    holdout: dict[str, Any] = {
        "rows": len(scores),
        "loss": float(own.mean()),
        "constant_loss": float(constants.mean()),
    }
    least = 0.0 if own.size and own.min() >= 0 else -np.inf
    known = {"loss": clipped(intervals.mean(own), least), "gain": clipped(intervals.mean(constants - own))}
    judged = _numbers if model.classes is None else _classes
    found = judged(model, scores, rows.targets)
    return found | {
        "holdout": holdout | found["holdout"],
        "intervals": {name: ends for name, ends in (known | found["intervals"]).items() if ends is not None},
    }


def _numbers(model: Model, scores: NDArray[Any], targets: NDArray[Any]) -> dict[str, Any]:
    """Judge predictions of numbers."""
    scale = model.encoder.target_scale
    predicted, tally = predicted_numbers(judge_of(model.formula), scores), RegressionTally(scale)
    tally.add(predicted, targets)
    metrics = tally.metrics()
    actual = targets.astype(np.float64)
    errors = predicted - actual
    unexplained = intervals.ratio(errors**2, (actual - actual.mean()) ** 2) if len(actual) else None
    squared = clipped(intervals.mean(errors**2), 0.0)
    known = {
        "r2": None if unexplained is None else [1 - end for end in unexplained[::-1]],
        "rmse": None if squared is None else [scale * end**0.5 for end in squared],
        "mae": clipped(intervals.mean(scale * abs(errors)), 0.0),
    }
    return {"holdout": metrics, "intervals": known, "residuals": _residuals(model, predicted, targets)}


def _classes(model: Model, scores: NDArray[Any], targets: NDArray[Any]) -> dict[str, Any]:
    """Judge predictions of classes."""
    many = len(model.classes or ())
    tally = ClassificationTally(many)
    tally.add(scores, targets)
    holdout: dict[str, Any] = tally.metrics()
    counts = _confusion(scores, targets, many)
    known: dict[str, list[float] | None] = {}
    if len(scores):
        known["accuracy"] = clipped(intervals.wilson(holdout["accuracy"], len(scores)))
    if counts is not None:
        known["macro_f1"] = clipped(intervals.macro_f1(counts))
    judged: dict[str, Any] = {"confusion": None if counts is None else counts.tolist()}
    if many == 2:
        one = scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]
        negative, positive = one[targets == 0], one[targets == 1]
        precision = intervals.average_precision(negative, positive)
        holdout["average_precision"] = precision
        known["auc"] = clipped(intervals.auc(negative, positive))
        if precision is not None:
            found = intervals.average_precision_interval(precision, positive.size)
            known["average_precision"] = clipped(found)
        judged["curve"] = threshold_curve(negative, positive)
    if has_probabilities(model.formula) and len(scores):
        chances = probabilities(model.formula, scores)
        misses = squared_misses(chances, targets)
        holdout["brier"] = float(misses.mean())
        known["brier"] = clipped(intervals.mean(misses), 0.0)
        judged["reliability"] = reliability(chances, targets)
    return judged | {"holdout": holdout, "intervals": known}


def threshold_curve(negative: NDArray[Any], positive: NDArray[Any]) -> dict[str, Any] | None:
    """Give how many rows of each class score at least as high as each of some thresholds, from the highest on.

    From these come the ROC curve and that of precision and recall. Of more than 200 thresholds those are taken at which
    the ROC curve has gone an equal part of its way. None where a class has no rows.

    >>> threshold_curve(np.array([0.1, 0.6]), np.array([0.6, 0.9]))["true_positives"]
    [0, 1, 2, 2]
    """
    if not (negative.size and positive.size):
        return None
    scores = np.concatenate([negative, positive])
    order = np.argsort(-scores)
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # equal scores pass a threshold together
    true = np.concatenate([[0], np.cumsum(order >= negative.size)[ends]])
    false = np.concatenate([[0], 1 + ends]) - true
    if len(true) > THRESHOLDS:
        way = true / positive.size + false / negative.size
        places = sorted({*np.searchsorted(way, np.linspace(0, 2, THRESHOLDS)).tolist()})
        true, false = true[places], false[places]
    return {
        "negatives": negative.size,
        "positives": positive.size,
        "false_positives": false.tolist(),
        "true_positives": true.tolist(),
    }


def squared_misses(chances: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
    """Give Σⱼ (pⱼ − [j = y])² of each row, whose mean is the Brier score (1950); for two classes half, as is usual.

    >>> squared_misses(np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1])).round(6)
    array([0.04, 0.36])
    """
    misses = chances.astype(np.float64)
    misses[np.arange(len(targets)), targets] -= 1
    return ((misses[:, 1:] if chances.shape[1] == 2 else misses) ** 2).sum(axis=1)


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


def _confusion(scores: NDArray[Any], targets: NDArray[Any], classes: int) -> NDArray[np.int64] | None:
    """Count actual (rows) against predicted (columns) classes."""
    if classes > CLASSES_SHOWN:
        return None
    pairs = targets * classes + predicted_classes(scores)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


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
