"""CSV and TSV files as a source: types decided once from a sample, then read in blocks of a few MB."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported, where a type checker does not see them.
from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from schuss.data.csv_blocks import NotByLinesError, converted_ahead, line_blocks
from schuss.data.csv_types import (
    FALSE,
    MARKERS,
    TRUE,
    Dialect,
    Looks,
    blank_lines,
    column_names,
    column_type,
    look,
    parse_options,
    raw_rows,
    sniff,
    unite,
)
from schuss.data.files import Content, explain
from schuss.data.parted import PartedSource, Pieces, assemble, projected, same_columns, unique_columns
from schuss.data.source import Cursor
from schuss.errors import DataError

SAMPLE_BYTES = 16 << 20
_SAMPLED_PARTS = 16
_HEADER_BYTES = 1 << 16
_BLOCK_BYTES = 4 << 20
# Rows longer than a block fail; reading again row by row uses this, the longest row that is accepted.
_LONGEST_ROW = 32 << 20
_TAIL_BYTES = 1 << 16
_PADDED = [pad + word for word in MARKERS for pad in ("", " ")]


class _File(NamedTuple):
    """What reading one file needs."""

    text: Content
    names: list[str]
    dialect: Dialect
    blank_lines: int


def csv_source(
    texts: Sequence[Content],
    *,
    name: str,
    delimiter: str | None = None,
    header: bool = True,
    strings: Collection[str] = (),
    numbers: Collection[str] = (),
    rereadable: bool = True,
    nbytes: int | None = None,
    stamps: Sequence[dict[str, object]] = (),
) -> PartedSource:
    """Make a source of CSV texts that all have the same columns.

    `strings` and `numbers` name columns that are read as such whatever the sample shows.
    Raises DataError where a text is empty or not UTF-8, or where the columns of two texts differ.
    """
    places = {place * len(texts) // min(len(texts), _SAMPLED_PARTS) for place in range(min(len(texts), _SAMPLED_PARTS))}
    heads = {place: texts[place].head(SAMPLE_BYTES // len(places)) for place in sorted(places)}
    first, complete = heads[0]
    dialect = sniff(first, texts[0].name, complete=complete, header=header, delimiter=delimiter)
    files = []
    for place, text in enumerate(texts):
        head = heads[place][0] if place in heads else text.head(_HEADER_BYTES)[0]
        files.append(_File(text, _names(head, text.name, dialect), dialect, blank_lines(head)))
        same_columns(files[-1].names, files[0].names, text.name, texts[0].name)
    tables = [raw_rows(head, files[place].names, dialect, complete=whole) for place, (head, whole) in heads.items()]
    all_seen = len(heads) == len(texts) and all(whole for _, whole in heads.values())
    rows = sum(table.num_rows for table in tables)
    if all_seen and rows == 0:
        _refuse_unreadable(files)
        raise DataError(f"{texts[0].name} has a header but no rows")
    sampled = [texts[place].name for place in heads]
    types = {
        column: _forced(column, strings, numbers) or column_type(_united(tables, column, sampled), complete=all_seen)
        for column in files[0].names
    }
    schema = pa.schema(list(types.items()))
    return PartedSource(
        name=name,
        parts=[text.name for text in texts],
        schema=schema,
        read=lambda part, row, columns: _read(files[part], projected(schema, columns), schema, rereadable),
        anchors=[Cursor(part, 0) for part in range(len(texts))],
        rows=rows if all_seen else None,
        nbytes=nbytes,
        stamps=stamps,
        rereadable=rereadable,
    )


def _names(head: bytes, name: str, dialect: Dialect) -> list[str]:
    """Read the header of one file."""
    if not head.strip():
        raise DataError(f"{name} is empty")
    names = column_names(head, name, dialect)
    unique_columns(names, name)
    return names


def _united(tables: Sequence[pa.Table], column: str, files: Sequence[str]) -> Looks:
    return unite([look(table[column]) for table in tables], column, files)


def _forced(column: str, strings: Collection[str], numbers: Collection[str]) -> pa.DataType | None:
    """Give the type that the caller demands for a column."""
    if column in numbers:
        return pa.float64()
    return pa.dictionary(pa.int32(), pa.string()) if column in strings else None


def _refuse_unreadable(files: Sequence[_File]) -> None:
    """Read all rows as strings, which raises if none was counted because none has the right number of fields."""
    for file in files:
        for _ in _exact(file, pa.schema([(name, pa.string()) for name in file.names]), 0):
            pass


def _read(file: _File, wanted: pa.Schema, schema: pa.Schema, rereadable: bool) -> Pieces:
    """Read one file fast; where that fails, go on exactly, which either succeeds or names the cell."""
    given = 0
    if rereadable:
        try:
            for table in _fast(file, wanted, schema):
                yield given, table
                given += table.num_rows
            return
        except pa.ArrowInvalid:
            pass
    yield from _exact(file, wanted, given, _LONGEST_ROW if rereadable else _BLOCK_BYTES)


def _fast(file: _File, wanted: pa.Schema, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Let Arrow convert the columns in its own threads."""
    last = schema.field(file.names[-1])
    watched = file.dialect.quoting and not _parsed(last.type)
    columns = list(wanted.names)
    if not columns or (watched and last.name not in columns):
        columns.append(last.name)
    types = {name: schema.field(name).type for name in columns}
    convert = pacsv.ConvertOptions(
        column_types=types,
        include_columns=columns,
        null_values=_PADDED,
        strings_can_be_null=False,
        true_values=[pad + word for word in TRUE for pad in ("", " ")],
        false_values=[pad + word for word in FALSE for pad in ("", " ")],
    )
    rows = 0
    final: pa.Scalar | None = None
    for table in _tables(file, convert):
        rows += table.num_rows
        if table.num_rows and watched:
            final = table.column(last.name)[-1]
        arrays = [_tidied(table.column(name)) for name in wanted.names]
        yield assemble(arrays, wanted, table.num_rows)
    if final is not None:
        _refuse_open_quote(file, final.as_py(), rows)


