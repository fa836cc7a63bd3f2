"""Rows of a stream in another order, and produced ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from .chunk import CHUNK_ROWS, Chunk, join, take

__all__ = ["BUFFER_ROWS", "ahead", "shuffled"]

BUFFER_ROWS = 16 * CHUNK_ROWS
"""Rows among which a stream is shuffled: large enough that a row group of sorted rows is spread over many chunks."""

T = TypeVar("T")


def shuffled(chunks: Iterator[Chunk], rng: np.random.Generator | None) -> Iterator[Chunk]:
    """Shuffle a stream of rows within a buffer: when it is full, half of its rows leave in random order."""
    buffer: list[Chunk] = []
    held = 0
    limit = CHUNK_ROWS if rng is None else BUFFER_ROWS
    for chunk in chunks:
        buffer.append(chunk)
        held += len(chunk.targets)
        if held < limit:
            continue
        pool = join(buffer)
        leaving = held // CHUNK_ROWS * CHUNK_ROWS if rng is None else held // 2 // CHUNK_ROWS * CHUNK_ROWS
        places = np.arange(held) if rng is None else rng.permutation(held)
        for start in range(0, leaving, CHUNK_ROWS):
            yield take(pool, places[start : start + CHUNK_ROWS])
        buffer = [take(pool, places[leaving:])]
        held -= leaving
    if held:
        pool = join(buffer)
        places = np.arange(held) if rng is None else rng.permutation(held)
        for start in range(0, held, CHUNK_ROWS):
            yield take(pool, places[start : start + CHUNK_ROWS])


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
