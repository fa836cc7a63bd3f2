"""svmlight (libsvm) files as a source: lines of `label index:value index:value ...`, parsed a block at a time."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from schuss.data.bad_rows import BadRows, faults
from schuss.data.files import Content, read_blocks, translated
from schuss.data.marks import Mark, Marks, marks_of
from schuss.data.parted import PartedSource, Pieces, assemble, emptied, projected
from schuss.data.source import Cursor
from schuss.errors import BadRowError, DataError, OptionError
from schuss.kernels import store

SAMPLE_BYTES = 8 << 20
_SAMPLED_PARTS = 16
_BLOCK_BYTES = 4 << 20
_LARGEST_INDEX = 2**31 - 2
_BLANKS = bytes(range(33))
_AS_BLANKS = bytes.maketrans(_BLANKS, b" " * 33)
_NUMBER = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_EMPTY = re.compile(rb"[\x00-\x09\x0b-\x20]*(\n|\Z)")
_TENS = np.array([float(10**power) for power in range(281)])
_PAIR = pa.struct([pa.field("index", pa.int32(), nullable=False), pa.field("value", pa.float32(), nullable=False)])


class _Parsed(NamedTuple):
    """Rows as arrays.

    labels : `(rows,)`; ends : `(rows + 1,)`, where the pairs of each row begin, and where the last ones end;
    indices, values : of all pairs, indices ascending in each row, from 0 for the smallest that there may be.
    """

    labels: NDArray[np.float64]
    ends: NDArray[np.int32]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]


def svmlight_source(
    contents: Sequence[Content],
    *,
    name: str,
    base: int | None = None,
    rereadable: bool = True,
    nbytes: int | None = None,
    stamps: Sequence[dict[str, object]] = (),
    bad: BadRows | None = None,
) -> PartedSource:
    """Make a source of columns "x" (list of index and value, indices from 0) and "y" (the label).

    `base` is the index of the first feature in the files, 0 or 1; None finds it in a sample: 0 if any index there is 0.
    The number of features is known only where the sample is all there is. Raises DataError at a malformed line.
    """
    if base not in (None, 0, 1):
        raise OptionError(f"svmlight_base must be 0 or 1, got {base!r}")
    count = min(len(contents), _SAMPLED_PARTS)
    places = [place * len(contents) // count for place in range(count)]
    complete = count == len(contents)
    parsed = []
    for place in places:
        head, whole = contents[place].head(SAMPLE_BYTES // count)
        lines = head if whole else head[: head.rfind(b"\n") + 1]
        parsed.append(_parse_or_skip(lines, contents[place].name, 0, 0, place, bad)[0])
        complete &= whole
    rows = sum(len(one.labels) for one in parsed)
    if rows == 0:
        raise DataError(f"{contents[places[0]].name} is empty")
    indices = [one.indices for one in parsed if len(one.indices)]
    if base is None:
        base = int(all(one.min() > 0 for one in indices))
    whole_labels = complete and all(_are_whole(one.labels) for one in parsed)
    metadata = {"schuss.svmlight_base": str(base)}
    if complete:
        metadata["schuss.width"] = str(max((int(one.max()) + 1 - base for one in indices), default=0))
    schema = pa.schema(
        [pa.field("x", pa.list_(_PAIR)), pa.field("y", pa.int64() if whole_labels else pa.float64())], metadata=metadata
    )
    marks = Marks(len(contents))
    return PartedSource(
        name=name,
        parts=[content.name for content in contents],
        schema=schema,
        read=lambda part, row, columns: _read(
            contents[part], base, projected(schema, columns), part, bad, marks, marks.before(part, row)
        ),
        anchors=[Cursor(part, 0) for part in range(len(contents))],
        target="y",
        rows=rows if complete else None,
        nbytes=nbytes,
        stamps=stamps,
        rereadable=rereadable,
        parsed=True,
        steady=True,
        bad=bad,
        marks=marks,
        counted=lambda part: _counted(contents[part]),
    )


def lines_of(
    name: str, base: int, kinds: Mapping[str, pa.DataType], bad: BadRows | None
) -> tuple[pa.Schema, Callable[[bytes, int, pa.Schema], pa.RecordBatch]]:
    """Give columns, and what reads blocks of whole lines; `kinds` holds the type of the label."""
    schema = pa.schema([pa.field("x", pa.list_(_PAIR)), pa.field("y", kinds.get("y", pa.float64()))])
    return schema, lambda block, row, wanted: _rows_of(block, name, row, base, wanted, 0, bad)


def _counted(content: Content) -> Iterator[Mark]:
    """Yield where the blocks of a file begin, and where it ends."""
    if content.quick:
        with translated(content.name), content.open() as stream:
            yield from marks_of(read_blocks(stream, _BLOCK_BYTES), lambda block: _count(block.removeprefix(BOM_UTF8)))


def _read(
    content: Content, base: int, schema: pa.Schema, part: int, bad: BadRows | None, marks: Marks, begin: Mark
) -> Pieces:
    """Parse one file block by block, from a mark on."""
    row, byte = begin
    with translated(content.name), content.opened(byte) as stream:
        for block in read_blocks(stream, _BLOCK_BYTES, byte):
            rows = _rows_of(block, content.name, row, base, schema, part, bad)
            yield row, rows
            row, byte = row + rows.num_rows, byte + len(block)
            if content.enter is not None:
                marks.add(part, row, byte)


def _rows_of(
    block: bytes, name: str, row: int, base: int, schema: pa.Schema, part: int, bad: BadRows | None
) -> pa.RecordBatch:
    """Parse whole lines, the first of which is row `row` of the file (from 0)."""
    parsed, skipped = _parse_or_skip(block, name, row, base, part, bad)
    arrays = [_pairs(parsed) if field.name == "x" else _labels(parsed, field.type) for field in schema]
    return emptied(assemble(arrays, schema, len(parsed.labels)), skipped)


def _pairs(parsed: _Parsed) -> pa.Array:
    """Put the pairs into an Arrow list a row."""
    entries = pa.StructArray.from_arrays([pa.array(parsed.indices), pa.array(parsed.values)], fields=list(_PAIR))
    return pa.ListArray.from_arrays(pa.array(parsed.ends), entries, type=pa.list_(_PAIR))


def _are_whole(labels: NDArray[np.float64]) -> bool:
    """Tell whether all labels are whole numbers of 64 bits; infinity is its own floor."""
    return np.array_equal(labels, np.floor(labels)) and bool((np.abs(labels) < 2.0**63).all())


def _labels(parsed: _Parsed, kind: pa.DataType) -> pa.Array:
    return pa.array(parsed.labels.astype(np.int64) if pa.types.is_integer(kind) else parsed.labels)


def _parse_or_skip(
    block: bytes, name: str, row: int, base: int, part: int, bad: BadRows | None
) -> tuple[_Parsed, list[int]]:
    """Parse whole lines; where bad ones may be skipped, rows of nothing stand in for them; give the places of these."""
    block = block.removeprefix(BOM_UTF8)
    try:
        return _parse(block, name, row, base), []
    except BadRowError:
        if bad is None:
            raise
    lines = _lines(block)
    found = faults(lines, lambda some: _parse(b"\n".join(some), name, 0, base))
    for place, error in found.items():
        bad.add(part, BadRowError(name, row + place, None, error.complaint), lines[place].decode("utf-8", "replace"))
        lines[place] = b"0"
    return _parse(b"\n".join(lines), name, row, base), [*found]


def _parse(block: bytes, name: str, row: int, base: int) -> _Parsed:
    """Parse whole lines, the first of which is row `row` of the file (from 0), in one pass over their bytes.

    Raises DataError at the first malformed row.
    """
    block = _plain(block)
    text = np.frombuffer(block if block.endswith(b"\n") else block + b"\n", np.uint8)
    lines, colons = block.count(b"\n") + 1, np.count_nonzero(text == ord(":"))
    parsed = _Parsed(
        np.empty(lines), np.zeros(lines + 1, np.int32), np.empty(colons, np.int32), np.empty(colons, np.float32)
    )
    left, left_at, found = np.empty(len(text), np.uint8), np.empty(lines + 2 * colons + 1, np.int64), np.zeros(5, int)
    store.run("svmlight:read", (), text, base, _LARGEST_INDEX, _TENS, *parsed, left, left_at, found)
    rows, pairs, filled, many, mixed = found.tolist()
    parsed = _Parsed(parsed.labels[:rows], parsed.ends[: rows + 1], parsed.indices[:pairs], parsed.values[:pairs])
    sound = rows >= 0 and (not many or _fill_in(parsed, left[:filled].tobytes(), left_at[:many], base))
    if not sound or (mixed and not _sort(parsed)):
        raise _first_fault(block, name, row, base)
    return parsed


def _fill_in(parsed: _Parsed, left: bytes, left_at: NDArray[np.int64], base: int) -> bool:
    """Put numbers where they belong that the kernel has left; tell whether they are numbers, and can be there."""
    try:
        numbers = _numbers(left)
    except pa.ArrowInvalid:
        return False
    at, kinds = np.divmod(left_at, 3)
    indices = numbers[kinds == 1]
    if not np.all((indices == np.floor(indices)) & (indices >= base) & (indices <= _LARGEST_INDEX)):
        return False
    parsed.labels[at[kinds == 0]] = numbers[kinds == 0]
    parsed.indices[at[kinds == 1]] = indices - base
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which the encoder reports with its place
        parsed.values[at[kinds == 2]] = numbers[kinds == 2]
    return True


def _numbers(lines: bytes) -> NDArray[np.float64]:
    """Convert numbers, one a line; Arrow's CSV reader does it at 15 ns a number, rounds correctly and is strict."""
    read = pacsv.ReadOptions(column_names=["number"], block_size=len(lines) + 1, use_threads=False)
    parse = pacsv.ParseOptions(delimiter="\t", quote_char=False)
    convert = pacsv.ConvertOptions(column_types={"number": pa.float64()}, null_values=[""])
    table = pacsv.read_csv(pa.BufferReader(lines), read, parse, convert)
    return table["number"].combine_chunks().to_numpy()


