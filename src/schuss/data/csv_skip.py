"""CSV rows that cannot be read, where these may be skipped: the rows around them, with rows of nothing in between."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv as pacsv

from schuss.data.csv_bytes import as_written
from schuss.data.csv_cells import convert_cells
from schuss.data.csv_types import Dialect, parse_options
from schuss.data.parted import assemble, emptied


class Skipped(NamedTuple):
    """A row that is left out: its place among those that are read together, and what is wrong in which column."""

    place: int
    column: str | None
    reason: str
    text: str


class Ragged:
    """Takes note of the rows with a wrong number of fields that Arrow meets, by their numbers in the file.

    first : the number that Arrow gives to the first row, from 1; it counts leading blank lines and the header.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._waiting: list[Skipped] = []

    def __call__(self, row: pacsv.InvalidRow) -> str:
        """Have a row skipped."""
        complaint = miscounted(row.expected_columns, row.actual_columns)
        text = as_written(row.text.encode()).decode("utf-8", "replace")
        self._waiting.append(Skipped(int(row.number or 0) - self._first, None, complaint, text))
        return "skip"

    def until(self, start: int, rows: int) -> list[Skipped]:
        """Give the rows left out among, and right after, so many rows that were read, the first of which is `start`."""
        count = 0
        while count < len(self._waiting) and self._waiting[count].place - start - count <= rows:
            count += 1
        found, self._waiting = self._waiting[:count], self._waiting[count:]
        return found


def miscounted(expected: int, found: int) -> str:
    """Say that a row has another number of fields than the header.

    >>> miscounted(1, 5)
    'expected 1 field, found 5'
    """
    return f"expected {expected} field{'s' * (expected != 1)}, found {found}"


def read_lines(
    block: bytes, names: Sequence[str], dialect: Dialect, wanted: pa.Schema, *, first: bool
) -> tuple[pa.RecordBatch, list[Skipped]]:
    """Read a block of whole lines in which no field is quoted; `first` says whether it begins the file."""
    lines = [line for line in (block.removeprefix(BOM_UTF8) if first else block).splitlines() if line]
    lines = lines[int(first and dialect.header) :]
    delimiter = dialect.delimiter.encode()
    skipped = list(_unreadable(lines, len(names), delimiter))
    for row in skipped:
        lines[row.place] = delimiter.join([b" "] * len(names))
    text = b"\n".join(lines)
    read = pacsv.ReadOptions(column_names=names, block_size=len(text) + 1, use_threads=False)
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), include_columns=wanted.names, strings_can_be_null=False
    )
    table = pacsv.read_csv(pa.BufferReader(text), read, parse_options(dialect), convert).combine_chunks()
    strings = table.to_batches()[0] if lines else pa.RecordBatch.from_pylist([], table.schema)
    arrays, cells = convert_cells(strings, wanted)
    skipped += [Skipped(cell.place, cell.column, cell.complaint, cell.raw.decode("utf-8", "replace")) for cell in cells]
    return emptied(assemble(arrays, wanted, len(lines)), [row.place for row in skipped]), skipped


def _unreadable(lines: Sequence[bytes], fields: int, delimiter: bytes) -> Iterator[Skipped]:
    """Find lines with another number of fields, or that are not UTF-8."""
    for place, line in enumerate(lines):
        found = line.count(delimiter) + 1
        text = line.decode("utf-8", "replace")
        if found != fields:
            yield Skipped(place, None, miscounted(fields, found), text)
            continue
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            yield Skipped(place, None, f"{line[error.start : error.start + 1]!r} is not UTF-8 text", text)
