"""Rows from a stream as they come: whole lines of CSV, JSON or svmlight, read when they are there, not when many are.

Other sources of text look at 16 MB to find the types of its columns; here these are known, since a model says what it
needs. Bytes are fetched by a thread, so that who uses the rows can do other things while none come.
"""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO

import pyarrow as pa

from schuss.data import csv, jsonl, svmlight
from schuss.data.bad_rows import BadRows
from schuss.data.csv_types import Dialect
from schuss.data.encoder import Encoder
from schuss.data.files import LONGEST_LINE, sniff_format
from schuss.data.parted import PartedSource, Pieces, assemble, cut, projected
from schuss.data.schema import Role
from schuss.data.source import Batch, Cursor
from schuss.errors import DataError

__all__ = ["Incoming", "ReadBlock", "kinds_of", "live_source"]

BLOCK_BYTES = 1 << 20
AHEAD = 8
PATIENCE = 0.1
"""Seconds after which a source that gets no rows says so, by a batch without any."""

LINES = ("csv", "tsv", "jsonl", "svmlight")

ReadBlock = Callable[[bytes, int, pa.Schema], pa.RecordBatch]
"""Turns a block of whole lines, the number of its first row and the columns that are wanted into rows."""


class _Live(PartedSource):
    """A source that says so while it gets no rows, by a batch without any."""

    def batches(self, cursor: Cursor = Cursor(), *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield rows as they come; a stream is read once, from its beginning."""
        for row, table in self.read(0, cursor.row, columns):
            yield from cut(table, 0, row, row) if table.num_rows else (Batch(table, 0, row),)


class Incoming:
    """A binary stream that a thread reads: whatever has come can be had at once.

    stopped : asked while a first line is waited for; raises KeyboardInterrupt then.
    """

    def __init__(self, raw: BinaryIO, stopped: Callable[[], bool] = lambda: False) -> None:
        self._queue: queue.Queue[bytes | OSError] = queue.Queue(AHEAD)
        self._rest, self._ended, self._stopped = b"", False, stopped
        threading.Thread(target=self._fetch, args=(raw,), name="schuss-incoming", daemon=True).start()

    def _fetch(self, raw: BinaryIO) -> None:
        """Put blocks into the queue, and nothing at the end; the buffer of sys.stdin would be locked at exit."""
        try:
            try:
                number = raw.fileno()
            except (AttributeError, OSError):
                number = None
            while block := (raw.read(BLOCK_BYTES) if number is None else os.read(number, BLOCK_BYTES)):
                self._queue.put(block)
            self._queue.put(b"")
        except OSError as error:
            self._queue.put(error)

    def _more(self) -> bool:
        """Wait for more bytes, but not for long; say whether there are any."""
        found: list[bytes] = []
        while not self._ended and sum(map(len, found)) < BLOCK_BYTES:
            try:
                block = self._queue.get_nowait() if found else self._queue.get(timeout=PATIENCE)
            except queue.Empty:
                break
            if isinstance(block, OSError):
                raise block
            self._ended = not block
            found.append(block)
        self._rest += b"".join(found)
        return any(found)

    def _wait(self) -> bool:
        """Wait for more bytes as long as it takes; say whether there are any."""
        while not self._more():
            if self._ended:
                return False
            if self._stopped():
                raise KeyboardInterrupt
        return True

    def first_line(self) -> bytes:
        """Give the first line that is not blank, which stays to be read; blank ones before it go."""
        while True:
            self._rest = self._rest.lstrip(b"\r\n")
            if b"\n" in self._rest or len(self._rest) > LONGEST_LINE or not self._wait():
                return self._rest[: self._rest.find(b"\n") + 1] or self._rest

    def read(self, size: int = -1) -> bytes:
        """Give at most `size` bytes, none at the end, for formats that do not come in lines."""
        if not self._rest:
            self._wait()
        found, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return found

    def skip(self, count: int) -> None:
        """Pass over bytes that have been looked at."""
        self._rest = self._rest[count:]

    def blocks(self, whole: Callable[[bytes], int]) -> Iterator[bytes]:
        """Yield whole lines as they come; nothing (b"") where none have come for a while.

        whole : gives the length of what of some bytes can be read; the last bytes, if they are no line, are kept.
        """
        while True:
            if end := whole(self._rest):
                block, self._rest = self._rest[:end], self._rest[end:]
                yield block
            if not self._more():
                if self._ended:
                    return
                yield b""
            elif len(self._rest) > LONGEST_LINE + BLOCK_BYTES:
                raise OSError(f"a line is longer than {LONGEST_LINE >> 20} MB")

    @property
    def left(self) -> bytes:
        """What is left at the end: a line that was cut off, or whose end was never written."""
        return self._rest.strip()


def live_source(
    incoming: Incoming,
    kinds: Mapping[str, pa.DataType],
    *,
    name: str,
    form: str | None = None,
    header: bool = True,
    base: int | None = None,
    bad: BadRows | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> PartedSource | None:
    """Make a source of lines as they come; None where the stream has another format.

    kinds : the types of the columns that will be wanted; form : the format, None to tell it by the first line;
    base : the index of the first feature in svmlight lines; tell : is told of a last line that has no end: it is left
    out, since it may have been cut off.
    """
    first = incoming.first_line()
    if not first.strip():
        raise DataError(f"{name} is empty")
    form = form or sniff_format(first, name, complete=True)
    if form not in LINES or (form == "svmlight" and base is None) or first[:2] == b"\x1f\x8b" or b"\0" in first:
        return None
    whole: Callable[[bytes], int] = _whole_lines
    if form == "jsonl":
        schema, read = jsonl.lines_of(name, first, kinds, bad)
    elif form == "svmlight":
        schema, read = svmlight.lines_of(name, base or 0, kinds, bad)
    else:
        dialect, schema, read = csv.lines_of(name, first, kinds, form == "tsv", header, bad)
        whole = _whole_records(dialect)
        incoming.skip(len(first) if header else 0)

    def pieces(part: int, row: int, columns: object) -> Pieces:
        wanted = projected(schema, columns)  # pyright: ignore[reportArgumentType]
        row = 0
        try:
            for block in incoming.blocks(whole):
                rows = read(block, row, wanted) if block.strip() else _no_rows(wanted)
                yield row, rows
                row += rows.num_rows
        except OSError as error:
            raise DataError(f"{name} cannot be read: {error}") from error
        if incoming.left:
            tell(f"the last line of {name} has no end and is left out: if it was cut off, its last value may be too")

    return _Live(name=name, parts=[name], schema=schema, read=pieces, anchors=[Cursor()], rereadable=False, bad=bad)


_KINDS = {
    Role.NUMBER: pa.float64(),
    Role.BOOLEAN: pa.bool_(),
    Role.CATEGORY: pa.string(),
    Role.TEXT: pa.string(),
    Role.DATETIME: pa.string(),
    Role.VECTOR: pa.list_(pa.float64()),
    Role.WEIGHT: pa.float64(),
}


def kinds_of(encoder: Encoder) -> dict[str, pa.DataType]:
    """Give the types to read the columns with that an encoder encodes."""
    kinds = {column.name: _KINDS[column.role] for column in encoder.schema.columns if column.role in _KINDS}
    label = encoder.classes[0] if encoder.classes else 0.0
    goal = pa.bool_() if isinstance(label, bool) else pa.string() if isinstance(label, str) else pa.float64()
    return {**kinds, encoder.schema.named(Role.TARGET) or "": goal}


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return assemble([pa.array([], field.type) for field in schema], schema, 0)


def _whole_lines(text: bytes) -> int:
    """Give the length of the whole lines in some text."""
    return text.rfind(b"\n") + 1


def _whole_records(dialect: Dialect) -> Callable[[bytes], int]:
    """Give what measures whole records of CSV, in which a quoted field may go on over several lines."""
    begin = rb"(?:^|[\n" + re.escape(dialect.delimiter.encode()) + rb'])"'
    quoted, opened = re.compile(begin + rb'(?:[^"]|"")*"', re.MULTILINE), re.compile(begin, re.MULTILINE)

    def whole(text: bytes) -> int:
        if not dialect.quoting or b'"' not in text:
            return _whole_lines(text)
        masked = quoted.sub(lambda found: found[0][:1] + b"." * (len(found[0]) - 1), text)
        first = opened.search(masked)
        return masked.rfind(b"\n", 0, first.end() if first else len(masked)) + 1

    return whole
