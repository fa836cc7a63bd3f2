"""Pools and chunks: rows come out as they went in; memory is used again, but never while somebody looks at it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.cases import chunk_of, dense_rows, to_sparse

from schuss.data.buckets import IN_FLIGHT, buckets_for
from schuss.data.chunk import CHUNK_ROWS, Chunk, as_matrix, size_of, take
from schuss.data.room import Chunks, Pool, permutation, promised
from schuss.errors import DataError

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
def test_a_pool_is_filled_in_order_and_again(sparse: bool) -> None:
    whole = WHOLE[sparse]
    pool = Pool(take(whole, np.arange(3)), limit=12_000, most=400)
    first = pool.add(whole, 100)
    assert 0 < first <= 400
    assert pool.add(whole) == 0, "it is full"
    taker = Chunks()
    assert_rows(taker.take(pool.rows, np.array([0, first - 1, 0], np.int32)), [100, 99 + first, 100])
    pool.count = 0
    assert pool.add(whole) > 0
    assert_rows(taker.take(pool.rows, np.array([1, 0], np.int32)), [1, 0])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("pieces", [[1000], [1] * 1000, [300, 0, 5, 695]])
def test_every_row_leaves_the_buckets_once(sparse: bool, pieces: list[int]) -> None:
    buckets = buckets_for(WHOLE[sparse], np.random.default_rng(3), size=40, most=5, limit=1 << 20)
    found, start = [], 0
    for count in pieces:
        for chunk in buckets.deal(take(WHOLE[sparse], np.arange(start, start + count))):
            assert_rows(chunk, chunk.targets.tolist())
            found.append(chunk.targets.tolist())
        start += count
    assert max(map(len, found)) == 40
    for chunk in buckets.rest():
        assert_rows(chunk, chunk.targets.tolist())
        found.append(chunk.targets.tolist())
    everything = [row for rows in found for row in rows]
    assert sorted(everything) == list(range(1000))
    again = buckets_for(WHOLE[sparse], np.random.default_rng(3), size=40, most=5, limit=1 << 20)
    same = [chunk.targets.tolist() for chunk in (*again.deal(WHOLE[sparse]), *again.rest())]
    assert same == found, "whatever the pieces"
    assert 0.9 < np.corrcoef(everything, np.arange(1000))[0, 1] < 0.995, "near where they were, and mixed"
    jumps = np.abs(np.diff(found[8]))
    assert np.median(jumps) > 20, "the rows of a chunk are in random order"


def test_chunks_that_left_their_bucket_stay_as_they_are() -> None:
    buckets = buckets_for(WHOLE[False], np.random.default_rng(3), size=10, most=4, limit=1 << 20)
    held = list(buckets.deal(WHOLE[False]))
    assert len(held) > 2 * (4 + IN_FLIGHT), "more than there is memory for"
    while len(held) > 1:
        chunk = held.pop()
        assert_rows(chunk, chunk.targets.tolist())
    seen, view = set(), held.pop().targets[3:5]
    expected = view.tolist()
    for _ in range(9):
        for chunk in buckets.deal(WHOLE[False]):
            assert not np.shares_memory(chunk.targets, view)
            seen.add(chunk.rows.ctypes.data)  # pyright: ignore
    assert len(seen) <= 4 + IN_FLIGHT, "memory is used again"
    assert view.tolist() == expected


def test_buckets_of_sparse_rows_take_no_more_than_they_may() -> None:
    buckets = buckets_for(WHOLE[True], np.random.default_rng(3), size=40, most=5, limit=5 * (40 * 16 + 50 * 8))
    found = [chunk.targets.tolist() for chunk in (*buckets.deal(WHOLE[True]), *buckets.rest())]
    assert sorted(row for rows in found for row in rows) == list(range(1000))
    assert max(map(len, found[:50])) < 40, "full by their entries"
    with pytest.raises(DataError, match="a row has more than 1 values that are not zero"):
        list(buckets_for(WHOLE[True], np.random.default_rng(3), size=40, most=2, limit=1).deal(WHOLE[True]))


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


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell")
def test_of_an_array_that_is_promised_only_what_is_written_to_takes_memory() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    array = promised(1 << 26, np.float32)
    before = resident()
    array[:: 1 << 19] = 1.0  # a number every 2 MiB
    assert resident() - before < 1 << 25
    assert array.sum() == 1 << 7
