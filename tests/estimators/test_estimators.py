"""The estimators: objectives, targets, classes, weights, precision, and learning on from rows as they come."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.sparse import coo_array, csr_array, issparse
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from schuss import SGDClassifier, SGDRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)) * [1.0, 10.0, 0.1, 5.0] + [0.0, 3.0, -2.0, 100.0]
TRUTH = X @ [1.0, -0.2, 8.0, 0.3] - 30
Y = TRUTH + RNG.normal(size=120)
BINARY = (np.median(Y) < Y).astype(int)
WEIGHTS = RNG.integers(0, 4, 120).astype(float)
IRIS = load_iris()

BINARY_LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "hinge": lambda s, t: np.maximum(0, 1 - t * s),
    "squared_hinge": lambda s, t: np.maximum(0, 1 - t * s) ** 2,
    "log_loss": lambda s, t: np.logaddexp(0, -t * s),
    "modified_huber": lambda s, t: np.where(t * s < -1, -4 * t * s, np.maximum(0, 1 - t * s) ** 2),
}
NUMBER_LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "squared_error": lambda s, y: (s - y) ** 2 / 2,
    "huber": lambda s, y: np.where(abs(s - y) < 0.5, (s - y) ** 2 / 2, 0.5 * abs(s - y) - 0.125),
    "epsilon_insensitive": lambda s, y: np.maximum(0, abs(s - y) - 0.5),
    "squared_epsilon_insensitive": lambda s, y: np.maximum(0, abs(s - y) - 0.5) ** 2,
}


def lowest(loss: Callable[[Any, Any], Any], rows: Any, targets: Any, alpha: float, weights: Any = None) -> float:
    """The lowest value of mean loss + α/2 ‖w‖² that SciPy finds."""

    def value(w: Any) -> float:
        return float(np.average(loss(rows @ w[:-1] + w[-1], targets), weights=weights) + alpha / 2 * w[:-1] @ w[:-1])

    found = minimize(value, np.zeros(rows.shape[1] + 1), method="Powell", options={"maxiter": 40000, "ftol": 1e-13})
    return float(minimize(value, found.x, method="BFGS").fun)


def objective(loss: Callable[[Any, Any], Any], model: Any, rows: Any, targets: Any, alpha: float) -> float:
    """The value at a model's weights."""
    w = np.ravel(model.coef_)
    return float(loss(rows @ w + model.intercept_, targets).mean() + alpha / 2 * w @ w)


@pytest.mark.parametrize("name", BINARY_LOSSES)
def test_classifiers_are_at_the_optimum_of_the_stated_objective(name: str) -> None:
    rows, signs = StandardScaler().fit_transform(X), 2 * BINARY - 1
    model = SGDClassifier(loss=name, alpha=0.01).fit(rows, BINARY)
    best = lowest(BINARY_LOSSES[name], rows, signs, 0.01)
    assert objective(BINARY_LOSSES[name], model, rows, signs, 0.01) <= best * (1 + 1e-4)


@pytest.mark.parametrize("name", NUMBER_LOSSES)
def test_regressors_are_at_the_optimum_of_the_stated_objective(name: str) -> None:
    rows = StandardScaler().fit_transform(X)
    model = SGDRegressor(loss=name, alpha=0.01, epsilon=0.5).fit(rows, Y)
    best = lowest(NUMBER_LOSSES[name], rows, Y, 0.01)
    assert objective(NUMBER_LOSSES[name], model, rows, Y, 0.01) <= best * (1 + 1e-4)


def test_squared_error_is_ridge_of_scaled_features() -> None:
    scaler = StandardScaler().fit(X)
    ridge = Ridge(alpha=0.1 * len(X)).fit(scaler.transform(X), Y)
    model = SGDRegressor(alpha=0.1).fit(X, Y)
    assert_allclose(model.coef_, ridge.coef_ / scaler.scale_, rtol=1e-9)
    assert_allclose(model.predict(X), ridge.predict(scaler.transform(X)), rtol=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "optimal", "invscaling", "adaptive"])
