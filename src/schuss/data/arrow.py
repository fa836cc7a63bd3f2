"""Parquet files and Arrow IPC files and streams (Feather) as a source."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported, where a type checker does not see them.
from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import takewhile
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import ipc
from pyarrow.fs import LocalFileSystem

from schuss.data.columnwise import columnwise
from schuss.data.files import Content, File, file_content, refuse_changed
from schuss.data.parted import (
    BATCH_ROWS,
    PartedSource,
    Pieces,
    assemble,
    projected,
    same_columns,
    stamp,
    unique_columns,
)
from schuss.data.source import Cursor
from schuss.errors import DataError

# What is read at a time where only the first rows of a row group are wanted: 0.4 → 0.17 s for a sample from ten.
_BUFFER_BYTES = 1 << 18
# The same for whole row groups: all their columns at once would be read in one thread, before decoding begins
# (30 of 117 ns a row); page by page they are read where they are decoded, 104–115 ns in all.
_PAGE_BYTES = 1 << 16
# Row groups of at most so many bytes are decoded whole; larger ones batch by batch, which needs less memory.
_WHOLE_BYTES = 128 << 20
# Small row groups are decoded together: as many as make a batch, if they take no more than this.
_TOGETHER_BYTES = 32 << 20
_GUESSED_BYTES = 64
_STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"


class _Footer(NamedTuple):
    """What the end of a Parquet file says: columns, first row of each row group, and as the last the number of rows.

    parsed : all of it, None where the file is one of many: memory must not grow with their number.
    """

    schema: pa.Schema
    starts: np.ndarray
    parsed: pq.FileMetaData | None


def parquet_source(files: Sequence[File], *, name: str, repeated: Collection[str] | None = None) -> PartedSource:
    """Make a source of Parquet files; reading can begin at every row group.

    repeated : columns whose words come again and again, to be decoded as dictionaries; None finds them.

    Raises DataError where a file is not Parquet or is cut off, or where the columns of two files differ.
    """
    # A sample has up to 64 readings: to parse it takes 1.5 ms for 80 row groups of 29 columns, 24 for 2,736 of 11.
    footers = [_footer(file, keep=len(files) == 1) for file in files]
    schema = united_schema([(file.name, footer.schema) for file, footer in zip(files, footers, strict=True)])
    counts = [int(footer.starts[-1]) for footer in footers]
    if not any(counts):
        raise DataError(f"{files[0].name} has no rows")
    filled = next(place for place, count in enumerate(counts) if count)
    again = {*(_repeated_words(files[filled], footers[filled], schema) if repeated is None else repeated)}
    for name_of_words in [word for word in _words(schema) if word in again]:
        place = schema.get_field_index(name_of_words)
        schema = schema.set(place, pa.field(name_of_words, pa.dictionary(pa.int32(), pa.string())))
    return PartedSource(
        name=name,
        parts=[file.name for file in files],
        schema=schema,
        read=lambda part, row, columns: _read_parquet(files[part], footers[part], row, projected(schema, columns)),
        some=lambda part, row, columns, rows: _read_parquet(
            files[part], footers[part], row, projected(schema, columns), rows
        ),
        anchors=[Cursor(part, int(row)) for part, footer in enumerate(footers) for row in footer.starts[:-1]],
        rows=sum(counts),
        nbytes=sum(file.size for file in files),
        stamps=[stamp(file) for file in files],
        steady=True,
        spread_over=_spread_over([footer.starts for footer in footers]),
    )


def ipc_source(files: Sequence[File], *, name: str) -> PartedSource:
    """Make a source of Arrow IPC files (Feather) and streams.

    Raises DataError where a file is not Arrow or is cut off, or where the columns of two files differ.
    """
    contents = [file_content(file) for file in files]
    schemas = [(file.name, _ipc_schema(file, content)) for file, content in zip(files, contents, strict=True)]
    schema = united_schema(schemas)
    return PartedSource(
        name=name,
        parts=[file.name for file in files],
        schema=schema,
        read=lambda part, row, columns: _read_ipc(files[part], contents[part], projected(schema, columns)),
        anchors=[Cursor(part, 0) for part in range(len(files))],
        nbytes=sum(file.size for file in files),
        stamps=[stamp(file) for file in files],
    )


def ipc_stream_source(content: Content, *, name: str) -> PartedSource:
    """Make a source of an Arrow IPC stream that can be read once."""
    head, _ = content.head(1 << 22)
    with _intact(content.name):
        schema = _readable(ipc.read_schema(pa.BufferReader(head)))
    unique_columns(schema.names, content.name)
    schema = schema.remove_metadata()
    return PartedSource(
        name=name,
        parts=[content.name],
        schema=schema,
        read=lambda part, row, columns: _read_stream(content, projected(schema, columns)),
        anchors=[Cursor()],
        rereadable=False,
    )


def united_schema(schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """Find types that hold the columns of all files: whole numbers with fractions, a dictionary with its words.

    Raises DataError naming two files and the first column that differs.
    """
    first_name, first = schemas[0]
    unique_columns(first.names, first_name)
    fields = {field.name: pa.field(field.name, field.type) for field in first}
    for name, schema in schemas[1:]:
        unique_columns(schema.names, name)
        same_columns(schema.names, first.names, name, first_name)
        for field in schema:
            known = fields[field.name].type
            kind = _common_type(known, field.type)
            if kind is None:
                raise DataError(f"column {field.name!r} is {known} in {first_name} but {field.type} in {name}")
            fields[field.name] = pa.field(field.name, kind)
    return pa.schema(list(fields.values()))


def conform(table: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Choose the columns of `schema` and convert them to its types."""
    arrays = []
    for field in schema:
        array = table.column(field.name)
        arrays.append(array if array.type.equals(field.type) else array.cast(field.type, safe=False))
    return assemble(arrays, schema, table.num_rows)


