"""Cells of CSV files, read as strings, into values of a type: as Arrow's reader converts them, but cell by cell."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported, where a type checker does not see them.
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schuss.data.columns.place import not_a_number
from schuss.data.csv_bytes import as_written, holds_stand_ins
from schuss.data.csv_types import FALSE, MARKERS, TRUE

_TOGETHER = 1024


class BadCell(NamedTuple):
    """A cell that cannot be converted: the place of its row, its column, its bytes, and what is wrong with it."""

    place: int
    column: str
    raw: bytes
    complaint: str


def convert_cells(table: pa.RecordBatch, wanted: pa.Schema) -> tuple[list[pa.Array], list[BadCell]]:
    """Convert columns of strings; cells that cannot be converted are missing, and given in the order of the rows."""
    arrays, cells = [], []
    for field in wanted:
        strings = table.column(field.name)
        try:
            arrays.append(_cast(strings, field.type))
        except pa.ArrowInvalid:
            places = _bad_places(strings, field.type)
            for place in places:
                raw = as_written(strings[place].as_buffer().to_pybytes())
                cells.append(BadCell(place, field.name, raw, _complaint(raw, field.type)))
            gone = np.zeros(len(strings), bool)
            gone[places] = True
            arrays.append(_cast(strings.take(pa.array(np.arange(len(strings)), mask=gone)), field.type))
    return arrays, sorted(cells, key=lambda cell: cell.place)


def tidied(array: pa.Array) -> pa.Array:
    """Trim strings and make the empty ones missing."""
    if pa.types.is_dictionary(array.type):
        words = tidied(array.dictionary)
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


def is_parsed(kind: pa.DataType) -> bool:
    """Tell numbers, dates and booleans from words."""
    return not (pa.types.is_string(kind) or pa.types.is_dictionary(kind))


def holds_nul(words: pa.Array) -> bool:
    """Whether there is a NUL byte among strings: what a crash leaves in a file, and no text has."""
    return not _text_of(words.dictionary if pa.types.is_dictionary(words.type) else words).all()


def _text_of(words: pa.Array) -> NDArray[np.uint8]:
    """Give all bytes of strings."""
    _, offsets, data = words.buffers()
    if data is None or not len(words):
        return np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32, len(words) + 1, words.offset * 4)
    return np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]


def _cast(strings: pa.Array, kind: pa.DataType) -> pa.Array:
    """Convert strings; raises ArrowInvalid where one cannot be."""
    strings.validate(full=True)
    if not is_parsed(kind):
        text = _text_of(strings)
        if not text.all():
            raise pa.ArrowInvalid("a NUL byte")
        if holds_stand_ins(text.tobytes()):
            raise pa.ArrowInvalid("bytes that are not UTF-8")
        tidy = tidied(strings)
        return tidy.dictionary_encode() if pa.types.is_dictionary(kind) else tidy
    trimmed = pc.ascii_trim_whitespace(strings)
    missing = pc.or_(pc.is_null(trimmed), pc.is_in(trimmed, pa.array(MARKERS)))
    present = pc.if_else(missing, None, trimmed)
    if not pa.types.is_boolean(kind):
        return present.cast(kind)
    true = pc.is_in(trimmed, pa.array(TRUE))
    if not pc.all(pc.or_(pc.or_(true, missing), pc.is_in(trimmed, pa.array(FALSE)))).as_py():
        raise pa.ArrowInvalid("neither true nor false")
    return pc.if_else(missing, None, true)


def _bad_places(strings: pa.Array, kind: pa.DataType) -> list[int]:
    """Find the strings that cannot be converted: pieces that fail as a whole are halved."""
    found = []
    starts = range(0, len(strings), _TOGETHER)
    waiting = [(start, min(start + _TOGETHER, len(strings))) for start in starts][::-1]
    while waiting:
        start, stop = waiting.pop()
        try:
            _cast(strings.slice(start, stop - start), kind)
        except pa.ArrowInvalid:
            if stop - start == 1:
                found.append(start)
                continue
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
    return found


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
        return not_a_number(text)
    if not is_parsed(kind):
        return f"{text!r} holds a NUL byte"
    return f"{text!r} is not true or false" if pa.types.is_boolean(kind) else f"{text!r} is not a date"
