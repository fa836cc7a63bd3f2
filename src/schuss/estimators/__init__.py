"""scikit-learn's interface: `SGDClassifier` and `SGDRegressor` with its names and meanings; no numerics here."""

from __future__ import annotations

from .classifier import SGDClassifier
from .regressor import SGDRegressor

__all__ = ["SGDClassifier", "SGDRegressor"]
