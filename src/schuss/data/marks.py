"""Places in texts where reading can set out in their midst, noted while they are read for the first time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["BEGINNING", "Mark", "Marks", "marks_of"]

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


def marks_of(blocks: Iterable[bytes], rows_in: Callable[[bytes], int], header: int = 0) -> Iterator[Mark]:
    r"""Yield where each block of a text begins, and at last where it ends: `rows_in` counts rows and parses none.

    header : rows of the first block that are none.

    >>> list(marks_of([b"a\n1\n2\n", b"3\n"], lambda block: block.count(b"\n"), 1))
    [(0, 0), (2, 6), (3, 8)]
    """
    row, byte = BEGINNING
    for block in blocks:
        yield row, byte
        row, byte = row + rows_in(block) - (header if byte == 0 else 0), byte + len(block)
    yield row, byte
