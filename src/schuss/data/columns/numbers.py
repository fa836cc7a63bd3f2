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
from .moments import Moments, moments
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

    Features, in this order: every component, standardised; the signed logarithm `sign(x) log(1 + |x|)` of the
    components `logged`, standardised; an indicator of missing for the components `gaps`. A missing number counts as
    the centre, so only its indicator speaks.

    Values are clipped at the sample's range widened by its own length on either side: nothing inside the sample is
    ever altered, data may drift, and a wild value later on cannot throw the weights off.
    """

    name: str
    vector: bool
    raw: Moments
    log: Moments
    logged: NDArray[np.int64]
    gaps: NDArray[np.int64]
    scale: Scale
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def fit(cls, values: pa.Array, place: Place, vector: bool) -> NumberColumn:
        """Take the statistics of a sample; raises DataError at an infinite value."""
        numbers = _read(values, place, vector, None)
        width = numbers.values.shape[1]
        raw = moments(lambda: _pieces(numbers), width)
        logged = np.flatnonzero(_heavy_tailed(raw))
        log = moments(lambda: (signed_log(piece[:, logged]) for piece in _pieces(numbers)), len(logged))
        unset = np.empty(0)
        column = cls(
            place.column, vector, raw, log, logged, np.flatnonzero(raw.missing > 0), Scale(unset, unset), unset, unset
        )
        return column.laid_out(sparse=False)

    @property
    def density(self) -> float:
        """Features per row that are not zero."""
        return float((1 - self.raw.zeros).sum() + (1 - self.log.zeros).sum() + self.raw.missing[self.gaps].sum())

    def laid_out(self, sparse: bool) -> NumberColumn:
        """Centre the numbers, except sparse ones that are mostly zero and shall stay so."""
        mean, deviation, least, most, zeros, _ = (np.concatenate(pair) for pair in zip(self.raw, self.log, strict=True))
        centre = np.where(zeros > 0.5, 0.0, mean) if sparse else mean
        factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
        reach = most - least
        gap_scale = indicator_scale(self.raw.missing[self.gaps], sparse)
        return replace(
            self,
            scale=Scale(*(np.concatenate(pair) for pair in zip((centre, factor), gap_scale, strict=True))),
            low=np.minimum((least - reach - centre) * factor, -LEAST_REACH),
            high=np.maximum((most + reach - centre) * factor, LEAST_REACH),
        )

    def prepare(self, values: pa.Array, place: Place) -> Prepared:
        """View the values as numbers; raises DataError at what is not a number."""
        return _read(values, place, self.vector, len(self.raw.mean))

    def unseen(self, prepared: Prepared) -> int:
        """Numbers are never counted as unseen."""
        return 0

    def write(self, prepared: Prepared, rows: slice, out: NDArray[np.float32]) -> None:
        """Write standardised numbers; raises DataError at an infinite one."""
        width, end = len(self.raw.mean), len(self.raw.mean) + len(self.logged)
        values = prepared.values[rows]
        missing = None if prepared.missing is None else prepared.missing[rows]
        plain = self._standardise(values, slice(0, width))
        if missing is not None:
            plain[missing] = 0.0
        nowhere = self._settle(plain, missing, prepared, rows)
        out[:, :width] = plain
        if len(self.logged):
            curved = self._standardise(signed_log(values[:, self.logged].astype(np.float64)), slice(width, end))
            if nowhere is not None:
                curved[nowhere[:, self.logged]] = 0.0
            out[:, width:end] = np.clip(curved, self.low[width:end], self.high[width:end])
        if len(self.gaps):
            gap = False if nowhere is None else nowhere[:, self.gaps]
            out[:, end:] = (gap - self.scale.centre[end:]) * self.scale.factor[end:]

    def _standardise(self, values: NDArray[Any], features: slice) -> NDArray[np.float64]:
        """Give `(values - centre) * factor` in float64, whatever the values' type."""
        with np.errstate(invalid="ignore", over="ignore"):  # infinite values are found, and refused, afterwards
            result = np.subtract(values, self.scale.centre[features], dtype=np.float64)
            result *= self.scale.factor[features]
        return result

    def _settle(
        self,
        scaled: NDArray[np.float64],
        missing: NDArray[np.bool_] | None,
        prepared: Prepared,
        rows: slice,
    ) -> NDArray[np.bool_] | None:
        """Clip, zero what is NaN, and say where numbers are missing, where any is.

        The extremes tell in one sweep whether anything is to be done: NaN and infinity come through them.
        """
        width = scaled.shape[1]
        low, high = self.low[:width], self.high[:width]
        if (scaled.min(axis=0) >= low).all() and (scaled.max(axis=0) <= high).all():
            return missing
        gone = np.isnan(prepared.values[rows])
        missing = gone if missing is None else missing | gone
        _refuse_infinite(prepared, rows, missing)
        scaled[missing] = 0.0
        np.clip(scaled, low, high, out=scaled)
        return missing

    def entries(self, prepared: Prepared) -> Entries:
        """Give the standardised numbers that are not zero."""
        dense = np.empty((len(prepared.values), len(self.scale.centre)), np.float32)
        for rows in blocks(*dense.shape):
            self.write(prepared, rows, dense[rows])
        return compress(dense)

    def feature(self, index: int) -> tuple[str, str]:
        """Name a feature, and what its weight is per."""
        width, end = len(self.raw.mean), len(self.raw.mean) + len(self.logged)
        if index < width:
            name = self._component(index)
            return name, f"per unit of {name}"
        if index < end:
            name = f"log(1 + |{self._component(self.logged[index - width])}|)"
            return name, f"per unit of {name}"
        return f"{self._component(self.gaps[index - end])} is missing", "when missing"

    def _component(self, index: int | np.integer) -> str:
        return f"{self.name}[{index}]" if self.vector else self.name

    def describe(self) -> dict[str, object]:
        """Say what the sample showed."""
        facts: dict[str, object] = {"missing": float(self.raw.missing.mean())}
        if self.vector:
            return facts | {"components": len(self.raw.mean), "constant": int((self.raw.deviation == 0).sum())}
        mean, deviation, least, most = (float(moment[0]) for moment in self.raw[:4])
        facts |= {"mean": mean, "deviation": deviation, "least": least, "most": most}
        return facts | {"logarithm": bool(len(self.logged))}


