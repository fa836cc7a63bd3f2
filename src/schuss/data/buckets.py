"""Buckets that rows are dealt out to at random: a stream is shuffled without ever jumping about in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import DataError
from ..kernels import store
from .chunk import Chunk, SparseRows
from .room import Chunks, permutation

__all__ = ["Buckets"]


class Buckets:
    """Buckets for as many rows as a chunk may have; one that is full leaves as a chunk, its rows in random order.

    When all have left for the first time, which they do one soon after the other, they get limits that let them leave
    in turn from then on: reading and training go on side by side. The order depends on the rows alone, not on the
    chunks in which they come.

    like : gives layout, width and types; size : rows of a bucket; most : their number at most; limit : bytes that they
    may take, two buckets of dense rows in any case.
    """

    def __init__(self, like: Chunk, rng: np.random.Generator, *, size: int, most: int, limit: int) -> None:
        rows = like.rows
        sparse = isinstance(rows, SparseRows)
        row = like.targets.itemsize + like.weights.itemsize + (8 if sparse else rows.shape[1] * rows.itemsize)
        many, stride = max(min(most, limit // (row * size)), 2), size + 1
        self._rows: Any
        if isinstance(rows, SparseRows):
            entries = many * max((limit // many - row * size) // 8, 1)
            ends = np.repeat(np.arange(many) * (entries // many), stride)
            self._rows = SparseRows(ends, np.empty(entries, np.int32), np.empty(entries, np.float32), rows.width)
        else:
            self._rows = np.empty((many * stride, rows.shape[1]), np.float32)
        self._targets = np.empty(many * stride, like.targets.dtype)
        self._weights = np.empty(many * stride, like.weights.dtype)
        self._counts, self._limits = np.zeros(many, np.int64), np.full(many, size)
        self._state = np.array([rng.integers(1 << 63), 0, -1])
        self._size, self._rng, self._left, self._taker = size, rng, 0, Chunks()

    def deal(self, chunk: Chunk) -> Iterator[Chunk]:
        """Take in rows; yield those of every bucket that has become full."""
        at = 0
        while at < len(chunk.targets):
            rows, kernel = chunk.rows, "rows:deal"
            if isinstance(rows, SparseRows):
                given, kept, kernel = rows[:3], self._rows[:3], "rows:deal_sparse"
            else:
                given, kept = (rows,), (self._rows,)
            tables = (self._limits, self._counts, self._state)
            store.run(
                kernel, (), *given, chunk.targets, chunk.weights, at, *kept, self._targets, self._weights, *tables
            )
            at, full = int(self._state[1]), int(self._state[2])
            if full >= 0:
                yield self._leave(full)

    def rest(self) -> Iterator[Chunk]:
        """Yield what is left in all buckets, in random order."""
        stride = self._size + 1
        order = permutation(len(self._targets), self._rng)
        order = order[order % stride < self._counts[order // stride]]
        for start in range(0, len(order), self._size):
            yield self._taker.take(self._everything, order[start : start + self._size])

    @property
    def _everything(self) -> Chunk:
        return Chunk(self._rows, self._targets, self._weights)

    def _leave(self, bucket: int) -> Chunk:
        """Take the rows of a bucket out in random order."""
        count, many = int(self._counts[bucket]), len(self._counts)
        if not count:
            raise DataError(f"a row has more than {len(self._rows.indices) // many:,} values that are not zero")
        order = permutation(count, self._rng) + np.int32(bucket * (self._size + 1))
        self._counts[bucket] = 0
        self._left += 1
        self._limits[bucket] = max(self._size * self._left // many, 1) if self._left <= many else self._size
        return self._taker.take(self._everything, order)
