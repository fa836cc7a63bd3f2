"""The held-out rows that are kept to judge by: at most so many, evenly spread over all."""

from __future__ import annotations

import numpy as np

from .chunk import Chunk, join, size_of, take
from .holdout import AT_MOST
from .saved import Saved, load_chunk, save_chunk, together

__all__ = ["HELD_BYTES", "Held"]

HELD_BYTES = 1 << 26
"""What held-out rows may take in memory, those that select and those that score together."""


class Held:
    """Held-out rows of one use. When there are too many, every other one goes, and later only as many are kept.

    Of a stream nobody knows beforehand how long it is, and its last rows must judge as its first ones do. Which rows
    are kept depends on their number alone.
    """

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._seen, self._rows, self._bytes, self._every = 0, 0, 0, 1

    def add(self, chunk: Chunk) -> None:
        """Add the rows that come next."""
        count = len(chunk.targets)
        if self._every > 1:
            chunk = take(chunk, np.arange(-self._seen % self._every, count, self._every))
        self._seen += count
        self._chunks += [chunk] if len(chunk.targets) else []
        self._rows += len(chunk.targets)
        self._bytes += size_of(chunk)
        while self._rows > 1 and (self._rows > AT_MOST // 2 or self._bytes > HELD_BYTES // 2):
            self._chunks = [take(join(self._chunks), np.arange(0, self._rows, 2))]
            self._rows, self._bytes = len(self._chunks[0].targets), size_of(self._chunks[0])
            self._every *= 2

    @property
    def seen(self) -> int:
        """How many rows there have been, those that are not kept included."""
        return self._seen

    def saved(self) -> Saved:
        """Give everything, to go on from."""
        kept = self.rows
        counters = {"seen": self._seen, "every": self._every}
        return together(counters, **({} if kept is None else {"kept": save_chunk(kept)}))

    @classmethod
    def resumed(cls, saved: Saved) -> Held:
        """Go on from what was saved."""
        held = cls()
        held._seen, held._every = saved.values["seen"], saved.values["every"]
        if "kept" in saved.values:
            held._chunks = [load_chunk(saved.part("kept"))]
            held._rows, held._bytes = len(held._chunks[0].targets), size_of(held._chunks[0])
        return held

    @property
    def rows(self) -> Chunk | None:
        """All that are kept; None where there is none."""
        if not self._chunks:
            return None
        self._chunks = [join(self._chunks)]
        return self._chunks[0]
