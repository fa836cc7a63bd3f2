"""CSV and TSV files as a source: types decided once from a sample, then read in blocks of a few MB."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from schuss.data.bad_rows import BadRows
from schuss.data.csv_blocks import NotByLinesError, converted_ahead, line_blocks, rows_in
from schuss.data.csv_bytes import Utf8Stream, as_utf8
from schuss.data.csv_cells import convert_cells, holds_nul, is_parsed, tidied
from schuss.data.csv_skip import Ragged, Skipped, miscounted, read_lines
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
from schuss.data.doubts import spellings
from schuss.data.files import Content, block_bytes, explain, translated
from schuss.data.marks import BEGINNING, Mark, Marks, marks_of
from schuss.data.parted import (
    PartedSource,
    Pieces,
    assemble,
    emptied,
    projected,
    same_columns,
    unique_columns,
    with_gaps,
)
from schuss.data.source import Cursor
from schuss.errors import BadRowError, DataError

SAMPLE_BYTES = 16 << 20
_SAMPLED_PARTS = 16
_HEADER_BYTES = 1 << 16
_BLOCK_BYTES = 4 << 20
# Rows longer than a block fail; reading again row by row uses this, the longest row that is accepted.
_LONGEST_ROW = 32 << 20
_TAIL_BYTES = 1 << 16
_MANY_LABELS = 100
_WHOLE = re.compile(r"\s*[+-]?\d+([.]0*)?\s*")
_PADDED = [pad + word for word in MARKERS for pad in ("", " ")]


class _File(NamedTuple):
    """What reading one file needs.

    bad : takes the rows that cannot be read where these may be skipped; marks, begin : where its text can be entered,
    and where it is now.
    """

    text: Content
    names: list[str]
    dialect: Dialect
    blank_lines: int
    part: int
    bad: BadRows | None
    marks: Marks
    begin: Mark = BEGINNING

    def refuse(self, row: int, skipped: Skipped) -> None:
        """Note a row that cannot be read, counted from `row`; raises BadRowError where none may be skipped."""
        error = BadRowError(self.text.name, row + skipped.place, skipped.column, skipped.reason)
        if self.bad is None:
            raise error
        self.bad.add(self.part, error, skipped.text)


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
    bad: BadRows | None = None,
    target: str | None = None,
) -> PartedSource:
    """Make a source of CSV texts that all have the same columns.

    `strings` and `numbers` name columns that are read as such whatever the sample shows.
    Raises DataError where a text is empty or not UTF-8, or where the columns of two texts differ.
    """
    places = {place * len(texts) // min(len(texts), _SAMPLED_PARTS) for place in range(min(len(texts), _SAMPLED_PARTS))}
    heads = {place: texts[place].head(SAMPLE_BYTES // len(places)) for place in sorted(places)}
    first, complete = heads[0]
    marks = Marks(len(texts))
    dialect = sniff(first, texts[0].name, complete=complete, header=header, delimiter=delimiter)
    files = []
    for place, text in enumerate(texts):
        head = heads[place][0] if place in heads else text.head(_HEADER_BYTES)[0]
        files.append(_File(text, _names(head, text.name, dialect), dialect, blank_lines(head), place, bad, marks))
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
    said = []
    if target is not None and target in types and is_parsed(types[target]):
        said = spellings(_labels([table[target] for table in tables]), target)
    return PartedSource(
        name=name,
        parts=[text.name for text in texts],
        schema=schema,
        read=lambda part, row, columns: _read(
            files[part]._replace(begin=marks.before(part, row)), projected(schema, columns), schema, rereadable
        ),
        anchors=[Cursor(part, 0) for part in range(len(texts))],
        rows=rows if all_seen and bad is None else None,
        nbytes=nbytes,
        stamps=stamps,
        rereadable=rereadable,
        parsed=True,
        steady=True,
        bad=bad,
        notices=said,
        marks=marks,
        counted=lambda part: iter(_counted(files[part])),
    )


def lines_of(
    name: str, first: bytes, kinds: Mapping[str, pa.DataType], tabs: bool, header: bool, bad: BadRows | None
) -> tuple[Dialect, pa.Schema, Callable[[bytes, int, pa.Schema], pa.RecordBatch]]:
    """Give dialect, columns, and what reads blocks of whole lines of CSV text that begins with the line `first`.

    kinds : types of columns, those of all others are strings; tabs : whether fields are separated by tabs.
    """
    dialect = sniff(first, name, complete=True, header=header, delimiter="\t" if tabs else None)
    if dialect.delimiter == "\t" and b'"' not in first:  # in text with tabs, quotes are often only marks
        dialect = dialect._replace(quoting=False)
    names = _names(first, name, dialect)
    file = _File(Content(name, pa.py_buffer, lambda _: (b"", True), lambda _: b""), names, dialect, 0, 0, bad, Marks(1))
    read = pacsv.ReadOptions(column_names=names, use_threads=False)
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
    )
    parse = parse_options(dialect)

    def rows(block: bytes, row: int, wanted: pa.Schema) -> pa.RecordBatch:
        read.block_size = len(block) + 1
        ragged = parse.invalid_row_handler = Ragged(1 - row)
        table = pacsv.read_csv(pa.BufferReader(as_utf8(block)), read, parse, convert).combine_chunks()
        batch = table.to_batches()[0] if len(table) else pa.RecordBatch.from_pylist([], table.schema)
        return _converted(file, batch, wanted, row, ragged.until(row, len(batch)))

    return dialect, pa.schema([(column, kinds.get(column, pa.string())) for column in names]), rows


def _labels(columns: Sequence[pa.ChunkedArray]) -> list[str]:
    """Give the different words of a column if they are as few as classes, and whole numbers."""
    words = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string()).unique().to_pylist()
    return [word for word in words if _WHOLE.fullmatch(word)] if len(words) <= _MANY_LABELS else []


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
        for _ in _exact(file._replace(bad=None), pa.schema([(name, pa.string()) for name in file.names]), 0):
            pass


def _counted(file: _File) -> list[Mark]:
    """Give where the blocks of a file begin, and where it ends; nothing where a quote hides how many rows there are."""
    if not file.text.quick:
        return []
    with translated(file.text.name), file.text.open() as stream:
        try:
            blocks = line_blocks(stream, file.dialect.quoting, columns=len(file.names))
            return [*marks_of(blocks, rows_in, int(file.dialect.header))]
        except NotByLinesError:
            return []


def _read(file: _File, wanted: pa.Schema, schema: pa.Schema, rereadable: bool) -> Pieces:
    """Read one file fast; where that fails, go on exactly, which either succeeds or names the cell."""
    given = file.begin[0]
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
    watched = file.dialect.quoting and not is_parsed(last.type)
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
    held_back: pa.RecordBatch | None = None  # the last rows, until it is known that no quote is left open
    texts = [place for place, field in enumerate(wanted) if not is_parsed(field.type)]
    for table in _tables(file, convert):
        if any(holds_nul(table.column(place)) for place in texts):
            raise pa.ArrowInvalid("a NUL byte")
        if held_back is not None:
            yield held_back
        rows += table.num_rows
        if table.num_rows and watched:
            final = table.column(last.name)[-1]
        arrays = [tidied(array) for array in table.columns[: len(wanted)]]
        held_back = assemble(arrays, wanted, table.num_rows)
    if final is not None:
        _refuse_open_quote(file, final.as_py(), rows)
    if held_back is not None:
        yield held_back


def _tables(file: _File, convert: pacsv.ConvertOptions) -> Iterator[pa.RecordBatch]:
    """Read the rows of a file: by lines in several threads, from the first quote on by Arrow's reader of a stream."""
    given = file.begin[0]
    try:
        if pa.cpu_count() > 1 or file.begin != BEGINNING:  # one thread is faster with Arrow's own reader
            for table in _tables_by_lines(file, convert):
                yield table
                given += table.num_rows
            return
    except NotByLinesError:
        pass
    for table in _blocks(file, convert, block_bytes(_BLOCK_BYTES, len(file.names)), threads=True):
        if given < table.num_rows:
            yield table.slice(given)
        given = max(0, given - table.num_rows)


