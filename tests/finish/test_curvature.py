"""The Hessian that solves begin with: of every n-th row, and not where it is too large."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.cases import LOSSES_BY_NAME, problem

from schuss.data.chunk import Chunk, cut, join, take
from schuss.data.whole import Whole
from schuss.finish import curvature
from schuss.finish.curvature import _inverse_of_triangle, inverse_with, loss_hessian, whole_hessian
from schuss.finish.dealing import deal
from schuss.finish.folds import cross_validate, of_rows
from schuss.finish.solve import minimise
from schuss.objective import LinearObjective, in_float64


def _whole(chunk: Chunk) -> Whole:
    return Whole(partial(cut, chunk), len(chunk.targets), 0)


@pytest.mark.parametrize("name", ["log_loss", "softmax", "squared_error"])
def test_products_with_the_inverse(name: str) -> None:
    chunk, case = problem(name, 300), LOSSES_BY_NAME[name]
    weights = np.random.default_rng(0).normal(size=(6, case.outputs))
    inverse = inverse_with(whole_hessian(_whole(chunk), case.loss, weights), 0.1, case.outputs)
    assert inverse is not None
    direction = np.random.default_rng(1).normal(size=weights.shape)
    product = LinearObjective(chunk, case.loss, 0.1).hessian_product(weights, direction)
    direction[-1] -= product[-1].mean() if case.outputs > 1 else 0.0  # no loss depends on the mean of softmax's scores
    back = inverse(product.ravel()).reshape(weights.shape)
    shift = (back - direction)[-1].mean() if case.outputs > 1 else 0.0
    back[-1] -= shift
    np.testing.assert_allclose(back, direction, atol=1e-2)


def test_where_there_are_many_rows_every_nth_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, case = problem("log_loss", 20_000), LOSSES_BY_NAME["log_loss"]
    weights = np.random.default_rng(0).normal(size=(6, 1))
    monkeypatch.setattr(curvature, "PRODUCTS", 20_000 * 36 / 2.5)
    found = loss_hessian(partial(cut, chunk), 20_000, case.loss, weights)
    assert found is not None
    thinned = take(chunk, np.arange(0, 20_000, 3))
    np.testing.assert_allclose(found, LinearObjective(thinned, case.loss, 0.0).hessian(weights), rtol=1e-4, atol=1e-6)


def _thin(chunk: Chunk, every: int) -> Chunk:
    return take(chunk, np.arange(0, len(chunk.targets), every))


@pytest.mark.parametrize("name", ["log_loss", "softmax", "squared_error"])
def test_rows_in_memory_are_gone_through_span_by_span_to_the_same_bits_in_any_number_of_threads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, chunk = LOSSES_BY_NAME[name], problem(name, 20_000)
    chunk = chunk._replace(weights=np.random.default_rng(1).uniform(0.0, 2.0, 20_000).astype(np.float32))
    chunks = take(chunk, np.arange(13_001)), take(chunk, np.arange(13_001, 20_000))
    weights = np.random.default_rng(0).normal(size=(6, case.outputs))
    monkeypatch.setattr(curvature, "PRODUCTS", 20_000 * weights.size**2 / 2.5)
    monkeypatch.setattr(curvature, "SPAN_VALUES", 6 * 500)
    whole = Whole(partial(cut, chunk), 20_000, 100_000, chunks=chunks)
    found = [whole_hessian(whole, case.loss, weights, threads) for threads in (1, 2, 3)]
    assert found[0] is not None
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
    expected = LinearObjective(in_float64(join([_thin(one, 3) for one in chunks])), case.loss, 0.0).hessian(weights)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_none_where_scores_overflow_and_no_thread_warns(threads: int) -> None:
    chunk, case = problem("squared_error", 20_000), LOSSES_BY_NAME["squared_error"]
    steep = chunk._replace(rows=chunk.rows * np.float32(1e30))
    whole = Whole(partial(cut, steep), 20_000, 100_000, chunks=(steep,))
    assert whole_hessian(whole, case.loss, np.full((6, 1), 1e30), threads) is None


def test_none_where_there_are_many_weights_or_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, loss = problem("log_loss"), LOSSES_BY_NAME["log_loss"].loss
    assert whole_hessian(Whole(lambda: (), 100, 0), loss, np.zeros((6, 1))) is None
    monkeypatch.setattr(curvature, "MOST_WEIGHTS", 5)
    assert whole_hessian(_whole(chunk), loss, np.zeros((6, 1))) is None


def test_rows_that_workers_hold_have_their_part() -> None:
    chunk, case = problem("log_loss", 300), LOSSES_BY_NAME["log_loss"]
    weights = np.random.default_rng(0).normal(size=(6, 1))
    shares = [take(chunk, np.arange(begin, end)) for begin, end in ((0, 40), (40, 40), (40, 300))]

    def far(work: Callable[..., Any], *arguments: Any) -> Iterable[Any]:
        return (work(partial(cut, share), *arguments) for share in shares)

    here, there = (
        whole_hessian(whole, case.loss, weights) for whole in (_whole(chunk), Whole(lambda: (), 300, 0, far))
    )
    assert here is not None
    assert there is not None
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-7)


def test_the_rows_of_a_fold_have_no_part_in_how_it_is_solved_without_them() -> None:
    """Halfway to an optimum, how one goes tells of the rows that one goes by."""
    case, chunk = LOSSES_BY_NAME["softmax"], problem("softmax", 200)
    dealt, start = deal(chunk.targets, 0), np.zeros((6, case.outputs))
    other = chunk._replace(rows=np.where(dealt[:, None] == 0, 3 * chunk.rows, chunk.rows))
    options = {"scales": np.ones((5, 5)), "passes": 3, "scale": 1.0}
    solvers = [of_rows(rows, case.loss, dealt, **options) for rows in (chunk, other)]
    np.testing.assert_array_equal(*(solver(0).solve(1e-4, start).weights for solver in solvers))
    assert cross_validate([1e-4], start, dealt, chunk.weights, solvers[0])


@pytest.mark.parametrize("size", [1, 32, 33, 100])
def test_triangles_are_inverted_half_by_half(size: int) -> None:
    lower = np.tril(np.random.default_rng(0).normal(size=(size, size))) + 5 * np.eye(size)
    np.testing.assert_allclose(_inverse_of_triangle(lower) @ lower, np.eye(size), atol=1e-12)


def test_it_saves_passes() -> None:
    case, chunk = LOSSES_BY_NAME["log_loss"], problem("log_loss", 500)
    steep = chunk._replace(rows=chunk.rows * np.geomspace(0.1, 10, 5, dtype=np.float32))
    objective, start = LinearObjective(steep, case.loss, 1e-4), np.zeros((6, 1))
    inverse = inverse_with(whole_hessian(_whole(steep), case.loss, start), 1e-4, 1)
    with_it, without = (minimise(objective, start, passes=500, inverse=one) for one in (inverse, None))
    assert with_it.passes < without.passes / 2
    assert with_it.value <= without.value + 1e-6
