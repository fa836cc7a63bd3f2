"""Where the slices of a source begin and what came before them, so that a later reading can set out in its midst."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .reader import Slice
from .source import Cursor
from .spans import Span

__all__ = ["Entry", "Index"]


class Entry(NamedTuple):
    """Where reading begins: at a slice, before which so many rows were read, after which so many are to be skipped."""

    begin: Cursor
    read: int
    skip: int


class Index:
    """The slices of the first reading, in order; `recent` are the last ones, with their counts."""

    def __init__(self, table: NDArray[np.int64] | None = None) -> None:
        rows = [] if table is None else table.tolist()
        self._begins = [Cursor(part, row) for part, row, _, _ in rows]
        self._training = [training for _, _, training, _ in rows]
        self._read = [read for _, _, _, read in rows]
        self.recent: list[Slice] = []

    def add(self, slice: Slice | None, *, alone: bool = False) -> None:
        """Note the slice of a piece; `alone` if all training rows before it have been dealt out."""
        if slice is None or (self.recent and self.recent[-1] is slice):
            return
        self.recent = [slice] if alone else [*self.recent, slice]
        if not self._begins or slice.begin > self._begins[-1]:
            self._begins.append(slice.begin)
            self._training.append(slice.before.training)
            self._read.append(slice.before.read - slice.before.from_file)

    def holding(self, rows: int) -> Slice:
        """Give the first of the recent slices that has training row number `rows`, or ends with the one before it."""
        for slice, following in zip(self.recent, self.recent[1:], strict=False):
            if following.before.training >= rows:
                return slice
        return self.recent[-1]

    def entry(self, rows: int) -> Entry:
        """Say where to begin reading for the training row number `rows`."""
        place = bisect_right(self._training, rows) - 1
        return Entry(self._begins[place], self._read[place], rows - self._training[place])

    def rows_before(self, cursor: Cursor) -> int | None:
        """Count the training rows before the beginning of a span; None where none comes after it."""
        place = bisect_left(self._begins, cursor)
        return self._training[place] if place < len(self._begins) else None

    def edges(self, spans: list[Span], total: int) -> list[int]:
        """Give the training rows before each of the spans, which are in order, and in the end all."""
        before = [self.rows_before(span.start) for span in spans]
        return [*(total if rows is None else rows for rows in before), total]

    @property
    def table(self) -> NDArray[np.int64]:
        """All slices: part, row, training rows and rows before it `(slices, 4)`."""
        columns: list[Any] = [*zip(*self._begins, strict=True)] or [(), ()]
        return np.array([*columns, self._training, self._read], np.int64).T.reshape(-1, 4)
