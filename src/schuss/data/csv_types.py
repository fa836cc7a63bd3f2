"""What a CSV file looks like: its delimiter, its header and the type of every column, decided once from a sample."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported, where a type checker does not see them.
from __future__ import annotations

import csv
import io
import itertools
import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from schuss.errors import DataError

# Words that stand for a missing value in a column of numbers, dates or booleans; elsewhere they are words.
MARKERS = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None", "?", "-")
TRUE = ("true", "True", "TRUE")
FALSE = ("false", "False", "FALSE")
# In order of preference among delimiters that fit equally well: the comma last, as it may be a decimal comma.
_DELIMITERS = "\t;|,"
_SNIFFED_RECORDS = 200
_SNIFFED_BYTES = 1 << 16
_LONGEST_HEADER = 1 << 20
_LARGEST_EXACT = 2**53
# A column stays one of numbers (or dates) with this share of other words in it; each of them is then an error
# rather than a silent change of the whole column into categories.
STRAY_SHARE = 0.01
_STRAY_ROWS = 20
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DATE = r"^\d{4}-\d{2}-\d{2}"
_WORD = pa.dictionary(pa.int32(), pa.string())
_TYPES = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.timestamp("us"),
    "nanoseconds": pa.timestamp("ns"),
    "zoned date": pa.timestamp("us", "UTC"),
}


class Dialect(NamedTuple):
    """How a CSV file is written."""

    delimiter: str
    quoting: bool
    header: bool


def blank_lines(head: bytes) -> int:
    """Count the empty lines before the first row; Arrow would take the first of them for the header."""
    return sum(1 for _ in itertools.takewhile(lambda line: not line.strip(b"\r\n"), io.BytesIO(head)))


class Looks(NamedTuple):
    """What the sample of one column of one file looks like; `repeats` where its values come again and again."""

    kind: str
    repeats: bool


def sniff(head: bytes, name: str, *, complete: bool, header: bool, delimiter: str | None = None) -> Dialect:
    r"""Find out how a CSV file is written from its first bytes; `complete` says whether these are all.

    >>> sniff(b"a;b\n1,5;2\n", "x.csv", complete=True, header=True).delimiter
    ';'
    """
    text = _decoded(head[:_SNIFFED_BYTES], name)
    whole = complete and len(head) <= _SNIFFED_BYTES
    if not text.strip():
        raise DataError(f"{name} is empty")
    chosen = delimiter or max(_DELIMITERS, key=lambda one: _fit(text, one, whole))
    return Dialect(chosen, chosen != "\t" or _well_quoted(text, whole), header)


def column_names(head: bytes, name: str, dialect: Dialect) -> list[str]:
    """Read the names of the columns from the header, or number them column_1, column_2, ... where there is none."""
    quoting = csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE
    text = _decoded(head[:_LONGEST_HEADER], name)
    try:
        records = csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter, quoting=quoting)
        first = next(record for record in records if record)
    except (csv.Error, StopIteration) as error:
        raise DataError(f"{name} has no readable first row: {error}") from None
    if dialect.header:
        return [field.strip() or f"column_{place}" for place, field in enumerate(first, 1)]
    return [f"column_{place}" for place in range(1, len(first) + 1)]


def raw_rows(head: bytes, names: Sequence[str], dialect: Dialect, *, complete: bool) -> pa.Table:
    """Read the first bytes of a file as strings; rows of another length are passed over, and a last one cut short."""
    read = pacsv.ReadOptions(
        column_names=names,
        skip_rows=blank_lines(head),
        skip_rows_after_names=int(dialect.header),
        block_size=3 * len(head) + 1,  # three bytes stand for one that is not UTF-8
    )
    parse = parse_options(dialect)
    parse.invalid_row_handler = lambda row: "skip"
    convert = pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    # Arrow prints an error of its own where the handler should get a row that is not UTF-8.
    text = head.decode("utf-8", "replace").encode()
    try:
        table = pacsv.read_csv(io.BytesIO(text), read, parse, convert)
    except pa.ArrowInvalid:  # reading in earnest says what is wrong
        return pa.table({name: pa.array([], pa.string()) for name in names})
    return table if complete else table.slice(0, max(table.num_rows - 1, 0))


def parse_options(dialect: Dialect) -> pacsv.ParseOptions:
    """Translate a dialect into the options of Arrow's parser."""
    return pacsv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char='"' if dialect.quoting else False,
        newlines_in_values=dialect.quoting,
    )


def look(values: pa.ChunkedArray) -> Looks:
    """Tell what the raw strings of one column are: missing, integer, number, boolean, a kind of date, or string.

    >>> look(pa.chunked_array([["1", " 2", "NA"]])).kind
    'integer'
    """
    trimmed = pc.ascii_trim_whitespace(values).combine_chunks()
    present = trimmed.filter(pc.invert(pc.is_in(trimmed, pa.array(MARKERS))))
    if len(present) == 0:
        return Looks("missing", True)
    kind = _kind(present)
    return Looks(kind, kind != "string" or pc.count_distinct(trimmed).as_py() * 2 <= len(trimmed))