def test_with_a_schedule_of_scikit_learns_the_objective_is_its_own(schedule: str) -> None:
    rows = StandardScaler().fit_transform(X) * 2
    ridge = Ridge(alpha=0.05 * len(X)).fit(rows, Y)
    model = SGDRegressor(alpha=0.05, learning_rate=schedule, eta0=0.001).fit(rows, Y)
    assert_allclose(model.coef_, ridge.coef_, rtol=1e-7)


@pytest.mark.parametrize(
    ("schedule", "early_stopping"),
    [("constant", False), ("constant", True), ("optimal", False), ("invscaling", False), ("adaptive", True)],
)
def test_epochs_along_a_schedule_follow_scikit_learns(schedule: str, early_stopping: bool) -> None:
    rows = StandardScaler().fit_transform(X)
    options = {"learning_rate": schedule, "eta0": 0.01, "alpha": 0.01, "max_iter": 5, "tol": None, "shuffle": False,
               "early_stopping": early_stopping, "random_state": 0}  # fmt: skip
    pairs = [(SGDClassifier, sklearn.linear_model.SGDClassifier, BINARY)]
    if schedule != "optimal":  # scikit-learn's first rates are too high for squared errors
        pairs.append((SGDRegressor, sklearn.linear_model.SGDRegressor, Y))
    for ours, theirs, y in pairs:
        a, b = ours(**options).fit(rows, y), theirs(**options).fit(rows, y)
        assert (a.n_iter_, a.t_) == (b.n_iter_, b.t_)
        assert_allclose(a.coef_, b.coef_, rtol=0.1, atol=0.05 * np.abs(b.coef_).max())


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_elastic_net_is_that_of_coordinate_descent_with_its_zeros(l1_ratio: float) -> None:
    rows = np.column_stack([StandardScaler().fit_transform(X), RNG.normal(size=(120, 20))])
    options = {"alpha": 0.2, "l1_ratio": l1_ratio}
    expected = ElasticNet(**options, tol=1e-10).fit(rows, Y)
    model = SGDRegressor(penalty="elasticnet", standardize=False, **options).fit(rows, Y)
    assert_allclose(model.coef_, expected.coef_, atol=1e-4)
    assert_array_equal(model.coef_ == 0, expected.coef_ == 0)
    assert (model.coef_ == 0).any()


def test_hinge_is_as_good_as_libsvms() -> None:
    rows, classes = make_classification(400, 10, random_state=0, flip_y=0.2)
    svc = SVC(kernel="linear", C=1 / (0.01 * 400), tol=1e-8)
    svc.fit(rows, classes)
    model = SGDClassifier(alpha=0.01, standardize=False).fit(rows, classes)
    hinge, signs = BINARY_LOSSES["hinge"], 2 * classes - 1
    assert objective(hinge, model, rows, signs, 0.01) <= objective(hinge, svc, rows, signs, 0.01) * (1 + 1e-4)


def test_multinomial_is_logistic_regressions() -> None:
    rows = StandardScaler().fit_transform(IRIS.data)
    expected = LogisticRegression(C=1 / (0.01 * 150), tol=1e-10, max_iter=10**4).fit(rows, IRIS.target)
    model = SGDClassifier(loss="log_loss", alpha=0.01).fit(rows, IRIS.target)
    assert_allclose(model.predict_proba(rows), expected.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize("multi_class", ["ovr", "multinomial"])
def test_probabilities_of_several_classes_sum_to_one(multi_class: str) -> None:
    model = SGDClassifier(loss="log_loss", multi_class=multi_class).fit(IRIS.data, IRIS.target)
    assert_allclose(model.predict_proba(IRIS.data).sum(axis=1), 1)
    assert model.coef_.shape == (3, 4)
    assert model.score(IRIS.data, IRIS.target) > 0.95
    assert_allclose(np.exp(model.predict_log_proba(IRIS.data)), model.predict_proba(IRIS.data))


def test_one_vs_rest_is_a_binary_classifier_for_each_class() -> None:
    model = SGDClassifier(loss="log_loss", multi_class="ovr").fit(IRIS.data, IRIS.target)
    for place in range(3):
        alone = SGDClassifier(loss="log_loss").fit(IRIS.data, IRIS.target == place)
        assert_allclose(model.coef_[place], alone.coef_[0], rtol=1e-8)


def test_multinomial_needs_a_loss_over_classes() -> None:
    with pytest.raises(ValueError, match="multi_class='multinomial' needs loss='log_loss', got 'hinge'"):
        SGDClassifier(multi_class="multinomial").fit(IRIS.data, IRIS.target)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_weights_count_rows(loss: str, sparse: bool) -> None:
    kind = csr_array if sparse else np.asarray
    repeats = WEIGHTS.astype(int)
    estimator, y = (SGDClassifier(loss=loss), BINARY) if loss == "log_loss" else (SGDRegressor(), Y)
    weighted = clone(estimator).fit(kind(X), y, sample_weight=WEIGHTS)
    repeated = clone(estimator).fit(kind(np.repeat(X, repeats, axis=0)), np.repeat(y, repeats))
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-9)


