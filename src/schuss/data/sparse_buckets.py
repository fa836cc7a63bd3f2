"""Buckets that sparse rows are dealt out to at random."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import DataError
from ..kernels import store
from .chunk import Chunk, SparseRows
from .room import Chunks, permutation
from .turns import Turns

__all__ = ["SparseBuckets"]


class SparseBuckets:
    """Buckets for as many rows as a chunk may have; one that is full leaves as a chunk, its rows in random order.

    Rows are dealt in order, which the processor fetches ahead, and a bucket is small enough to be shuffled within the
    cache. The order depends on the rows alone, not on the chunks in which they come.

    rows, like : give width and types; size : rows of a bucket; most : their number at most; limit : bytes for all.
    """

    def __init__(
        self, rows: SparseRows, like: Chunk, rng: np.random.Generator, *, size: int, most: int, limit: int
    ) -> None:
        row = like.targets.itemsize + like.weights.itemsize + 8
        many, stride = max(min(most, limit // (row * size)), 2), size + 1
        entries = many * max((limit // many - row * size) // 8, 1)
        ends = np.repeat(np.arange(many) * (entries // many), stride)
        self._rows = SparseRows(ends, np.empty(entries, np.int32), np.empty(entries, np.float32), rows.width)
        self._targets = np.empty(many * stride, like.targets.dtype)
        self._weights = np.empty(many * stride, like.weights.dtype)
        self._turns = Turns(many, size, rng)
        self._size, self._rng, self._taker = size, rng, Chunks()

    def deal(self, chunk: Chunk) -> Iterator[Chunk]:
        """Take in rows; yield those of every bucket that has become full."""
        rows, turns, at = chunk.rows, self._turns, 0
        assert isinstance(rows, SparseRows)
        while at < len(chunk.targets):
            given = (*rows[:3], chunk.targets, chunk.weights, at)
            kept = (*self._rows[:3], self._targets, self._weights)
            store.run("rows:deal_sparse", (), *given, *kept, turns.limits, turns.counts, turns.state)
            at, full = int(turns.state[1]), int(turns.state[2])
            if full >= 0:
                yield self._leave(full)

    def rest(self) -> Iterator[Chunk]:
        """Yield what is left in all buckets, in random order."""
        stride = self._size + 1
        order = permutation(len(self._targets), self._rng)
        order = order[order % stride < self._turns.counts[order // stride]]
        for start in range(0, len(order), self._size):
            yield self._taker.take(self._everything, order[start : start + self._size])

    @property
    def _everything(self) -> Chunk:
        return Chunk(self._rows, self._targets, self._weights)

    def _leave(self, bucket: int) -> Chunk:
        """Take the rows of a bucket out in random order."""
        count, many = int(self._turns.counts[bucket]), len(self._turns.counts)
        if not count:
            raise DataError(f"a row has more than {len(self._rows.indices) // many:,} values that are not zero")
        order = permutation(count, self._rng) + np.int32(bucket * (self._size + 1))
        self._turns.leave(bucket)
        return self._taker.take(self._everything, order)
