"""What belongs to the process as a whole: its threads, its signals, its memory."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from threadpoolctl import threadpool_limits

__all__ = ["available_cores", "interruptible", "limited_threads", "peak_memory"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Let Arrow use so many threads, and BLAS one: its results change with their number."""
    before = pa.cpu_count(), pa.io_thread_count()
    if threads is not None:
        pa.set_cpu_count(threads)
        pa.set_io_thread_count(max(threads, 2))
    try:
        with threadpool_limits(1, user_api="blas"):
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
