"""The loops that make rows of columns, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from schuss.data.columns.hashing import mix
from schuss.data.columns.number_rows import Lanes, lanes_at, numbers_at, write_numbers
from schuss.kernels import encode, store

RNG = np.random.default_rng(0)


def columns_of(dtype: type, rows: int, *, wild: bool) -> list[tuple[np.ndarray, np.ndarray | None, list[int]]]:
    """Columns of one or several components, some with flags for missing numbers: values, flags, gaps."""
    made = []
    for components, flagged in ((1, False), (3, True), (1, True), (9, False), (1, False)):
        numbers = RNG.normal(size=(rows, components))
        values = (numbers * 30 % 256).astype(dtype) if dtype is np.uint8 else numbers.astype(dtype)
        if wild and dtype is not np.uint8:
            values[RNG.random(values.shape) < 0.1] = np.nan
            values[RNG.random(values.shape) < 0.1] = 50.0
        missing = RNG.random(values.shape) < 0.2 if flagged else None
        made.append((values, missing, [0] if flagged else []))
    return made


def in_numpy(values: np.ndarray, missing: np.ndarray | None, gaps: list[int], scale: np.ndarray) -> np.ndarray:
    """The formula: standardise, zero for what is missing, clip; indicators of what is missing after it."""
    gone = np.isnan(values) if missing is None else np.isnan(values) | missing
    raw = np.hstack([np.where(gone, np.nan, values).astype(np.float64), gone[:, gaps]])
    centre, factor, low, high = scale.T
    return np.nan_to_num(np.clip((raw - centre) * factor, low, high)).astype(np.float32)


def laid(columns: list, starts: list[int]) -> tuple[Lanes, np.ndarray, list[np.ndarray]]:
    """The lanes of columns whose features begin at `starts`, with scales at random, where they are, these scales."""
    scales = []
    for values, _, gaps in columns:
        lines = np.stack([RNG.normal(size=values.shape[1]), RNG.random(values.shape[1]) + 0.5], axis=1)
        bounds = np.hstack([lines, np.tile([-8.0, 9.0], (len(lines), 1))])
        scales.append(np.vstack([bounds, np.tile([0.1, 1.0, -np.inf, np.inf], (len(gaps), 1))]))
    located = np.array([lane for column in columns for lane in numbers_at(*column)], np.int64)
    return lanes_at(scales, starts), located, scales


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("part", [slice(0, 1000), slice(37, 38), slice(3, 259), slice(990, 1000), slice(5, 5)])
def test_numbers_become_the_rows_that_numpy_makes(dtype: type, wild: bool, part: slice) -> None:
    columns = columns_of(dtype, 1000, wild=wild)
    starts = [0, 2, 6, 8, 20]  # features 1 and 17 to 19 belong to other columns
    lanes, located, scales = laid(columns, starts)
    places = RNG.permutation(1200)[: part.stop - part.start]
    out = np.full((1200, 22), -99.0, np.float32)
    expected = out.copy()
    for column, scale, start in zip(columns, scales, starts, strict=True):
        expected[places, start : start + len(scale)] = in_numpy(*column, scale)[part]
    assert write_numbers(lanes, located, part, places, out, out) is None
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("lanes", [1, 7, 8, 9, 700])
def test_any_number_of_lanes(lanes: int) -> None:
    columns = [(RNG.normal(size=(300, 1)), None, []) for _ in range(lanes)]
    plan, located, scales = laid(columns, list(range(lanes)))
    out = np.empty((300, lanes), np.float32)
    assert write_numbers(plan, located, slice(0, 300), np.arange(300), out, out) is None
    np.testing.assert_array_equal(out, np.hstack([in_numpy(*c, s) for c, s in zip(columns, scales, strict=True)]))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e200])
def test_what_is_not_finite_is_named(bad: float) -> None:
    columns = [(RNG.normal(size=(500, 1)), None, []) for _ in range(10)]
    columns[9][0][417] = bad
    plan, located, _ = laid(columns, list(range(10)))
    out = np.empty((500, 10), np.float32)
    with np.errstate(over="ignore"):  # for the loop run uncompiled
        assert write_numbers(plan, located, slice(400, 500), np.arange(100), out, out) == (417, 9)
    assert write_numbers(plan, located, slice(0, 400), np.arange(400), out, out) is None


@pytest.mark.parametrize("components", [1, 2])
def test_what_is_not_finite_is_named_among_missing_numbers(components: int) -> None:
    values, missing = RNG.normal(size=(500, components)), np.zeros((500, components), bool)
    values[300], values[302], missing[302] = np.nan, np.inf, True  # these are missing
    columns = [(values, missing, [0])]
    plan, located, scales = laid(columns, [0])
    out = np.empty((500, components + 1), np.float32)
    assert write_numbers(plan, located, slice(290, 490), np.arange(290, 490), out, out) is None
    np.testing.assert_array_equal(out[290:490], in_numpy(*columns[0], scales[0])[290:490])
    values[417, -1] = values[420, -1] = np.inf
    assert write_numbers(plan, located, slice(290, 490), np.arange(290, 490), out, out) == (417, components - 1)


def test_rows_below_zero_go_aside() -> None:
    columns = columns_of(np.float32, 300, wild=True)
    lanes, located, _ = laid(columns, [0, 1, 5, 7, 16])
    whole, out, aside = (np.zeros((300, 17), np.float32) for _ in range(3))
    assert write_numbers(lanes, located, slice(0, 300), np.arange(300), whole, whole) is None
    places = RNG.permutation(300) - 120
    assert write_numbers(lanes, located, slice(0, 300), places, out, aside) is None
    np.testing.assert_array_equal(out[places[places >= 0]], whole[places >= 0])
    np.testing.assert_array_equal(aside[-1 - places[places < 0]], whole[places < 0])
    assert not out[180:].any()
    assert not aside[120:].any()


def test_held_out_rows_get_places_below_zero() -> None:
    uses = RNG.integers(0, 4, 500).astype(np.uint8)
    targets, weights = np.arange(500, dtype=np.int32), RNG.random(500, np.float32)
    places, held = np.empty(400, np.int64), (np.empty(400, np.int32), np.empty(400, np.float32))
    ends = np.empty(3, np.int64)
    store.run("encode:hold_out", (), uses, 50, 450, targets, weights, places, *held, ends)
    part = uses[50:450]
    order = 50 + np.concatenate([np.flatnonzero(part == 1), np.flatnonzero(part == 2)])
    assert ends.tolist() == [(part == 1).sum(), len(order), (part == 0).sum()]
    np.testing.assert_array_equal(held[0][: len(order)], order)
    np.testing.assert_array_equal(held[1][: len(order)], weights[order])
    np.testing.assert_array_equal(places[order - 50], -1 - np.arange(len(order)))
    assert set(places[part == 0]) == {0}
    assert set(places[part == 3]) == {-1 - len(order)}


def test_features_are_placed() -> None:
    features, places = RNG.random((6, 2), np.float32), np.array([3, -1, 8, 0, -5, 1])
    out, aside = np.zeros((9, 5), np.float32), np.zeros((6, 5), np.float32)
    expected, beside = out.copy(), aside.copy()
    expected[[3, 8, 0, 1], 2:4], beside[[0, 4], 2:4] = features[[0, 2, 3, 5]], features[[1, 4]]
    store.run("encode:place_features", (), features, places, 2, out, aside)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(aside, beside)


def test_hashed_uses() -> None:
    keys = np.uint64(7) + np.arange(5000, dtype=np.uint64)
    salt = mix(np.array([1], np.uint64))
    unit = (mix(mix(keys) + salt) >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    uses = np.empty(5000, np.uint8)
    store.run("encode:hashed_uses", (), 7, salt.view(np.int64)[0], 0.3, uses)
    np.testing.assert_array_equal(uses, np.where(unit < 0.15, 1, np.where(unit < 0.3, 2, 0)))


def test_uncompiled_forms() -> None:
    numbers = np.array([1.5, 2.5], np.float32)
    assert encode.load(numbers.ctypes.data, 1, np.float32(0)) == np.float32(2.5)
    source, target = np.arange(160, dtype=np.float32), np.zeros(100, np.float32)
    encode.transpose(source, 3, 20, target, 5, 10)
    np.testing.assert_array_equal(target[5:85].reshape(8, 10)[:, :8], source.reshape(8, 20)[:, 3:11].T)
