"""The usual metrics of predictions, tallied batch by batch in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Scores are counted in bins of equal leading bits: 2^20 bins, each 0.05 % wide or less. Pairs within a bin count half.
_RANK_BITS = 20


class ClassificationTally:
    """Counts of right and wrong classes; for two classes also of their scores.

    >>> tally = ClassificationTally(2)
    >>> tally.add(np.array([[0.4], [-1.0], [2.0]]), np.array([1, 0, 0]))
    >>> tally.metrics()
    {'accuracy': 0.666..., 'macro_f1': 0.666..., 'auc': 0.5}
    """

    def __init__(self, classes: int) -> None:
        self._hits, self._predicted, self._actual = np.zeros((3, classes), np.int64)
        self._ranks = np.zeros((2, 1 << _RANK_BITS), np.int64) if classes == 2 else None

    def add(self, scores: NDArray[Any], targets: NDArray[Any]) -> None:
        """Count rows by their scores `(n, outputs)` and class indices `(n,)`."""
        classes = len(self._hits)
        predicted = predicted_classes(scores)
        self._predicted += np.bincount(predicted, minlength=classes)
        self._actual += np.bincount(targets, minlength=classes)
        self._hits += np.bincount(targets[predicted == targets], minlength=classes)
        if self._ranks is not None:
            ranks = _ranks(scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0])
            for label in (0, 1):
                # Only bins that occur are touched: memory and time of few rows are few.
                np.add.at(self._ranks[label], ranks[targets == label], 1)

    def metrics(self) -> dict[str, float | None]:
        """Give accuracy, F1 averaged over the classes that occur, and for two classes the area under the ROC curve."""
        rows = self._actual.sum()
        occurring = (self._actual + self._predicted) > 0
        f1 = 2 * self._hits[occurring] / (self._actual + self._predicted)[occurring]
        metrics: dict[str, float | None] = {
            "accuracy": float(self._hits.sum() / rows) if rows else None,
            "macro_f1": float(f1.mean()) if rows else None,
        }
        if self._ranks is not None:
            metrics["auc"] = _area(*self._ranks)
        return metrics


def predicted_classes(scores: NDArray[Any]) -> NDArray[np.intp]:
    """Give the class of the highest score; one score is that of class 1, against 0 for class 0."""
    return (scores[:, 0] > 0).astype(np.intp) if scores.shape[1] == 1 else scores.argmax(axis=1)


def _ranks(scores: NDArray[Any]) -> NDArray[np.uint32]:
    """Map scores to bins in their order: the leading bits of the float, negative ones flipped."""
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.uint32)  # adding 0 makes -0.0 the same as 0.0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return ordered >> np.uint32(32 - _RANK_BITS)


def _area(negative: NDArray[np.int64], positive: NDArray[np.int64]) -> float | None:
    """Give the share of pairs of a negative and a positive row in which the positive one scores higher."""
    low, high = np.flatnonzero(negative), np.flatnonzero(positive)
    until = np.concatenate([[0], np.cumsum(negative[low])])
    pairs = float(until[-1]) * float(positive[high].sum())
    below = until[np.searchsorted(low, high)]
    return float((positive[high] * (below + negative[high] / 2)).sum() / pairs) if pairs else None


class RegressionTally:
    """Sums of errors and of targets, both in the unit that targets were scaled by, so that no digits are lost.

    >>> tally = RegressionTally(scale=10.0)
    >>> tally.add(np.array([0.1, -0.1, 0.4]), np.array([0.0, 0.0, 0.3]))
    >>> {name: round(value, 3) for name, value in tally.metrics().items()}
    {'r2': 0.5, 'rmse': 1.0, 'mae': 1.0}
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._rows, self._first, self._second, self._squared, self._absolute = 0, 0.0, 0.0, 0.0, 0.0

    def add(self, predicted: NDArray[Any], targets: NDArray[Any]) -> None:
        """Count rows by predictions and targets, both `(n,)` and in units of the scale."""
        actual = targets.astype(np.float64)
        errors = predicted - actual
        self._rows += len(errors)
        self._first += float(actual.sum())
        self._second += float(actual @ actual)
        self._squared += float(errors @ errors)
        self._absolute += float(np.abs(errors).sum())

    def metrics(self) -> dict[str, float | None]:
        """Give the coefficient of determination, root mean square error and mean absolute error, in the data's unit."""
        if not self._rows:
            return {"r2": None, "rmse": None, "mae": None}
        spread = self._second - self._first**2 / self._rows
        return {
            "r2": 1 - self._squared / spread if spread > 0 else None,
            "rmse": self._scale * (self._squared / self._rows) ** 0.5,
            "mae": self._scale * self._absolute / self._rows,
        }
