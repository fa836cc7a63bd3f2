"""Buckets that sparse rows are dealt out to at random."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import DataError
from ..kernels import store
from .chunk import Chunk, SparseRows
from .room import Chunks, permutation, promised
from .saved import Saved, load_into, together
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
        self._rows = SparseRows(ends, promised(entries, np.int32), promised(entries, np.float32), rows.width)
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

    @property
    def rows(self) -> int:
        """How many rows are in the buckets."""
        return int(self._turns.counts.sum())

    def saved(self) -> Saved:
        """Give what is in the buckets, to go on from."""
        own = {"ends": self._rows.indptr, "targets": self._targets, "weights": self._weights}
        arrays = {name: array.copy() for name, array in own.items()}
        for name, entries in (("indices", self._rows.indices), ("values", self._rows.values)):
            arrays[name] = np.concatenate([entries[inside] for inside in self._filled()])
        return together({}, turns=self._turns.saved(), own=Saved({}, arrays))

    def go_on(self, saved: Saved) -> None:
        """Go on from what was saved of other buckets for the same kind of rows."""
        self._turns.go_on(saved.part("turns"))
        own = saved.part("own").arrays
        for name, array in (("ends", self._rows.indptr), ("targets", self._targets), ("weights", self._weights)):
            load_into(array, own, name)
        room = len(self._rows.indices) // len(self._turns.counts)
        ends = self._rows.indptr.reshape(len(self._turns.counts), -1)
        for bucket, (count, each) in enumerate(zip(self._turns.counts, ends, strict=True)):
            if each[0] != bucket * room or (np.diff(each[: count + 1]) < 0).any() or each[count] > each[0] + room:
                raise ValueError("its buckets hold more than they can")
        indices, many = own["indices"], sum(inside.stop - inside.start for inside in self._filled())
        if not indices.shape == own["values"].shape == (many,) or own["values"].dtype != np.float32:
            raise ValueError("its buckets lack values")
        if indices.dtype != np.int32 or ((indices < 0) | (indices >= self._rows.width)).any():
            raise ValueError("its buckets hold features that there are not")
        first = 0
        for inside in self._filled():
            last = first + inside.stop - inside.start
            self._rows.indices[inside], self._rows.values[inside] = (
                own["indices"][first:last],
                own["values"][first:last],
            )
            first = last

    def _filled(self) -> list[slice]:
        """Say where the entries of each bucket are."""
        starts = np.arange(len(self._turns.counts)) * (self._size + 1)
        ends = self._rows.indptr
        return [slice(int(ends[a]), int(ends[a + n])) for a, n in zip(starts, self._turns.counts, strict=True)]

    def rest(self, first: int = 0) -> Iterator[Chunk]:
        """Yield what is left in all buckets, in random order, from chunk number `first` on."""
        stride = self._size + 1
        order = permutation(len(self._targets), self._rng)
        order = order[order % stride < self._turns.counts[order // stride]]
        for start in range(first * self._size, len(order), self._size):
            yield self._taker.take(self.everything, order[start : start + self._size])

    @property
    def everything(self) -> Chunk:
        """The rows of all buckets."""
        return Chunk(self._rows, self._targets, self._weights)

    def _leave(self, bucket: int) -> Chunk:
        """Take the rows of a bucket out in random order."""
        count, many = int(self._turns.counts[bucket]), len(self._turns.counts)
        if not count:
            raise DataError(f"a row has more than {len(self._rows.indices) // many:,} values that are not zero")
        order = permutation(count, self._rng) + np.int32(bucket * (self._size + 1))
        self._turns.leave(bucket)
        return self._taker.take(self.everything, order)
