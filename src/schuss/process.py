"""What belongs to the process as a whole: its threads, its signals, its memory."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from functools import lru_cache
from typing import Any

import pyarrow as pa
from threadpoolctl import ThreadpoolController

__all__ = ["available_cores", "interruptible", "limited_threads", "one_blas_thread", "peak_memory"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@lru_cache(maxsize=1)
def _blas(modules: int) -> ThreadpoolController:
    """Find the BLAS libraries, anew when more modules have been imported: looking takes two milliseconds."""
    return ThreadpoolController().select(user_api="blas")


class _OneThread(ContextDecorator):
    """One thread while anybody is within; who leaves last gives the others back.

    Of two fits in threads of one process, the one that ended first would give them back to the other, whose numbers
    would then depend on when that was.
    """

    def __init__(self) -> None:
        self._lock, self._within = threading.Lock(), 0
        self._limits: dict[ThreadpoolController, Any] = {}

    def __enter__(self) -> None:
        with self._lock:
            found = _blas(len(sys.modules))
            if found not in self._limits:  # libraries that were loaded since somebody else came in have many threads
                self._limits[found] = found.limit(limits=1)
            self._within += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._within -= 1
            while not self._within and self._limits:
                self._limits.popitem()[1].restore_original_limits()


one_blas_thread = _OneThread()
"""Lets BLAS, with which NumPy and SciPy multiply, use one thread, within `with` or a function: the bits of its results
depend on their number. On digits a fit with several took sixteen times as long."""


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Let Arrow use so many threads, and BLAS one."""
    before = pa.cpu_count(), pa.io_thread_count()
    if threads is not None:
        pa.set_cpu_count(threads)
        pa.set_io_thread_count(max(threads, 2))
    try:
        with one_blas_thread:
            yield
    finally:
        pa.set_cpu_count(before[0])
        pa.set_io_thread_count(before[1])


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C or SIGTERM end training at the next chunk; a second one does what it does everywhere."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    requested = threading.Event()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number: int, frame: Any) -> None:
        requested.set()
        restore()

    for number in SIGNALS:
        signal.signal(number, request)
    try:
        yield requested.is_set
    finally:
        restore()


def available_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> int | None:
    """Give the most memory this process has had, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
