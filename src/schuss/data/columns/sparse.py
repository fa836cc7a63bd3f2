"""Rows that are sparse already: lists of (index, value) pairs, as in svmlight files and SciPy's matrices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...kernels import store
from .convert import SparseLists, as_sparse_lists
from .kind import LEAST_DEVIATION, Entries, Scale, add_entry_scores, blocks
from .place import Place

# Each feature takes some 60 bytes of statistics before anything is learned.
FEATURES_AT_MOST = 1 << 26
# Scaled values may always go this far, however narrow the sample.
LEAST_REACH = 10.0
# Features whose sizes are within this factor of the common one are scaled alike. Sparse rows often come weighted
# (tf-idf), and evening all sizes out would undo that: test log loss on the RCV1 slice 0.317 instead of 0.287.
ALIKE = 10.0
# The reciprocals of smaller units are infinite in float32.
LEAST_UNIT = float(np.finfo(np.float32).tiny)


class Prepared(NamedTuple):
    """The pairs of some rows, how many of each row, where each row begins, and how many pairs were left out."""

    lists: SparseLists
    counts: NDArray[np.int64]
    unseen: int


@dataclass(frozen=True)
class SparseColumn:
    """The encoder of a column of (index, value) pairs; feature j is index j, and what is not there is 0.

    first : what the data call the feature with index 0 (svmlight files may count from 1).
    unit : what each feature's values are divided by in sparse rows: the median magnitude of all values that are not
        zero, or the root mean square of the feature's own where that is far from it.
    shares : share of the rows in which each feature is not zero.
    mean, deviation : over all rows, the latter at least LEAST_DEVIATION times that root mean square.
    reach : values in units are clipped at plus and minus this, twice the largest of the sample.
    """

    name: str
    first: int
    unit: NDArray[np.float64]
    shares: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    reach: float
    scale: Scale

    @classmethod
    def fit(cls, values: pa.Array, place: Place, width: int | None, first: int = 0) -> SparseColumn:
        """Take the statistics of a sample; `width` is the number of features where known."""
        lists = as_sparse_lists(values, place)
        refuse_bad_pairs(lists, place, first)
        there = (lists.values != 0) & (lists.indices < (np.inf if width is None else width))
        indices, numbers = lists.indices[there], lists.values[there].astype(np.float64)
        largest = int(indices.max(initial=-1))
        width = largest + 1 if width is None else width
        if width > FEATURES_AT_MOST:
            row = int(np.searchsorted(lists.indptr, np.argmax(lists.indices), side="right")) - 1
            complaint = (
                f"the index {largest + first:,} makes {width:,} features, more than the {FEATURES_AT_MOST:,} there"
            )
            raise place.error(row, f"{complaint} is room for")
        rows = max(len(values), 1)
        counts, sums, squares = _sums_by_feature(indices, numbers, width)
        sizes = np.abs(numbers, out=numbers)
        common = float(np.median(sizes)) if len(sizes) else 1.0
        size = np.sqrt(squares / np.maximum(counts, 1))
        size[counts == 0] = common  # what the sample has never seen is taken to be like the rest
        unit = np.maximum(np.where((size > common / ALIKE) & (size < common * ALIKE), common, size), LEAST_UNIT)
        deviation = np.sqrt(np.maximum(squares / rows - (sums / rows) ** 2, (LEAST_DEVIATION * size) ** 2))
        deviation = np.maximum(deviation, LEAST_UNIT)
        farthest = max(
            (float((sizes[some] / unit[indices[some]]).max()) for some in blocks(len(sizes), 1)), default=0.0
        )
        reach = max(2 * farthest, LEAST_REACH)
        unset = Scale(np.empty(0), np.empty(0))
        column = cls(place.column, first, unit, counts / rows, sums / rows, deviation, reach, unset)
        return column.laid_out(sparse=False)

    @property
    def density(self) -> float:
        """Features per row that are not zero."""
        return float(self.shares.sum())

    def laid_out(self, sparse: bool) -> SparseColumn:
        """Standardise for dense rows; for sparse ones make the values that are there about as large as indicators."""
        if sparse:
            return replace(self, scale=Scale(np.zeros_like(self.unit), 1 / self.unit))
        return replace(self, scale=Scale(self.mean, 1 / self.deviation))

    def prepare(self, values: pa.Array, place: Place) -> Prepared:
        """View the pairs; those beyond the width are left out and counted."""
        lists = as_sparse_lists(values, place)
        refuse_bad_pairs(lists, place, self.first)
        inside = lists.indices < len(self.unit)
        if inside.all():
            return Prepared(lists, np.diff(lists.indptr), 0)
        indptr = np.concatenate([[0], np.cumsum(inside)])[lists.indptr]
        kept = SparseLists(indptr, lists.indices[inside], lists.values[inside])
        return Prepared(kept, np.diff(indptr), int(len(inside) - indptr[-1]))

    to_score = prepare

    def unseen(self, prepared: Prepared) -> int:
        """Count the pairs whose index is beyond the width."""
        return prepared.unseen

    def write(self, prepared: Prepared, rows: slice, out: NDArray[np.float32]) -> None:
        """Write dense standardised rows."""
        lists, (centre, factor) = prepared.lists, self.scale
        starts = lists.indptr[rows.start : rows.stop + 1]
        part = slice(starts[0], starts[-1])
        pairs = lists.indices[part].astype(np.int32, copy=False), lists.values[part].astype(np.float64)
        empty, bounds = (-centre * factor).astype(np.float32), self.reach * self.unit
        store.run("entries:spread", (), starts - starts[0], *pairs, bounds, centre, factor, empty, out)

    def entries(self, prepared: Prepared, rows: slice) -> Entries:
        """Give the scaled pairs."""
        lists = prepared.lists
        part = slice(lists.indptr[rows.start], lists.indptr[rows.stop])
        indices = lists.indices[part]
        with np.errstate(over="ignore"):  # what overflows is clipped
            scaled = lists.values[part] * self._factors[indices]
        scaled = scaled.astype(np.float32, copy=False)
        return Entries(prepared.counts[rows], indices, np.clip(scaled, -self.reach, self.reach, out=scaled))

    def add_scores(self, prepared: Prepared, weights: NDArray[np.float32], scores: NDArray[np.float64]) -> None:
        """Add what the pairs score."""
        add_entry_scores(self.entries(prepared, slice(0, len(scores))), weights, scores)

    @cached_property
    def _factors(self) -> NDArray[np.float32]:
        return self.scale.factor.astype(np.float32)

    def feature(self, index: int) -> tuple[str, str]:
        """Name a feature, and what its weight is per."""
        name = f"{self.name}[{index + self.first}]"
        return name, f"per unit of {name}"

    def describe(self) -> dict[str, object]:
        """Say what the sample showed."""
        return {"missing": 0.0, "pairs_per_row": self.density, "never_seen": int((self.shares == 0).sum())}


def _sums_by_feature(
    indices: NDArray[Any], numbers: NDArray[np.float64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Count the values of each feature, and add them and their squares up."""
    counts, (sums, squares) = np.zeros(width, np.int64), np.zeros((2, width))
    for some in blocks(len(numbers), 1):  # to the bits of bincount, which copies them as a whole
        np.add.at(counts, indices[some], 1)
        np.add.at(sums, indices[some], numbers[some])
        np.add.at(squares, indices[some], numbers[some] ** 2)
    return counts, sums, squares


def refuse_bad_pairs(lists: SparseLists, place: Place, first: int) -> None:
    """Raise DataError at a negative index or a value that is not finite."""
    for bad, what in ((~np.isfinite(lists.values), "value"), (lists.indices < 0, "index")):
        if bad.any():
            at = int(np.argmax(bad))
            row = int(np.searchsorted(lists.indptr, at, side="right")) - 1
            offender = lists.values[at] if what == "value" else lists.indices[at] + first
            raise place.error(row, f"the {what} {offender} of feature {lists.indices[at] + first} cannot be used")
