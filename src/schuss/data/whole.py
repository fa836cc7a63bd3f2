"""All training rows at once, for whoever goes through them pass by pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .chunk import Chunk

__all__ = ["Whole"]


class Whole(NamedTuple):
    """All training rows in a fixed order, for full passes.

    blocks : gives them anew, each block good until the next one; rows, values : how many they are, and hold.
    """

    blocks: Callable[[], Iterable[Chunk]]
    rows: int
    values: int
