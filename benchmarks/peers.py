"""scikit-learn on the same files: its SGD and its full-batch linear model, with their default settings."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from scoring import Predictions, labels, pool, scores
from sets import DataSet, Split, read
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SEED = 0


def models(dataset: DataSet) -> dict[str, BaseEstimator]:
    """Give the peers of a data set: stochastic gradient descent first, the full-batch solver second."""
    if dataset.is_regression:
        return {"SGDRegressor": SGDRegressor(random_state=SEED), "Ridge": Ridge()}
    return {"SGDClassifier": SGDClassifier(random_state=SEED), "LogisticRegression": LogisticRegression()}


def pipeline(dataset: DataSet, model: BaseEstimator) -> Pipeline:
    """Put the usual encoding before a model: tf-idf, or indicators and standardised numbers; none for svmlight."""
    if dataset.target is None:
        return make_pipeline(model)
    if dataset.text is not None:
        return make_pipeline(make_column_transformer((TfidfVectorizer(), dataset.text)), model)
    indicators = (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number"))
    numbers = (StandardScaler(), make_column_selector(dtype_include="number"))
    return make_pipeline(make_column_transformer(indicators, numbers), model)


def fit_and_predict(dataset: DataSet, split: Split, model: BaseEstimator) -> tuple[Predictions, float]:
    """Fit one split; give the predictions for its test file and the seconds of reading and fitting."""
    begun = time.perf_counter()
    rows, targets = known(*read(split.train, dataset.target))
    fitted = pipeline(dataset, model).fit(rows, targets)
    seconds = time.perf_counter() - begun
    test_rows, truth = known(*read(split.test, dataset.target))
    predicted = fitted.predict(test_rows)
    if dataset.is_regression:
        return Predictions(truth, predicted), seconds
    probabilities = fitted.predict_proba(test_rows) if hasattr(fitted, "predict_proba") else None
    return Predictions(labels(truth), labels(predicted), tuple(labels(fitted.classes_)), probabilities), seconds


def known(rows: Any, targets: np.ndarray) -> tuple[Any, np.ndarray]:
    """Leave out the rows whose target is missing."""
    if targets.dtype.kind != "f" or not np.isnan(targets).any():
        return rows, targets
    there = ~np.isnan(targets)
    return rows[there], targets[there]


def run(dataset: DataSet, splits: list[Split]) -> dict[str, dict[str, Any]]:
    """Give for each peer its pooled scores, its seconds over all folds, and whether it converged in its iterations."""
    answer = {}
    for name, model in models(dataset).items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            parts = [fit_and_predict(dataset, split, model) for split in splits]
        converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        seconds = sum(seconds for _, seconds in parts)
        pooled = pool([predictions for predictions, _ in parts])
        answer[name] = {**scores(pooled), "seconds": seconds, "converged": converged}
    return answer