def test_several_targets_are_learned_at_once() -> None:
    targets = np.column_stack([Y, -2 * TRUTH, X[:, 0]])
    model = SGDRegressor().fit(X, targets)
    assert model.coef_.shape == (3, 4)
    assert model.predict(X).shape == (120, 3)
    for place in range(3):
        assert_allclose(model.coef_[place], SGDRegressor().fit(X, targets[:, place]).coef_, rtol=1e-9)
    online = SGDRegressor().partial_fit(X, targets).partial_fit(X, targets)
    assert online.predict(X).shape == (120, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept(dtype: Any) -> None:
    rows = X.astype(dtype)
    for model in (SGDClassifier(loss="log_loss").fit(rows, BINARY), SGDRegressor().fit(rows, Y)):
        assert model.coef_.dtype == model.intercept_.dtype == dtype
    assert SGDRegressor().partial_fit(rows, Y).coef_.dtype == dtype


def test_an_intercept_that_is_not_wanted_is_zero() -> None:
    model = SGDRegressor(fit_intercept=False, standardize=False, alpha=0.1).fit(X, Y)
    expected = Ridge(alpha=0.1 * len(X), fit_intercept=False).fit(X, Y)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-6)
    assert model.intercept_ == 0


@pytest.mark.parametrize("options", [{"tol": None, "max_iter": 3}, {"learning_rate": "constant", "eta0": 1e-5}])
def test_steps_leave_an_intercept_that_is_not_wanted_alone(options: dict[str, Any]) -> None:
    for rows in (X, csr_array(X)):
        assert SGDRegressor(fit_intercept=False, **options).fit(rows, Y).intercept_ == 0
        assert SGDRegressor(fit_intercept=False, **options).partial_fit(rows, Y).intercept_ == 0


def test_alpha_can_be_chosen() -> None:
    rows, targets, truth = make_regression(60, 40, n_informative=5, noise=60, coef=True, random_state=0)
    test = np.random.default_rng(1).normal(size=(500, 40))
    chosen = SGDRegressor(alpha="auto").fit(rows, targets)
    stated = SGDRegressor().fit(rows, targets)
    errors = [float(((test @ truth - model.predict(test)) ** 2).mean()) for model in (chosen, stated)]
    assert errors[0] < 0.9 * errors[1]
    assert chosen.alpha_ > 0.01
    assert SGDClassifier(alpha="auto").fit(IRIS.data, IRIS.target).score(IRIS.data, IRIS.target) > 0.9


def test_too_few_passes_are_told_of() -> None:
    with pytest.warns(ConvergenceWarning, match="Maximum number of iteration reached"):
        assert SGDRegressor(max_iter=2).fit(X, Y).n_iter_ == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SGDRegressor().fit(X, Y)


def test_early_stopping_gives_the_best_weights_back() -> None:
    options = {"early_stopping": True, "random_state": 0, "learning_rate": "constant", "eta0": 0.5, "max_iter": 30}
    rows = StandardScaler().fit_transform(X)
    model = SGDClassifier(loss="log_loss", **options).fit(rows, BINARY)
    assert model.score(rows, BINARY) > 0.9
    assert 5 < model.n_iter_ <= 30
    assert SGDRegressor(early_stopping=True, random_state=0).fit(X, Y).score(X, Y) > 0.7


