"""Pools and chunks: rows come out as they went in; memory is used again, but never while somebody looks at it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import chunk_of, dense_rows, to_sparse

from schuss.data.chunk import CHUNK_ROWS, Chunk, as_matrix, size_of, take
from schuss.data.room import Chunks, Pool, permutation

VALUES = dense_rows(1000, 9, density=0.3)
VALUES[[0, 17, 999]] = 0.0
WHOLE = {
    sparse: chunk_of(to_sparse(VALUES) if sparse else VALUES, np.arange(1000, dtype=np.int32), np.arange(1000) + 0.5)
    for sparse in (False, True)
}


def assert_rows(chunk: Chunk, expected: list[int]) -> None:
    rows = as_matrix(chunk.rows)
    np.testing.assert_array_equal(rows.toarray() if hasattr(rows, "toarray") else rows, VALUES[expected])
    np.testing.assert_array_equal(chunk.targets, expected)
    np.testing.assert_array_equal(chunk.weights, np.array(expected) + 0.5)


@pytest.mark.parametrize("sparse", [False, True])
def test_both_halves_of_a_pool(sparse: bool) -> None:
    whole = WHOLE[sparse]
    pool = Pool(take(whole, np.arange(3)), limit=12_000, most=400, parts=2)
    first = pool.add(whole, 100, 0)
    second = pool.add(whole, 500, 1)
    assert 0 < first <= 400
    assert pool.add(whole, 0, 0) == 0, "it is full"
    taker = Chunks()
    places = [pool.first(1) + second - 1, 0, pool.first(1), first - 1, 0]
    assert_rows(taker.take(pool.everything, np.array(places, np.int32)), [499 + second, 100, 500, 99 + first, 100])
    pool.clear(0)
    assert pool.add(whole, 0, 0) > 0
    places = [pool.first(1), 0, 1]
    assert_rows(taker.take(pool.everything, np.array(places, np.int32)), [500, 0, 1])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("limit", [1, 3_000, 1 << 20])
def test_a_pool_takes_no_more_than_its_limit(sparse: bool, limit: int) -> None:
    pool = Pool(WHOLE[sparse], limit=limit, most=2000)
    added = 0
    while added < 1000 and (now := pool.add(take(WHOLE[sparse], np.arange(added, min(added + 77, 1000))))):
        added += now
    assert_rows(pool.rows, list(range(added)))
    assert size_of(pool.rows) <= 2 * limit + 44  # one row in any case
    assert (added == 1000) == (limit == 1 << 20)


@pytest.mark.parametrize("sparse", [False, True])
def test_chunks_that_are_held_stay_as_they_are(sparse: bool) -> None:
    taker, rng = Chunks(), np.random.default_rng(0)
    orders = [rng.integers(0, 1000, int(rng.integers(1, 900))).astype(np.int32) for _ in range(30)]
    held = []
    for order in orders:
        chunk = taker.take(WHOLE[sparse], order)
        assert_rows(chunk, order.tolist())
        held.append(chunk)
    for chunk, order in zip(held, orders, strict=True):
        assert_rows(chunk, order.tolist())


def test_memory_is_used_again_once_nobody_holds_it() -> None:
    taker, seen = Chunks(), set()
    order = np.arange(500, dtype=np.int32)
    for _ in range(20):
        chunk = taker.take(WHOLE[False], order)
        seen.add(chunk.rows.ctypes.data)  # pyright: ignore
    assert len(seen) == 2, "one that is held, one that is written to"
    view = taker.take(WHOLE[False], order).targets[3:5]
    for _ in range(20):
        assert not np.shares_memory(taker.take(WHOLE[False], order).targets, view)
    np.testing.assert_array_equal(view, [3, 4])


def test_permutations_are_even() -> None:
    rng = np.random.default_rng(5)
    found = np.array([permutation(6, rng) for _ in range(6000)])
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(6), (6000, 1)))
    for place in range(6):
        counts = np.bincount(found[:, place], minlength=6)
        assert np.abs(counts - 1000).max() < 130  # 4.5 standard deviations
    pairs = np.unique(found[:, 0] * 6 + found[:, 1], return_counts=True)[1]
    assert len(pairs) == 30
    assert np.abs(pairs - 200).max() < 65
    large = permutation(CHUNK_ROWS * 20, rng)
    assert abs(np.corrcoef(large, np.arange(len(large)))[0, 1]) < 0.01
