"""Room for encoded rows, set aside once: a pool that is filled in order, and chunks taken from it in any order."""

from __future__ import annotations

import mmap
import sys
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import store
from .chunk import CHUNK_ROWS, Chunk, SparseRows
from .draft import Draft, like

__all__ = ["Chunks", "Pool", "is_held", "permutation", "promised"]


class Pool:
    """Room for encoded rows, filled in order; setting `count` to zero makes all of it free again.

    Memory that is not written to yet is only promised by the system: a large pool costs what is in it.

    training : gives layout, width and types; limit : bytes of the rows, and of the sparse entries, but for `least` rows
    in any case; most : rows at most.
    """

    def __init__(self, training: Chunk | Draft, *, limit: int, most: int, least: int = 1) -> None:
        rows, targets, weights = like(training)
        fixed = 8 if isinstance(rows, SparseRows) else rows.shape[1] * rows.itemsize
        self._room = min(most, max(limit // (fixed + targets.itemsize + weights.itemsize), least))
        self.count = 0
        self._rows: Any
        if isinstance(rows, SparseRows):
            entries = max(limit // 8, least)
            arrays = np.zeros(self._room + 1, np.int64), np.empty(entries, np.int32), np.empty(entries, np.float32)
            self._rows = SparseRows(*arrays, rows.width)
        else:
            self._rows = np.empty((self._room, rows.shape[1]), rows.dtype)
        self._targets = np.empty(self._room, targets.dtype)
        self._weights = np.empty(self._room, weights.dtype)

    def add(self, training: Chunk | Draft, start: int = 0) -> int:
        """Add rows from `start` on, the next ones of a draft, as far as there is room; give their number."""
        if isinstance(training, Draft):
            return self._add_draft(training)
        at = self.count
        count = min(len(training.targets) - start, self._room - at)
        if isinstance(training.rows, SparseRows):
            count = self._add_sparse(training.rows, start, count)
        else:
            self._rows[at : at + count] = training.rows[start : start + count]
        self._targets[at : at + count] = training.targets[start : start + count]
        self._weights[at : at + count] = training.weights[start : start + count]
        self.count += count
        return count

    def _add_draft(self, draft: Draft) -> int:
        """Have rows made in the room there is."""
        before, state = self.count, np.empty(2, np.int64)
        given = (draft.targets, draft.weights, draft.at, draft.places)
        store.run("rows:line_up", (), *given, before, self._targets, self._weights, state)
        stop, self.count = state.tolist()
        draft.write(stop, self._rows)
        return self.count - before

    def _add_sparse(self, rows: SparseRows, start: int, count: int) -> int:
        """Add the entries of as many rows as there is room for."""
        at = self.count
        begin, base = int(self._rows.indptr[at]), int(rows.indptr[start])
        left = base + len(self._rows.indices) - begin
        count = min(count, int(np.searchsorted(rows.indptr[start : start + count + 1], left, "right")) - 1)
        end = int(rows.indptr[start + count])
        self._rows.indptr[at + 1 : at + count + 1] = rows.indptr[start + 1 : start + count + 1] + (begin - base)
        self._rows.indices[begin : begin + end - base] = rows.indices[base:end]
        self._rows.values[begin : begin + end - base] = rows.values[base:end]
        return count

    @property
    def rows(self) -> Chunk:
        """The rows that were added, as a view."""
        count, rows = self.count, self._rows
        if isinstance(rows, SparseRows):
            last = rows.indptr[count]
            rows = SparseRows(rows.indptr[: count + 1], rows.indices[:last], rows.values[:last], rows.width)
        else:
            rows = rows[:count]
        return Chunk(rows, self._targets[:count], self._weights[:count])


class Chunks:
    """Takes rows out of order, into memory that is used again as soon as nobody holds the chunk made of it.

    New memory for every chunk costs more than the rows themselves: the system clears each page before it is first
    used, and 8,192 rows of 28 columns took 52 ns each in place of 6.

    most : rows of a chunk.
    """

    def __init__(self, most: int = CHUNK_ROWS) -> None:
        self._most = most
        self._buffers: list[tuple[NDArray[Any], ...]] = []

    def take(self, source: Chunk, places: NDArray[np.int32]) -> Chunk:
        """Copy the rows at `places`."""
        count, rows = len(places), source.rows
        out: Any
        if not isinstance(rows, SparseRows):
            dense, targets, weights = self._buffer(rows.shape[1], source)
            out = Chunk(dense[: count * rows.shape[1]].reshape(count, -1), targets[:count], weights[:count])
            # "clip" is the mode that writes into `out` at once; every place is within bounds.
            np.take(rows, places, axis=0, out=out.rows, mode="clip")
        else:
            ends = np.cumsum(rows.indptr[places + np.int32(1)] - rows.indptr[places])
            entries = int(ends[-1]) if count else 0
            values, targets, weights, indices, indptr = self._buffer(entries, source)
            indptr[1 : count + 1] = ends
            copied = SparseRows(indptr[: count + 1], indices[:entries], values[:entries], rows.width)
            out = Chunk(copied, targets[:count], weights[:count])
            store.run("rows:gather", (), *rows[:3], places, *copied[:3])
        np.take(source.targets, places, out=out.targets, mode="clip")
        np.take(source.weights, places, out=out.weights, mode="clip")
        return out

    def _buffer(self, values: int, like: Chunk) -> tuple[NDArray[Any], ...]:
        """Give arrays that nobody holds, with room for rows that have so many values (a row each, or in all)."""
        sparse = isinstance(like.rows, SparseRows)
        needed = values if sparse else values * self._most
        idle = [buffer for buffer in self._buffers if not is_held(buffer)]
        for buffer in idle:
            if len(buffer[0]) >= needed:
                return buffer
        # All that are idle are too small: one larger takes the place of one of them.
        self._buffers = [buffer for buffer in self._buffers if not idle or buffer is not idle[0]]
        room = needed + needed // 4 if sparse else needed
        made = (
            np.empty(room, np.float32),
            np.empty(self._most, like.targets.dtype),
            np.empty(self._most, like.weights.dtype),
        )
        if sparse:
            made += (np.empty(room, np.int32), np.zeros(self._most + 1, np.int64))
        self._buffers.append(made)
        return made


def promised(count: int, kind: type[np.generic]) -> NDArray[Any]:
    """Give an array of zeros of which only what is written to takes memory, in pages of 4 KiB.

    For arrays from 4 MiB on NumPy asks the system for pages of 2 MiB, which are there as a whole as soon as one byte
    is: sixteen buckets of sparse rows, filled to two fifths, took 60 MiB in place of 25.
    """
    if not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros(count, kind)
    size = max(count * np.dtype(kind).itemsize, 1)
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{size:,} bytes cannot be had") from error
    with suppress(OSError):  # the system knows no large pages
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, kind, count)


def is_held(arrays: tuple[NDArray[Any], ...]) -> bool:
    """Whether anybody but their tuple refers to arrays that own their memory: every view of one refers to it."""
    return _references(arrays) != len(arrays) * _ALONE


def _references(arrays: tuple[NDArray[Any], ...]) -> int:
    return sum([sys.getrefcount(array) for array in arrays])


_ALONE = _references((np.empty(1),))


def permutation(count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Give the numbers below `count` in random order.

    >>> sorted(permutation(4, np.random.default_rng(0)).tolist())
    [0, 1, 2, 3]
    """
    places = np.arange(count, dtype=np.int32)
    store.run("rows:shuffle", (), places, int(rng.integers(1 << 63)))
    return places
