"""Numbers, alone or as vectors: standardised, clipped, and with an indicator where they can be missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .convert import as_numbers, as_vectors
from .kind import Entries, Scale, blocks, compress, indicator_scale
from .moments import Moments, take_moments
from .place import Place

# Standardised values may always go this far, however narrow the sample.
LEAST_REACH = 10.0
# Larger numbers would overflow when squared.
LARGEST = 1e150


class Prepared(NamedTuple):
    """Numbers `(rows, components)`, where they are missing, and where they stand."""

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
        factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
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

    def unseen(self, prepared: Prepared) -> int:
        """Numbers are never counted as unseen."""
        return 0

    def write(self, prepared: Prepared, rows: slice, out: NDArray[np.float32]) -> None:
        """Write standardised numbers; raises DataError at an infinite one."""
        width = len(self.low)
        with np.errstate(invalid="ignore", over="ignore"):  # infinite values are found, and refused, below
            scaled = np.subtract(prepared.values[rows], self.scale.centre[:width], dtype=np.float64)
            scaled *= self.scale.factor[:width]
        missing = None
        if prepared.missing is not None:
            missing = prepared.missing[rows]
            scaled[missing] = 0.0
        # The extremes tell in one sweep whether anything is to be done: NaN and infinity show in them too.
        if not ((scaled.min(axis=0) >= self.low).all() and (scaled.max(axis=0) <= self.high).all()):
            missing = np.isnan(prepared.values[rows]) if missing is None else missing | np.isnan(prepared.values[rows])
            _refuse_infinite(prepared, rows, missing)
            scaled[missing] = 0.0
            np.clip(scaled, self.low, self.high, out=scaled)
        out[:, :width] = scaled
        if len(self.gaps):
            gaps = 0.0 if missing is None else missing[:, self.gaps]
            out[:, width:] = (gaps - self.scale.centre[width:]) * self.scale.factor[width:]

    def entries(self, prepared: Prepared) -> Entries:
        """Give the standardised numbers that are not zero."""
        dense = np.empty((len(prepared.values), len(self.scale.centre)), np.float32)
        for rows in blocks(*dense.shape):
            self.write(prepared, rows, dense[rows])
        return compress(dense)

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
    """View a column as `(rows, components)` numbers."""
    numbers = as_vectors(values, place, width) if vector else as_numbers(values, place)
    shape = (len(values), -1) if len(values) else (0, width or 1)
    missing = None if numbers.missing is None else numbers.missing.reshape(shape)
    return Prepared(numbers.values.reshape(shape), missing, place)


def _pieces(prepared: Prepared) -> Iterator[NDArray[np.float64]]:
    """Give the numbers as float64, NaN where missing or infinite: the encoding of the rows refuses the latter."""
    for rows in blocks(*prepared.values.shape):
        piece = prepared.values[rows].astype(np.float64)
        if prepared.missing is not None:
            piece[prepared.missing[rows]] = np.nan
        piece[np.abs(piece) > LARGEST] = np.nan
        yield piece


def _refuse_infinite(prepared: Prepared, rows: slice, missing: NDArray[np.bool_]) -> None:
    """Raise DataError at the first number that is infinite, or too large to compute with."""
    values = prepared.values[rows].astype(np.float64)
    bad = ~(np.abs(values) <= LARGEST) & ~missing
    if bad.any():
        row, component = (int(place[0]) for place in np.nonzero(bad))
        value = values[row, component].item()
        where = f" (number {component + 1:,} of the vector)" if values.shape[1] > 1 else ""
        complaint = "is not a finite number" if np.isinf(value) else "is too large"
        raise prepared.place.error(rows.start + row, f"{value:g}{where} {complaint}")
