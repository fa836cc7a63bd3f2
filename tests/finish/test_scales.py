"""Scales of features: equal columns share a penalty, and a solution with scales is that of scaled features."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from tests.cases import LOSSES_BY_NAME, problem

from schuss.data.chunk import Chunk, SparseRows, cut
from schuss.data.whole import Whole
from schuss.descent.penalties import penalty_value
from schuss.finish.curvature import whole_hessian
from schuss.finish.scales import by_weights, mean_penalty, of_equal_columns, solve_scaled
from schuss.finish.single import SingleObjective
from schuss.finish.solve import Solution
from schuss.objective import LinearObjective, in_float64

SMOOTH = ("log_loss", "softmax", "squared_error")
DOUBLED = [0, 1, 2, 3, 4, 1, 3, 3]
TIMES = np.array([1, 2, 1, 3, 1, 2, 3, 3])


def solved(name: str, chunk: Chunk, l2: float, scales: np.ndarray, *, with_hessian: bool = True) -> Solution:
    """Solve from nothing, in double precision as far as its digits go."""
    case, whole = LOSSES_BY_NAME[name], Whole(partial(cut, chunk), len(chunk.targets), 0)
    start = np.zeros((len(scales) + 1, case.outputs))
    hessian = partial(whole_hessian, whole, case.loss, start)
    options = {"passes": 500, "decrease": 1e-12, "hessian": hessian if with_hessian else lambda: None}
    return solve_scaled(LinearObjective(chunk, case.loss, 0.0), l2, scales, start, **options)


def with_doubled_columns(chunk: Chunk) -> Chunk:
    return chunk._replace(rows=np.ascontiguousarray(chunk.rows[:, DOUBLED]))


def test_equal_columns_of_sparse_rows_are_not_looked_for() -> None:
    rows = SparseRows(np.array([0, 2]), np.array([0, 1], np.int32), np.ones(2, np.float32), 3)
    np.testing.assert_array_equal(of_equal_columns(Chunk(rows, np.zeros(1), np.ones(1))), np.ones(3))


@pytest.mark.parametrize("with_hessian", [True, False])
@pytest.mark.parametrize("name", SMOOTH)
def test_columns_that_are_there_again_change_no_prediction(name: str, with_hessian: bool) -> None:
    chunk = in_float64(problem(name, 300))
    twice = with_doubled_columns(chunk)
    scales = of_equal_columns(twice)
    np.testing.assert_allclose(scales, TIMES**-0.5)
    once = solved(name, chunk, 0.1, np.ones(5), with_hessian=with_hessian)
    again = solved(name, twice, 0.1, scales, with_hessian=with_hessian)
    scores = [rows.rows @ done.weights[:-1] for rows, done in ((chunk, once), (twice, again))]
    np.testing.assert_allclose(*scores, atol=1e-6)
    assert again.value == pytest.approx(once.value, rel=1e-8)
    plain = solved(name, twice, 0.1, np.ones(8), with_hessian=with_hessian)
    assert np.abs(twice.rows @ plain.weights[:-1] - chunk.rows @ once.weights[:-1]).max() > 1e-3


def test_scales_by_weights_are_those_of_the_table_without_doubles() -> None:
    weights = np.random.default_rng(0).normal(size=(6, 3))
    shared = np.vstack([weights[DOUBLED] / TIMES[:, None], weights[-1:]])
    again = by_weights(shared, TIMES**-0.5)
    np.testing.assert_allclose(again, by_weights(weights, np.ones(5))[DOUBLED] * TIMES**-0.5)
    assert (by_weights(np.zeros((6, 3)), np.full(5, 0.3)) == 0.3).all(), "without weights they stay"


@pytest.mark.parametrize("l2", [1e-3, 0.1])
def test_a_solution_with_scales_is_that_of_a_penalty_for_each_weight(l2: float) -> None:
    chunk, scales = problem("squared_error", 300), np.geomspace(0.01, 3, 5)
    rows = np.column_stack([chunk.rows, np.ones(300)]).astype(np.float64)
    penalties = np.diag([*(l2 / scales**2), 0.0])
    theirs = np.linalg.solve(rows.T @ rows / 300 + penalties, rows.T @ chunk.targets / 300)
    ours = solved("squared_error", chunk, l2, scales)
    np.testing.assert_allclose(ours.weights[:, 0], theirs, atol=1e-6)
    value = 0.5 * np.mean((rows @ theirs - chunk.targets) ** 2) + 0.5 * theirs @ penalties @ theirs
    assert ours.value == pytest.approx(value, rel=1e-6)
    comes_to = mean_penalty(l2, ours.weights, scales)
    assert 0.5 * comes_to * (theirs[:-1] ** 2).sum() == pytest.approx(0.5 * theirs @ penalties @ theirs, rel=1e-4)


def test_scales_of_one_are_the_plain_penalty_to_the_bit() -> None:
    chunk, weights = problem("log_loss", 300), np.random.default_rng(0).normal(size=(6, 1))
    assert mean_penalty(0.3, weights, np.ones(5)) == 0.3
    assert mean_penalty(0.3, np.zeros((6, 1)), np.ones(5)) == 0.3
    options = {"passes": 1, "hessian": lambda: None}
    loss = LOSSES_BY_NAME["log_loss"].loss
    seen = solve_scaled(SingleObjective(chunk, loss), 0.3, np.ones(5), weights, **options)
    mean_loss, _ = SingleObjective(chunk, loss).value_and_gradient(weights)
    assert seen.value == mean_loss + penalty_value(weights[:-1], 0.3)
