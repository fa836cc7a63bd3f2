"""Strings into tokens, for many strings at once and without a loop over them."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .compute import pc
from .hashing import hash_runs, mix, string_buffers

# What a character is to its neighbours. Runs of word characters make a token, and so do runs of other marks: "!!!" and
# "£" tell spam from ham. A lone character is a token by itself: Chinese and Japanese put no blanks between words, so
# characters and pairs of them are what there is to count; emoji likewise.
BLANK, WORD, MARK, LONE = range(4)

_PAIR = np.uint64(0xD6E8FEB86659FD93)


class Tokens(NamedTuple):
    """Tokens of some rows, one after the other.

    hashes : of each token; counts : how many each row has; a row with none has one token of no characters.
    starts, stops : where each token lies in `characters` (code points, lower case).
    """

    hashes: NDArray[np.uint64]
    counts: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    characters: NDArray[np.integer]

    def texts(self, places: NDArray[np.integer]) -> list[str]:
        """Give the tokens at some places as strings."""
        letters = self.characters.tobytes().decode("utf-32-le" if self.characters.itemsize > 1 else "ascii")
        bounds = zip(self.starts[places].tolist(), self.stops[places].tolist(), strict=True)
        return [letters[start:stop] for start, stop in bounds]


def tokenize(strings: pa.Array) -> Tokens:
    """Cut strings (of type string, without nulls) into lower-case tokens.

    >>> tokens = tokenize(pa.array(["Win £1000 NOW!!!", "", "日本"]))
    >>> tokens.texts(np.arange(8)), tokens.counts.tolist()
    (['win', '£', '1000', 'now', '!!!', '', '日', '本'], [5, 1, 2])
    """
    codes, bounds = characters(lowered(strings))
    kinds = np.zeros(len(codes) + 2, np.uint8)  # with a blank before the first and after the last
    plain = codes.dtype == np.uint8
    kinds[1:-1] = kinds_of_ascii()[codes] if plain else kinds_of_characters()[np.minimum(codes, np.uint32(0xFFFF))]
    # A new token begins wherever the kind changes, at a lone character, and at the first character of a row.
    change = (kinds[1:] != kinds[:-1]) | (kinds[1:] == LONE)
    change[bounds[:-1]] = True
    starts = np.flatnonzero(change & (kinds[1:] != BLANK))
    edges = np.flatnonzero(change)
    stops = edges[np.searchsorted(edges, starts, side="right")] if len(starts) else starts
    counts = np.diff(np.searchsorted(starts, bounds))
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        at = np.cumsum(counts)[empty]
        starts, stops = (np.insert(ends, at, bounds[empty]) for ends in (starts, stops))
        counts[empty] = 1
    return Tokens(hash_runs(codes, starts, stops - starts), counts, starts, stops, codes)


def pair_hashes(tokens: Tokens) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash each pair of neighbours within a row; give the hashes and the place of each pair's first token."""
    last = np.cumsum(tokens.counts) - 1
    first = np.delete(np.arange(len(tokens.hashes)), last)
    return mix(tokens.hashes[first] * _PAIR + tokens.hashes[first + 1]), first


def lowered(strings: pa.Array) -> pa.Array:
    """Write strings (of type string, without nulls) in lower case; Arrow is quicker with ASCII where that is all."""
    codes, bounds = string_buffers(strings)
    plain = codes[bounds[0] : bounds[-1]].max(initial=0) < 0x80
    return pc.ascii_lower(strings) if plain else pc.utf8_lower(strings)


def characters(strings: pa.Array) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Give the code points of all strings, and where each begins and the last ends."""
    data, offsets = string_buffers(strings)
    raw, bounds = data[offsets[0] : offsets[-1]], offsets.astype(np.int64) - offsets[0]
    if raw.max(initial=0) < 0x80:
        return raw, bounds
    leads = (raw & 0xC0) != 0x80  # every character has one byte that is not a continuation
    before = np.concatenate([[0], np.cumsum(leads)])
    return np.frombuffer(raw.tobytes().decode().encode("utf-32-le"), np.uint32), before[bounds]


@cache
def kinds_of_characters() -> NDArray[np.uint8]:
    """Give the kind of each character below 0xFFFF; all beyond count as that last one."""
    return np.array([_kind(chr(code)) for code in range(0xFFFF)] + [LONE], np.uint8)


@cache
def kinds_of_ascii() -> NDArray[np.uint8]:
    """Give the kind of each character of ASCII: all 65,536 take 0.05 s to look up."""
    return np.array([_kind(chr(code)) for code in range(0x80)], np.uint8)


def _kind(character: str) -> int:
    if character.isspace():
        return BLANK
    if "\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff":
        return LONE
    return WORD if character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M" else MARK
