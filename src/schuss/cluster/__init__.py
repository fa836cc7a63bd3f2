"""Who does the work of a training on many machines: Ray, or this process in its place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from .workers import Here, Workers

__all__ = ["workers_of"]


def workers_of(count: int, cluster: str | None, interrupted: Callable[[], bool]) -> AbstractContextManager[Workers]:
    """Give so many workers while training lasts.

    cluster : "here" for this process in their place, "auto" for the Ray cluster that this machine belongs to, or its
    address; None starts one on this machine. interrupted : whether an end was asked for, which then does not wait for
    workers that never answer.
    """
    if cluster == "here":
        return nullcontext(Here(count))
    from .on_ray import started

    return started(count, cluster, interrupted)