def signed_log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compress magnitudes and keep signs.

    >>> signed_log(np.array([0.0, -np.expm1(2.0)])).tolist()
    [0.0, -2.0]
    """
    return np.copysign(np.log1p(np.abs(values)), values)


def _heavy_tailed(raw: Moments) -> NDArray[np.bool_]:
    return np.zeros(len(raw.mean), bool)


def _read(values: pa.Array, place: Place, vector: bool, width: int | None) -> Prepared:
    """View a column as `(rows, components)` numbers."""
    numbers = as_vectors(values, place, width) if vector else as_numbers(values, place)
    shape = (len(values), -1) if len(values) else (0, width or 1)
    missing = None if numbers.missing is None else numbers.missing.reshape(shape)
    return Prepared(numbers.values.reshape(shape), missing, place)


def _pieces(prepared: Prepared) -> Iterator[NDArray[np.float64]]:
    """Give the numbers as float64, NaN where missing; raises DataError at an infinite one."""
    for rows in blocks(*prepared.values.shape):
        piece = prepared.values[rows].astype(np.float64)
        if prepared.missing is not None:
            piece[prepared.missing[rows]] = np.nan
        if not np.abs(piece).max(initial=0.0) <= LARGEST:
            _refuse_infinite(prepared, rows, np.isnan(piece))
        yield piece


def _refuse_infinite(prepared: Prepared, rows: slice, missing: NDArray[np.bool_]) -> None:
    """Raise DataError at the first number that is infinite, or too large to compute with."""
    values = prepared.values[rows]
    if not np.issubdtype(values.dtype, np.floating):
        return
    bad = ~(np.abs(values) <= LARGEST) & ~missing
    if bad.any():
        row, component = (int(place[0]) for place in np.nonzero(bad))
        value = values[row, component].item()
        where = f" (number {component + 1:,} of the vector)" if values.shape[1] > 1 else ""
        complaint = "is not a finite number" if np.isinf(value) else "is too large"
        raise prepared.place.error(rows.start + row, f"{value:g}{where} {complaint}")
