"""The one shape of all sources: numbered parts, each of which a reader gives as record batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from schuss.data.bad_rows import BadRows
from schuss.data.chunk import whole_units
from schuss.data.files import File, refuse_changed
from schuss.data.marks import BEGINNING, Mark, Marks
from schuss.data.source import Batch, Cursor
from schuss.errors import DataError

BATCH_ROWS = 65_536

LONG_BATCH_BYTES = 1 << 25
LONGEST_BATCH = 4
"""Long batches of narrow rows have so many bytes, and four times 65,536 rows at most.

A batch takes a millisecond of Python in two threads. Training on 20 million rows of 28 columns from Parquet, whose row
groups have as many rows, takes 0.91 to 0.95 of the time and of the processors', for 44 MiB; with batches of 131,072
rows 0.98 and 0.99.
"""

_SPREAD = 64

Pieces = Iterator[tuple[int, pa.RecordBatch]]
Reader = Callable[[int, int, "Sequence[str] | None"], Pieces]


class _Begun:
    """A reading of a part that has been begun: what it gave so far is given again, and then the rest."""

    def __init__(self, reading: Pieces) -> None:
        self._reading, self._seen = reading, deque[tuple[int, pa.RecordBatch]]()

    def first(self, rows: int) -> Pieces:
        """Yield pieces until they hold so many rows."""
        for row, table in self._reading:
            self._seen.append((row, table))
            yield row, table
            if row + table.num_rows >= rows:
                return

    def pieces(self, columns: Sequence[str] | None) -> Pieces:
        """Yield all pieces from the first row on, which are not kept any longer."""
        while self._seen:
            row, table = self._seen.popleft()
            yield row, table if columns is None else table.select(list(columns))
        for row, table in self._reading:
            yield row, table if columns is None else table.select(list(columns))


@dataclass
class PartedSource:
    """Rows of several parts, read by a function; see `schuss.data.source.Source` for what the attributes mean.

    Attributes
    ----------
    read : called with part, row and columns; yields record batches of that part in order, each with the row it begins
        at, from a row not after the one asked for.
    some : as `read`, with the number of rows wanted as a last argument, which it may exceed; None where `read` does no
        more than its reader takes.
    steady : whether `read` cuts its record batches in the same places wherever it begins.
    parsed : whether to read is to parse text: the first reading of all columns then goes on where a sample ended.
    spread_over : how many anchors a sample is spread over at most; 64 at the very most.
    anchors : positions where reading can begin at no cost (parts, row groups); `sample` spreads over them.
    weight : column that the format itself marks as the weight of the rows, or None.
    files : those of the parts, which must not change; notices : what a person should know about them.
    marks : where a text can be entered, known after it has been read up to there; None for other formats.
    counted : called with a part of text, yields where its blocks begin and where it ends, and parses no row; yields
        nothing where rows cannot be told without parsing. None for other formats.
    """

    name: str
    parts: Sequence[str]
    schema: pa.Schema
    read: Reader
    anchors: Sequence[Cursor]
    target: str | None = None
    weight: str | None = None
    rows: int | None = None
    nbytes: int | None = None
    stamps: Sequence[dict[str, object]] = field(default_factory=tuple)
    rereadable: bool = True
    some: Callable[[int, int, Sequence[str] | None, int | None], Pieces] | None = None
    steady: bool = False
    parsed: bool = False
    spread_over: int = _SPREAD
    bad: BadRows | None = None
    files: Sequence[File] = ()
    notices: list[str] = field(default_factory=list)
    marks: Marks | None = None
    counted: Callable[[int], Iterator[Mark]] | None = None
    _begun: _Begun | None = field(default=None, init=False, repr=False)

    def batches(self, cursor: Cursor = Cursor(), *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the rows from `cursor` on, in order, at most 65,536 at a time, of narrow ones four times as many."""
        columns, most = _known(self, columns), batch_rows(self.schema)
        begun = self._take_begun(cursor, columns)
        for part in range(cursor.part, len(self.parts)):
            start = cursor.row if part == cursor.part else 0
            for row, table in begun or self.read(part, start, columns):
                yield from cut(table, part, row, start, most)
            self._refuse_changed(part)

    def onwards(self, cursor: Cursor, *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the batches that `batches` gives, the very same, from the one on that holds the row at `cursor`."""
        columns, most = _known(self, columns), batch_rows(self.schema)
        for part in range(cursor.part, len(self.parts)):
            start = cursor.row if part == cursor.part else 0
            for row, table in self.read(part, start if self.steady else 0, columns):
                for batch in cut(table, part, row, row, most):
                    if batch.row + batch.table.num_rows > start:
                        yield batch
            self._refuse_changed(part)

    def _take_begun(self, cursor: Cursor, columns: Sequence[str] | None) -> Pieces | None:
        """Give the reading that a sample began, once, if it is the one asked for: the very same pieces."""
        if self._begun is None or cursor != Cursor() or set(columns or self.schema.names) != set(self.schema.names):
            return None
        begun, self._begun = self._begun, None
        return begun.pieces(columns)

    def _begin(self, limit: int) -> list[Batch]:
        """Give at most `limit` first rows of the only part, and keep the reading to go on with."""
        self._begun = _Begun(self.read(0, 0, None))
        found: list[Batch] = []
        for row, table in self._begun.first(limit):
            found += cut(table.slice(0, limit - row), 0, row, 0)
        self._refuse_changed(0)
        return found

    def sample(self, limit: int) -> list[Batch]:
        """Give at most `limit` rows: all if there are no more, else the first after some anchors spread evenly."""
        # Rows that are skipped must be met again by whoever counts them.
        if self.parsed and self.rereadable and len(self.parts) == 1 and self.bad is None:
            return self._begin(limit)
        if self.rows is not None and self.rows <= limit:
            return list(self.batches())
        chosen = spread(self.anchors, min(self.spread_over, _SPREAD, limit))
        found: list[Batch] = []
        left = limit
        for place, anchor in enumerate(chosen):
            share = -(-left // (len(chosen) - place))
            following = chosen[place + 1] if place + 1 < len(chosen) else None
            if following is not None and following.part == anchor.part:
                share = min(share, following.row - anchor.row)
            span = list(self.span(anchor, share))
            left -= sum(batch.table.num_rows for batch in span)
            found += span
        return found

    def fingerprint(self) -> list[dict[str, object]]:
        """Describe each part: path, size and modification time in ns; None where rows live in memory."""
        return [dict(stamp) for stamp in self.stamps]

    def span(self, start: Cursor, rows: int | None, *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the rows of one part from `start` on, so many or (None) all, and decode no more than these."""
        columns, most = _known(self, columns), batch_rows(self.schema)
        if rows == 0:
            return
        some = self.some or (lambda part, row, columns, rows: self.read(part, row, columns))
        for row, table in some(start.part, start.row, columns, rows):
            for batch in cut(table, start.part, row, start.row, most):
                kept = batch if rows is None else batch._replace(table=batch.table.slice(0, rows))
                yield kept
                if rows is not None and (rows := rows - kept.table.num_rows) <= 0:
                    self._refuse_changed(start.part)
                    return
        self._refuse_changed(start.part)

    def count_rows(self) -> int:
        """Count the rows of texts, which then have an anchor at each block; give how many, 0 where that cannot be told.

        A text is read through for it, which takes a tenth of the time of parsing it, of svmlight a seventh.
        """
        if self.counted is None or self.marks is None:
            return 0
        anchors, rows = list[Cursor](), 0
        for part in range(len(self.parts)):
            *begins, end = [*self.counted(part)] or [BEGINNING]
            for row, byte in begins:
                self.marks.add(part, row, byte)
            anchors += [Cursor(part, row) for row in dict.fromkeys([0, *(row for row, _ in begins)])]
            rows += end[0]
        self.anchors = anchors
        return rows

    def _refuse_changed(self, part: int) -> None:
        """Raise DataError when the file of a part was changed while it was read."""
        if self.files:
            refuse_changed(self.files[part])


def batch_rows(schema: pa.Schema) -> int:
    """Give the rows that a batch has at most: more of narrow ones whose values all take the same room.

    >>> batch_rows(pa.schema({f"x{j}": pa.float32() for j in range(28)}))
    262144
    >>> batch_rows(pa.schema({"number": pa.float32(), "text": pa.string()}))
    65536
    """
    try:
        row = sum(field.type.bit_width for field in schema) // 8 + 1
    except ValueError:  # strings and lists
        return BATCH_ROWS
    return whole_units(LONG_BATCH_BYTES // row, BATCH_ROWS, LONGEST_BATCH)


def cut(table: pa.RecordBatch, part: int, row: int, start: int, most: int | None = None) -> Iterator[Batch]:
    """Yield the rows of `table` (which begins at `row`) from row `start` on, at most so many (65,536) at a time."""
    most = BATCH_ROWS if most is None else most
    for offset in range(max(0, start - row), table.num_rows, most):
        yield Batch(table.slice(offset, most), part, row + offset)


def spread(items: Sequence[Cursor], limit: int) -> list[Cursor]:
    """Choose at most `limit` items, evenly over the whole, the first among them."""
    count = min(limit, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def stamp(file: File) -> dict[str, object]:
    """Describe a file so that a change can be noticed."""
    return {"path": file.path, "size": file.size, "mtime_ns": file.mtime_ns}


def projected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    """Keep the named columns of a schema, in the order of `columns`."""
    if columns is None:
        return schema
    return pa.schema([schema.field(name) for name in columns], metadata=schema.metadata)


def assemble(arrays: Sequence[pa.Array], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    """Put columns together; a batch of none still has a number of rows."""
    if arrays:
        return pa.RecordBatch.from_arrays(list(arrays), schema=schema)
    return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))


def emptied(table: pa.RecordBatch, places: Sequence[int]) -> pa.RecordBatch:
    """Make rows missing in all columns: those that could not be read.

    >>> emptied(pa.record_batch({"a": [1, 2, 3]}), [1]).to_pydict()
    {'a': [1, None, 3]}
    """
    if not places:
        return table
    gone = np.zeros(table.num_rows, bool)
    gone[list(places)] = True
    return table.take(pa.array(np.arange(table.num_rows), mask=gone))


def with_gaps(table: pa.RecordBatch, places: Sequence[int]) -> pa.RecordBatch:
    """Put rows of nothing where rows have been left out; `places` are theirs in the result.

    >>> with_gaps(pa.record_batch({"a": [1, 2]}), [1]).to_pydict()
    {'a': [1, None, 2]}
    """
    if not places:
        return table
    gone = np.zeros(table.num_rows + len(places), bool)
    gone[list(places)] = True
    return table.take(pa.array(np.cumsum(~gone) - 1, mask=gone))


def same_columns(names: Sequence[str], first: Sequence[str], file: str, first_file: str) -> None:
    """Require two files to have the same columns, in whatever order.

    Raises DataError naming both files and the first column that differs.
    """
    here, there = set(names), set(first)
    missing = [name for name in first if name not in here]
    added = [name for name in names if name not in there]
    if missing and added:
        raise DataError(f"{file} has a column {added[0]!r} where {first_file} has {missing[0]!r}")
    if missing:
        raise DataError(f"{file} lacks the column {missing[0]!r} that {first_file} has")
    if added:
        raise DataError(f"{file} has a column {added[0]!r} that {first_file} lacks")


def unique_columns(names: Sequence[str], file: str) -> None:
    """Require the names of columns to differ."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{file} has two columns named {name!r}")
        seen.add(name)


def _known(source: PartedSource, columns: Sequence[str] | None) -> Sequence[str] | None:
    """Require the columns asked for to exist."""
    known = set(source.schema.names)
    for name in columns or ():
        if name not in known:
            raise DataError(f"{source.name} has no column {name!r}, only {', '.join(source.schema.names[:20])}")
    return columns
