"""Numbers, alone or as vectors: standardised, clipped, and with an indicator where they can be missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...kernels import store
from .convert import as_numbers, as_vectors
from .kind import Entries, Scale, blocks, compress, indicator_scale, together, width_edges
from .moments import Moments, take_moments
from .number_rows import lanes_at, numbers_at, write_numbers
from .place import NOT_FINITE, Place

# Standardised values may always go this far, however narrow the sample.
LEAST_REACH = 10.0
# Larger numbers would overflow when squared.
LARGEST = 1e150
# Deviations below this have no finite reciprocal: such numbers count as constant.
NARROWEST = float(np.finfo(np.float64).tiny)
# Types that are encoded as they are (pixels as float64 took eight times their memory), or half as wide; all others as
# float64.
_ENCODED = {"<f4": np.float32, "<f2": np.float32, "|u1": np.uint8}


class Prepared(NamedTuple):
    """Numbers `(rows, components)`, uint8, float32 or float64, where they are missing, and where they stand."""

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None
    place: Place


@dataclass(frozen=True)
class NumberColumn:
    """The encoder of a column of numbers, or of vectors of numbers.

    Features, in this order: every component, standardised; an indicator of missing for the components `gaps`. A missing
    number counts as the centre, so only its indicator speaks.

    Values are clipped at the sample's range widened by its own length on either side: nothing inside the sample is
    ever altered, data may drift, and a wild value later on cannot throw the weights off.
    """

    name: str
    vector: bool
    moments: Moments
    gaps: NDArray[np.int64]
    scale: Scale
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def fit(cls, values: pa.Array, place: Place, vector: bool) -> NumberColumn:
        """Take the statistics of a sample, of its finite values."""
        numbers = _read(values, place, vector, None)
        moments = take_moments(lambda: _pieces(numbers), numbers.values.shape[1])
        unset = np.empty(0)
        gaps = np.flatnonzero(moments.missing > 0)
        return cls(place.column, vector, moments, gaps, Scale(unset, unset), unset, unset).laid_out(sparse=False)

    @property
    def density(self) -> float:
        """Features per row that are not zero."""
        return float((1 - self.moments.zeros).sum() + self.moments.missing[self.gaps].sum())

    def laid_out(self, sparse: bool) -> NumberColumn:
        """Centre the numbers, except in sparse rows those that are mostly zero and shall stay so."""
        mean, deviation, least, most, zeros, missing = self.moments
        centre = np.where(zeros > 0.5, 0.0, mean) if sparse else mean
        factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation >= NARROWEST)
        gap_scale = indicator_scale(missing[self.gaps], sparse)
        return replace(
            self,
            scale=Scale(*(np.concatenate(pair) for pair in zip((centre, factor), gap_scale, strict=True))),
            low=np.minimum((2 * least - most - centre) * factor, -LEAST_REACH),
            high=np.maximum((2 * most - least - centre) * factor, LEAST_REACH),
        )

    def prepare(self, values: pa.Array, place: Place) -> Prepared:
        """View the values as numbers; raises DataError at what is not a number."""
        return _read(values, place, self.vector, len(self.low))

    to_score = prepare

    def unseen(self, prepared: Prepared) -> int:
        """Numbers are never counted as unseen."""
        return 0

    @cached_property
    def lanes(self) -> NDArray[np.float64]:
        """Give centre, factor and bounds of each feature; indicators lie within any."""
        bounds = np.full((2, len(self.gaps)), [[-np.inf], [np.inf]])
        low, high = np.concatenate([[self.low, self.high], bounds], axis=1)
        return np.stack([*self.scale, low, high], axis=1)

    def numbers(self, prepared: Prepared) -> list[tuple[int, ...]]:
        """Say where the numbers of each feature are in memory, for as long as `prepared` lives."""
        return numbers_at(prepared.values, prepared.missing, self.gaps.tolist())

    def write(self, prepared: Prepared, rows: slice, out: NDArray[np.float32]) -> None:
        """Write standardised numbers; raises DataError at an infinite one."""
        dense = np.empty(out.shape, np.float32)
        lanes, numbers = lanes_at([self.lanes], [0]), np.array(self.numbers(prepared), np.int64)
        if (problem := write_numbers(lanes, numbers, rows, np.arange(len(out)), dense, dense)) is not None:
            self.refuse(prepared, *problem)
        out[:] = dense

    def refuse(self, prepared: Prepared, row: int, component: int) -> NoReturn:
        """Raise DataError for a number that is infinite, or too large to compute with."""
        value = prepared.values[row, component].item()
        where = f" (number {component + 1:,} of the vector)" if prepared.values.shape[1] > 1 else ""
        complaint = NOT_FINITE if np.isinf(value) else "is too large"
        raise prepared.place.error(row, f"{value:g}{where} {complaint}")

    def entries(self, prepared: Prepared, rows: slice) -> Entries:
        """Give the standardised numbers that are not zero."""
        return number_entries([self], [prepared], rows)

    def add_scores(self, prepared: Prepared, weights: NDArray[np.float32], scores: NDArray[np.float64]) -> None:
        """Add what the standardised numbers score."""
        add_number_scores([self], [prepared], weights, scores)

    def feature(self, index: int) -> tuple[str, str]:
        """Name a feature, and what its weight is per."""
        width = len(self.low)
        component = index if index < width else self.gaps[index - width]
        name = f"{self.name}[{component}]" if self.vector else self.name
        return (name, f"per unit of {name}") if index < width else (f"{name} is missing", "when missing")

    def describe(self) -> dict[str, object]:
        """Say what the sample showed."""
        missing = float(self.moments.missing.mean())
        if self.vector:
            constant = int((self.moments.deviation == 0).sum())
            return {"missing": missing, "components": len(self.low), "constant": constant}
        mean, deviation, least, most = (float(moment[0]) for moment in self.moments[:4])
        return {"missing": missing, "mean": mean, "deviation": deviation, "least": least, "most": most}


def _read(values: pa.Array, place: Place, vector: bool, width: int | None) -> Prepared:
    """View a column as `(rows, components)` numbers; whole ones of more than a byte become float64."""
    numbers = as_vectors(values, place, width) if vector else as_numbers(values, place)
    shape = (len(values), -1) if len(values) else (0, width or 1)
    missing = None if numbers.missing is None else np.ascontiguousarray(numbers.missing.reshape(shape))
    encoded = numbers.values.astype(_ENCODED.get(numbers.values.dtype.str, np.float64), "C", copy=False)
    return Prepared(encoded.reshape(shape), missing, place)


def _pieces(prepared: Prepared) -> Iterator[NDArray[np.float64]]:
    """Give the numbers as float64, NaN where missing or infinite: the encoding of the rows refuses the latter."""
    for rows in blocks(*prepared.values.shape):
        with np.errstate(invalid="ignore"):  # a NaN may be of the kind that signals, and is replaced below
            piece = prepared.values[rows].astype(np.float64)
            sound = piece.min(initial=0.0) >= -LARGEST and piece.max(initial=0.0) <= LARGEST  # no NaN is
        if not sound:
            piece[~(np.abs(piece) <= LARGEST)] = np.nan
        if prepared.missing is not None:
            piece[prepared.missing[rows]] = np.nan
        yield piece


def number_entries(columns: Sequence[NumberColumn], prepared: Sequence[Prepared], rows: slice) -> Entries:
    """Give the entries of neighbouring columns of numbers; raises DataError at a number that is not finite."""
    pieces = [compress(dense) for _, dense in _dense_blocks(columns, prepared, rows)]
    return together(pieces or [compress(np.empty((0, 1), np.float32))])


def add_number_scores(
    columns: Sequence[NumberColumn],
    prepared: Sequence[Prepared],
    weights: NDArray[np.float32],
    scores: NDArray[np.float64],
) -> None:
    """Add what neighbouring columns of numbers score; raises DataError at a number that is not finite."""
    for first, dense in _dense_blocks(columns, prepared, slice(0, len(scores))):
        store.run("entries:add_dense_scores", (), dense, weights, first, scores)


def _dense_blocks(
    columns: Sequence[NumberColumn], prepared: Sequence[Prepared], rows: slice
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the standardised numbers of neighbouring columns by blocks of rows, and the place of the first of these."""
    lines = [column.lanes for column in columns]
    lanes = lanes_at(lines, width_edges(columns)[:-1])
    numbers = np.array([lane for one, values in zip(columns, prepared, strict=True) for lane in one.numbers(values)])
    for block in blocks(rows.stop - rows.start, len(lanes.scales)):
        dense = np.empty((block.stop - block.start, len(lanes.scales)), np.float32)
        here = slice(rows.start + block.start, rows.start + block.stop)
        problem = write_numbers(lanes, numbers, here, np.arange(len(dense)), dense, dense)
        if problem is not None:
            refuse(columns, prepared, *problem)
        yield here.start, dense


def refuse(columns: Sequence[NumberColumn], prepared: Sequence[Prepared], row: int, lane: int) -> NoReturn:
    """Raise DataError for a number that is not finite: `lane` counts the features of all columns."""
    for column, values in zip(columns, prepared, strict=True):
        if lane < len(column.lanes):
            column.refuse(values, row, lane)
        lane -= len(column.lanes)
    raise AssertionError("there are fewer lanes")
