"""What a person should know of data that can be read, and yet may not be what was meant."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import pyarrow as pa
from pyarrow import fs

from .columns.convert import as_strings, in_one_piece, is_stringy
from .columns.place import DECIMAL_COMMA, POINT_WANTED
from .files import File, compression, translated

__all__ = ["large_numbers", "look_alikes", "numbers_as_words", "partitions", "spellings", "unfinished"]

# A file may end with one of these without a line break, and its last value is whole.
_ENDS = b'\n\r"}]'
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# With a currency, a percent sign or thousands apart: "$1,200.50", "12%", "1 200".
_DRESSED_NUMBER = re.compile(r"[+-]?[$€£¥]?\s?[+-]?(\d{1,3}([,' ]\d{3})+|\d+)(\.\d*)?\s?[%$€£¥]?")
_OTHER_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1\d{2,4}(\s.*)?")
# Of fewer different words nothing is said; so small a share of other words does not hide that a column is numbers.
_ENOUGH_TO_JUDGE, _FEW = 20, 0.1
# Words that are looked at, and the first rows that they come from: to list those of a whole sample took 0.2 s.
_LOOKED_AT, _AMONG = 1000, 16_384
_EXACT = 2**53


def unfinished(files: Sequence[File]) -> list[str]:
    """Tell of text files whose last line has no end: one that was cut off within a number looks just so."""
    said = []
    for file in files:
        if not isinstance(file.filesystem, fs.LocalFileSystem) or file.size == 0:
            continue
        with translated(file.name), file.filesystem.open_input_file(file.path) as raw:
            packed = compression(raw.read(4)) is not None
            raw.seek(file.size - 1)
            last = raw.read(1)
        if not packed and last not in _ENDS:
            said.append(f"{file.name} does not end with a line break: if it was cut off, its last value may be too")
    return said


def partitions(files: Sequence[File]) -> list[str]:
    """Tell of folders such as `year=2024`, whose names are not read."""
    folders = {part for file in files for part in PurePosixPath(file.name).parts[:-1] if "=" in part}
    keys = sorted({folder.partition("=")[0] for folder in folders})
    return [f"the folders name columns that are not read: {', '.join(map(repr, keys))}"] if keys else []


def spellings(words: Iterable[str], column: str) -> list[str]:
    """Tell of labels that are the same number, spelt in several ways.

    >>> spellings(["1", "0", "1.0", "01"], "y")
    ["the target 'y' spells the same number in several ways, as '1' and '1.0': they count as one"]
    """
    known: dict[float, str] = {}
    for word in words:
        number = float(word)
        if known.setdefault(number, word) != word:
            ways = f"as {known[number]!r} and {word!r}"
            return [f"the target {column!r} spells the same number in several ways, {ways}: they count as one"]
    return []


def look_alikes(words: Iterable[str], column: str) -> list[str]:
    r"""Tell of words that look the same, their accents being letters of their own or not.

    >>> look_alikes(["caf\u00e9", "cafe\u0301", "tea"], "drink")
    ["column 'drink' has values that look the same and are two: 'caf\\xe9' and 'cafe\\u0301'"]
    """
    known: dict[str, str] = {}
    for word in words:
        if not word.isascii() and (other := known.setdefault(unicodedata.normalize("NFC", word), word)) != word:
            return [f"column {column!r} has values that look the same and are two: {other!a} and {word!a}"]
    return []


def numbers_as_words(sample: pa.Table, columns: Iterable[str]) -> list[str]:
    """Tell of columns that are read as words, and are numbers or dates written in another way, or nearly all numbers.

    >>> numbers_as_words(pa.table({"size": ["1,5", "2,25"]}), ["size"])
    ["column 'size' is read as words: its numbers, such as '1,5', have a decimal comma, where a point is read: ..."]
    """
    said = []
    for name in columns:
        if is_stringy(sample.schema.field(name).type):
            strings = as_strings(in_one_piece(sample.column(name).slice(0, _AMONG)))
            words = [word for word in strings.dictionary.slice(0, _LOOKED_AT).to_pylist() if word]
            if reason := _almost_numbers(words):
                said.append(f"column {name!r} is read as words: {reason}")
    return said


def _almost_numbers(words: Sequence[str]) -> str | None:
    """Say in which way different words are numbers or dates and yet not read as such; None where they are none."""
    if len(words) < 2:
        return None
    if all(DECIMAL_COMMA.fullmatch(word.strip()) for word in words):
        return f"its numbers, such as {words[0]!r}, have {POINT_WANTED}"
    if len(words) < _ENOUGH_TO_JUDGE:
        return None
    if all(_DRESSED_NUMBER.fullmatch(word.strip()) for word in words):
        return f"its numbers, such as {words[0]!r}, hold other signs than digits and a point"
    if all(_OTHER_DATE.fullmatch(word.strip()) for word in words):
        return f"its dates, such as {words[0]!r}, are not written as in '2024-12-31'"
    others = [word for word in words if not _PLAIN_NUMBER.fullmatch(word.strip())]
    if len(others) <= _FEW * len(words):
        return f"nearly all its values are numbers, but {others[0]!r} is none" if others else None
    return None


def large_numbers(sample: pa.Table, columns: Iterable[str]) -> list[str]:
    """Tell of features that are whole numbers which floating point does not hold exactly."""
    said = []
    for name in columns:
        kind = sample.schema.field(name).type
        if pa.types.is_int64(kind) or pa.types.is_uint64(kind):
            values = in_one_piece(sample.column(name)).drop_null()
            numbers = values.to_numpy(zero_copy_only=False)
            if len(numbers) and (numbers.max() > _EXACT or numbers.min() < -_EXACT):
                said.append(
                    f"column {name!r} holds whole numbers beyond 2^53, which are rounded; --categorical keeps them"
                )
    return said
