"""How good the chosen model is on held-out rows that no choice was made by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.chunk import Chunk
from .descent.losses import loss_for, values_and_gradients
from .metrics import ClassificationTally, RegressionTally, predicted_classes
from .model import Model, loss_in_data_units

__all__ = ["judge"]

CLASSES_SHOWN = 30
POINTS_SHOWN = 500
BINS = 40


def judge(model: Model, rows: Chunk, constant: NDArray[np.float64]) -> dict[str, Any]:
    """Score held-out rows: `holdout` (rows, losses, metrics), and `confusion` or `residuals`.

    constant : the scores `(outputs,)` of the constant prediction, whose loss is also given. Losses are plain means, in
    the units that `evaluate` gives.
    """
    scores = model.scores(rows.rows)
    loss = loss_for(model.loss, scores.shape[1])
    scale = model.encoder.target_scale

    def mean_loss(of: NDArray[Any]) -> float:
        value = float(values_and_gradients(loss, of, rows.targets)[0].mean(dtype=np.float64))
        return loss_in_data_units(model.loss, value, scale)

    holdout: dict[str, Any] = {
        "rows": len(scores),
        "loss": mean_loss(scores),
        "constant_loss": mean_loss(np.repeat(constant[None, :], len(scores), axis=0)),
    }
    tally = RegressionTally(scale) if model.classes is None else ClassificationTally(len(model.classes))
    tally.add(scores, rows.targets)
    holdout |= tally.metrics()
    if model.classes is None:
        return {"holdout": holdout, "residuals": _residuals(model, scores[:, 0], rows.targets)}
    return {"holdout": holdout, "confusion": _confusion(scores, rows.targets, len(model.classes))}


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
