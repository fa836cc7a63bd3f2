"""Buckets that rows of a stream are dealt out to at random: a chunk is a bucket that is full."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..kernels import store
from .chunk import CHUNK_ROWS, Chunk, SparseRows
from .draft import Draft, like
from .room import Chunks, is_held, permutation
from .saved import Saved, load_into, together
from .sparse_buckets import SparseBuckets
from .turns import Turns

__all__ = ["Buckets", "buckets_for"]

IN_FLIGHT, LONG_IN_FLIGHT = 8, 4
"""Chunks that may have left and still be in use, long ones of which fewer are made ahead; more of them are copied."""


def buckets_for(
    training: Chunk | Draft, rng: np.random.Generator, *, size: int, most: int, limit: int
) -> Buckets | SparseBuckets:
    """Make buckets for rows of the same layout, width and types.

    size : rows of a bucket; most : their number at most; limit : bytes that they may take, two buckets of dense rows in
    any case.
    """
    empty = like(training)
    if isinstance(empty.rows, SparseRows):
        return SparseBuckets(empty.rows, empty, rng, size=size, most=most, limit=limit)
    row = empty.targets.itemsize + empty.weights.itemsize + empty.rows.shape[1] * empty.rows.itemsize
    return Buckets(empty, empty.rows.shape[1], rng, size=size, many=max(min(most, limit // (row * size)), 2))


class Buckets:
    """Buckets for as many dense rows as a chunk may have; one that is full leaves as a chunk as it is.

    A row goes to a bucket at random, and there to a place at random: it is written once. The order depends on the rows
    alone, not on how they come. Each bucket has a slot of memory; when it leaves it gets another that nobody holds.

    everything : the rows of all slots.
    """

    def __init__(self, empty: Chunk, width: int, rng: np.random.Generator, *, size: int, many: int) -> None:
        slots = many + (IN_FLIGHT if size <= CHUNK_ROWS else LONG_IN_FLIGHT)
        rows = np.empty((slots * size, width), np.float32)
        targets, weights = np.empty(slots * size, empty.targets.dtype), np.empty(slots * size, np.float32)
        self.everything, self._rows = Chunk(rows, targets, weights), rows
        self._slots = list(zip(*(_parts(array, slots) for array in (rows, targets, weights)), strict=True))
        self._slot_of = np.arange(many)
        self._orders = np.empty((many, size), np.int32)
        self._targets, self._weights = np.empty((many, size), targets.dtype), np.empty((many, size), np.float32)
        self._turns = Turns(many, size, rng)
        self._size, self._rng, self._taker = size, rng, Chunks(size)
        for bucket in range(many):
            self._order(bucket)

    def deal(self, training: Chunk | Draft) -> Iterator[Chunk]:
        """Take in rows; yield those of every bucket that has become full."""
        turns, at = self._turns, training.at if isinstance(training, Draft) else 0
        places = training.places if isinstance(training, Draft) else np.zeros(len(training.targets), np.int64)
        while at < len(places):
            tables = (self._slot_of, self._orders, self._targets, self._weights)
            given = (training.targets, training.weights, at, places)
            store.run("rows:deal", (), *given, *tables, turns.limits, turns.counts, turns.state)
            stop, full = int(turns.state[1]), int(turns.state[2])
            if isinstance(training, Draft):
                training.write(stop, self._rows)
            else:
                moved = (training.rows[at:stop], places[at:stop], 0, self._rows, self._rows)
                store.run("encode:place_features", (), *moved)
            at = stop
            if full >= 0:
                yield self._leave(full)

    @property
    def rows(self) -> int:
        """How many rows are in the buckets."""
        return int(self._turns.counts.sum())

    def saved(self) -> Saved:
        """Give what is in the buckets, to go on from: rows in the order of their arrival."""
        begun = [
            self._orders[bucket, :count] + np.int64(self._slot_of[bucket] * self._size)
            for bucket, count in enumerate(self._turns.counts.tolist())
        ]
        own = {"orders": self._orders, "targets": self._targets, "weights": self._weights}
        arrays = {name: array.copy() for name, array in own.items()}
        return together(
            {}, turns=self._turns.saved(), own=Saved({}, {"rows": self._rows[np.concatenate(begun)], **arrays})
        )

    def go_on(self, saved: Saved) -> None:
        """Go on from what was saved of other buckets for the same kind of rows."""
        self._turns.go_on(saved.part("turns"))
        own = saved.part("own").arrays
        for name, array in (("orders", self._orders), ("targets", self._targets), ("weights", self._weights)):
            load_into(array, own, name)
        if ((self._orders < 0) | (self._orders >= self._size)).any():
            raise ValueError("its orders name places that there are not")
        if own["rows"].shape != (self.rows, self._rows.shape[1]) or own["rows"].dtype != np.float32:
            raise ValueError("its buckets lack rows")
        first = 0
        for bucket, count in enumerate(self._turns.counts.tolist()):
            places = self._orders[bucket, :count] + np.int64(self._slot_of[bucket] * self._size)
            self._rows[places] = own["rows"][first : first + count]
            first += count

    def rest(self, first: int = 0) -> Iterator[Chunk]:
        """Yield what is left in all buckets, in random order, from chunk number `first` on."""
        begun = [
            self._settle(bucket) + np.int32(slot * self._size) for bucket, slot in enumerate(self._slot_of.tolist())
        ]
        places = np.concatenate(begun)
        places = places[permutation(len(places), self._rng)]
        for start in range(first * self._size, len(places), self._size):
            yield self._taker.take(self.everything, places[start : start + self._size])

    def _settle(self, bucket: int) -> NDArray[np.int32]:
        """Bring targets and weights of a bucket to their rows; give the places of these within the slot."""
        count, (_, *settled) = int(self._turns.counts[bucket]), self._slots[self._slot_of[bucket]]
        order = self._orders[bucket, :count]
        store.run("rows:settle", (), order, self._targets[bucket], self._weights[bucket], *settled)
        return order

    def _order(self, bucket: int) -> None:
        """Choose the order in which the places of a bucket are taken."""
        limit = int(self._turns.limits[bucket])
        self._orders[bucket, :limit] = permutation(limit, self._rng)

    def _leave(self, bucket: int) -> Chunk:
        """Give the rows of a bucket, which goes on with another slot."""
        count, slot = len(self._settle(bucket)), int(self._slot_of[bucket])
        used = set(self._slot_of.tolist())
        idle = next((n for n, parts in enumerate(self._slots) if n not in used and not is_held(parts)), None)
        if idle is None:
            places = np.arange(slot * self._size, slot * self._size + count, dtype=np.int32)
            chunk = self._taker.take(self.everything, places)
        else:
            rows, targets, weights = self._slots[slot]
            width = self._rows.shape[1]
            chunk = Chunk(rows[: count * width].reshape(count, width), targets[:count], weights[:count])
            self._slot_of[bucket] = idle
        self._turns.leave(bucket)
        self._order(bucket)
        return chunk


def _parts(array: NDArray, count: int) -> list[NDArray]:
    """Cut an array into flat parts each of which owns its views: NumPy counts those of a slice with the whole."""
    length = len(array) // count
    return [np.frombuffer(array[n * length : (n + 1) * length].data, array.dtype) for n in range(count)]
