"""All training rows at once, for whoever goes through them pass by pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .chunk import Chunk

__all__ = ["Whole"]


class Whole(NamedTuple):
    """All training rows in a fixed order, for full passes.

    blocks : gives them anew, each block good until the next one; rows, values : how many they are, and hold; far : has
    work done with those that workers hold, and gives what each of them tells; `blocks` are the other rows then.
    chunks : the same rows, where all of them lie in memory.
    """

    blocks: Callable[[], Iterable[Chunk]]
    rows: int
    values: int
    far: Callable[..., Iterable[Any]] | None = None
    chunks: tuple[Chunk, ...] = ()
