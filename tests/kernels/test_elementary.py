"""The compiled float32 functions against NumPy in float64 over their whole range."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numba import njit

from schuss.descent import ops
from schuss.kernels import elementary  # noqa: F401 — registers the compiled forms
from schuss.kernels.lines import load_at, store_at
from schuss.kernels.options import FAST

SMALLEST = np.float32(1.1754944e-38)
F = np.float32


@njit(**FAST)
def compiled_exp(x, out):
    for i in range(len(x)):
        out[i] = ops.exp(x[i])


@njit(**FAST)
def compiled_log(x, out):
    for i in range(len(x)):
        out[i] = ops.log(x[i])


@njit(**FAST)
def compiled_log1p(x, out):
    for i in range(len(x)):
        out[i] = ops.log1p(x[i])


@njit(**FAST)
def compiled_others(x, y, out):
    for i in range(len(x)):
        out[0, i] = ops.maximum(x[i], y[i])
        out[1, i] = ops.absolute(x[i])
        out[2, i] = ops.sqrt(x[i])
        out[3, i] = ops.where(x[i] > y[i], x[i], y[i])
        out[4, i] = ops.constant(0.1, x[i])


@njit(**FAST)
def compiled_expm1(x, out):
    for i in range(len(x)):
        out[i] = ops.expm1(x[i])


@njit(**FAST)
def compiled_log1p_unit(x, out):
    for i in range(len(x)):
        out[i] = ops.log1p_unit(x[i])


def on_lanes(function: Callable) -> Callable:
    """The same function for eight lanes at a time."""

    @njit(**FAST)
    def compiled(x, out, like):
        for i in range(0, len(x), len(like)):
            store_at(out, i, function(load_at(x, i, like)))

    return compiled


LANES = {
    compiled_exp: on_lanes(ops.exp), compiled_expm1: on_lanes(ops.expm1), compiled_log: on_lanes(ops.log),
    compiled_log1p: on_lanes(ops.log1p), compiled_log1p_unit: on_lanes(ops.log1p_unit),
}  # fmt: skip


def run(function: Callable, x: np.ndarray) -> np.ndarray:
    """Apply a function to numbers, and to lanes, which must agree."""
    out = np.empty_like(x, F)
    function(x.astype(F), out)
    padded = np.resize(x.astype(F), -(-len(x) // 8) * 8)
    lanes = np.empty_like(padded)
    LANES[function](padded, lanes, (0.0,) * 8)
    if function is compiled_expm1:  # of two forms, the shorter one for small numbers
        np.testing.assert_allclose(lanes[: len(x)], out, rtol=3e-7)
        return lanes[: len(x)]
    np.testing.assert_array_equal(lanes[: len(x)], out)
    return out


def floats_between(low: float, high: float, stride: int = 4093) -> np.ndarray:
    """Every so many of all positive floats of an interval."""
    a, z = (int(np.array(value, F).view(np.uint32)) for value in (low, high))
    return np.arange(a, z, stride, dtype=np.uint32).view(F)


def ulps(got: np.ndarray, wanted: np.ndarray) -> float:
    """Largest error in units of the last place of the exact result."""
    return float(np.max(np.abs(got.astype(np.float64) - wanted) / np.spacing(np.abs(wanted).astype(F))))


def test_exp() -> None:
    x = np.concatenate(
        [np.linspace(-87.33, 88.72, 200_001).astype(F), -floats_between(1e-30, 87.3), floats_between(1e-30, 88.7)]
    )
    usual = np.abs(x) < 88
    assert ulps(run(compiled_exp, x[usual]), np.exp(x[usual].astype(np.float64))) <= 2
    assert ulps(run(compiled_exp, x), np.exp(x.astype(np.float64))) <= 5  # the last half of a power of two before inf
    special = np.array([0.0, -0.0, 1e-45, -1e-45, 89.0, 1e30, np.inf, -104.0, -1e30, -np.inf, np.nan], F)
    np.testing.assert_array_equal(run(compiled_exp, special), [1, 1, 1, 1, np.inf, np.inf, np.inf, 0, 0, 0, np.nan])
    tiny = np.linspace(-104, -87.33, 1000).astype(F)  # the result is subnormal: zero or right
    assert (np.abs(run(compiled_exp, tiny) - np.exp(tiny.astype(np.float64))) <= SMALLEST).all()


def test_log() -> None:
    x = np.concatenate([floats_between(SMALLEST, 3e38), floats_between(0.5, 2.0, 61)])
    x = x[x != 1]
    assert ulps(run(compiled_log, x), np.log(x.astype(np.float64))) <= 2
    special = np.array([1.0, 0.0, -0.0, np.inf, -1.0, -np.inf, np.nan, -1e-40], F)
    np.testing.assert_array_equal(
        run(compiled_log, special)[:-1], [0, -np.inf, -np.inf, np.inf, np.nan, np.nan, np.nan]
    )
    assert not np.isfinite(run(compiled_log, special)[-1])


def test_log1p() -> None:
    x = np.concatenate([floats_between(SMALLEST, 3e38), -floats_between(SMALLEST, 0.999)])
    assert ulps(run(compiled_log1p, x), np.log1p(x.astype(np.float64))) <= 3
    special = np.array([0.0, 1e-45, 1e-39, -1.0, np.inf, -2.0, np.nan], F)
    np.testing.assert_array_equal(
        run(compiled_log1p, special), np.array([0, 1e-45, 1e-39, -np.inf, np.inf, np.nan, np.nan], F)
    )


def test_expm1() -> None:
    x = np.concatenate([floats_between(SMALLEST, 87.0), -floats_between(SMALLEST, 87.0)])
    np.random.default_rng(0).shuffle(x)  # small and large ones side by side
    assert ulps(run(compiled_expm1, x), np.expm1(x.astype(np.float64))) <= 3
    assert ulps(run(compiled_expm1, np.sort(x)), np.expm1(np.sort(x).astype(np.float64))) <= 3
    special = np.array([0.0, -0.0, 1e-45, 89.0, 1e30, np.inf, -104.0, -np.inf, np.nan], F)
    np.testing.assert_array_equal(
        run(compiled_expm1, special), [0, 0, F(1e-45), np.inf, np.inf, np.inf, -1, -1, np.nan]
    )


def test_expm1_of_a_lane_does_not_depend_on_its_neighbours() -> None:
    x = floats_between(1e-4, 1.0, 40_961)
    alone = run(compiled_expm1, np.repeat(x, 8))[::8]
    mixed = np.stack([x, np.full_like(x, 3.0), *[x] * 6], axis=1).ravel()
    np.testing.assert_array_equal(run(compiled_expm1, mixed)[::8], alone)


def test_log1p_unit() -> None:
    x = np.append(floats_between(SMALLEST, 1.0), [F(1)])
    assert ulps(run(compiled_log1p_unit, x), np.log1p(x.astype(np.float64))) <= 2
    np.testing.assert_array_equal(run(compiled_log1p_unit, np.array([0.0, 1e-45, np.nan], F)), [0, F(1e-45), np.nan])


def test_the_exact_ones_and_nan() -> None:
    values = np.array([0.0, -0.0, 1.5, -2.25, 3e38, np.inf, 1e-45], F)
    x, y = (grid.ravel() for grid in np.meshgrid(values, values))
    out = np.empty((5, len(x)), F)
    compiled_others(x, y, out)
    with np.errstate(invalid="ignore"):
        wanted = [np.maximum(x, y), np.abs(x), np.sqrt(x), np.where(x > y, x, y), np.full(len(x), 0.1, F)]
    for got, right in zip(out, wanted, strict=True):
        np.testing.assert_array_equal(got, right)
    out = np.empty((5, 1), F)
    compiled_others(np.array([np.nan], F), np.zeros(1, F), out)
    assert np.isnan(out[:3]).all(), "a diverged run must stay visible"


@pytest.mark.parametrize("function", list(LANES))
def test_a_float32_loop_holds_no_float64(function: Callable) -> None:
    run(function, np.ones(4))
    assembly = "".join(function.inspect_asm().values())
    assert "vcvtps2pd" not in assembly, "a literal widened the formula to float64"
