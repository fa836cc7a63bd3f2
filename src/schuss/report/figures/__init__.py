"""Each picture of the report, a function from the record to a figure."""

from __future__ import annotations

from .race import learning_rate_curves
from .reliability import reliability_curve
from .results import confusion_matrix, residuals
from .valley import loss_by_learning_rate
from .weights import largest_weights

__all__ = [
    "confusion_matrix",
    "largest_weights",
    "learning_rate_curves",
    "loss_by_learning_rate",
    "reliability_curve",
    "residuals",
]