def _tables_by_lines(file: _File, convert: pacsv.ConvertOptions) -> Iterator[pa.RecordBatch]:
    """Read the rows of a file as long as no field is quoted, and note where its blocks begin."""
    types = convert.column_types  # a copy of all of them, each time that it is asked for
    wanted = pa.schema([(name, types[name]) for name in convert.include_columns])

    row, byte = file.begin
    passed: Mark | None = None

    def converted(place: int, block: bytes) -> tuple[int, list[pa.RecordBatch], list[Skipped]]:
        first = place == 0 and file.begin == BEGINNING
        read = pacsv.ReadOptions(
            column_names=file.names,
            skip_rows=file.blank_lines if first else 0,
            skip_rows_after_names=int(file.dialect.header) if first else 0,
            block_size=len(block) + 1,
            use_threads=False,
        )
        try:
            table = pacsv.read_csv(pa.BufferReader(block), read, parse_options(file.dialect), convert)
            return len(block), table.to_batches(), []
        except pa.ArrowInvalid:
            if file.bad is None:
                raise
        table, skipped = read_lines(block, file.names, file.dialect, wanted, first=first)
        return len(block), [table], skipped

    try:
        with file.text.opened(byte) as stream:
            blocks = line_blocks(stream, file.dialect.quoting, byte, len(file.names))
            for length, tables, skipped in converted_ahead(blocks, converted, pa.cpu_count()):
                for bad in skipped:
                    file.refuse(row, bad)
                row, byte = row + sum(table.num_rows for table in tables), byte + length
                yield from tables
                # Whoever asks for the next block has given away all blocks but this one.
                if passed is not None and file.text.enter is not None:
                    file.marks.add(file.part, *passed)
                passed = row, byte
    except OSError as error:
        raise DataError(explain(error, file.text.name)) from error


