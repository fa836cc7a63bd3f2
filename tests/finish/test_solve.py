"""The solver beside closed forms and scikit-learn, and what bounds it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from tests.cases import LOSSES_BY_NAME, problem, to_sparse

from schuss.finish.solve import minimise
from schuss.objective import LinearObjective, in_float64


def test_minimum_of_squared_error_is_ridge_regression() -> None:
    chunk = problem("squared_error")
    ridge = Ridge(alpha=0.1 * len(chunk.targets)).fit(chunk.rows.astype(np.float64), chunk.targets)
    objective = LinearObjective(chunk, LOSSES_BY_NAME["squared_error"].loss, 0.1)
    found = minimise(objective, np.zeros((6, 1)), passes=100)
    assert found.converged
    np.testing.assert_allclose(found.weights[:, 0], [*ridge.coef_, ridge.intercept_], atol=2e-4)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["log_loss", "softmax"])
def test_minimum_of_log_loss_is_scikit_learns(name: str, sparse: bool) -> None:
    chunk = problem(name)
    theirs = LogisticRegression(C=1 / (0.02 * len(chunk.targets)), tol=1e-10, max_iter=1000)
    theirs.fit(chunk.rows.astype(np.float64), chunk.targets)
    rows = to_sparse(chunk.rows) if sparse else chunk.rows
    objective = LinearObjective(chunk._replace(rows=rows), LOSSES_BY_NAME[name].loss, 0.02)
    found = minimise(objective, np.zeros((6, LOSSES_BY_NAME[name].outputs)), passes=200)
    assert found.converged
    probabilities = theirs.predict_proba(chunk.rows)
    scores = chunk.rows @ found.weights[:-1] + found.weights[-1]
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    ours = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, probabilities, atol=1e-3)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_minimum_with_l1_is_that_of_coordinate_descent_with_its_zeros(l2: float) -> None:
    chunk, l1 = problem("squared_error", features=20), 0.2
    theirs = ElasticNet(alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), tol=1e-12, max_iter=100_000)
    theirs.fit(chunk.rows.astype(np.float64), chunk.targets)
    objective = LinearObjective(in_float64(chunk), LOSSES_BY_NAME["squared_error"].loss, l2)
    found = minimise(objective, np.ones((21, 1)), passes=200, l1=l1, decrease=1e-12)
    assert found.converged
    np.testing.assert_allclose(found.weights[:, 0], [*theirs.coef_, theirs.intercept_], atol=1e-5)
    np.testing.assert_array_equal(found.weights[:-1, 0] == 0, theirs.coef_ == 0)
    assert 2 < (theirs.coef_ == 0).sum() < 18
    value = objective.value_and_gradient(found.weights)[0] + l1 * np.abs(theirs.coef_).sum()
    assert found.value == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["log_loss", "softmax"])
def test_minimum_of_log_loss_with_l1_is_scikit_learns_with_its_zeros(name: str, sparse: bool) -> None:
    case, chunk, l1 = LOSSES_BY_NAME[name], problem(name, features=12), 0.04
    theirs = LogisticRegression(C=1 / (l1 * len(chunk.targets)), l1_ratio=1, solver="saga", tol=1e-9, max_iter=100_000)
    theirs.fit(chunk.rows.astype(np.float64), chunk.targets)
    rows = to_sparse(chunk.rows) if sparse else chunk.rows
    objective = LinearObjective(in_float64(chunk._replace(rows=rows)), case.loss, 0.0)
    found = minimise(objective, np.zeros((13, case.outputs)), passes=500, l1=l1, decrease=1e-13)
    assert found.converged
    np.testing.assert_allclose(found.weights[:-1], theirs.coef_.T, atol=1e-5)
    np.testing.assert_array_equal(found.weights[:-1] == 0, theirs.coef_.T == 0)
    assert (theirs.coef_ == 0).any()


@pytest.mark.parametrize("l1", [0.0, 0.01])
@pytest.mark.parametrize("passes", [0, 1, 2, 3, 7])
def test_passes_are_counted_and_bounded(passes: int, l1: float) -> None:
    objective = LinearObjective(problem("softmax"), LOSSES_BY_NAME["softmax"].loss, 0.0)
    seen: list[float] = []
    start = np.zeros((6, 5))

    class Watched:
        def value_and_gradient(self, weights: Any) -> Any:
            seen.append(objective.value_and_gradient(weights)[0] + l1 * np.abs(weights[:-1]).sum())
            return objective.value_and_gradient(weights)

    found = minimise(Watched(), start, passes=passes, l1=l1)  # pyright: ignore
    assert found.passes == len(seen) == passes
    assert not found.converged
    assert found.value == min(seen, default=np.inf)
    if passes:
        assert objective.value_and_gradient(found.weights)[0] + l1 * np.abs(found.weights[:-1]).sum() == found.value


def test_a_stop_request_ends_a_solve_between_passes() -> None:
    objective = LinearObjective(problem("softmax"), LOSSES_BY_NAME["softmax"].loss, 0.0)
    asked = iter([False] * 4 + [True] * 100)
    found = minimise(objective, np.zeros((6, 5)), passes=100, stop=lambda: next(asked))
    assert found.passes == 4
    assert not found.converged
    assert found.value < objective.value_and_gradient(np.zeros((6, 5)))[0]
