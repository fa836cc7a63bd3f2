"""Categories: an indicator for each one known from the sample, hashed buckets for the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .compute import pc
from .convert import as_strings, string_codes
from .hashing import expected_later, hash_strings
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
        words = np.array(strings.dictionary.to_pylist(), object)
        counts = np.bincount(codes + 1, minlength=len(words) + 1)
        missing, counts = int(counts[0]), counts[1:]
        # Not by NumPy's strings: an array of them takes as much for each word as for the longest one.
        order = np.array(sorted(np.flatnonzero(counts), key=lambda at: (-counts[at], words[at])), np.intp)
        known = tuple(sorted(words[order[:KNOWN_AT_MOST]]))
        buckets = 1
        if len(order) > KNOWN_AT_MOST:
            later = expected_later(counts[order], len(values), rows_expected)
            buckets = min(1 << int(2 * (len(order) - KNOWN_AT_MOST + later)).bit_length(), buckets_at_most)
        return cls._with_shares(values, place, known, missing > 0, buckets, len(order))

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

    def prepare(self, values: pa.Array, place: Place) -> NDArray[np.intp]:
        """Find the feature of each row, looking each distinct value up once."""
        strings = as_strings(values)
        words = strings.dictionary
        found = pc.index_in(words, pa.array(self.known, pa.string()))
        rest = found.is_null()
        # One place more than there are words, so that the code of a missing value, -1, finds the last.
        features = np.empty(len(words) + 1, np.intp)
        features[:-1] = pc.fill_null(found, 0).to_numpy(zero_copy_only=False)
        features[:-1][rest.to_numpy(zero_copy_only=False)] = (
            len(self.known) + self.gap + bucket(words.filter(rest), self.buckets)
        )
        features[-1] = len(self.known)
        return features[string_codes(strings)]

    def unseen(self, prepared: NDArray[np.intp]) -> int:
        """Count the rows whose feature no row of the sample has."""
        return int(np.count_nonzero(self.shares[prepared] == 0))

    def write(self, prepared: NDArray[np.intp], rows: slice, out: NDArray[np.float32]) -> None:
        """Write the standardised indicators."""
        codes = prepared[rows]
        out[:] = -self.scale.centre * self.scale.factor
        out[np.arange(len(codes)), codes] = ((1 - self.scale.centre) * self.scale.factor)[codes]

    def entries(self, prepared: NDArray[np.intp]) -> Entries:
        """Give the one indicator of each row."""
        return Entries(np.ones(len(prepared), np.int64), prepared, self.scale.factor[prepared])

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


def bucket(words: pa.Array, buckets: int) -> NDArray[np.int64]:
    """Hash strings to one of `buckets`, a power of two."""
    return (hash_strings(words) & np.uint64(buckets - 1)).astype(np.int64)