def _blocks(
    file: _File, convert: pacsv.ConvertOptions, size: int, *, threads: bool, ragged: Ragged | None = None
) -> Iterator[pa.RecordBatch]:
    """Read the rows of a file in blocks, those apart that `ragged` takes."""
    parse = parse_options(file.dialect)
    if ragged is not None:
        parse.invalid_row_handler = ragged
    read = pacsv.ReadOptions(
        column_names=file.names,
        skip_rows=file.blank_lines,
        skip_rows_after_names=int(file.dialect.header),
        block_size=size,
        use_threads=threads,
    )
    try:
        with file.text.open() as stream:
            text = stream if ragged is None else pa.PythonFile(Utf8Stream(stream), mode="r")
            with pacsv.open_csv(text, read, parse, convert) as reader:
                yield from reader
    except OSError as error:
        raise DataError(explain(error, file.text.name)) from error


def _exact(file: _File, wanted: pa.Schema, done: int, size: int = _LONGEST_ROW) -> Pieces:
    """Read one file as strings in one thread and convert here, so that a bad cell can be named; leave out `done` rows.

    Raises DataError with row, column and value.
    """
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(file.names, pa.string()), strings_can_be_null=False, check_utf8=False
    )
    rows, last = 0, None
    ragged = None if file.bad is None else Ragged(file.blank_lines + int(file.dialect.header) + 1)
    try:
        for table in _blocks(file, convert, size, threads=False, ragged=ragged):
            if table.num_rows:
                last = table.column(table.num_columns - 1)[-1].as_buffer().to_pybytes()
            found = _converted(file, table, wanted, rows, [] if ragged is None else ragged.until(rows, table.num_rows))
            skip = max(0, done - rows)
            if skip < found.num_rows:
                yield rows + skip, found.slice(skip)
            rows += found.num_rows
    except pa.ArrowInvalid as error:
        raise _parse_failure(file, error, rows, size) from error
    if last is not None and file.dialect.quoting:
        _refuse_open_quote(file, last, rows)


def _converted(
    file: _File, table: pa.RecordBatch, wanted: pa.Schema, row: int, ragged: Sequence[Skipped]
) -> pa.RecordBatch:
    """Convert the columns of a block of strings, in which rows of another length are missing, or name a bad cell."""
    for skipped in ragged:
        file.refuse(0, skipped)
    places = np.setdiff1d(np.arange(table.num_rows + len(ragged)), [skipped.place - row for skipped in ragged])
    arrays, cells = convert_cells(table, wanted)
    for cell in cells:
        if b"\n" in cell.raw and cell.place + 1 == table.num_rows and cell.column == file.names[-1]:
            _refuse_open_quote(file, cell.raw, row + cell.place + 1)
        text = cell.raw.decode("utf-8", "replace")
        file.refuse(row, Skipped(int(places[cell.place]), cell.column, cell.complaint, text))
    good = emptied(assemble(arrays, wanted, table.num_rows), [cell.place for cell in cells])
    return with_gaps(good, [skipped.place - row for skipped in ragged])


def _parse_failure(file: _File, error: pa.ArrowInvalid, rows: int, size: int) -> DataError:
    """Say which row cannot be split into fields; in one thread Arrow counts all rows but blank ones inside."""
    if found := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error)):
        number = int(found[1]) - file.blank_lines - int(file.dialect.header)
        complaint = miscounted(int(found[2]), int(found[3]))
        if number == 1 and file.dialect.header:  # as likely the first line is no header, but a title
            header = file.dialect.delimiter.join(file.names)
            complaint += f": the first line is {header[:60] + '…' * (len(header) > 60)!r}"
        return BadRowError(file.text.name, number - 1, None, complaint)
    if "straddling" in str(error):
        return DataError(
            f"{file.text.name}, after row {rows:,}: a quoted field is never closed, "
            f"a row is longer than {size >> 20} MB, or the data are cut off"
        )
    return DataError(explain(error, file.text.name))


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
