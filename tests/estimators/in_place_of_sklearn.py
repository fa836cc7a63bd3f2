"""A pytest plugin that puts schuss's estimators in the place of scikit-learn's, for scikit-learn's own tests."""

from __future__ import annotations

import sklearn.linear_model

from schuss.estimators import SGDClassifier, SGDRegressor


def pytest_configure() -> None:
    """Put them there before scikit-learn's tests are imported, where this is a plugin and not merely a module."""
    sklearn.linear_model.SGDClassifier = SGDClassifier
    sklearn.linear_model.SGDRegressor = SGDRegressor
