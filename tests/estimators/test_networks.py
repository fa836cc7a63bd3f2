"""`NetworkClassifier` and `NetworkRegressor`: scikit-learn's words, what they learn, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

from schuss import NetworkClassifier, NetworkRegressor

SHORT: dict[str, Any] = {
    "hidden_layer_sizes": 16,
    "max_iter": 150,
    "runs": 4,
    "learning_rate_init": 0.01,
    "random_state": 0,
}


def ring(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).uniform(-1, 1, (rows, 2))
    return X, np.where(np.hypot(*X.T) < 0.7, "in", "out")


def test_the_parameters_are_those_of_scikit_learn() -> None:
    own = {"dropout", "runs", "device"}
    not_here = {"tol", "n_iter_no_change", "warm_start", "max_fun", "loss"}
    for ours, theirs in ((NetworkClassifier(), MLPClassifier()), (NetworkRegressor(), MLPRegressor())):
        assert set(ours.get_params()) - own == set(theirs.get_params()) - not_here


def test_classes() -> None:
    X, y = ring()
    found = NetworkClassifier(**SHORT, early_stopping=True).fit(X, y)
    assert found.classes_.tolist() == ["in", "out"]
    assert found.score(X, y) > 0.9
    proba = found.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert (found.classes_[proba.argmax(axis=1)] == found.predict(X)).all()
    assert found.n_iter_ == 150
    again = clone(found).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), proba)
    sparse = NetworkClassifier(**SHORT).fit(csr_matrix(X), y)
    assert sparse.score(csr_matrix(X), y) > 0.9
    assert cross_val_score(NetworkClassifier(**SHORT), X, y, cv=2).min() > 0.75


def test_numbers_and_weights() -> None:
    X = np.random.default_rng(0).uniform(-2, 2, (300, 1))
    y = 100 + 50 * np.abs(X[:, 0])
    assert NetworkRegressor(**SHORT).fit(X, y).score(X, y) > 0.95
    there = X[:, 0] > 0
    one_side = NetworkRegressor(**SHORT).fit(X, np.where(there, y, 0.0), sample_weight=there.astype(float))
    assert one_side.score(X[there], y[there]) > 0.9


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"solver": "lbfgs"}, "solver must be one of"),
        ({"activation": "step"}, "activation must be one of"),
        ({"alpha": -1.0}, "alpha"),
        ({"dropout": 2.0}, "dropout"),
        ({"max_iter": 0}, "max_iter"),
        ({"hidden_layer_sizes": ()}, "units of hidden layers"),
        ({"early_stopping": "yes"}, "early_stopping must be one of"),
    ],
)
def test_what_cannot_be_is_refused(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        NetworkClassifier(**SHORT | parameters).fit(*ring(60))
