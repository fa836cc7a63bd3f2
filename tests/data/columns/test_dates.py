"""Parts of dates against Python's calendar."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from schuss.data.columns.dates import DateColumn
from schuss.data.columns.place import Place
from schuss.errors import DataError

PLACE = Place("t", 0, "when")
RNG = np.random.default_rng(0)
SECONDS = RNG.integers(0, 2 * 10**9, 400)
STAMPS = [dt.datetime(1970, 1, 1) + dt.timedelta(seconds=int(s)) for s in SECONDS]


def present(column: DateColumn, values: pa.Array) -> list[set[str]]:
    """Name the indicators of each row."""
    column = column.laid_out(sparse=True)
    counts, indices, _ = column.entries(column.prepare(values, PLACE), slice(0, len(values)))
    names = [column.feature(int(index))[0] for index in indices]
    ends = np.cumsum(counts)
    return [{n for n in names[e - c : e] if "=" in n or "is" in n} for e, c in zip(ends, counts, strict=True)]


@pytest.mark.parametrize("zone", [None, "America/New_York"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps(unit: str, zone: str | None) -> None:
    values = pa.array(SECONDS, pa.timestamp("s", zone)).cast(pa.timestamp(unit, zone))
    column = DateColumn.fit(values, PLACE)
    local = STAMPS if zone is None else [s.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone)) for s in STAMPS]
    expected = [{f"when (hour) = {s:%H}:00", f"when (weekday) = {s:%A}", f"when (month) = {s:%B}"} for s in local]
    assert present(column, values) == expected
    linear = np.empty((400, len(column.scale.centre)), np.float32)
    column.write(column.prepare(values, PLACE), slice(0, 400), linear)
    np.testing.assert_allclose(linear[:, 0], (SECONDS - SECONDS.mean()) / SECONDS.std(), atol=1e-5)
    assert column.feature(0) == ("when (time)", "per second")
    day = [column.feature(i)[0] for i in range(linear.shape[1])].index("when (day)")
    days = np.array([s.day for s in local])
    np.testing.assert_allclose(linear[:, day], (days - days.mean()) / days.std(), atol=1e-5)


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_dates(kind: pa.DataType) -> None:
    values = pa.array([s.date() for s in STAMPS]).cast(kind)
    column = DateColumn.fit(values, PLACE)
    assert present(column, values) == [{f"when (weekday) = {s:%A}", f"when (month) = {s:%B}"} for s in STAMPS]


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")], ids=str)
def test_times(kind: pa.DataType) -> None:
    values = pa.array([s.time() for s in STAMPS], pa.time64("us")).cast(kind)
    column = DateColumn.fit(values, PLACE)
    assert column.describe() == {"missing": 0.0, "parts": ["time", "hour"]}
    assert present(column, values) == [{f"when (hour) = {s:%H}:00"} for s in STAMPS]


def test_constant_parts_are_left_out() -> None:
    mornings = pa.array([dt.datetime(2024, 3, day, 8, day) for day in range(1, 31)])
    assert DateColumn.fit(mornings, PLACE).describe()["parts"] == ["time", "weekday", "day"]


def test_months_that_the_sample_has_not_reached() -> None:
    spring = pa.array([dt.date(2024, 3 + i % 2, 1 + i % 28) for i in range(90)])
    column = DateColumn.fit(spring, PLACE)
    assert "when (month) = December" in present(column, pa.array([dt.date(2024, 12, 1)]))[0]


def test_missing_and_strings() -> None:
    column = DateColumn.fit(pa.array([*STAMPS, None]), PLACE)
    assert "when (time) is missing" in present(column, pa.array([None], pa.timestamp("us")))[0]
    assert present(column, pa.nulls(1)) == present(column, pa.array([None], pa.timestamp("us")))
    words = pa.array([s.isoformat() for s in STAMPS])
    assert present(column, words) == present(column, pa.array(STAMPS))
    with pytest.raises(DataError, match=r"^t, row 2, column 'when': 'soon' is not a date$"):
        column.prepare(pa.array(["2024-01-01", "soon"]), PLACE)
    assert present(column, pa.array([dt.date(2024, 1, 1)])) == present(column, pa.array([dt.datetime(2024, 1, 1)]))
    with pytest.raises(DataError, match=r"^t, column 'when': values of type time64\[us\] are not dates$"):
        column.prepare(pa.array([dt.time(1)]), PLACE)
    with pytest.raises(DataError, match=r"^t, column 'when': values of type int64 are not dates or times$"):
        column.prepare(pa.array([1]), PLACE)