def _sort(parsed: _Parsed) -> bool:
    """Sort the pairs of each row by index; tell whether each index is there once."""
    rows = np.repeat(np.arange(len(parsed.labels)), np.diff(parsed.ends))
    order = np.lexsort((parsed.indices, rows))
    parsed.indices[:], parsed.values[:] = parsed.indices[order], parsed.values[order]
    return not ((np.diff(rows) == 0) & (np.diff(parsed.indices) == 0)).any()


def _lines(block: bytes) -> list[bytes]:
    """Give the lines that hold a row."""
    return [line for line in _plain(block).split(b"\n") if line.lstrip(_BLANKS)]


def _count(block: bytes) -> int:
    """Count the lines that hold a row; only those that begin with a blank are looked at more closely."""
    block = _plain(block)
    text = np.frombuffer(block, np.uint8)
    starts = np.append(0, np.flatnonzero(text == ord("\n")) + 1)
    starts = starts[starts < len(text)]
    doubtful = starts[text[starts] <= ord(" ")].tolist()
    return len(starts) - sum(_EMPTY.match(block, start) is not None for start in doubtful)


def _plain(block: bytes) -> bytes:
    """Leave out comments and the numbers of queries."""
    if b"#" in block:
        block = re.sub(rb"#[^\n]*", b"", block)
    return re.sub(rb"(?<=\s)qid:\S*", b"", block) if b"q" in block else block


