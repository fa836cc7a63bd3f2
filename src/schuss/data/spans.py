"""The stretches of a source that are read in random order, and where each begins among the rows it gives."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .source import Batch, Cursor, Source

__all__ = ["Marked", "Span", "spans_of"]


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


class Marked:
    """A source that says when a reader comes to the beginning of a span; no batch goes beyond the end of one.

    It counts on a reader that is done with a batch before it asks for the next one.
    """

    def __init__(self, source: Source, spans: Sequence[Span], reached: Callable[[int], None]) -> None:
        self._source, self._reached = source, reached
        self._spans = {span.start: place for place, span in enumerate(spans)}
        self._edges = {part: [s.start.row for s in spans if s.start.part == part] for part in range(len(source.parts))}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def batches(self, cursor: Cursor = Cursor(), *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the rows from `cursor` on, in order."""
        for batch in self._source.batches(cursor, columns=columns):
            end = batch.row + batch.table.num_rows
            edges = self._edges[batch.part]
            inner = edges[bisect_right(edges, batch.row) : bisect_left(edges, end)]
            for row, stop in zip([batch.row, *inner], [*inner, end], strict=True):
                place = self._spans.get(Cursor(batch.part, row))
                if place is not None:
                    self._reached(place)
                yield Batch(batch.table.slice(row - batch.row, stop - row), batch.part, row)
