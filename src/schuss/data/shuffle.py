"""Rows of a stream in another order, and produced ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .chunk import CHUNK_ROWS, Chunk
from .room import Chunks, Pool, permutation

__all__ = ["BUFFER_ROWS", "ahead", "shuffled"]

BUFFER_ROWS = 16 * CHUNK_ROWS
"""Rows among which a stream is shuffled: large enough that a row group of sorted rows is spread over many chunks."""

BUFFER_BYTES = 1 << 26
"""What these may take, at least two chunks apart: of wide rows there are fewer."""

T = TypeVar("T")


def shuffled(chunks: Iterator[Chunk], rng: np.random.Generator | None) -> Iterator[Chunk]:
    """Shuffle a stream of rows within a buffer of two halves; without `rng`, only cut it into chunks of equal size.

    When a half is full, a random half of its rows leaves, mixed with those that stayed behind in the other half, which
    is then free for new rows: a row is written once and read once. The order depends on the rows alone, not on how
    they come in chunks.
    """
    pool: Pool | None = None
    taker, half, stayed = Chunks(), 0, np.empty(0, np.int32)
    for chunk in chunks:
        if pool is None and len(chunk.targets):
            most = CHUNK_ROWS if rng is None else max(BUFFER_ROWS // 2, CHUNK_ROWS)
            pool = Pool(chunk, limit=BUFFER_BYTES // 2, least=CHUNK_ROWS, most=most, parts=2)
        added = 0
        while pool is not None and added < len(chunk.targets):
            added += pool.add(chunk, added, half)
            if added == len(chunk.targets):
                break
            if not pool.counts[half]:
                raise DataError(f"a row has more than {BUFFER_BYTES // 16:,} values that are not zero")
            leaving, stayed = _leave(pool, half, stayed, rng)
            yield from _taken(taker, pool, leaving)
            half = 1 - half
            pool.clear(half)
    if pool is not None:
        yield from _taken(taker, pool, _spread(stayed, _order(pool, half, rng)))


def _leave(
    pool: Pool, half: int, stayed: NDArray[np.int32], rng: np.random.Generator | None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Give the places of the rows that leave now, and of those that stay until the other half is full."""
    here = _order(pool, half, rng)
    leaving = len(here) if rng is None else len(here) // 2
    return _spread(stayed, here[:leaving]), here[leaving:]


def _order(pool: Pool, half: int, rng: np.random.Generator | None) -> NDArray[np.int32]:
    """Give the places of a half's rows, in random order if there is a generator."""
    count = pool.counts[half]
    order = np.arange(count, dtype=np.int32) if rng is None else permutation(count, rng)
    return order + np.int32(pool.first(half))


def _spread(some: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.int32]:
    """Spread places evenly among others; both come in random order already."""
    total = len(some) + len(others)
    chosen = np.zeros(total, np.bool_)
    chosen[np.arange(len(some)) * total // max(len(some), 1)] = True
    spread = np.empty(total, np.int32)
    spread[chosen], spread[~chosen] = some, others
    return spread


def _taken(taker: Chunks, pool: Pool, places: NDArray[np.int32]) -> Iterator[Chunk]:
    """Copy rows out of the pool, a chunk after the other."""
    for start in range(0, len(places), CHUNK_ROWS):
        yield taker.take(pool.everything, places[start : start + CHUNK_ROWS])


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
