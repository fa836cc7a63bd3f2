"""Rows of a stream in another order, and produced ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from .buckets import Buckets, buckets_for
from .chunk import CHUNK_ROWS, Chunk
from .draft import Draft, training_rows
from .room import Chunks, Pool
from .sparse_buckets import SparseBuckets

__all__ = ["BUFFER_ROWS", "ahead", "shuffled"]

BUFFER_ROWS = 16 * CHUNK_ROWS
"""Rows among which a stream is shuffled: large enough that a row group of sorted rows is spread over many chunks."""

BUFFER_BYTES = 1 << 26
"""What these may take, at least two chunks apart: of wide rows there are fewer."""

T = TypeVar("T")


def shuffled(pieces: Iterator[Chunk | Draft], rng: np.random.Generator | None) -> Iterator[Chunk]:
    """Shuffle a stream of rows within a buffer; without `rng`, only cut it into chunks of equal size.

    The order depends on the rows alone, not on how they come in pieces.
    """
    if rng is None:
        yield from _cut_anew(pieces)
        return
    buckets: Buckets | SparseBuckets | None = None
    for piece in pieces:
        if buckets is None:
            buckets = buckets_for(piece, rng, size=CHUNK_ROWS, most=BUFFER_ROWS // CHUNK_ROWS, limit=BUFFER_BYTES)
        yield from buckets.deal(piece)  # pyright: ignore[reportArgumentType] — a stream's layout is that of its first rows
    if buckets is not None:
        yield from buckets.rest()


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


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
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
