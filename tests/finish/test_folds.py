"""How rows are dealt into folds, and what cross-validation gives."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import LOSSES_BY_NAME, problem, to_sparse

from schuss.data.chunk import Chunk, SparseRows, take
from schuss.finish.dealing import FOLDS, deal, deal_by_content
from schuss.finish.folds import cross_validate, of_rows


def test_folds_have_equal_shares_of_every_class() -> None:
    targets = np.repeat([0, 1, 2], [50, 33, 17]).astype(np.int32)
    dealt = deal(targets, 3)
    assert np.bincount(dealt).tolist() == [20] * 5
    for label in range(3):
        counts = np.bincount(dealt[targets == label], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1


def test_folds_are_random_and_repeat_from_the_seed() -> None:
    targets = np.zeros(100, np.float32)
    assert (deal(targets, 0) == deal(targets, 0)).all()
    assert (deal(targets, 0) != deal(targets, 1)).any()
    assert np.bincount(deal(targets, 0)).tolist() == [20] * 5


def test_classes_with_fewer_rows_than_folds_only_teach() -> None:
    targets = np.array([0] * 20 + [1] * 20 + [2] * 4, np.int32)
    dealt = deal(targets, 0)
    assert (dealt[:40] >= 0).all()
    assert (dealt[40:] == -1).all()


def content(seed: int, rows: int = 300) -> Chunk:
    rng = np.random.default_rng(seed)
    targets = np.repeat([0, 1, 2], [rows // 2, rows // 3, rows - rows // 2 - rows // 3]).astype(np.int32)
    return Chunk(rng.integers(3, size=(rows, 4)).astype(np.float32), targets, np.ones(rows, np.float32))


def test_by_content_each_class_is_dealt_alike_and_rows_of_the_same_content_are_not_kept_together() -> None:
    chunk = content(0)
    dealt = deal_by_content(chunk)
    for label in range(3):
        counts = np.bincount(dealt[chunk.targets == label], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
    alike = Chunk(np.zeros((100, 2), np.float32), np.zeros(100, np.float32), np.ones(100, np.float32))
    assert np.bincount(deal_by_content(alike)).tolist() == [20] * 5
    rare = chunk._replace(targets=np.array([0] * 148 + [1] * 148 + [2] * 4, np.int32))
    assert (deal_by_content(rare) == -1).tolist() == [False] * 296 + [True] * 4


def test_by_content_order_has_no_part_and_few_other_rows_move_few() -> None:
    rng = np.random.default_rng(1)
    chunk = content(0)._replace(rows=rng.normal(size=(300, 4)).astype(np.float32))
    dealt, order = deal_by_content(chunk), rng.permutation(300)
    np.testing.assert_array_equal(deal_by_content(take(chunk, order)), dealt[order])
    most = np.sort(order[:285])
    assert (deal_by_content(take(chunk, most)) == dealt[most]).mean() > 0.9


def test_by_content_sparse_rows_are_dealt_as_dense_ones() -> None:
    chunk = content(0)
    filled = chunk.rows != 0
    indptr = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    rows = SparseRows(indptr, np.nonzero(filled)[1].astype(np.int32), chunk.rows[filled], 4)
    np.testing.assert_array_equal(deal_by_content(chunk._replace(rows=rows)), deal_by_content(chunk))


def test_by_content_constant_and_doubled_columns_have_no_part() -> None:
    chunk = content(0)
    rows = np.column_stack([chunk.rows[:, [0]], np.zeros(300, np.float32), chunk.rows, chunk.rows[:, [2, 3]]])
    np.testing.assert_array_equal(deal_by_content(chunk._replace(rows=rows)), deal_by_content(chunk))
    other = np.column_stack([chunk.rows, chunk.rows[::-1, 0]])
    assert (deal_by_content(chunk._replace(rows=other)) != deal_by_content(chunk)).any()


@pytest.mark.parametrize("name", ["log_loss", "softmax", "squared_error"])
def test_no_row_is_judged_by_a_model_that_has_seen_it(name: str) -> None:
    """A row whose target is changed changes the losses of its own fold at no other place than its own."""
    case, chunk = LOSSES_BY_NAME[name], problem(name, 200)
    dealt = deal(chunk.targets, 0)
    other = chunk._replace(targets=chunk.targets.copy())
    other.targets[7] = chunk.targets[7] + 3.0 if chunk.targets.dtype.kind == "f" else 1 - min(chunk.targets[7], 1)
    losses = []
    for rows in (chunk, other):
        start = np.zeros((6, case.outputs))
        solver = of_rows(rows, case.loss, dealt, scales=np.ones((5, 5)), passes=100, scale=1.0)
        found = cross_validate([0.1], start, dealt, rows.weights, solver)
        assert found is not None
        losses.append(found.losses[:, 0])
    changed = losses[0] != losses[1]
    own = dealt == dealt[7]
    assert changed[7]
    assert changed[own].sum() == 1
    assert changed[~own].all()


@pytest.mark.parametrize("name", ["log_loss", "softmax", "squared_error"])
def test_turned_rows_give_what_sparse_ones_do(name: str) -> None:
    """Sparse rows are gone through in another way, and with a Hessian of other digits."""
    case, chunk = LOSSES_BY_NAME[name], problem(name, 300)
    chunk = chunk._replace(weights=np.random.default_rng(1).uniform(0.5, 2.0, 300).astype(np.float32))
    dealt = deal(chunk.targets, 0)
    dealt[:20] = -1
    found = []
    for rows in (chunk, chunk._replace(rows=to_sparse(chunk.rows))):  # pyright: ignore
        solver = of_rows(rows, case.loss, dealt, scales=np.ones((5, 5)), passes=100, scale=1.0)
        found.append(cross_validate([1.0, 0.1, 0.01], np.zeros((6, case.outputs)), dealt, rows.weights, solver))
    dense, sparse = found
    assert dense is not None
    assert sparse is not None
    np.testing.assert_allclose(dense.losses, sparse.losses, atol=2e-3)
    for one, other in zip(dense.solutions, sparse.solutions, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-6)


def test_a_stop_before_the_first_penalty_is_done_gives_nothing() -> None:
    case, chunk = LOSSES_BY_NAME["log_loss"], problem("log_loss", 100)
    asked = iter([False] * 12 + [True] * 1000)
    dealt, stop = deal(chunk.targets, 0), lambda: next(asked)
    solver = of_rows(chunk, case.loss, dealt, scales=np.ones((5, 5)), passes=100, scale=1.0, stop=stop)
    assert cross_validate([1.0, 0.1], np.zeros((6, 1)), dealt, chunk.weights, solver, stop=stop) is None


def test_weaker_penalties_are_not_tried_when_surely_past_the_best() -> None:
    case, chunk = LOSSES_BY_NAME["squared_error"], problem("squared_error", 60, 40)
    noise = chunk._replace(targets=np.random.default_rng(0).normal(size=60).astype(np.float32))
    penalties = [10.0 ** -(half / 2) for half in range(-4, 20)]
    dealt = deal(noise.targets, 0)
    solver = of_rows(noise, case.loss, dealt, scales=np.ones((5, 40)), passes=200, scale=0.5)
    found = cross_validate(penalties, np.zeros((41, 1)), dealt, noise.weights, solver)
    assert found is not None
    assert 3 <= len(found.solutions) < 20
    assert found.losses.mean(axis=0).argmin() <= len(found.solutions) - 3
