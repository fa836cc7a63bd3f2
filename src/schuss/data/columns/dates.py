"""Dates and times: the time itself, and the cycles of the day, the week and the year."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .categories import CategoryColumn
from .compute import pc
from .convert import in_one_piece, is_stringy
from .kind import Entries, Scale, merge, width_edges
from .numbers import NumberColumn
from .numbers import Prepared as PreparedNumber
from .place import Place

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_HOURS = tuple(f"{hour:02d}:00" for hour in range(24))

Part = NumberColumn | CategoryColumn


@dataclass(frozen=True)
class DateColumn:
    """The encoder of dates, times of the day, and timestamps (in their own time zone).

    Its parts, of which those that are constant in the sample are left out: the time in seconds and the day of the month
    as numbers; the hour, the weekday and the month as indicators, so that a linear model can follow any daily or yearly
    course (a sine and a cosine can only follow one swell). Every hour, weekday and month has its indicator, even those
    that the sample has not reached. `daily` tells times of the day from dates.
    """

    name: str
    daily: bool
    parts: tuple[Part, ...]

    @classmethod
    def fit(cls, values: pa.Array, place: Place) -> DateColumn:
        """Take the statistics of a sample."""
        moments = as_moments(values, place)
        kept: list[Part] = []
        for part in _parts(values.type):
            taken = _take(moments, part)
            if len(taken.unique().drop_null()) < 2 and part != "time":
                continue
            at = place._replace(column=f"{place.column} ({part})")
            known = _CYCLES.get(part)
            kept.append(NumberColumn.fit(taken, at, False) if known is None else CategoryColumn.among(taken, at, known))
        return cls(place.column, pa.types.is_time(values.type), tuple(kept))

    @property
    def scale(self) -> Scale:
        """The parts' scales, one after the other."""
        scales = [part.scale for part in self.parts]
        return Scale(*(np.concatenate(arrays) for arrays in zip(*scales, strict=True)))

    @property
    def density(self) -> float:
        """Features per row that are not zero."""
        return sum(part.density for part in self.parts)

    def laid_out(self, sparse: bool) -> DateColumn:
        """Lay the parts out."""
        return replace(self, parts=tuple(part.laid_out(sparse) for part in self.parts))

    def prepare(self, values: pa.Array, place: Place) -> list[PreparedNumber | NDArray[np.int32]]:
        """Take the parts of each time."""
        moments = as_moments(values, place)
        if pa.types.is_time(moments.type) != self.daily and moments.null_count < len(moments):
            wanted = "times of the day" if self.daily else "dates"
            raise place.refusal(f"values of type {values.type} are not {wanted}")
        return [part.prepare(_take(moments, self._kind(part)), place) for part in self.parts]

    to_score = prepare

    def _kind(self, part: Part) -> str:
        return part.name[len(self.name) + 2 : -1]

    def unseen(self, prepared: list[PreparedNumber | NDArray[np.int32]]) -> int:
        """Count nothing: time goes on."""
        return 0

    def write(self, prepared: list[PreparedNumber | NDArray[np.int32]], rows: slice, out: NDArray[np.float32]) -> None:
        """Write the dense features of the parts."""
        edges = width_edges(self.parts)
        for part, values, start, stop in zip(self.parts, prepared, edges[:-1], edges[1:], strict=True):
            part.write(values, rows, out[:, start:stop])  # pyright: ignore[reportArgumentType] — each its own kind

    def entries(self, prepared: list[PreparedNumber | NDArray[np.int32]], rows: slice) -> Entries:
        """Give the features of the parts that are not zero."""
        pieces = [part.entries(values, rows) for part, values in zip(self.parts, prepared, strict=True)]  # pyright: ignore
        return merge(pieces, width_edges(self.parts))

    def add_scores(
        self, prepared: list[PreparedNumber | NDArray[np.int32]], weights: NDArray[np.float32],
        scores: NDArray[np.float64],
    ) -> None:  # fmt: skip
        """Add what the parts score."""
        edges = width_edges(self.parts)
        for part, values, start, stop in zip(self.parts, prepared, edges[:-1], edges[1:], strict=True):
            part.add_scores(values, weights[start:stop], scores)  # pyright: ignore[reportArgumentType] — each its own kind

    def feature(self, index: int) -> tuple[str, str]:
        """Name a feature, and what its weight is per."""
        edges = width_edges(self.parts)
        at = int(np.searchsorted(edges, index, side="right")) - 1
        name, unit = self.parts[at].feature(index - edges[at])
        return name, "per second" if unit.endswith("(time)") else unit

    def describe(self) -> dict[str, object]:
        """Say what the sample showed."""
        first = self.parts[0].describe()
        return {"missing": first["missing"], "parts": [self._kind(part) for part in self.parts]}


_CYCLES = {"hour": _HOURS, "weekday": _WEEKDAYS, "month": _MONTHS}


def _parts(kind: pa.DataType) -> tuple[str, ...]:
    """Name the parts that a type of values has."""
    if pa.types.is_time(kind):
        return ("time", "hour")
    if pa.types.is_date(kind):
        return ("time", "weekday", "day", "month")
    return ("time", "hour", "weekday", "day", "month")


def as_moments(values: pa.Array, place: Place) -> pa.Array:
    """Give values as times, to the microsecond; raises DataError at a string that is none."""
    kind = values.type
    if is_stringy(kind):
        strings = in_one_piece(values).cast(pa.string())
        try:
            strings.validate(full=True)
            return _cast(strings)
        except pa.ArrowInvalid:
            first = next(row for row, word in enumerate(strings) if not _is_moment(word))
            raise place.error(first, f"'{strings[first]}' is not a date") from None
    if pa.types.is_null(kind):
        return values.cast(pa.timestamp("us"))
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind)):
        raise place.refusal(f"values of type {kind} are not dates or times")
    return values.cast(pa.timestamp("s")) if pa.types.is_date(kind) else values


def _cast(strings: Any) -> Any:
    """Read dates, with or without a time zone; raises ArrowInvalid where they are none."""
    try:
        return strings.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return strings.cast(pa.timestamp("us", "UTC"))


def _is_moment(word: pa.Scalar) -> bool:
    try:
        _cast(word)
    except pa.ArrowInvalid:
        return False
    return True


def _take(moments: pa.Array, part: str) -> pa.Array:
    """Take a part of each time."""
    match part:
        case "time":
            return _seconds(moments)
        case "hour":
            return _named(pc.hour(moments), _HOURS)
        case "weekday":
            return _named(pc.day_of_week(moments), _WEEKDAYS)
        case "month":
            return _named(pc.subtract(pc.month(moments), 1), _MONTHS)
        case _:
            return pc.day(moments)


def _seconds(moments: pa.Array) -> pa.Array:
    """Give times in seconds, since 1970 or midnight."""
    if pa.types.is_time(moments.type):
        counts = moments.cast(pa.time64("us")).cast(pa.int64())
    else:
        counts = moments.cast(pa.timestamp("us", getattr(moments.type, "tz", None)), safe=False).cast(pa.int64())
    return pc.multiply(counts.cast(pa.float64()), 1e-6)


def _named(places: pa.Array, names: tuple[str, ...]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(places.cast(pa.int32()), pa.array(names))
