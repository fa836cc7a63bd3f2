"""The one way in: a place or Python data becomes a source."""

from __future__ import annotations

import os
import stat
import sys
import weakref
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from schuss.data.bad_rows import BadRows
from schuss.data.doubts import partitions, unfinished
from schuss.data.files import (
    FORMATS,
    SNIFFED_BYTES,
    Content,
    File,
    file_content,
    file_format,
    find_files,
    sniff_format,
    stem,
)
from schuss.data.source import Source
from schuss.errors import DataError, OptionError

ON_BAD_ROW = ("stop", "skip")

_SEEKING = ("parquet", "npz")


def open_source(
    place: Any,
    *,
    target: str | None = None,
    format: str | None = None,
    header: bool = True,
    delimiter: str | None = None,
    strings: Collection[str] = (),
    numbers: Collection[str] = (),
    repeated: Collection[str] | None = None,
    svmlight_base: int | None = None,
    stdin: BinaryIO | None = None,
    on_bad_row: str = "stop",
) -> Source:
    """Make a source of a file, files, a folder, a glob, a URL, "-" (standard input), or data in memory.

    Parameters
    ----------
    place : path, list of paths, or URL of a filesystem pyarrow knows; array, sparse matrix, frame, Arrow table, reader
        of record batches, tuple `(X, y)` or `(X, y, weights)`; a source is given back as it is.
    target : name for `y` where X is a frame and `y` has no name of its own.
    format : one of csv, tsv, parquet, arrow, jsonl, svmlight, npz; None decides by extension, then by the first bytes.
    header : whether the first row of CSV files holds the names of the columns; else they are column_1, column_2, ...
    delimiter : one character that separates CSV fields; None finds it.
    strings, numbers : columns of CSV files read as words or as numbers, whatever a sample of them looks like.
    repeated : columns of Parquet files whose words come again and again; None finds them by their first rows.
    svmlight_base : index of the first feature in svmlight files, 0 or 1; None finds it in a sample.
    stdin : binary stream that "-" stands for; None is the standard input of the process.
    on_bad_row : "skip" to have rows that cannot be used noted in the source's `bad`, "stop" for a DataError.

    Raises DataError where the source cannot be read, OptionError where an option has a value it cannot have.
    """
    if format is not None and format not in FORMATS:
        raise OptionError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    if on_bad_row not in ON_BAD_ROW:
        raise OptionError(f"on_bad_row must be one of {', '.join(ON_BAD_ROW)}, got {on_bad_row!r}")
    if delimiter is not None and len(delimiter) != 1:
        raise OptionError(f"delimiter must be one character, got {delimiter!r}")
    if hasattr(place, "batches"):
        return place
    bad = BadRows() if on_bad_row == "skip" else None
    options = _Options(header, delimiter, strings, numbers, repeated, svmlight_base, bad, target)
    if isinstance(place, str) and place == "-":
        return _open_stream(stdin or sys.stdin.buffer, format, options)
    if not _is_place(place):
        source = _open_data(place, target)
        source.bad = options.bad
        return source
    if isinstance(place, (str, os.PathLike)) and is_pipe(place):
        pipe = Path(place).open("rb")  # noqa: SIM115 — it is read later
        source = _open_stream(pipe, format, options, os.fspath(place))
        weakref.finalize(source, pipe.close)
        return source
    files = find_files(place)
    return _open_files(files, _source_name(place), format or _one_format(files), options)


class _Options:
    """The options that only some formats need, and what takes note of bad rows."""

    def __init__(
        self,
        header: bool,
        delimiter: str | None,
        strings: Any,
        numbers: Any,
        repeated: Collection[str] | None,
        base: int | None,
        bad: BadRows | None,
        target: str | None,
    ) -> None:
        self.header, self.delimiter, self.strings, self.numbers = header, delimiter, strings, numbers
        self.repeated, self.base, self.bad, self.target = repeated, base, bad, target


