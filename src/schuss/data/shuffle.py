"""Rows of a stream in another order, and produced ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

import numpy as np

from .buckets import Buckets, buckets_for
from .chunk import CHUNK_ROWS, Chunk, whole_units
from .draft import Draft, like, training_rows
from .room import Chunks, Pool
from .saved import Saved, load_chunk, save_chunk, together
from .sparse_buckets import SparseBuckets

__all__ = ["BUFFER_ROWS", "Shuffle", "ahead", "chunk_length", "shuffled", "worked_ahead"]

BUFFER_ROWS = 16 * CHUNK_ROWS
"""Rows among which a stream is shuffled: large enough that a row group of sorted rows is spread over many chunks."""

BUFFER_BYTES = 1 << 26
"""What these may take, at least two chunks apart: of wide rows there are fewer."""

LONG_CHUNK_BYTES = 1 << 22
LONGEST_CHUNK = 4
"""Long chunks of a stream have so many bytes, and four times 8,192 rows at most: those of the buffer are four then.

Twenty million rows of 28 columns from Parquet take 0.92 of the time and 0.93 of the processors' with four chunks of
32,768 rows in the buffer, as with eight of them, and 419 MiB in place of 415; with eight of 16,384 0.94 and 0.95; with
four of 65,536 0.89 and 0.92, and 448 MiB. On sorted rows the losses are those of short chunks (RESULTS.md, files.py).
"""

T = TypeVar("T")
Item = TypeVar("Item")


class Shuffle:
    """Shuffles a stream of rows within a buffer; without `rng`, only cuts it into chunks of equal size.

    The order depends on the rows alone, not on how they come in pieces.

    length : rows of a chunk, 8,192 if not given; those that were saved had the same.
    """

    def __init__(
        self, rng: np.random.Generator | None, saved: Saved | None = None, *, length: int | None = None
    ) -> None:
        """Begin anew, or go on from what was saved of a shuffle by a generator of the same kind."""
        self._rng, self._given, self._rested = rng, 0, 0
        self._length = CHUNK_ROWS if length is None else length
        self._buckets: Buckets | SparseBuckets | None = None
        self._state_before_rest: dict[str, Any] | None = None
        if saved is not None:
            self._go_on(saved)

    def chunks(self, pieces: Iterator[Chunk | Draft]) -> Iterator[Chunk]:
        """Yield the rows of a stream; what has been saved had been given all rows before these."""
        for chunk in self._shuffled(pieces) if self._rng is not None else _cut_anew(pieces):
            self._given += len(chunk.targets)
            yield chunk
        if self._buckets is not None and self._rng is not None:
            self._state_before_rest = dict(self._rng.bit_generator.state)
            for chunk in self._buckets.rest(self._rested):
                self._rested += 1
                yield chunk

    def _shuffled(self, pieces: Iterator[Chunk | Draft]) -> Iterator[Chunk]:
        for piece in pieces:
            self._buckets = self._buckets or self._buckets_for(piece)
            yield from self._buckets.deal(piece)  # pyright: ignore[reportArgumentType] — all pieces have one layout

    def _buckets_for(self, piece: Chunk | Draft) -> Buckets | SparseBuckets:
        assert self._rng is not None
        most = BUFFER_ROWS // self._length
        return buckets_for(piece, self._rng, size=self._length, most=most, limit=BUFFER_BYTES)

    @property
    def taken(self) -> int:
        """How many rows of the stream have been used, when a chunk has just been given."""
        return self._given + (0 if self._buckets is None else self._buckets.rows)

    def saved(self) -> Saved:
        """Give everything there is when a chunk has just been given; the arrays are copies."""
        values: dict[str, Any] = {"given": self._given, "rested": self._rested}
        if self._buckets is None or self._rng is None:
            return Saved(values, {})
        values["random"] = self._state_before_rest or self._rng.bit_generator.state
        layout = save_chunk(like(self._buckets.everything))
        return together(values, layout=layout, buckets=self._buckets.saved())

    def _go_on(self, saved: Saved) -> None:
        self._given, self._rested = saved.values["given"], saved.values["rested"]
        if self._rng is not None:
            self._buckets = self._buckets_for(load_chunk(saved.part("layout")))
            self._buckets.go_on(saved.part("buckets"))
            self._rng.bit_generator.state = saved.values["random"]


def chunk_length(width: int, *, light: bool) -> int:
    """Give the rows of a chunk of a stream of dense rows with so many features; light ones come in long chunks.

    >>> chunk_length(28, light=True), chunk_length(60, light=True), chunk_length(28, light=False)
    (32768, 16384, 8192)
    """
    row = 4 * (width + 2)  # with target and weight
    return whole_units(LONG_CHUNK_BYTES // row, CHUNK_ROWS, LONGEST_CHUNK if light else 1)


def shuffled(pieces: Iterator[Chunk | Draft], rng: np.random.Generator | None) -> Iterator[Chunk]:
    """Shuffle a stream of rows from its first to its last."""
    return Shuffle(rng).chunks(pieces)


def _cut_anew(pieces: Iterator[Chunk | Draft]) -> Iterator[Chunk]:
    """Cut a stream of rows into chunks of equal size."""
    pool: Pool | None = None
    taker = Chunks()
    for piece in pieces:
        pool = pool or Pool(piece, limit=BUFFER_BYTES, least=CHUNK_ROWS, most=CHUNK_ROWS)
        added = 0
        many = training_rows(piece)
        while added < many:
            added += pool.add(piece, added)
            if added < many:
                yield taker.take(pool.rows, np.arange(pool.count, dtype=np.int32))
                pool.count = 0
    if pool is not None and pool.count:
        yield taker.take(pool.rows, np.arange(pool.count, dtype=np.int32))


def ahead(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """Yield items that a thread of its own produces up to `depth` ahead; its exceptions are raised here.

    >>> list(ahead(iter([1, 2, 3]), 2))
    [1, 2, 3]
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=produce, name="schuss-reader", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        thread.join(timeout=1.0)  # it may be waiting for a stream that has stalled


def worked_ahead(work: Callable[[Item], T], items: Iterator[Item], threads: int) -> Iterator[T]:
    """Yield what `work` makes of each item, in their order, in so many threads; one more reads the items ahead.

    What the items or the work raise is raised here, after all that came before.

    >>> list(worked_ahead(lambda number: 10 * number, iter([1, 2, 3]), 2))
    [10, 20, 30]
    """
    with (
        ThreadPoolExecutor(threads, "schuss-worker") as pool,
        closing(ahead((pool.submit(work, item) for item in items), max(threads - 1, 1))) as begun,
    ):
        for one in begun:
            yield one.result()