def _first_fault(block: bytes, name: str, row: int, base: int) -> BadRowError:
    """Say what is wrong with the first malformed line of a block."""
    for line in block.split(b"\n"):
        if tokens := line.translate(_AS_BLANKS).split():
            if fault := _fault(tokens, base):
                return BadRowError(name, row, None, fault)
            row += 1
    return BadRowError(name, row - 1, None, "it or a row before it is not in svmlight format")


def _fault(tokens: list[bytes], base: int) -> str | None:
    """Say what is wrong with the tokens of one line, if anything."""
    shown = [token[:40].decode("utf-8", "replace") for token in tokens]
    if not _NUMBER.fullmatch(tokens[0]):
        return f"the label {shown[0]!r} is not a number"
    seen = set()
    for token, text in zip(tokens[1:], shown[1:], strict=True):
        index, colon, value = token.partition(b":")
        if not colon or not re.fullmatch(rb"[+-]?\d+", index) or not _NUMBER.fullmatch(value):
            return f"expected index:value, found {text!r}"
        number = float(index)  # exact up to the largest; of thousands of digits no int would be made
        if number < base:
            return f"the index in {text!r} is below {base}, from which the indices of this source count"
        if number > _LARGEST_INDEX:
            return f"the index in {text!r} is above {_LARGEST_INDEX:,}, the largest that fits"
        if number in seen:
            return f"the index {number:.0f} comes twice"
        seen.add(number)
    return None
