"""Sources that can be read once: standard input, open binary files, readers of Arrow record batches."""

from __future__ import annotations

import atexit
import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import fs

from schuss.data.files import Content, File, compression, translated
from schuss.data.parted import PartedSource, Pieces, cut, projected, unique_columns
from schuss.data.source import Batch, Cursor
from schuss.errors import DataError

_KEPT_TAIL = 1 << 16


class Rewound:
    """A byte stream whose beginning can be looked at without losing it, and whose last bytes are remembered."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._ahead = b""
        self._tail = b""
        self.closed = False

    def peek(self, limit: int) -> bytes:
        """Give at most `limit` next bytes; a later `read` gives them again."""
        pieces, length = [self._ahead], len(self._ahead)
        while length < limit and (piece := self._raw.read(limit - length)):
            pieces.append(piece)
            length += len(piece)
        self._ahead = b"".join(pieces)
        return self._ahead[:limit]

    def read(self, size: int = -1) -> bytes:
        """Give at most `size` bytes, none at the end."""
        if size is None or size < 0:
            size = sys.maxsize
        if self._ahead:
            found, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            found = self._raw.read(min(size, 1 << 24))
        self._tail = (self._tail + found[-_KEPT_TAIL:])[-_KEPT_TAIL:]
        return found

    def tail(self, limit: int) -> bytes:
        """Give at most `limit` of the last bytes that were read."""
        return self._tail[-limit:]

    def readable(self) -> bool:
        """Say that this can be read, which Arrow asks."""
        return True

    def close(self) -> None:
        """Do nothing: the stream belongs to the caller."""


def stream_content(raw: BinaryIO, name: str) -> Content:
    """Make the content of an open binary stream, unpacked if its first bytes say that it is compressed."""
    stream = Rewound(raw)
    with translated(name):
        codec = compression(stream.peek(4))
        if codec:
            stream = Rewound(pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), codec))

    def head(limit: int) -> tuple[bytes, bool]:
        with translated(name):
            found = stream.peek(limit + 1)
        return found[:limit], len(found) <= limit

    return Content(name, lambda: pa.PythonFile(stream, mode="r"), head, stream.tail)


def spooled(content: Content) -> File:
    """Copy a stream of a format that is read from its end to a temporary file, which is gone when the process ends."""
    with tempfile.NamedTemporaryFile(prefix="schuss-", delete=False) as copy, content.open() as stream:
        atexit.register(Path(copy.name).unlink, missing_ok=True)
        with translated(content.name):
            shutil.copyfileobj(stream, copy, 1 << 20)
        size = copy.tell()
    return File(fs.LocalFileSystem(), copy.name, content.name, size, None)


def reader_source(reader: pa.RecordBatchReader, *, name: str) -> PartedSource:
    """Make a source of a reader of record batches, which can be read once."""
    unique_columns(reader.schema.names, f"the {name}")

    def read(part: int, row: int, columns: Sequence[str] | None) -> Pieces:
        wanted = projected(reader.schema, columns)
        position = 0
        with translated(name):
            for table in reader:
                yield position, table.select(list(wanted.names))
                position += table.num_rows

    return PartedSource(name=name, parts=[name], schema=reader.schema, read=read, anchors=[Cursor()], rereadable=False)


class OnePass:
    """A source that is read once: `sample` keeps the rows it has seen, and `batches` gives them again."""

    rereadable = False

    def __init__(self, source: PartedSource) -> None:
        self.name, self.parts, self.schema = source.name, source.parts, source.schema
        self.target, self.weight, self.rows, self.nbytes = source.target, source.weight, source.rows, source.nbytes
        self.bad, self.notices = source.bad, source.notices
        self._source = dataclasses.replace(source, rereadable=False)
        self._rest: Iterator[Batch] | None = None
        self._seen: list[Batch] = []
        self._given = False

    def batches(self, cursor: Cursor = Cursor(), *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the rows from `cursor` on, in order; a second call raises DataError."""
        if self._given:
            raise DataError(f"{self.name} can be read only once: write it to a file to go over it again")
        self._given = True
        return self._remaining(cursor, columns)

    def onwards(self, cursor: Cursor, *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Raise DataError: what has been read is gone."""
        raise DataError(f"{self.name} can be read only once: write it to a file to go over it again")

    def span(self, start: Cursor, rows: int | None, *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Raise DataError: spans are what a source is read by again."""
        raise DataError(f"{self.name} can be read only once: write it to a file to go over it again")

    def sample(self, limit: int) -> list[Batch]:
        """Give at most `limit` first rows; they stay to be read."""
        if self._given:
            raise DataError(f"{self.name} can be read only once: write it to a file to go over it again")
        self._rest = self._rest or self._source.batches()
        found: list[Batch] = []
        for batch in self._replayed():
            found.append(batch._replace(table=batch.table.slice(0, limit)))
            limit -= batch.table.num_rows
            if limit <= 0:
                break
        return found

    def fingerprint(self) -> list[dict[str, object]]:
        """Give a description that says only that nothing is known."""
        return [{"path": None, "size": None, "mtime_ns": None}]

    def _replayed(self) -> Iterator[Batch]:
        """Yield the batches kept so far, then new ones, which are kept too."""
        yield from self._seen
        for batch in self._rest or ():
            self._seen.append(batch)
            yield batch

    def _remaining(self, cursor: Cursor, columns: Sequence[str] | None) -> Iterator[Batch]:
        """Yield all rows from `cursor` on, letting go of those that were kept."""
        kept, self._seen = self._seen[::-1], []
        rest = self._rest or self._source.batches(columns=columns)
        while kept:
            yield from self._chosen(kept.pop(), cursor, columns)
        for batch in rest:
            yield from self._chosen(batch, cursor, columns)

    def _chosen(self, batch: Batch, cursor: Cursor, columns: Sequence[str] | None) -> Iterator[Batch]:
        """Cut away what lies before `cursor` and the columns that were not asked for."""
        table = batch.table if columns is None else batch.table.select(list(columns))
        start = cursor.row if batch.part == cursor.part else 0
        if batch.part >= cursor.part:
            yield from cut(table, batch.part, batch.row, start)
