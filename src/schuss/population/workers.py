"""Threads that stay: the blocks of a population learn from the same chunk side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

__all__ = ["side_by_side"]

_Results = SimpleQueue[tuple[list[Any], BaseException | None]]
_inboxes: list[SimpleQueue[tuple[Sequence[Callable[[], Any]], _Results]]] = []


if hasattr(os, "register_at_fork"):  # a forked process has no threads but its own
    os.register_at_fork(after_in_child=_inboxes.clear)


def _work(inbox: SimpleQueue[tuple[Sequence[Callable[[], Any]], _Results]]) -> None:
    """Do jobs for ever."""
    while True:
        jobs, outbox = inbox.get()
        try:
            outbox.put(([job() for job in jobs], None))
        except BaseException as error:  # handed to whoever asked
            outbox.put(([], error))
        del jobs, outbox  # a thread at rest would keep the last chunk in memory


def side_by_side(jobs: Sequence[Callable[[], Any]], threads: int) -> list[Any]:
    """Do jobs in so many threads, this one included; give their results in order.

    The threads stay between calls: starting some for every chunk would cost more than a small chunk takes.

    >>> side_by_side([lambda: 1, lambda: 2, lambda: 3], 2)
    [1, 2, 3]
    """
    threads = min(threads, len(jobs))
    if threads < 2:
        return [job() for job in jobs]
    while len(_inboxes) < threads - 1:
        _inboxes.append(SimpleQueue())
        threading.Thread(target=_work, args=(_inboxes[-1],), daemon=True, name="schuss block").start()
    outboxes = [SimpleQueue() for _ in range(threads - 1)]
    for place, (inbox, outbox) in enumerate(zip(_inboxes, outboxes, strict=False), 1):
        inbox.put((jobs[place::threads], outbox))
    results: list[Any] = [None] * len(jobs)
    results[::threads] = [job() for job in jobs[::threads]]
    for place, outbox in enumerate(outboxes, 1):
        done, error = outbox.get()
        if error is not None:
            raise error
        results[place::threads] = done
    return results
