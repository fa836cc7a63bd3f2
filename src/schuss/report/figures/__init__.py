"""Each picture of the report, a function from the record to a figure."""

from __future__ import annotations

from .beside import model_beside_baselines
from .columns import column_importance
from .lines import curvature_spectrum, loss_slices, losses_of_few_rows, precision_needed, step_sizes
from .plane import decision_boundary, loss_map
from .race import learning_rate_curves
from .reliability import reliability_curve
from .results import confusion_matrix, residuals
from .surface import loss_surface
from .thresholds import roc_and_precision
from .valley import loss_by_learning_rate
from .weights import largest_weights

__all__ = [
    "column_importance",
    "confusion_matrix",
    "curvature_spectrum",
    "decision_boundary",
    "largest_weights",
    "learning_rate_curves",
    "loss_by_learning_rate",
    "loss_map",
    "loss_slices",
    "loss_surface",
    "losses_of_few_rows",
    "model_beside_baselines",
    "precision_needed",
    "reliability_curve",
    "residuals",
    "roc_and_precision",
    "step_sizes",
]
