"""What scikit-learn's SGD is known to get wrong, and these estimators do not."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.linear_model as theirs
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from schuss import SGDClassifier, SGDRegressor

RNG = np.random.default_rng(0)
SCALES = np.logspace(0, 4, 5)
X = RNG.normal(size=(500, 5)) * SCALES
Y = (X / SCALES) @ [1.0, -1.0, 2.0, 0.5, -0.5] + 0.1 * RNG.normal(size=500)


@pytest.fixture(autouse=True)
def no_warnings() -> Any:
    """scikit-learn's own may warn that they have not converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_features_of_any_scale_regression() -> None:
    assert theirs.SGDRegressor(random_state=0).fit(X, Y).score(X, Y) < -1e6
    assert SGDRegressor().fit(X, Y).score(X, Y) > 0.99


def test_features_of_any_scale_classification() -> None:
    shifted, classes = X + 1e4, Y > 0
    assert theirs.SGDClassifier(random_state=0).fit(shifted, classes).score(shifted, classes) < 0.8
    for loss in ("hinge", "log_loss"):
        assert SGDClassifier(loss=loss).fit(shifted, classes).score(shifted, classes) > 0.95


@pytest.mark.parametrize("load", [load_breast_cancer, load_digits, load_iris])
def test_default_log_loss_is_near_that_of_tuned_logistic_regression(load: Any) -> None:
    rows, classes = load(return_X_y=True)
    parts = train_test_split(rows, classes, random_state=0, stratify=classes)
    scaler = StandardScaler().fit(parts[0])
    train, test = scaler.transform(parts[0]), scaler.transform(parts[1])
    labels = np.unique(classes)
    tuned = LogisticRegressionCV(Cs=7, cv=4, l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False)
    chosen = SGDClassifier(loss="log_loss", alpha="auto", random_state=0)
    incumbent = theirs.SGDClassifier(loss="log_loss", random_state=0)
    best, ours, other = (
        log_loss(parts[3], model.fit(train, parts[2]).predict_proba(test), labels=labels)
        for model in (tuned, chosen, incumbent)
    )
    assert ours < 1.2 * best + 0.02
    assert ours < other


def test_early_stopping_scores_the_weights_as_they_are() -> None:
    """With an L2 penalty the incumbent's validation sees weights before they are scaled down."""
    rows, classes = load_breast_cancer(return_X_y=True)
    rows = StandardScaler().fit_transform(rows)
    options: dict[str, Any] = {"loss": "log_loss", "early_stopping": True, "random_state": 0, "alpha": 0.1}
    assert SGDClassifier(**options).fit(rows, classes).score(rows, classes) > 0.95


def test_early_stopping_gives_the_best_weights_back() -> None:
    """The score of the weights that are kept is the best of all epochs, not that of the last one."""
    from schuss.descent.losses import LogLoss
    from schuss.fitting.descend import Pace, descend
    from schuss.fitting.problem import Problem, unscaled
    from schuss.fitting.schedule import Schedule

    rows = RNG.normal(size=(200, 3))
    targets = (rows[:, 0] + RNG.normal(size=200) > 0).astype(np.int32)
    problem = Problem(rows, targets, np.ones(200), LogLoss(), 1, 1e-4, 0.0, True, unscaled(3))
    scores, seen = iter([0.1, 0.9, 0.3, 0.2, 0.2]), []

    def score(weights: Any) -> float:
        seen.append(weights)
        return next(scores)

    pace = Pace(100, 1e-3, 3, np.random.default_rng(0), score=score)
    found = descend(problem, np.zeros((4, 1)), Schedule("constant", 0.1, 0.5, 1e-4, 0.0), pace)
    assert found.epochs == 5
    assert_allclose(found.weights, seen[1])


def test_sparse_and_dense_rows_give_the_same_model() -> None:
    rows = RNG.normal(size=(300, 4)) + 10
    y = rows @ [1.0, 2.0, -1.0, 0.5] + 20
    with np.errstate(all="ignore"):
        incumbent = [
            theirs.SGDRegressor(random_state=0, eta0=1e-3).fit(kind(rows), y).score(rows, y)
            for kind in (np.asarray, csr_array)
        ]
    assert abs(incumbent[0] - incumbent[1]) > 1e-3
    dense, sparse = (SGDRegressor().fit(kind(rows), y) for kind in (np.asarray, csr_array))
    assert_allclose(sparse.coef_, dense.coef_, rtol=1e-8)
    assert_allclose(sparse.intercept_, dense.intercept_, rtol=1e-8)
    assert dense.score(rows, y) > 0.9999


def test_int64_indices_are_taken() -> None:
    rows = csr_array(X)
    wide = csr_array((rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)), shape=rows.shape)
    wide.indices = wide.indices.astype(np.int64)  # SciPy narrows them
    wide.indptr = wide.indptr.astype(np.int64)
    with pytest.raises(ValueError, match="int64"):
        theirs.SGDRegressor().fit(wide, Y)
    assert_allclose(SGDRegressor().fit(wide, Y).coef_, SGDRegressor().fit(X, Y).coef_, rtol=1e-8)


def test_classes_that_were_never_seen_may_turn_up() -> None:
    rows, classes = load_iris(return_X_y=True)
    first = classes < 2
    incumbent = theirs.SGDClassifier().partial_fit(rows[first], classes[first], classes=[0, 1])
    with pytest.raises(ValueError, match="labels"):
        incumbent.partial_fit(rows, classes)
    model = SGDClassifier().partial_fit(rows[first], classes[first], classes=[0, 1])
    assert model.partial_fit(rows, classes).predict(rows).max() == 2


def test_a_row_of_weight_two_is_two_rows() -> None:
    weights = RNG.integers(0, 3, 500)
    rows = StandardScaler().fit_transform(X)
    repeated = np.repeat(rows, weights, axis=0), np.repeat(Y, weights)
    apart = []
    for kind in (theirs.SGDRegressor, SGDRegressor):
        a = kind(random_state=0).fit(rows, Y, sample_weight=weights).coef_
        b = kind(random_state=0).fit(*repeated).coef_
        apart.append(np.abs(a - b).max())
    assert apart[0] > 1e-4
    assert apart[1] < 1e-10
