"""What is found out about each column of a sample, in several threads: Arrow and kernels hold no lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

__all__ = ["columnwise"]

MANY_BYTES = 1 << 22
"""Columns that take less together are looked at in one thread: to start others takes as long."""

LARGE_BYTES = 1 << 14
"""The same where a column takes less on average: Python, which only one thread at a time runs, takes longer then."""

T = TypeVar("T")
Column = TypeVar("Column", pa.Array, pa.ChunkedArray)


def columnwise(look: Callable[[int], T], columns: Sequence[Column]) -> list[T]:
    """Give what `look` finds for the place of each column, in as many threads as Arrow may use, large columns first.

    Raises what it raises for the first column for which it does.

    >>> columnwise(lambda place: place + 1, [pa.array([1.5]), pa.array(["a"])])
    [1, 2]
    """
    places, sizes = range(len(columns)), [column.get_total_buffer_size() for column in columns]
    threads = min(pa.cpu_count(), len(columns))
    if threads < 2 or sum(sizes) < max(MANY_BYTES, LARGE_BYTES * len(columns)):
        return [look(place) for place in places]
    with ThreadPoolExecutor(threads, "schuss-columns") as pool:
        begun = {place: pool.submit(look, place) for place in sorted(places, key=lambda place: -sizes[place])}
        return [begun[place].result() for place in places]