def test_rows_as_they_come_are_learned_from_without_any_scale() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(3000, 4)) * [1, 1e3, 1e-3, 10] + [0, 1e4, 0, -50]
    y = (rows - [0, 1e4, 0, -50]) @ [1.0, 1e-3, 1e3, -0.1] + 0.1 * rng.normal(size=3000)
    regressor, classifier = SGDRegressor(), SGDClassifier(loss="log_loss")
    for start in range(0, 3000, 50):
        part = slice(start, start + 50)
        regressor.partial_fit(rows[part], y[part])
        classifier.partial_fit(rows[part], y[part] > 0, classes=[False, True])
    assert regressor.score(rows, y) > 0.98
    assert classifier.score(rows, y > 0) > 0.95
    assert regressor.t_ == 3001


def test_sparse_rows_as_they_come() -> None:
    rows = csr_array(np.where(RNG.random((2000, 30)) < 0.1, 1.0, 0.0))
    y = rows @ np.linspace(-3, 3, 30) > 0
    model = SGDClassifier(loss="log_loss")
    for start in range(0, 2000, 100):
        model.partial_fit(rows[start : start + 100], y[start : start + 100], classes=[False, True])
    assert model.score(rows, y) > 0.9


@pytest.mark.parametrize("multi_class", ["ovr", "multinomial"])
@pytest.mark.parametrize("learning_rate", ["auto", "optimal"])
def test_classes_that_were_never_seen_may_turn_up(learning_rate: str, multi_class: str) -> None:
    rows, labels = StandardScaler().fit_transform(IRIS.data), IRIS.target_names[IRIS.target]
    model = SGDClassifier(loss="log_loss", learning_rate=learning_rate, multi_class=multi_class, random_state=0)
    first = IRIS.target < 2
    model.partial_fit(rows[first], labels[first], classes=["setosa", "versicolor"])
    before = model.predict(rows[first])
    assert model.coef_.shape == (1, 4)
    for _ in range(20):
        model.partial_fit(rows, labels)
    assert_array_equal(model.classes_, ["setosa", "versicolor", "virginica"])
    assert model.score(rows, labels) > 0.8
    assert (before == labels[first]).mean() > 0.9


def test_learning_goes_on_after_fit() -> None:
    model = SGDClassifier(loss="log_loss").fit(X, BINARY)
    t, score = model.t_, model.score(X, BINARY)
    model.partial_fit(X, BINARY)
    assert model.t_ == t + 120
    assert model.score(X, BINARY) > score - 0.05


def test_who_was_fitted_to_a_frame_asks_for_one() -> None:
    frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "colour": ["red", "red", "blue", "blue"]})
    model = SGDClassifier().fit(frame, [0, 0, 1, 1])
    with pytest.warns(UserWarning, match="feature names"), pytest.raises(ValueError, match="columns 'size', 'colour'"):
        model.predict(frame.to_numpy())


@pytest.mark.parametrize("name", ["adamm", ("sgd", "adamm")])
def test_an_optimizer_that_there_is_not(name: Any) -> None:
    with pytest.raises(ValueError, match=r"^optimizer is one of .* did you mean 'adam'"):
        SGDClassifier(optimizer=name).fit(X, BINARY)


@pytest.mark.parametrize(("kind", "mean"), [(np.asarray, -5.0), (csr_array, 0.5)])  # sparse rows are not centred
def test_single_rows_after_fit_do_no_harm_and_a_change_is_followed(kind: Any, mean: float) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(np.array([0, 0, mean]), size=(1200, 3)) * [1, 1e3, 1e-3]
    score = rows @ [2.0, 1e-3, -2e3] + 2 * mean + rng.logistic(size=1200)
    classifier = SGDClassifier(loss="log_loss").fit(kind(rows[:500]), score[:500] > 0)
    regressor = SGDRegressor().fit(kind(rows[:500]), score[:500])
    before = classifier.score(kind(rows), score > 0), regressor.score(kind(rows), score)
    for row in range(500, 560):
        classifier.partial_fit(kind(rows[[row]]), score[[row]] > 0)
        regressor.partial_fit(kind(rows[[row]]), score[[row]])
    after = classifier.score(kind(rows), score > 0), regressor.score(kind(rows), score)
    assert_allclose(after, before, atol=0.02)
    for first in range(560, 1200, 10):
        part = slice(first, first + 10)
        classifier.partial_fit(kind(rows[part]), score[part] < 0)
        regressor.partial_fit(kind(rows[part]), -score[part])
    assert classifier.score(kind(rows), score < 0) > before[0] - 0.1
    assert regressor.score(kind(rows), -score) > before[1] - 0.1


