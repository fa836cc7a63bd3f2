"""Places in texts where reading can set out in their midst, noted while they are read for the first time."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

__all__ = ["BEGINNING", "Mark", "Marks"]

Mark = tuple[int, int]
"""A row of a text, and the bytes before it."""

BEGINNING: Mark = (0, 0)


class Marks:
    """Where the blocks of texts begin: a text that is read again from a row on need not be parsed up to there.

    A thread notes them while another asks for them: each list only grows.
    """

    def __init__(self, parts: int) -> None:
        self._parts: list[list[Mark]] = [[] for _ in range(parts)]

    def add(self, part: int, row: int, byte: int) -> None:
        """Note where a block of a part begins, unless that is known."""
        known = self._parts[part]
        if not known or row > known[-1][0]:
            known.append((row, byte))

    def before(self, part: int, row: int) -> Mark:
        """Give the last known place that is not after a row.

        >>> marks = Marks(1)
        >>> marks.add(0, 100, 4_000)
        >>> marks.before(0, 99), marks.before(0, 120)
        ((0, 0), (100, 4000))
        """
        known = self._parts[part]
        place = bisect_right(known, row, key=lambda mark: mark[0])
        return known[place - 1] if place else BEGINNING

    @property
    def table(self) -> NDArray[np.int64]:
        """All of them: part, row, bytes before it `(marks, 3)`."""
        found = [(part, row, byte) for part, known in enumerate(self._parts) for row, byte in list(known)]
        return np.array(found, np.int64).reshape(-1, 3)

    def load(self, table: NDArray[np.int64]) -> None:
        """Take over those that an earlier reading has noted."""
        for part, row, byte in table.tolist():
            self.add(part, row, byte)
