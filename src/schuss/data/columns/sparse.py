"""Rows that are sparse already: lists of (index, value) pairs, as in svmlight files and SciPy's matrices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .convert import SparseLists, as_sparse_lists
from .kind import LEAST_DEVIATION, Entries, Scale
from .place import Place

# Scaled values may always go this far, however narrow the sample.
LEAST_REACH = 10.0


class Prepared(NamedTuple):
    """The pairs of some rows, how many of each row, where each row begins, and how many pairs were left out."""

    lists: SparseLists
    counts: NDArray[np.int64]
    unseen: int


@dataclass(frozen=True)
class SparseColumn:
    """The encoder of a column of (index, value) pairs; feature j is index j, and what is not there is 0.

    size : root mean square of each feature's values that are not zero.
    shares : share of the rows in which each feature is not zero; mean, deviation : over all rows.
    reach : scaled values are clipped at plus and minus this, twice the largest of the sample.
    """

    name: str
    size: NDArray[np.float64]
    shares: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    reach: float
    scale: Scale

    @classmethod
    def fit(cls, values: pa.Array, place: Place, width: int | None) -> SparseColumn:
        """Take the statistics of a sample; `width` is the number of features where known."""
        lists = as_sparse_lists(values, place)
        _refuse_bad_pairs(lists, place)
        indices, numbers = lists.indices, lists.values.astype(np.float64)
        if width is None:
            width = int(indices.max(initial=-1)) + 1
        inside = indices < width
        if not inside.all():
            indices, numbers = indices[inside], numbers[inside]
        rows = max(len(values), 1)
        counts = np.bincount(indices, numbers != 0, minlength=width)
        first = np.bincount(indices, numbers, minlength=width) / rows
        second = np.bincount(indices, numbers**2, minlength=width) / rows
        # What the sample has never seen is taken to be of the common size.
        common = np.sqrt(second.sum() * rows / max(counts.sum(), 1)) or 1.0
        size = np.sqrt(np.divide(second * rows, counts, out=np.full(width, common**2), where=counts > 0))
        size[size == 0] = common
        deviation = np.sqrt(np.maximum(second - first**2, 0))
        reach = 2 * float(np.abs(numbers / size[indices]).max(initial=0.0))
        unset = Scale(np.empty(0), np.empty(0))
        column = cls(place.column, size, counts / rows, first, deviation, max(reach, LEAST_REACH), unset)
        return column.laid_out(sparse=False)

    @property
    def density(self) -> float:
        """Features per row that are not zero."""
        return float(self.shares.sum())

    def laid_out(self, sparse: bool) -> SparseColumn:
        """Standardise for dense rows; for sparse ones bring the values that are there to the size of an indicator."""
        if sparse:
            return replace(self, scale=Scale(np.zeros_like(self.size), 1 / self.size))
        return replace(self, scale=Scale(self.mean, 1 / np.maximum(self.deviation, LEAST_DEVIATION * self.size)))

    def prepare(self, values: pa.Array, place: Place) -> Prepared:
        """View the pairs; those beyond the width are left out and counted."""
        lists = as_sparse_lists(values, place)
        _refuse_bad_pairs(lists, place)
        inside = lists.indices < len(self.size)
        if inside.all():
            return Prepared(lists, np.diff(lists.indptr), 0)
        indptr = np.concatenate([[0], np.cumsum(inside)])[lists.indptr]
        kept = SparseLists(indptr, lists.indices[inside], lists.values[inside])
        return Prepared(kept, np.diff(indptr), int(len(inside) - indptr[-1]))

    def unseen(self, prepared: Prepared) -> int:
        """Count the pairs whose index is beyond the width."""
        return prepared.unseen

    def write(self, prepared: Prepared, rows: slice, out: NDArray[np.float32]) -> None:
        """Write dense standardised rows."""
        lists = prepared.lists
        out[:] = -self.scale.centre * self.scale.factor
        begin, end = lists.indptr[rows.start], lists.indptr[rows.stop]
        at = lists.indices[begin:end]
        inside = np.repeat(np.arange(rows.stop - rows.start), prepared.counts[rows])
        values = np.clip(lists.values[begin:end] / self.size[at], -self.reach, self.reach) * self.size[at]
        out[inside, at] = (values - self.scale.centre[at]) * self.scale.factor[at]

    def entries(self, prepared: Prepared) -> Entries:
        """Give the scaled pairs."""
        lists = prepared.lists
        scaled = (lists.values * self.scale.factor.astype(np.float32)[lists.indices]).astype(np.float32, copy=False)
        return Entries(prepared.counts, lists.indices, np.clip(scaled, -self.reach, self.reach, out=scaled))

    def feature(self, index: int) -> tuple[str, str]:
        """Name a feature, and what its weight is per."""
        name = f"{self.name}[{index}]"
        return name, f"per unit of {name}"

    def describe(self) -> dict[str, object]:
        """Say what the sample showed."""
        return {"missing": 0.0, "pairs_per_row": self.density, "never_seen": int((self.shares == 0).sum())}


def _refuse_bad_pairs(lists: SparseLists, place: Place) -> None:
    """Raise DataError at a negative index or a value that is not finite."""
    for bad, what in ((~np.isfinite(lists.values), "value"), (lists.indices < 0, "index")):
        if bad.any():
            at = int(np.argmax(bad))
            row = int(np.searchsorted(lists.indptr, at, side="right")) - 1
            offender = (lists.values if what == "value" else lists.indices)[at]
            raise place.error(row, f"the {what} {offender} of feature {lists.indices[at]} cannot be used")