def _common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Find a type for the values of both, if there is a natural one."""
    if one.equals(other) or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if _is_number(one) and _is_number(other):
        both_whole = pa.types.is_integer(one) and pa.types.is_integer(other)
        return pa.int64() if both_whole else pa.float64()
    if _is_word(one) and _is_word(other):
        return pa.large_string() if pa.types.is_large_string(one) or pa.types.is_large_string(other) else pa.string()
    dates = (pa.types.is_date, pa.types.is_timestamp)
    if any(is_date(one) for is_date in dates) and any(is_date(other) for is_date in dates):
        zones = {getattr(kind, "tz", None) for kind in (one, other)}
        return pa.timestamp("us", zones.pop()) if len(zones) == 1 else None
    return None


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _is_word(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _footer(file: File, *, keep: bool) -> _Footer:
    """Read the metadata at the end of a Parquet file."""
    try:
        with file.filesystem.open_input_file(file.path) as raw:
            footer = pq.read_metadata(raw)
            counts = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
            schema = _readable(footer.schema.to_arrow_schema())
            return _Footer(schema, np.cumsum([0, *counts]), footer if keep else None)
    except pa.ArrowInvalid as error:
        raise DataError(f"{file.name} is not a Parquet file or is cut off: its last bytes are not a footer") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name} is damaged: its Parquet footer cannot be read") from error


def _words(schema: pa.Schema) -> list[str]:
    """Name the columns of words that are no dictionaries yet."""
    return [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]


def _repeated_words(file: File, footer: _Footer, schema: pa.Schema) -> list[str]:
    """Name the columns of words that come again and again, by the first rows of a file.

    The sizes in the footer would tell as much for free, but asking a damaged footer for them ends the process
    (Arrow 26 lets an exception of C++ through).
    """
    words = _words(schema)
    if not words:
        return []
    _, first = next(_read_parquet(file, footer, 0, projected(schema, words), BATCH_ROWS))
    columns = [first.column(name) for name in words]
    distinct = columnwise(lambda at: pc.count_distinct(columns[at]).as_py(), columns)
    return [name for name, count in zip(words, distinct, strict=True) if 2 * count <= first.num_rows]


def _read_parquet(file: File, footer: _Footer, row: int, schema: pa.Schema, rows: int | None = None) -> Pieces:
    """Decode a file from the row group on that holds `row`, to the one that ends at least `rows` later.

    Arrow's dataset scanner would decode ahead by itself, but was seen to hold all of a file of 12 row groups at once;
    here memory holds two row groups, or as many small ones as make a batch, and columns are decoded in parallel.
    """
    starts, width = footer.starts, sum(_width(field.type) for field in schema)
    together = min(BATCH_ROWS, _TOGETHER_BYTES // max(width, 1))
    if rows is None:  # where batches are cut must not depend on where reading begins
        runs = list(_group_runs(starts, 0, together))
    else:
        runs = list(takewhile(lambda groups: starts[groups[0]] < row + rows, _group_runs(starts, row, together)))
    largest = max((starts[groups[-1] + 1] - starts[groups[0]] for groups in runs), default=0)
    runs = [groups for groups in runs if starts[groups[-1] + 1] > row]
    # Whole row groups take two thirds of the time that the same rows take batch by batch, if all are wanted.
    whole = largest * width <= _WHOLE_BYTES and (rows is None or 2 * rows > largest)
    with _opened(file, footer.parsed, schema, _PAGE_BYTES if whole else _BUFFER_BYTES) as parquet:
        if whole:
            decode = partial(parquet.read_row_groups, columns=list(schema.names))
            for groups, table in zip(runs, _ahead(decode, runs), strict=True):
                yield from _numbered(iter(table.to_batches()), schema, int(starts[groups[0]]))
            return
        for groups in runs:
            size = min(BATCH_ROWS, max(rows or BATCH_ROWS, 1024))
            batches = parquet.iter_batches(size, row_groups=groups, columns=list(schema.names))
            yield from _numbered(batches, schema, int(starts[groups[0]]))


@contextlib.contextmanager
def _opened(file: File, footer: pq.FileMetaData | None, schema: pa.Schema, buffer: int) -> Iterator[pq.ParquetFile]:
    """Open a file so that its columns of words become dictionaries where `schema` says so.

    footer : that of the file, None to read it; buffer : bytes to read at a time from a near file; of a far one the
    columns of a row group are read at once.
    """
    words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    far = not isinstance(file.filesystem, LocalFileSystem)  # reading ahead costs a quarter of the time of a near file
    try:
        with (
            file.filesystem.open_input_file(file.path) as raw,
            pq.ParquetFile(
                raw,
                metadata=footer,
                read_dictionary=words,
                pre_buffer=far,
                page_checksum_verification=True,
                buffer_size=0 if far else buffer,
            ) as parquet,
        ):
            yield parquet
    except (pa.ArrowException, OSError) as error:
        refuse_changed(file)  # its footer is that of before
        raise DataError(f"{file.name} is damaged: {str(error).splitlines()[0]}") from error


def _ahead(decode: Callable[[list[int]], pa.Table], runs: Sequence[list[int]]) -> Iterator[pa.Table]:
    """Yield the decoded row groups, the next ones being decoded meanwhile in a thread of its own."""
    with ThreadPoolExecutor(1, "schuss-decoder") as pool:
        waiting = [pool.submit(decode, groups) for groups in runs[:1]]
        for groups in runs[1:]:
            table = waiting.pop().result()
            waiting.append(pool.submit(decode, groups))
            yield table
            del table
        for last in waiting:
            yield last.result()


def _spread_over(starts: Sequence[np.ndarray]) -> int:
    """Choose from how many row groups a sample comes: the first rows of a large one cost half of the whole."""
    groups, rows = sum(len(one) - 1 for one in starts), sum(int(one[-1]) for one in starts)
    return groups if rows < groups * BATCH_ROWS else max(8, groups // 8)


def _width(kind: pa.DataType) -> int:
    """Give the bytes of a value, guessed where values differ in length."""
    try:
        return -(-kind.bit_width // 8)
    except ValueError:
        return _GUESSED_BYTES


def _group_runs(starts: np.ndarray, row: int, together: int) -> Iterator[list[int]]:
    """Yield neighbouring row groups of at most so many rows together, one at least, from the one with `row` on."""
    group = int(np.searchsorted(starts, row, "right")) - 1
    while group < len(starts) - 1:
        following = max(group + 1, int(np.searchsorted(starts, starts[group] + together, "right")) - 1)
        yield list(range(group, following))
        group = following


def _numbered(tables: Iterator[pa.RecordBatch], schema: pa.Schema, row: int = 0) -> Pieces:
    """Add to each batch the row it begins at."""
    for table in tables:
        yield row, conform(table, schema)
        row += table.num_rows


def _is_stream(content: Content) -> bool:
    """Tell an Arrow stream from an Arrow file by its first bytes."""
    head, _ = content.head(8)
    if head.startswith(b"FEA1"):
        raise DataError(f"{content.name} is in the first Feather format: write it anew as Feather 2, Arrow or Parquet")
    return not head.startswith(b"ARROW1")


def _ipc_schema(file: File, content: Content) -> pa.Schema:
    """Read the schema of an Arrow file or stream."""
    with _intact(file.name):
        if _is_stream(content):
            with content.open() as raw, ipc.open_stream(raw) as reader:
                return _readable(reader.schema)
        with file.filesystem.open_input_file(file.path) as raw, ipc.open_file(raw) as reader:
            return _readable(reader.schema)


def _readable(schema: pa.Schema) -> pa.Schema:
    """Give the schema back; raises UnicodeDecodeError where the name of a column is not UTF-8."""
    return schema if schema.names else pa.schema([])


def _read_ipc(file: File, content: Content, schema: pa.Schema) -> Pieces:
    """Read an Arrow file or stream from its first row on; without mmap, under which a truncation kills the process."""
    if _is_stream(content):
        yield from _read_stream(content, schema)
        return
    with _intact(file.name), file.filesystem.open_input_file(file.path) as raw:
        with ipc.open_file(raw) as reader:
            wanted = [reader.schema.get_field_index(name) for name in schema.names]
        with ipc.open_file(raw, options=ipc.IpcReadOptions(included_fields=wanted)) as reader:
            yield from _numbered((reader.get_batch(i) for i in range(reader.num_record_batches)), schema)


def _read_stream(content: Content, schema: pa.Schema) -> Pieces:
    """Read an Arrow stream, which must close with its end marker: cut between two messages it looks complete."""
    with _intact(content.name), content.open() as raw, ipc.open_stream(raw) as reader:
        yield from _numbered(reader, schema)
    if not content.tail(8).endswith(_STREAM_END):
        raise DataError(f"{content.name} is cut off: the end marker of an Arrow stream is missing")


@contextlib.contextmanager
def _intact(name: str) -> Iterator[None]:
    """Turn what Arrow raises at bytes that are no Arrow data into a DataError of one sentence."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{name} is not Arrow data, is cut off or is damaged: {reason}") from error