def _is_place(place: Any) -> bool:
    """Tell paths from data."""
    paths = (str, os.PathLike)
    listed = isinstance(place, (list, tuple)) and all(isinstance(one, paths) for one in place)
    return listed or isinstance(place, paths)


def _open_data(data: Any, target: str | None) -> Source:
    """Make a source of data in memory or of a reader."""
    import pyarrow as pa

    from schuss.data import memory, stream

    if isinstance(data, pa.RecordBatchReader):
        return stream.OnePass(stream.reader_source(data, name="stream"))
    return memory.memory_source(data, target=target)


def _one_format(files: Sequence[File]) -> str:
    """Tell the format that all files have."""
    first = file_format(files[0])
    for file in files[1:]:
        if file_format(file) != first:
            raise DataError(
                f"files of one source must have one format, got {files[0].name} ({first}) "
                f"and {file.name} ({file_format(file)})"
            )
    return first


def _open_files(files: Sequence[File], name: str, form: str, options: _Options) -> Source:
    """Make a source of files of one format."""
    from schuss.data import arrow, memory, parted

    for file in files:
        if file.size == 0:
            raise DataError(f"{file.name} is empty")
    parquet = partial(arrow.parquet_source, repeated=options.repeated)
    readers = {"parquet": parquet, "arrow": arrow.ipc_source, "npz": memory.npz_source}
    if form in readers:
        source = readers[form](files, name=name)
        source.bad, source.notices = options.bad, partitions(files)
        if form != "npz":  # it lies in memory
            source.files = files
        return source
    size = sum(file.size for file in files)
    stamps = [parted.stamp(file) for file in files]
    contents = [file_content(file) for file in files]
    source = _open_text(contents, name, form, options, nbytes=size, stamps=stamps)
    source.files = files
    source.notices += [*partitions(files), *unfinished(files)]
    return source


def _open_text(contents: Sequence[Content], name: str, form: str, options: _Options, **rest: Any) -> Any:
    """Make a source of contents in a text format."""
    from schuss.data import csv, jsonl, svmlight

    if form == "svmlight":
        return svmlight.svmlight_source(contents, name=name, base=options.base, bad=options.bad, **rest)
    if form == "jsonl":
        return jsonl.jsonl_source(contents, name=name, bad=options.bad, **rest)
    delimiter = options.delimiter or ("\t" if form == "tsv" else None)
    return csv.csv_source(
        contents,
        name=name,
        delimiter=delimiter,
        header=options.header,
        strings=options.strings,
        numbers=options.numbers,
        bad=options.bad,
        target=options.target,
        **rest,
    )


def is_pipe(place: str | os.PathLike[str]) -> bool:
    """Tell a named pipe, or what `<(command)` of a shell stands for, from a file."""
    try:
        return stat.S_ISFIFO(Path(place).stat().st_mode)
    except (OSError, ValueError):
        return False


def _open_stream(raw: BinaryIO, form: str | None, options: _Options, called: str = "standard input") -> Source:
    """Make a source of a stream of bytes that is read once."""
    from schuss.data import arrow, stream

    content = stream.stream_content(raw, called)
    head, complete = content.head(SNIFFED_BYTES)
    if not head.strip():
        raise DataError(f"{called} is empty")
    form = form or sniff_format(head, content.name, complete=complete)
    if form in _SEEKING or head.startswith(b"ARROW1"):
        return _open_files([stream.spooled(content)], "stdin", form, options)
    if form == "arrow":
        found = arrow.ipc_stream_source(content, name="stdin")
        found.bad = options.bad
        return stream.OnePass(found)
    return stream.OnePass(_open_text([content], "stdin", form, options, rereadable=False))


def _source_name(place: Any) -> str:
    """Name a source after its first path."""
    first = place if isinstance(place, (str, os.PathLike)) else place[0]
    name = stem(os.fspath(first).rstrip("/"))
    return name if not any(letter in name for letter in "*?[") else "data"