def test_classes_that_turn_up_after_fit() -> None:
    first = IRIS.target < 2
    model = SGDClassifier(loss="log_loss").fit(IRIS.data[first], IRIS.target[first])
    for _ in range(20):
        model.partial_fit(IRIS.data, IRIS.target)
    assert model.score(IRIS.data, IRIS.target) > 0.8


def test_weights_can_be_made_sparse_and_dense_again() -> None:
    for model, y in ((SGDRegressor(penalty="l1", alpha=1.0), Y), (SGDClassifier(penalty="l1", alpha=0.1), BINARY)):
        model.fit(X, y)
        before = model.predict(X)
        assert issparse(model.sparsify().coef_)
        assert_array_equal(model.predict(X), before)
        assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), before)
        assert not issparse(model.densify().coef_)
        assert_array_equal(model.predict(X), before)


def test_mixed_frames_are_accepted_as_they_are() -> None:
    rng = np.random.default_rng(0)
    words = np.array(["good value", "not bad at all", "awful", "would never buy this again"])
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, 300),
            "job": pd.Categorical(rng.choice(["cook", "nurse", "pilot"], 300)),
            "review": words[rng.integers(0, 4, 300)],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, 300), "D"),
            "income": np.where(rng.random(300) < 0.1, np.nan, rng.normal(size=300)),
        }
    )
    y = 0.1 * frame["age"] + (frame["job"] == "pilot") + 2.0 * (frame["review"] == "awful")
    model = SGDRegressor().fit(frame, y)
    assert model.score(frame, y) > 0.99
    assert_array_equal(model.feature_names_in_, frame.columns)
    assert model.n_features_in_ == 5
    classifier = SGDClassifier(loss="log_loss").fit(frame.iloc[:200], y[:200] > y.median())
    assert classifier.score(frame.iloc[200:], y[200:] > y.median()) > 0.9
    assert_allclose(pickle.loads(pickle.dumps(model)).predict(frame), model.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"age": "years"}))


def test_coo_and_int64_indices_are_taken() -> None:
    rows = csr_array(X)
    wide = csr_array((rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)), shape=rows.shape)
    expected = SGDRegressor().fit(X, Y).coef_
    for given in (wide, coo_array(X)):
        assert_allclose(SGDRegressor().fit(given, Y).coef_, expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"loss": "hinges"}, "loss must be one of 'hinge'"),
        ({"alpha": -1}, "alpha must be a number of at least 0, got -1"),
        ({"penalty": "l3"}, "penalty must be one of 'l2', 'l1', 'elasticnet', None, got 'l3'"),
        ({"learning_rate": "pa1"}, "learning_rate must be one of 'auto', 'constant'"),
        ({"validation_fraction": 1.0}, "validation_fraction must be a number above 0 and below 1, got 1.0"),
        ({"max_iter": 0.5}, "max_iter must be a whole number of at least 1, got 0.5"),
        ({"learning_rate": "optimal", "alpha": 0}, "alpha must be > 0 since learning_rate is 'optimal'"),
        ({"learning_rate": "optimal", "alpha": "auto"}, "a stated schedule is for a stated objective"),
    ],
)
def test_parameters_that_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SGDClassifier(**options).fit(X, BINARY)


def test_partial_fit_follows_a_stream_that_turns_round() -> None:
    rng = np.random.default_rng(0)
    X, turned = rng.normal(size=(2400, 4)), np.where(np.arange(2400) < 1200, 1, -1)
    y = turned * (X @ [2.0, -1.0, 0.5, 0.0]) + 0.3 * rng.normal(size=2400) > 0
    model, right = SGDClassifier(loss="log_loss"), []
    for start in range(0, 2400, 20):
        rows = slice(start, start + 20)
        if start:
            right.append(np.mean(model.predict(X[rows]) == y[rows]))
        model.partial_fit(X[rows], y[rows], classes=[False, True])
    assert np.mean(right[10:59]) > 0.9  # before the turn
    assert np.mean(right[75:]) > 0.85  # from 300 rows after it on
