"""`NetworkClassifier` and `NetworkRegressor`: scikit-learn's words, what they learn, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
    not_here = {"max_fun", "loss"}
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
        ({"solver": "lbfgs"}, "solver='lbfgs' works on all rows at once, which networks here do not"),
        ({"solver": "newton"}, "solver must be one of"),
        ({"tol": -1.0}, "tol"),
        ({"n_iter_no_change": 0}, "n_iter_no_change"),
        ({"warm_start": "yes"}, "warm_start must be one of"),
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


def test_rows_come_piece_by_piece() -> None:
    X, y = ring()
    found = NetworkClassifier(16, runs=4, random_state=0)
    with pytest.raises(ValueError, match="classes must be passed"):
        found.partial_fit(X, y)
    found.partial_fit(X[:20], np.full(20, "in"), classes=["out", "in"])
    for _ in range(40):
        for begin in range(0, 300, 100):
            found.partial_fit(X[begin : begin + 100], y[begin : begin + 100])
    assert found.score(X, y) > 0.95
    again = pickle.loads(pickle.dumps(found))
    assert again.partial_fit(X, y).predict_proba(X).tolist() == found.partial_fit(X, y).predict_proba(X).tolist()
    with pytest.raises(ValueError, match="is not the same as on the last call"):
        found.partial_fit(X, y, classes=["in", "on"])
    with pytest.raises(ValueError, match="labels that are not among"):
        found.partial_fit(X[:2], ["on", "in"])
    with pytest.raises(ValueError, match="does not support early_stopping"):
        NetworkClassifier(early_stopping=True).partial_fit(X, y, classes=["in", "out"])


def test_rows_that_come_after_a_fit_go_on_from_it() -> None:
    X, y = ring()
    found = NetworkClassifier(**SHORT).fit(X, y)
    before = found.predict_proba(X)
    found.set_params(learning_rate_init=1e-7).partial_fit(X, y)
    np.testing.assert_allclose(found.predict_proba(X), before, atol=1e-3)


def test_a_warm_start_goes_on() -> None:
    X, y = ring()
    found = NetworkClassifier(**SHORT | {"max_iter": 5}, warm_start=True)
    losses = []
    for _ in range(6):
        chances = found.fit(X, y).predict_proba(X)
        losses.append(-np.log(chances[np.arange(len(y)), np.searchsorted(found.classes_, y)]).mean())
    assert losses == sorted(losses, reverse=True)
    assert found.model_.settings["chosen"]["epochs"] == 30
    with pytest.raises(ValueError, match="warm_start goes on with the classes"):
        found.fit(X, np.where(y == "in", "in", "on"))


def test_a_tolerance_ends_learning() -> None:
    X, y = ring()
    few, many = (
        NetworkClassifier(**SHORT, tol=tol, n_iter_no_change=4, early_stopping=held).fit(X, y)
        for tol, held in ((0.02, True), (1e-3, False))
    )
    assert few.n_iter_ < many.n_iter_ < 150
    with pytest.warns(ConvergenceWarning, match="150 epochs were not enough to reach tol=0"):
        NetworkClassifier(**SHORT, tol=0.0, n_iter_no_change=150).fit(X, y)


def test_several_targets() -> None:
    X = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    Y = np.column_stack([X[:, 0] ** 2, 100 * X[:, 0] * X[:, 1]])
    found = NetworkRegressor(**SHORT).fit(X, Y)
    assert found.predict(X).shape == (300, 2)
    assert found.score(X, Y) > 0.9
    alone = NetworkRegressor(**SHORT).fit(X, Y[:, 0])
    assert alone.predict(X).shape == (300,)
    piecewise = NetworkRegressor(**SHORT)
    for _ in range(40):
        piecewise.partial_fit(X, Y)
    assert piecewise.score(X, Y) > 0.8
    with pytest.raises(ValueError, match="y has 1 targets, and there were 2 before"):
        piecewise.partial_fit(X, Y[:, 0])


@pytest.mark.parametrize("sparse", [False, True])
def test_weights_are_repetition_and_the_order_of_rows_does_not_matter(sparse: bool) -> None:
    X, y = ring(60)
    times = np.random.default_rng(1).integers(0, 4, 60)
    order = np.random.default_rng(2).permutation(times.sum())
    rows = csr_matrix(X) if sparse else X
    weighed = NetworkClassifier(**SHORT, alpha=1.0).fit(rows, y, sample_weight=times)
    places = np.repeat(np.arange(60), times)[order]
    repeated = NetworkClassifier(**SHORT, alpha=1.0).fit(rows[places], y[places])
    np.testing.assert_array_equal(weighed.predict_proba(rows), repeated.predict_proba(rows))


def test_in_a_pipeline_and_a_search() -> None:
    X, y = ring(120)
    grid = {"networkclassifier__hidden_layer_sizes": [(1,), (16,)]}
    search = GridSearchCV(make_pipeline(StandardScaler(), NetworkClassifier(**SHORT)), grid, cv=2).fit(X, y)
    assert search.best_params_ == {"networkclassifier__hidden_layer_sizes": (16,)}
    again = pickle.loads(pickle.dumps(search))
    assert again.predict_proba(X).tolist() == search.predict_proba(X).tolist()
