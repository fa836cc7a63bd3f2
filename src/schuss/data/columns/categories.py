"""Categories: an indicator for each one known from the sample, hashed buckets for the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...kernels import store
from .convert import as_strings, string_codes
from .hashing import expected_later, string_buffers
from .kind import Entries, Scale, indicator_scale
from .place import Place

# Categories beyond this many share hashed buckets; the most frequent ones keep an indicator of their own.
KNOWN_AT_MOST = 1000


@dataclass(frozen=True)
class CategoryColumn:
    """The encoder of a column of categories.

    Features, in this order: an indicator for each of `known`, for missing where the sample has missing values, and for
    each of `buckets` hashed buckets that take every other value. Where the sample's categories are all known, the one
    bucket is for those that come later.
    """

    name: str
    known: tuple[str, ...]
    gap: bool
    buckets: int
    shares: NDArray[np.float64]
    distinct: int
    scale: Scale

    @classmethod
    def fit(cls, values: pa.Array, place: Place, buckets_at_most: int, rows_expected: int | None) -> CategoryColumn:
        """Take the categories of a sample."""
        strings = as_strings(values)
        codes = string_codes(strings)
        counts = np.bincount(codes + 1, minlength=len(strings.dictionary) + 1)
        missing, counts = int(counts[0]), counts[1:]
        known = _most_frequent(strings.dictionary, counts)
        counts = counts[counts > 0]
        buckets = 1
        if len(counts) > KNOWN_AT_MOST:
            later = expected_later(counts, len(values), rows_expected)
            buckets = min(1 << int(2 * (len(counts) - KNOWN_AT_MOST + later)).bit_length(), buckets_at_most)
        return cls._with_shares(values, place, known, missing > 0, buckets, len(counts))

    @classmethod
    def among(cls, values: pa.Array, place: Place, known: tuple[str, ...]) -> CategoryColumn:
        """Take the frequencies of categories that are known beforehand."""
        return cls._with_shares(values, place, known, values.null_count > 0, 1, len(known))

    @classmethod
    def _with_shares(
        cls, values: pa.Array, place: Place, known: tuple[str, ...], gap: bool, buckets: int, distinct: int
    ) -> CategoryColumn:
        empty = np.empty(0)
        column = cls(place.column, known, gap, buckets, empty, distinct, Scale(empty, empty))
        shares = np.bincount(column.prepare(values, place), minlength=len(known) + gap + buckets)
        return replace(column, shares=shares / max(len(values), 1)).laid_out(sparse=False)

    @property
    def density(self) -> float:
        """Features per row that are not zero: every row has one."""
        return 1.0

    def laid_out(self, sparse: bool) -> CategoryColumn:
        """Give the same encoder with the scale of that layout."""
        return replace(self, scale=indicator_scale(self.shares, sparse))

    def prepare(self, values: pa.Array, place: Place) -> NDArray[np.int32]:
        """Find the feature of each row, of a dictionary looking each distinct value up once."""
        if pa.types.is_string(values.type):
            features = self._found(values)
            if values.null_count:
                features[values.is_null().to_numpy(zero_copy_only=False)] = len(self.known)
            return features
        strings = as_strings(values)
        # One place more than there are words, so that the code of a missing value, -1, finds the last.
        features = np.append(self._found(strings.dictionary), np.int32(len(self.known)))
        return features[string_codes(strings)]

    to_score = prepare

    def _found(self, words: pa.Array) -> NDArray[np.int32]:
        """Find the feature of each word."""
        features = np.empty(len(words), np.int32)
        first = len(self.known) + self.gap
        store.run("words:find", (), *string_buffers(words), *self._index, first, self.buckets, features)
        return features

    @cached_property
    def _index(self) -> tuple[NDArray[Any], ...]:
        """The bytes of known words, where each begins, their hashes, and a table to look these up in."""
        codes, bounds = string_buffers(pa.array(self.known, pa.string()))
        hashes = np.empty(len(self.known), np.uint64)
        slots = np.full(1 << (4 * len(self.known)).bit_length(), -1)
        store.run("words:note", (), codes, bounds, hashes, slots)
        return codes, bounds, hashes, slots

    def unseen(self, prepared: NDArray[np.int32]) -> int:
        """Count the rows whose feature no row of the sample has."""
        return int(np.count_nonzero(self._never_seen[prepared]))

    @cached_property
    def _never_seen(self) -> NDArray[np.bool_]:
        return self.shares == 0

    @cached_property
    def _factors(self) -> NDArray[np.float32]:
        return self.scale.factor.astype(np.float32)

    def write(self, prepared: NDArray[np.int32], rows: slice, out: NDArray[np.float32]) -> None:
        """Write the standardised indicators."""
        codes = prepared[rows]
        out[:] = -self.scale.centre * self.scale.factor
        out[np.arange(len(codes)), codes] = ((1 - self.scale.centre) * self.scale.factor)[codes]

    def entries(self, prepared: NDArray[np.int32], rows: slice) -> Entries:
        """Give the one indicator of each row."""
        codes = prepared[rows]
        return Entries(np.ones(len(codes), np.int64), codes, self._factors[codes])

    def add_scores(
        self, prepared: NDArray[np.int32], weights: NDArray[np.float32], scores: NDArray[np.float64]
    ) -> None:
        """Add what the one indicator of each row scores."""
        store.run("entries:add_indicator_scores", (), prepared, self._factors, weights, scores)

    def feature(self, index: int) -> tuple[str, str]:
        """Name a feature, and what its weight is per."""
        if index < len(self.known):
            return f"{self.name} = {self.known[index]}", "when so"
        if self.gap and index == len(self.known):
            return f"{self.name} is missing", "when missing"
        if self.buckets == 1:
            return f"{self.name} is another", "when so"
        return f"{self.name} in bucket {index - len(self.known) - self.gap}", "when so"

    def describe(self) -> dict[str, object]:
        """Say what the sample showed."""
        missing = float(self.shares[len(self.known)]) if self.gap else 0.0
        return {"missing": missing, "categories": self.distinct, "known": len(self.known), "buckets": self.buckets}


def _most_frequent(words: pa.Array, counts: NDArray[np.int64]) -> tuple[str, ...]:
    """Give the words that come most often, sorted; of words that come equally often the first ones in the alphabet.

    Only those that are given become strings of Python: of 150,000 words that took a second.
    """
    there = counts > 0
    if there.sum() > KNOWN_AT_MOST:
        last = np.partition(counts, -KNOWN_AT_MOST)[-KNOWN_AT_MOST]
        there = counts > last
        equal = words.filter(pa.array(counts == last)).sort().slice(0, KNOWN_AT_MOST - int(there.sum()))
        return tuple(sorted([*words.filter(pa.array(there)).to_pylist(), *equal.to_pylist()]))
    return tuple(sorted(words.filter(pa.array(there)).to_pylist()))
