"""Text: hashed words and pairs of words, weighted by how telling they are (tf-idf)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...kernels import store
from .compute import pc
from .convert import as_plain_strings
from .hashing import expected_later, string_buffers
from .kind import Entries, Scale
from .place import Place
from .tokens import Tokens, characters, kinds_of_ascii, kinds_of_characters, pair_hashes, tokenize

# Text that is worked on at once, and text that the weights are taken from: both bound the memory.
PIECE_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 24
# The same where it is scored.
SCORED_BYTES = 1 << 18
# Buckets for each different term: one in ten, or fewer, then shares its bucket with another.
ROOM = 8
LEAST_BITS = 10
# Terms whose words are kept, the most frequent ones, so that weights can be explained.
NAMED_AT_MOST = 20_000
# Characters that may be read behind the last, `kernels.plain.AT_ONCE`, and terms that are sorted together,
# `kernels.sorting.GROUP`: neither can be imported without numba.
READ_BEYOND, SORTED_TOGETHER = 16, 16


class Prepared(NamedTuple):
    """Terms of some rows: of which buckets, how often; `starts` is where each row's terms begin."""

    starts: NDArray[np.int64]
    buckets: NDArray[np.int32]
    times: NDArray[np.int32]


@dataclass(frozen=True)
class TextColumn:
    """The encoder of a column of text.

    A term is a token or a pair of neighbouring tokens, hashed to one of `2 ** bits` buckets. Its raw feature is
    `(1 + log(times)) * idf`, the row then divided by its Euclidean norm; `idf = 1 + log((1 + n) / (1 + rows with it))`.
    The factor makes the root mean square of the features that are there 1, as large as an indicator, so that step sizes
    and penalties mean the same for text as for categories.

    named, names : buckets whose terms are known by name, and these names.
    """

    name: str
    bits: int
    idf: NDArray[np.float64]
    terms: float
    missing: float
    distinct: int
    named: NDArray[np.int64]
    names: tuple[str, ...]

    @classmethod
    def fit(cls, values: pa.Array, place: Place, hash_bits: int, rows_expected: int | None) -> TextColumn:
        """Take the weights of terms from a sample."""
        missing = values.null_count / max(len(values), 1)
        step = max(1, -(-values.nbytes // SAMPLE_BYTES))
        values = values.take(pa.array(np.arange(0, len(values), step))) if step > 1 else values
        frequency = _document_frequency(values, place, hash_bits)
        distinct = np.count_nonzero(frequency)
        later = expected_later(frequency[frequency > 0], len(values), rows_expected)
        bits = min(hash_bits, max(LEAST_BITS, int(ROOM * (distinct + later)).bit_length()))
        if bits < hash_bits:
            frequency = _document_frequency(values, place, bits)
        # A term that the sample lacks gets the weight of one in every row. With the weight of a rare one it would dwarf
        # the terms that are known, by way of the norm: pooled 5-fold accuracy on the SMS spam set 0.986, not 0.990.
        idf = np.where(frequency > 0, 1 + np.log((1 + len(values)) / (1 + frequency)), 1.0)
        terms = float(frequency.sum() / max(len(values), 1))
        named, names = _frequent_terms(values, place, bits, frequency)
        return cls(place.column, bits, idf, terms, missing, int(distinct), named, names)

    @property
    def scale(self) -> Scale:
        """Terms are never centred: a text has few of them."""
        return Scale(np.zeros(1 << self.bits), np.full(1 << self.bits, max(self.terms, 1.0) ** 0.5))

    @property
    def density(self) -> float:
        """Features per row that are not zero."""
        return self.terms

    def laid_out(self, sparse: bool) -> TextColumn:
        """Give itself: dense rows of text are possible, if wasteful, and not centred either."""
        return self

    def prepare(self, values: pa.Array, place: Place) -> Prepared:
        """Count the terms of each row."""
        pieces = [_count_terms(piece, self.bits) for piece in _pieces(as_plain_strings(values, place))]
        if not pieces:
            return Prepared(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))
        counts, buckets, times = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        return Prepared(_starts(counts), buckets, times)

    def to_score(self, values: pa.Array, place: Place) -> pa.Array:
        """Give the strings, whose terms are counted when they are scored."""
        return as_plain_strings(values, place)

    def unseen(self, prepared: Prepared) -> int:
        """Count nothing: new words are the rule in text."""
        return 0

    def write(self, prepared: Prepared, rows: slice, out: NDArray[np.float32]) -> None:
        """Write dense rows."""
        counts, buckets, weights = self.entries(prepared, rows)
        out[:] = 0
        out[np.repeat(np.arange(len(out)), counts), buckets] = weights

    def entries(self, prepared: Prepared, rows: slice) -> Entries:
        """Give the weighted terms."""
        starts = prepared.starts[rows.start : rows.stop + 1]
        part = slice(starts[0], starts[-1])
        buckets = prepared.buckets[part]
        return Entries(np.diff(starts), buckets, self._weigh(starts - starts[0], buckets, prepared.times[part]))

    def _weigh(
        self, starts: NDArray[np.int64], buckets: NDArray[np.int32], times: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Weigh terms by frequency and idf, and bring each row to the same norm."""
        values = np.empty(len(buckets), np.float32)
        store.run("terms:weigh", (), starts, buckets, times, *self._weights(times), values)
        return values

    def _weights(self, times: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Give what kernels weigh terms by: growth with their times, idf, and the norm of a row."""
        growth = 1 + np.log(np.maximum(np.arange(times.max(initial=0) + 1), 1))
        return growth, self.idf, max(self.terms, 1.0) ** 0.5

    def add_scores(self, prepared: pa.Array, weights: NDArray[np.float32], scores: NDArray[np.float64]) -> None:
        """Add what the weighted terms of strings score, piece by piece.

        With the terms of all 65,536 rows in three arrays first, put together from pieces, predicting in two threads
        took 407 MiB, not 380, and no less time.
        """
        first = 0
        for piece in _pieces(prepared, SCORED_BYTES):
            counts, buckets, times = _count_terms(piece, self.bits)
            own = scores[first : first + len(piece)]
            weighed = self._weights(times)
            store.run("terms:add_scores", (), _starts(counts), buckets, times, *weighed, weights, own)
            first += len(piece)

    def feature(self, index: int) -> tuple[str, str]:
        """Name a feature by the most frequent term of its bucket, and say what its weight is per."""
        at = int(np.searchsorted(self.named, index))
        known = at < len(self.named) and self.named[at] == index
        return f"{self.name}: {self.names[at] if known else f'bucket {index}'}", "per unit of tf-idf"

    def describe(self) -> dict[str, object]:
        """Say what the sample showed."""
        return {"missing": self.missing, "terms": self.distinct, "terms_per_row": self.terms, "buckets": 1 << self.bits}


def _pieces(strings: pa.Array, size: int = PIECE_BYTES) -> Iterator[pa.Array]:
    """Give strings in pieces of about so many bytes."""
    step = max(1, int(len(strings) * size / max(strings.nbytes, 1)))
    for start in range(0, len(strings), step):
        yield strings.slice(start, step)


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give where the terms of each row begin, and where the last ones end."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _count_terms(strings: pa.Array, bits: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Count, in each row, the buckets of its tokens and pairs: buckets per row, buckets ascending in a row, times."""
    codes, bounds = string_buffers(strings)
    begin, end = int(bounds[0]), int(bounds[-1])
    letters, met = np.zeros(end - begin + READ_BEYOND, np.uint8), np.empty(1, np.uint8)
    store.run("plain:lower", (), codes, begin, letters[:-READ_BEYOND], met)
    counts = np.empty(len(strings), np.int64)
    terms = np.empty(2 * (end - begin) + len(strings) + SORTED_TOGETHER, np.int32)
    if met[0] < 0x80:
        store.run("plain:terms", (), letters, bounds, kinds_of_ascii(), 64 - bits, terms, counts)
    else:
        codes, bounds = characters(pc.utf8_lower(strings))
        store.run("terms:terms", (), codes, bounds, kinds_of_characters(), 64 - bits, terms, counts)
    buckets, times = np.empty((2, counts.sum() + SORTED_TOGETHER), np.int32)
    store.run("sorting:each_once", (), terms, counts, buckets, times, np.empty(2 * SORTED_TOGETHER, np.int32))
    total = counts.sum()
    return counts, buckets[:total], times[:total]


def _bucket(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    return (hashes >> np.uint64(64 - bits)).astype(np.int64)


def _document_frequency(values: pa.Array, place: Place, bits: int) -> NDArray[np.int64]:
    """Count the rows that have each bucket."""
    frequency = np.zeros(1 << bits, np.int64)
    for piece in _pieces(as_plain_strings(values, place)):
        _, buckets, _ = _count_terms(piece, bits)
        frequency += np.bincount(buckets, minlength=1 << bits)
    return frequency


def _frequent_terms(
    values: pa.Array, place: Place, bits: int, frequency: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Find the words of the most frequent buckets: for each the first term met that falls into it."""
    wanted = _most_frequent(frequency, NAMED_AT_MOST)
    names: dict[int, str] = {}
    for piece in _pieces(as_plain_strings(values, place)):
        tokens = tokenize(_with_any(piece, bits, wanted))
        pairs, first = pair_hashes(tokens)
        buckets = _bucket(np.concatenate([tokens.hashes, pairs]), bits)
        found, where = np.unique(buckets, return_index=True)
        new = wanted[found]
        names.update(zip(found[new].tolist(), _spelled(tokens, first, where[new]), strict=True))
        wanted[found] = False
    named = sorted(names)
    return np.array(named, np.int64), tuple(names[bucket] for bucket in named)


def _most_frequent(frequency: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Mark at most so many buckets, the most frequent ones; of equal ones those that come first.

    >>> _most_frequent(np.array([1, 3, 1, 1]), 2).tolist()
    [True, True, False, False]
    """
    if most >= len(frequency):
        return np.ones(len(frequency), bool)
    limit = np.partition(frequency, -most)[-most]
    marked = frequency > limit
    marked[np.flatnonzero(frequency == limit)[: most - np.count_nonzero(marked)]] = True
    return marked


def _with_any(strings: pa.Array, bits: int, wanted: NDArray[np.bool_]) -> pa.Array:
    """Take the strings that have a term in a wanted bucket: to spell terms takes ten times as long as to count them."""
    counts, buckets, _ = _count_terms(strings, bits)
    rows = np.repeat(np.arange(len(strings)), counts)
    return strings.take(pa.array(np.unique(rows[wanted[buckets]])))


def _spelled(tokens: Tokens, first: NDArray[np.int64], places: NDArray[np.int64]) -> list[str]:
    """Spell terms, given their places among the tokens and then the pairs."""
    are_pairs, own = places >= len(tokens.hashes), places.copy()
    own[are_pairs] = first[places[are_pairs] - len(tokens.hashes)]
    terms = tokens.texts(own)
    for at, second in zip(np.flatnonzero(are_pairs).tolist(), tokens.texts(own[are_pairs] + 1), strict=True):
        terms[at] += f" {second}"
    return [f"'{term}'" for term in terms]
