"""The estimators within scikit-learn's other tools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris, make_classification
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multiclass import OneVsOneClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from schuss import SGDClassifier, SGDRegressor

X, Y = make_classification(
    300, 8, n_informative=3, n_redundant=0, n_clusters_per_class=1, shuffle=False, random_state=0
)
IRIS = load_iris()


def test_pipeline() -> None:
    steps = make_pipeline(StandardScaler(), PolynomialFeatures(2), SGDClassifier(loss="log_loss", alpha=0.01))
    assert steps.fit(IRIS.data, IRIS.target).score(IRIS.data, IRIS.target) > 0.95


def test_grid_search() -> None:
    grid = {"alpha": [1e-4, 1e-2, 10.0], "loss": ["hinge", "log_loss"]}
    search = GridSearchCV(SGDClassifier(), grid, cv=3).fit(X, Y)
    assert search.best_score_ > 0.8
    assert search.best_params_["alpha"] < 10


def test_calibration() -> None:
    model = CalibratedClassifierCV(SGDClassifier(), cv=3).fit(X, Y)
    assert model.predict_proba(X).shape == (300, 2)
    assert model.score(X, Y) > 0.8


def test_cross_validation() -> None:
    assert cross_val_score(SGDClassifier(loss="log_loss"), IRIS.data, IRIS.target, cv=5).mean() > 0.93
    assert cross_val_score(SGDRegressor(), IRIS.data[:, :3], IRIS.data[:, 3], cv=5).mean() > 0.3


def test_permutation_importance() -> None:
    found = permutation_importance(SGDClassifier().fit(X, Y), X, Y, n_repeats=3, random_state=0).importances_mean
    assert found[:3].max() > 5 * np.abs(found[3:]).max()


def test_selection_by_weights() -> None:
    selected = SelectFromModel(SGDClassifier(loss="log_loss", penalty="l1", alpha=0.1)).fit(X, Y).get_support()
    assert selected[:3].any()
    assert not selected[3:].any()


def test_meta_estimators() -> None:
    assert OneVsOneClassifier(SGDClassifier()).fit(IRIS.data, IRIS.target).score(IRIS.data, IRIS.target) > 0.95
    model = TransformedTargetRegressor(SGDRegressor(), func=np.log, inverse_func=np.exp)
    assert model.fit(IRIS.data[:, :3], IRIS.data[:, 3]).predict(IRIS.data[:, :3]).min() > 0


def test_clones_have_the_same_parameters() -> None:
    model = SGDClassifier(loss="log_loss", alpha="auto", multi_class="ovr", runs=4, standardize=False)
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("estimator", [SGDClassifier(), SGDRegressor()], ids=str)
def test_sample_weights_are_routed(estimator: Any) -> None:
    weights = np.where(Y == 1, 1.0, 0.0) + 1e-9
    with sklearn.config_context(enable_metadata_routing=True):
        asked = clone(estimator).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        done = cross_validate(asked, X, Y, params={"sample_weight": weights}, cv=3)
        steps = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), asked).fit(
            X, Y, sample_weight=weights
        )
    assert np.isfinite(done["test_score"]).all()
    assert_array_equal(np.round(steps.predict(X)), 1)
