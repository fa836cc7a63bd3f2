"""The record of a run as one HTML file, and each of its figures as a function."""

from __future__ import annotations

from .comparison import render_comparison
from .figures import (
    column_importance,
    confusion_matrix,
    curvature_spectrum,
    decision_boundary,
    largest_weights,
    learning_rate_curves,
    loss_by_learning_rate,
    loss_map,
    loss_slices,
    loss_surface,
    losses_of_few_rows,
    model_beside_baselines,
    precision_needed,
    reliability_curve,
    residuals,
    roc_and_precision,
    step_sizes,
)
from .page import render, write_report
from .saving import drawn_figures, redraw, save_figures

__all__ = [
    "column_importance",
    "confusion_matrix",
    "curvature_spectrum",
    "decision_boundary",
    "drawn_figures",
    "largest_weights",
    "learning_rate_curves",
    "loss_by_learning_rate",
    "loss_map",
    "loss_slices",
    "loss_surface",
    "losses_of_few_rows",
    "model_beside_baselines",
    "precision_needed",
    "redraw",
    "reliability_curve",
    "render",
    "render_comparison",
    "residuals",
    "roc_and_precision",
    "save_figures",
    "step_sizes",
    "write_report",
]
