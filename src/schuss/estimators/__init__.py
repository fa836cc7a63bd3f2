"""scikit-learn's interface: linear models and networks with its names and meanings; no numerics here."""

from __future__ import annotations

from .classifier import SGDClassifier
from .networks import NetworkClassifier, NetworkRegressor
from .regressor import SGDRegressor

__all__ = ["NetworkClassifier", "NetworkRegressor", "SGDClassifier", "SGDRegressor"]