def _tables(file: _File, convert: pacsv.ConvertOptions) -> Iterator[pa.RecordBatch]:
    """Read the rows of a file: by lines in several threads, from the first quote on by Arrow's reader of a stream."""
    given = 0
    try:
        if pa.cpu_count() > 1:
            for table in _tables_by_lines(file, convert):
                yield table
                given += table.num_rows
            return
    except NotByLinesError:
        pass
    for table in _blocks(file, convert, _BLOCK_BYTES, threads=True):
        if given < table.num_rows:
            yield table.slice(given)
        given = max(0, given - table.num_rows)


def _tables_by_lines(file: _File, convert: pacsv.ConvertOptions) -> Iterator[pa.RecordBatch]:
    """Read the rows of a file as long as no field is quoted."""

    def converted(place: int, block: bytes) -> pa.Table:
        first = place == 0
        read = pacsv.ReadOptions(
            column_names=file.names,
            skip_rows=file.blank_lines if first else 0,
            skip_rows_after_names=int(file.dialect.header) if first else 0,
            block_size=len(block) + 1,
            use_threads=False,
        )
        return pacsv.read_csv(pa.BufferReader(block), read, parse_options(file.dialect), convert)

    try:
        with file.text.open() as stream:
            for table in converted_ahead(line_blocks(stream, file.dialect.quoting), converted, pa.cpu_count()):
                yield from table.to_batches()
    except OSError as error:
        raise DataError(explain(error, file.text.name)) from error


def _blocks(file: _File, convert: pacsv.ConvertOptions, size: int, *, threads: bool) -> Iterator[pa.RecordBatch]:
    """Read the rows of a file in blocks."""
    read = pacsv.ReadOptions(
        column_names=file.names,
        skip_rows=file.blank_lines,
        skip_rows_after_names=int(file.dialect.header),
        block_size=size,
        use_threads=threads,
    )
    try:
        with (
            file.text.open() as stream,
            pacsv.open_csv(stream, read, parse_options(file.dialect), convert) as reader,
        ):
            yield from reader
    except OSError as error:
        raise DataError(explain(error, file.text.name)) from error


def _tidied(array: pa.Array) -> pa.Array:
    """Trim strings and make the empty ones missing."""
    if pa.types.is_dictionary(array.type):
        words = _tidied(array.dictionary)
        if words.equals(array.dictionary):
            return array
        # Two spellings may have become one, and a dictionary must not hold a word twice.
        encoded = words.dictionary_encode()
        return pa.DictionaryArray.from_arrays(encoded.indices.take(array.indices), encoded.dictionary)
    if not pa.types.is_string(array.type):
        return array
    trimmed = pc.ascii_trim_whitespace(array)
    empty = pc.equal(trimmed, "")
    return pc.if_else(empty, None, trimmed) if pc.any(empty).as_py() else trimmed