def unite(looks: Sequence[Looks], column: str, files: Sequence[str]) -> Looks:
    """Find what holds the values of one column in all files.

    Raises DataError naming two files where the column is of different kinds.
    """
    seen = [(one.kind, file) for one, file in zip(looks, files, strict=True) if one.kind != "missing"]
    kinds = {kind for kind, _ in seen}
    repeats = all(one.repeats for one in looks)
    for family in ({"integer", "long", "number"}, {"date", "nanoseconds"}):
        if kinds <= family and len(kinds) > 1:
            broadest = "number" if "number" in kinds else "long" if "long" in kinds else "nanoseconds"
            return Looks(broadest, repeats)
    if len(kinds) > 1:
        (first, first_file), (other, other_file) = seen[0], next(pair for pair in seen if pair[0] != seen[0][0])
        raise DataError(
            f"column {column!r} holds {_PLURAL[first]} in {first_file} but {_PLURAL[other]} in {other_file}"
        )
    return Looks(kinds.pop() if kinds else "missing", repeats)


def column_type(looks: Looks, *, complete: bool) -> pa.DataType:
    """Choose the type to read a column with; `complete` says whether the sample was all there is.

    Whole numbers become int64 only where no later row can hold a fraction, or where float64 would round them; else
    float64, which holds every whole number up to 2^53.
    """
    if looks.kind == "long" or (looks.kind == "integer" and complete):
        return pa.int64()
    if looks.kind == "integer":
        return pa.float64()
    if looks.kind in _TYPES:
        return _TYPES[looks.kind]
    return _WORD if looks.repeats else pa.string()


_PLURAL = {
    "integer": "numbers",
    "long": "numbers",
    "number": "numbers",
    "boolean": "true and false",
    "date": "dates",
    "nanoseconds": "dates",
    "zoned date": "dates with a time zone",
    "string": "words",
}


def _kind(present: pa.Array) -> str:
    """Tell the kind of trimmed strings none of which stands for a missing value."""
    if _castable(present, pa.float64()):
        if not _castable(present, pa.int64()):
            return "number"
        bounds = pc.min_max(present.cast(pa.int64())).as_py()
        return "long" if max(-bounds["min"], bounds["max"]) > _LARGEST_EXACT else "integer"
    if pc.all(pc.is_in(present, pa.array(TRUE + FALSE))).as_py():
        return "boolean"
    for kind in ("date", "nanoseconds", "zoned date"):
        if _castable(present, _TYPES[kind]):
            return kind
    for kind, pattern in (("number", _NUMBER), ("date", _DATE)):
        if _nearly_all(present, pattern):
            return kind
    return "string"


def _castable(strings: pa.Array, kind: pa.DataType) -> bool:
    """Tell whether Arrow reads every string as the given type.

    It is asked in growing pieces, as it goes on after the first failure and a failure costs it 100 times a success.
    """
    start, size = 0, 64
    try:
        while start < len(strings):
            strings.slice(start, size).cast(kind)
            start, size = start + size, size * 4
    except pa.ArrowInvalid:
        return False
    return True


def _nearly_all(present: pa.Array, pattern: str) -> bool:
    """Tell whether all values but a few stray ones match."""
    stray = len(present) - pc.sum(pc.match_substring_regex(present, pattern)).as_py()
    return len(present) >= _STRAY_ROWS and stray <= max(1, STRAY_SHARE * len(present))


def _decoded(head: bytes, name: str) -> str:
    """Decode the first bytes of a file, from which a byte-order mark is left out; later rows are checked when read."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[:1000].count(b"\0") * 4 > len(head[:1000]) > 0:
        raise DataError(f"{name} must be UTF-8 text, but is UTF-16: convert it with iconv -f UTF-16 -t UTF-8")
    first_line = head.split(b"\n", 1)[0]
    try:
        first_line.decode("utf-8")
    except UnicodeDecodeError as error:
        wrong = first_line[error.start : error.start + 1]
        is_text = first_line.decode("latin-1").translate({9: None, 13: None}).isprintable()
        hint = ": if it is Latin-1, convert it with iconv -f WINDOWS-1252 -t UTF-8" if is_text else ""
        raise DataError(f"{name} must be UTF-8 text, but its first line holds the byte {wrong!r}{hint}") from None
    return head.removeprefix(BOM_UTF8).decode("utf-8", "replace")


def _fit(text: str, delimiter: str, whole: bool) -> tuple[float, int]:
    """Rate a delimiter by the share of records that have the most common number of fields, if that is above one."""
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    lengths = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting):
            if record:
                lengths.append(len(record))
            if len(lengths) > _SNIFFED_RECORDS:
                break
    except csv.Error:
        return (0.0, 0)
    if not whole or len(lengths) > _SNIFFED_RECORDS:
        lengths = lengths[:-1] or lengths
    common = max(set(lengths), key=lambda length: (lengths.count(length), length))
    if common == 1:
        return (0.0, int(delimiter == ","))
    return (lengths.count(common) / len(lengths), -_DELIMITERS.index(delimiter))


def _well_quoted(text: str, whole: bool) -> bool:
    """Tell whether every field of tab-separated text that begins with a quote also ends with one."""
    lines = text.split("\n") if whole else text.split("\n")[:-1]
    opened = re.findall(r'(?:^|\t)"', "\n".join(lines), re.MULTILINE)
    closed = re.findall(r'(?:^|\t)"(?:[^"]|"")*"(?=\t|\r?$)', "\n".join(lines), re.MULTILINE)
    return len(opened) == len(closed)
