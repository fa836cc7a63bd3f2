"""The solver beside closed forms and scikit-learn, and what bounds it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from tests.cases import LOSSES_BY_NAME, problem, to_sparse

from schuss.finish.solve import minimise
from schuss.objective import LinearObjective


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


@pytest.mark.parametrize("passes", [0, 1, 2, 3, 7])
def test_passes_are_counted_and_bounded(passes: int) -> None:
    objective = LinearObjective(problem("softmax"), LOSSES_BY_NAME["softmax"].loss, 0.0)
    seen: list[float] = []
    start = np.zeros((6, 5))

    class Watched:
        def value_and_gradient(self, weights: Any) -> Any:
            seen.append(objective.value_and_gradient(weights)[0])
            return objective.value_and_gradient(weights)

    found = minimise(Watched(), start, passes=passes)  # pyright: ignore
    assert found.passes == len(seen) == passes
    assert not found.converged
    assert found.value == min(seen, default=np.inf)
    if passes:
        assert objective.value_and_gradient(found.weights)[0] == found.value


def test_a_stop_request_ends_a_solve_between_passes() -> None:
    objective = LinearObjective(problem("softmax"), LOSSES_BY_NAME["softmax"].loss, 0.0)
    asked = iter([False] * 4 + [True] * 100)
    found = minimise(objective, np.zeros((6, 5)), passes=100, stop=lambda: next(asked))
    assert found.passes == 4
    assert not found.converged
    assert found.value < objective.value_and_gradient(np.zeros((6, 5)))[0]