def _exact(file: _File, wanted: pa.Schema, done: int, size: int = _LONGEST_ROW) -> Pieces:
    """Read one file as strings in one thread and convert here, so that a bad cell can be named; leave out `done` rows.

    Raises DataError with row, column and value.
    """
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(file.names, pa.string()), strings_can_be_null=False, check_utf8=False
    )
    rows, last = 0, None
    try:
        for table in _blocks(file, convert, size, threads=False):
            if table.num_rows:
                last = table.column(table.num_columns - 1)[-1].as_buffer().to_pybytes()
            skip = max(0, done - rows)
            if skip < table.num_rows:
                yield rows + skip, _converted(file, table, wanted, rows).slice(skip)
            rows += table.num_rows
    except pa.ArrowInvalid as error:
        raise DataError(_parse_failure(file, error, rows, size)) from error
    if last is not None and file.dialect.quoting:
        _refuse_open_quote(file, last, rows)


def _converted(file: _File, table: pa.RecordBatch, wanted: pa.Schema, row: int) -> pa.RecordBatch:
    """Convert the columns of a block of strings, or name the first cell that cannot be."""
    arrays, bad = [], []
    for field in wanted:
        strings = table.column(field.name)
        try:
            strings.validate(full=True)
            arrays.append(_cast(strings, field.type))
        except pa.ArrowInvalid:
            bad.append((_first_bad(strings, field.type), field))
    if bad:
        place, field = min(bad, key=lambda pair: pair[0])
        raw = table.column(field.name)[place].as_buffer().to_pybytes()
        if b"\n" in raw and row + place + 1 == row + table.num_rows and field.name == file.names[-1]:
            _refuse_open_quote(file, raw, row + place + 1)
        where = f"{file.text.name}, row {row + place + 1:,}, column {field.name!r}"
        raise DataError(f"{where}: {_complaint(raw, field.type)}")
    return assemble(arrays, wanted, table.num_rows)


def _cast(strings: pa.Array, kind: pa.DataType) -> pa.Array:
    """Convert strings; raises ArrowInvalid where one cannot be."""
    if not _parsed(kind):
        tidy = _tidied(strings)
        return tidy.dictionary_encode() if pa.types.is_dictionary(kind) else tidy
    trimmed = pc.ascii_trim_whitespace(strings)
    missing = pc.is_in(trimmed, pa.array(MARKERS))
    present = pc.if_else(missing, None, trimmed)
    if not pa.types.is_boolean(kind):
        return present.cast(kind)
    true = pc.is_in(trimmed, pa.array(TRUE))
    if not pc.all(pc.or_(pc.or_(true, missing), pc.is_in(trimmed, pa.array(FALSE)))).as_py():
        raise pa.ArrowInvalid("neither true nor false")
    return pc.if_else(missing, None, true)


def _first_bad(strings: pa.Array, kind: pa.DataType) -> int:
    """Find the first string that cannot be converted, by halving."""
    low, high = 0, len(strings)
    while high - low > 1:
        middle = (low + high) // 2
        half = strings.slice(low, middle - low)
        try:
            half.validate(full=True)
            _cast(half, kind)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _complaint(raw: bytes, kind: pa.DataType) -> str:
    """Say what is wrong with a cell."""
    shown = raw if len(raw) <= 60 else raw[:57] + b"..."
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"{shown!r} is not UTF-8 text"
    text = text.strip() if len(raw) <= 60 else text[:57] + "..."
    if pa.types.is_integer(kind):
        return f"{text!r} is not a whole number"
    if pa.types.is_floating(kind):
        return f"{text!r} is not a number"
    return f"{text!r} is not true or false" if pa.types.is_boolean(kind) else f"{text!r} is not a date"


def _parse_failure(file: _File, error: pa.ArrowInvalid, rows: int, size: int) -> str:
    """Say which row cannot be split into fields; in one thread Arrow counts all rows but blank ones inside."""
    if found := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error)):
        number = int(found[1]) - file.blank_lines - int(file.dialect.header)
        return f"{file.text.name}, row {number:,}: expected {found[2]} fields, found {found[3]}"
    if "straddling" in str(error):
        return (
            f"{file.text.name}, after row {rows:,}: a quoted field is never closed, "
            f"a row is longer than {size >> 20} MB, or the data are cut off"
        )
    return explain(error, file.text.name)


def _refuse_open_quote(file: _File, last: str | bytes | None, rows: int) -> None:
    """Raise DataError if the last field of a file began with a quote that was never closed, so that it ate the rest."""
    if last is None:
        return
    value = last if isinstance(last, bytes) else last.encode()
    if b"\n" not in value:
        return
    field = b'"' + value.replace(b'"', b'""')
    tail = file.text.tail(_TAIL_BYTES)
    if tail.endswith(field) or field.endswith(tail):
        raise DataError(f"{file.text.name}, row {rows:,}: a quoted field is never closed")


def _parsed(kind: pa.DataType) -> bool:
    """Tell numbers, dates and booleans from words."""
    return not (pa.types.is_string(kind) or pa.types.is_dictionary(kind))
