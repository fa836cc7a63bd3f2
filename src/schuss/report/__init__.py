"""The record of a run as one HTML file, and each of its figures as a function."""

from __future__ import annotations

from .comparison import render_comparison
from .figures import (
    confusion_matrix,
    largest_weights,
    learning_rate_curves,
    loss_by_learning_rate,
    reliability_curve,
    residuals,
)
from .page import render, write_report

__all__ = [
    "confusion_matrix",
    "largest_weights",
    "learning_rate_curves",
    "loss_by_learning_rate",
    "reliability_curve",
    "render",
    "render_comparison",
    "residuals",
    "write_report",
]
