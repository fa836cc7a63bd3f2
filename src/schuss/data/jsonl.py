"""JSON lines as a source: one object a line, parsed in blocks of whole lines with types decided from a sample."""

from __future__ import annotations

import contextlib
import io
import json
import re
from codecs import BOM_UTF8
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.json as pajson

from schuss.data.bad_rows import BadRows, faults
from schuss.data.csv_types import STRAY_SHARE
from schuss.data.files import Content, block_bytes, read_blocks, translated
from schuss.data.marks import Mark, Marks, marks_of
from schuss.data.parted import PartedSource, Pieces, assemble, emptied, projected, unique_columns
from schuss.data.source import Cursor
from schuss.errors import BadRowError, DataError

SAMPLE_BYTES = 16 << 20
_SAMPLED_PARTS = 16
# A list of objects, or the beginning of one.
_LIST = re.compile(rb"\s*\[\s*(\{|$)")
_BLOCK_BYTES = 4 << 20
_NO_OBJECT = re.compile(rb"^[ \t\r]*[^{ \t\r\n]", re.MULTILINE)


def jsonl_source(
    contents: Sequence[Content],
    *,
    name: str,
    rereadable: bool = True,
    nbytes: int | None = None,
    stamps: Sequence[dict[str, object]] = (),
    bad: BadRows | None = None,
) -> PartedSource:
    """Make a source of JSON lines; a key that a line lacks is missing there.

    Whole numbers become int64 where the sample is all there is, else float64, as for CSV.
    Raises DataError at a line that is not a JSON object, or where a column is of different kinds.
    """
    count = min(len(contents), _SAMPLED_PARTS)
    places = [place * len(contents) // count for place in range(count)]
    complete = count == len(contents)
    tables = []
    for place in places:
        head, whole = contents[place].head(SAMPLE_BYTES // count)
        complete &= whole
        head = _without_mark(head)
        lines = head if whole else head[: head.rfind(b"\n") + 1]
        if lines.strip():
            tables.append((contents[place].name, _inferred(lines, contents[place].name, skip=bad is not None)))
    rows = sum(table.num_rows for _, table in tables)
    if rows == 0:
        raise DataError(f"{contents[places[0]].name} is empty")
    schema = _schema(tables, complete=complete)
    marks = Marks(len(contents))
    return PartedSource(
        name=name,
        parts=[content.name for content in contents],
        schema=schema,
        read=lambda part, row, columns: _read(
            contents[part], projected(schema, columns), schema, part, bad, marks, marks.before(part, row)
        ),
        anchors=[Cursor(part, 0) for part in range(len(contents))],
        rows=rows if complete and bad is None else None,
        nbytes=nbytes,
        stamps=stamps,
        rereadable=rereadable,
        parsed=True,
        steady=True,
        bad=bad,
        marks=marks,
        counted=lambda part: _counted(contents[part], len(schema)),
    )


def lines_of(
    name: str, first: bytes, kinds: Mapping[str, pa.DataType], bad: BadRows | None
) -> tuple[pa.Schema, Callable[[bytes, int, pa.Schema], pa.RecordBatch]]:
    """Give columns, and what reads blocks of whole JSON lines, of which `first` is the first; `kinds` : their types.

    Where words are wanted and the first line has a number, numbers are the words.
    """
    found = {column: _word_of(value) for column, value in _pairs(first, name, 0)}
    schema = pa.schema(
        [
            (column, pa.float64() if pa.types.is_string(kind) and found.get(column) == "a number" else kind)
            for column, kind in kinds.items()
        ]
    )

    def rows(block: bytes, row: int, wanted: pa.Schema) -> pa.RecordBatch:
        table, skipped = _parse_or_skip(block, name, row, wanted, 0, bad)
        return emptied(table.combine_chunks().to_batches()[0], skipped)

    return schema, rows


def _schema(tables: Sequence[tuple[str, pa.Table]], *, complete: bool) -> pa.Schema:
    """Join the keys and types of all sampled files."""
    kinds: dict[str, tuple[str, pa.DataType]] = {}
    for name, table in tables:
        unique_columns(table.schema.names, name)
        for field in table.schema:
            first, known = kinds.get(field.name, (name, pa.null()))
            kind = _joined(known, field.type)
            if kind is None:
                raise DataError(f"column {field.name!r} is {known} in {first} but {field.type} in {name}")
            kinds[field.name] = (name if pa.types.is_null(known) else first, kind)
    return pa.schema([pa.field(column, _final(kind, complete)) for column, (_, kind) in kinds.items()])


def _joined(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Find a type for the values of both, if there is a natural one."""
    if one.equals(other) or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    numbers = {pa.int64(), pa.float64()}
    return pa.float64() if {one, other} <= numbers else None


def _final(kind: pa.DataType, complete: bool) -> pa.DataType:
    """Choose the type to read with, which a later row should not contradict needlessly."""
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    return pa.float64() if pa.types.is_integer(kind) and not complete else kind


def _inferred(lines: bytes, name: str, *, skip: bool) -> pa.Table:
    """Parse the first lines of a file and find the types; where bad ones may be skipped, by the others alone.

    Where values of a column are of several kinds, the one that nearly all of them have is right.
    """
    try:
        return _parse(lines, name, 0, None)
    except BadRowError as error:
        if not skip:
            raise
        first = error
    whole, kinds = [], []
    for line in lines.split(b"\n"):
        with contextlib.suppress(BadRowError):
            kinds.append({column: _word_of(value) for column, value in _pairs(line, name, 0) if value is not None})
            whole.append(line)
    if not whole:
        raise first
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kind in kinds:
        for column, word in kind.items():
            counts[column][word] += 1
    common = {column: counter.most_common(1)[0][0] for column, counter in counts.items()}
    usual = [
        line
        for line, kind in zip(whole, kinds, strict=True)
        if all(word == common[column] or not _is_rare(word, counts[column]) for column, word in kind.items())
    ]
    return _parse(b"\n".join(usual), name, 0, None)


def _is_rare(kind: str, counts: Counter[str]) -> bool:
    """Whether few values of a column are of this kind, as CSV columns stay numbers in spite of stray words."""
    return counts[kind] <= max(1, STRAY_SHARE * counts.total())


def _counted(content: Content, columns: int) -> Iterator[Mark]:
    """Yield where the blocks of a file begin, and where it ends."""
    if content.quick:
        with translated(content.name), content.open() as stream:
            blocks = read_blocks(stream, block_bytes(_BLOCK_BYTES, columns))
            yield from marks_of(blocks, lambda block: _count(_without_mark(block)))


def _read(
    content: Content, wanted: pa.Schema, schema: pa.Schema, part: int, bad: BadRows | None, marks: Marks, begin: Mark
) -> Pieces:
    """Parse one file block by block, from a mark on; where no column is wanted, the first one counts the rows."""
    parsed = wanted if len(wanted) else pa.schema([schema.field(0)])
    row, byte = begin
    with translated(content.name), content.opened(byte) as stream:
        for block in read_blocks(stream, block_bytes(_BLOCK_BYTES, len(schema)), byte):
            lines = _without_mark(block) if byte == 0 else block
            byte += len(block)
            if not lines.strip():
                continue
            table, skipped = _parse_or_skip(lines, content.name, row, parsed, part, bad)
            whole = table.combine_chunks().to_batches()[0]
            yield row, emptied(assemble(whole.columns[: len(wanted)], wanted, len(whole)), skipped)
            row += table.num_rows
            if content.enter is not None:
                marks.add(part, row, byte)


def _without_mark(block: bytes) -> bytes:
    """Leave out the byte order mark that a file may begin with."""
    return block.removeprefix(BOM_UTF8)


def _parse_or_skip(
    block: bytes, name: str, row: int, schema: pa.Schema, part: int, bad: BadRows | None
) -> tuple[pa.Table, list[int]]:
    """Parse whole lines; where bad ones may be skipped, empty rows stand in for them, and their places are given."""
    try:
        return _parse(block, name, row, schema), []
    except BadRowError:
        if bad is None:
            raise
    lines = [line for line in block.split(b"\n") if line.strip()]
    found = faults(lines, lambda some: _parse(b"\n".join(some), name, 0, schema))
    for place, error in found.items():
        text = lines[place].decode("utf-8", "replace")
        bad.add(part, BadRowError(name, row + place, error.column, error.complaint), text)
        lines[place] = b"{}"
    return _parse(b"\n".join(lines), name, row, schema), [*found]


def _parse(lines: bytes, name: str, row: int, schema: pa.Schema | None) -> pa.Table:
    """Parse whole lines, the first of which is row `row` of the file (from 0); None finds the types.

    Raises DataError at the first line that is no object or holds a value of another type.
    """
    parse = pajson.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="infer" if schema is None else "ignore"
    )
    read = pajson.ReadOptions(use_threads=True, block_size=len(lines) + 1)
    if _NO_OBJECT.search(lines):  # a null before any object ends the process (Arrow 26)
        raise _first_fault(lines, name, row, schema, "not a JSON object")
    try:
        lines.decode("utf-8")
        table = pajson.read_json(io.BytesIO(lines), read, parse)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise _first_fault(lines, name, row, schema, str(error)) from error
    if table.num_rows != _count(lines):  # Arrow takes two objects in a line, and one over several lines
        raise _first_fault(lines, name, row, schema, "not one object a line")
    return table if schema is None else table.select(schema.names).cast(schema)


def _count(lines: bytes) -> int:
    """Count the lines that are not blank."""
    if lines[:1].isspace() or any(b"\n" + blank in lines for blank in (b"\n", b" ", b"\t", b"\r")):
        return sum(bool(line.strip()) for line in lines.split(b"\n"))
    return lines.count(b"\n") + (not lines.endswith(b"\n"))


def _first_fault(lines: bytes, name: str, row: int, schema: pa.Schema | None, reason: str) -> BadRowError:
    """Say what is wrong with the first bad line of a block."""
    kinds: dict[str, str] = {field.name: _word(field.type) for field in schema or ()}
    for line in lines.split(b"\n"):
        if not line.strip():
            continue
        try:
            found = _pairs(line, name, row)
        except BadRowError as error:
            return error
        for column, value in found:
            kind = _word_of(value)
            if schema is not None and column not in kinds:
                continue
            wanted = kinds.setdefault(column, kind) if value is not None else kind
            if kind != wanted and not (wanted == "a date" and isinstance(value, str) and _is_date(value)):
                return BadRowError(name, row, column, f"{_shown_value(line, column)} is not {wanted}")
        row += 1
    return BadRowError(name, row - 1, None, f"it or a row before it cannot be read: {reason.splitlines()[0]}")


def _pairs(line: bytes, name: str, row: int) -> _Pairs:
    """Give the keys and values of one line; raises BadRowError where it is no object or holds a key twice."""
    try:
        found = json.loads(line.decode("utf-8"), object_pairs_hook=_Pairs)
    except UnicodeDecodeError:
        raise BadRowError(name, row, None, f"{line[:60]!r} is not UTF-8 text") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, _Pairs):
        hint = "; JSON lines are an object on each line, without a list around them" if _LIST.match(line) else ""
        raise BadRowError(name, row, None, f"{_shown(line)} is not a JSON object{hint}")
    keys = [column for column, _ in found]
    if len(set(keys)) < len(keys):
        raise BadRowError(name, row, None, f"the key {Counter(keys).most_common(1)[0][0]!r} comes twice")
    return found


class _Pairs(list):
    """The keys and values of a JSON object, in which a key may come twice."""


def _shown_value(line: bytes, column: str) -> str:
    return json.dumps(json.loads(line)[column], ensure_ascii=False)[:60]


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace").strip())


def _is_date(value: str) -> bool:
    try:
        pa.array([value]).cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:
        return False
    return True


def _word(kind: pa.DataType) -> str:
    """Name a type as a person would."""
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "a number"
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_timestamp(kind):
        return "a date"
    if pa.types.is_list(kind):
        return "a list"
    return "an object" if pa.types.is_struct(kind) else "a string"


def _word_of(value: object) -> str:
    """Name the type of a parsed JSON value as a person would."""
    if isinstance(value, _Pairs):
        return "an object"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "a string" if isinstance(value, str) else "a list"
