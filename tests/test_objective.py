"""The objective beside finite differences, closed forms and scikit-learn; sparse beside dense; rows in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from schuss.data.chunk import CHUNK_ROWS
from schuss.descent.losses import LogLoss, Softmax, SquaredError
from schuss.errors import OptionError
from schuss.objective import LinearObjective, in_float64

from .cases import LOSSES_BY_NAME, chunk_of, dense_rows, targets_for, to_sparse

SMOOTH = ("log_loss", "softmax", "squared_error")


def problem(name: str, rows: int = 300, *, seed: int = 0, density: float = 1.0):
    """Rows with weights, the loss of a case, and a place to look at."""
    case = LOSSES_BY_NAME[name]
    values = dense_rows(rows, 6, density=density, seed=seed)
    rng = np.random.default_rng(seed + 1)
    chunk = chunk_of(values, targets_for(case, values), rng.uniform(0.1, 3.0, rows))
    return chunk, case.loss, rng.normal(size=(7, case.outputs))


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_is_the_slope(name: str, l2: float) -> None:
    chunk, loss, weights = problem(name)
    weights = weights.astype(np.float32).astype(np.float64)
    objective = LinearObjective(chunk, loss, l2)
    _, gradient = objective.value_and_gradient(weights)
    step = 2.0**-8  # weights and steps that float32 holds exactly: the scores are those of float32 products
    for place in np.ndindex(weights.shape):
        there, back = weights.copy(), weights.copy()
        there[place] += step
        back[place] -= step
        slope = (objective.value_and_gradient(there)[0] - objective.value_and_gradient(back)[0]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=3e-5)


@pytest.mark.parametrize("name", SMOOTH)
def test_value_is_the_weighted_mean_and_the_penalty_without_the_intercept(name: str) -> None:
    chunk, loss, weights = problem(name)
    values = []
    for row, target in zip(chunk.rows, chunk.targets, strict=True):
        scores = row.astype(np.float64) @ weights[:-1] + weights[-1]
        if name == "softmax":
            values.append(np.log(np.exp(scores).sum()) - scores[target])
        else:
            s = scores[0]
            values.append(np.log1p(np.exp(s)) - target * s if name == "log_loss" else (s - target) ** 2 / 2)
    expected = np.average(values, weights=chunk.weights) + 0.7 / 2 * (weights[:-1] ** 2).sum()
    assert LinearObjective(chunk, loss, 0.7).value_and_gradient(weights)[0] == pytest.approx(expected, rel=1e-6)


def test_gradient_vanishes_at_the_ridge_solution() -> None:
    chunk, loss, _ = problem("squared_error")
    l2 = 0.2
    ridge = Ridge(alpha=l2 * float(chunk.weights.sum())).fit(chunk.rows, chunk.targets, chunk.weights)
    optimum = np.append(ridge.coef_, ridge.intercept_)[:, None].astype(np.float64)
    _, gradient = LinearObjective(chunk, loss, l2).value_and_gradient(optimum)
    assert np.abs(gradient).max() < 1e-5


@pytest.mark.parametrize("name", ["log_loss", "softmax"])
def test_gradient_vanishes_at_scikit_learns_solution(name: str) -> None:
    chunk, loss, weights = problem(name)
    l2 = 0.05
    model = LogisticRegression(C=1 / (l2 * float(chunk.weights.sum())), tol=1e-10, max_iter=2000)
    model.fit(chunk.rows.astype(np.float64), chunk.targets, chunk.weights)
    optimum = np.vstack([model.coef_.T, model.intercept_[None, :]])
    assert optimum.shape == weights.shape
    _, gradient = LinearObjective(chunk, loss, l2).value_and_gradient(optimum)
    assert np.abs(gradient).max() < 1e-5


@pytest.mark.parametrize("name", SMOOTH)
def test_sparse_rows_are_the_same(name: str) -> None:
    chunk, loss, weights = problem(name, density=0.3)
    value, gradient = LinearObjective(chunk, loss, 0.1).value_and_gradient(weights)
    sparse = LinearObjective(chunk._replace(rows=to_sparse(chunk.rows)), loss, 0.1).value_and_gradient(weights)
    assert sparse[0] == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(sparse[1], gradient, atol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("rows", [CHUNK_ROWS - 1, CHUNK_ROWS, 2 * CHUNK_ROWS + 3])
def test_blocks_add_up(rows: int, sparse: bool) -> None:
    chunk, loss, weights = problem("log_loss", rows)
    halves = [chunk_of(*(array[part] for array in chunk)) for part in (slice(0, 5000), slice(5000, None))]
    shares = [float(half.weights.sum()) / float(chunk.weights.sum()) for half in halves]
    values, gradients = zip(*(LinearObjective(h, loss, 0.0).value_and_gradient(weights) for h in halves), strict=True)
    whole = chunk._replace(rows=to_sparse(chunk.rows)) if sparse else chunk
    value, gradient = LinearObjective(whole, loss, 0.0).value_and_gradient(weights)
    assert value == pytest.approx(np.dot(shares, values), rel=1e-7)
    np.testing.assert_allclose(gradient, np.tensordot(shares, gradients, 1), atol=1e-6)


def test_large_scores_stay_finite_and_overflow_does_not_hide() -> None:
    chunk = chunk_of(np.array([[1.0], [-1.0]], np.float32), np.array([1, 0], np.int32))
    for loss, outputs in ((LogLoss(), 1), (Softmax(), 2)):
        value, gradient = LinearObjective(chunk, loss, 0.0).value_and_gradient(np.full((2, outputs), 1e30))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    with np.errstate(over="ignore", invalid="ignore"):
        value, _ = LinearObjective(chunk, SquaredError(), 0.0).value_and_gradient(np.full((2, 1), 1e300))
    assert not np.isfinite(value)


def test_a_row_without_weight_does_not_count() -> None:
    chunk, loss, weights = problem("softmax")
    share = chunk.weights.copy()
    share[::2] = 0.0
    value, gradient = LinearObjective(chunk._replace(weights=share), loss, 0.1).value_and_gradient(weights)
    half = LinearObjective(chunk_of(*(array[1::2] for array in chunk)), loss, 0.1).value_and_gradient(weights)
    assert value == pytest.approx(half[0], rel=1e-7)
    np.testing.assert_allclose(gradient, half[1], atol=1e-7)


ALL = (*SMOOTH, "hinge", "multiclass_hinge")


def exact_problem(name: str, **options):
    """The objective of a problem in float64, and a place to look at."""
    chunk, loss, weights = problem(name, **options)
    return LinearObjective(in_float64(chunk), loss, 0.3), weights


@pytest.mark.parametrize("name", ALL)
def test_many_values_in_one_pass_are_those_one_by_one(name: str) -> None:
    objective, weights = exact_problem(name, rows=CHUNK_ROWS + 5)
    candidates = weights + np.random.default_rng(3).normal(size=(70, *weights.shape))
    alone = [objective.value_and_gradient(one)[0] for one in candidates]
    np.testing.assert_allclose(objective.values(candidates), alone, rtol=1e-13)


@pytest.mark.parametrize("name", SMOOTH)
def test_hessian_product_is_the_change_of_the_gradient(name: str) -> None:
    objective, weights = exact_problem(name)
    direction = np.random.default_rng(4).normal(size=weights.shape)
    there, back = (objective.value_and_gradient(weights + h * direction)[1] for h in (1e-5, -1e-5))
    np.testing.assert_allclose(objective.hessian_product(weights, direction), (there - back) / 2e-5, atol=1e-9)


def test_hessian_product_refuses_kinks() -> None:
    objective, weights = exact_problem("hinge")
    with pytest.raises(OptionError, match="Hinge has kinks"):
        objective.hessian_product(weights, weights)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_for_the_data_is_the_slope(name: str, sparse: bool) -> None:
    objective, weights = exact_problem(name, rows=20, density=0.5)
    chunk = objective.rows
    rows = chunk.rows.copy()
    given = chunk if not sparse else in_float64(chunk._replace(rows=to_sparse(rows.astype(np.float32))))
    gradient = LinearObjective(given, objective.loss, 0.3).data_gradient(weights)
    for place in [(0, 0), (7, 3), (19, 5)]:
        values = []
        for step in (1e-6, -1e-6):
            moved = rows.copy()
            moved[place] += step
            values.append(
                LinearObjective(chunk._replace(rows=moved), objective.loss, 0.3).value_and_gradient(weights)[0]
            )
        assert gradient[place] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-9)


def test_parts_make_up_the_whole() -> None:
    objective, weights = exact_problem("softmax")
    chunk = objective.rows
    objective = LinearObjective(chunk._replace(weights=np.ones_like(chunk.weights)), objective.loss, 0.0)
    parts = [objective.part(np.arange(first, 300, 3)).value_and_gradient(weights) for first in range(3)]
    value, gradient = objective.value_and_gradient(weights)
    assert np.mean([one[0] for one in parts]) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(np.mean([one[1] for one in parts], axis=0), gradient, rtol=1e-10)
