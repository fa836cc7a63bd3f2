"""The stretches of a source that are read in random order, and where each begins among the rows it gives."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .source import Batch, Cursor, Source

__all__ = ["Parted", "Span", "spans_of"]


class Span(NamedTuple):
    """Rows from a place on: so many, or to the end of the part (None)."""

    start: Cursor
    rows: int | None


def spans_of(source: Source, least: int) -> list[Span]:
    """Cut a source where it can be entered at no cost (row groups, files), into spans of at least so many rows.

    Smaller row groups are read together, since each entry opens a file anew; a file's last span may be shorter.
    """
    anchors: Sequence[Cursor] = getattr(source, "anchors", ())  # a source that is read once has none
    spans: list[Span] = []
    begin: Cursor | None = None
    for anchor, following in zip(anchors, [*anchors[1:], None], strict=False):
        begin = begin or anchor
        rows = following.row - begin.row if following is not None and following.part == anchor.part else None
        if rows is None or rows >= least:
            spans.append(Span(begin, rows))
            begin = None
    return spans


class Parted:
    """A source of which no batch goes beyond the end of a span."""

    def __init__(self, source: Source, spans: Sequence[Span]) -> None:
        self._source = source
        self._edges = {part: [s.start.row for s in spans if s.start.part == part] for part in range(len(source.parts))}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def batches(self, cursor: Cursor = Cursor(), *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the rows from `cursor` on, in order."""
        return self._cut(self._source.batches(cursor, columns=columns))

    def onwards(self, cursor: Cursor, *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the rows of the batch that holds the row at `cursor`, and all after it, in order."""
        return self._cut(self._source.onwards(cursor, columns=columns))

    def _cut(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            end = batch.row + batch.table.num_rows
            edges = self._edges[batch.part]
            inner = edges[bisect_right(edges, batch.row) : bisect_left(edges, end)]
            for row, stop in zip([batch.row, *inner], [*inner, end], strict=True):
                yield Batch(batch.table.slice(row - batch.row, stop - row), batch.part, row)
