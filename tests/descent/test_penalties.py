"""Penalties as flows, against their differential equation, closed forms and their own laws."""

from __future__ import annotations

import numpy as np
import pytest

from schuss.descent.penalties import L2, ElasticNet, moved, penalty_value

W = np.array([-2.0, -0.3, -1e-3, 0.0, 1e-5, 0.04, 1.7])


def flow(w: np.ndarray, l2: float, l1: float, rate: float) -> np.ndarray:
    """The elastic net's flow."""
    p, q = ElasticNet().scalars(l2, l1, rate)
    return moved(ElasticNet(), p, q, w, 0.0, rate)


@pytest.mark.parametrize(("l2", "l1"), [(0.7, 0.0), (0.0, 0.4), (0.7, 0.4), (1e-9, 0.4)])
def test_the_flow_is_that_of_its_differential_equation(l2: float, l1: float) -> None:
    w, steps = W.copy(), 20_000
    for _ in range(steps):
        after = w - 0.8 / steps * (l2 * w + l1 * np.sign(w))
        w = np.where(after * w > 0, after, 0.0)
    np.testing.assert_allclose(flow(W, l2, l1, 0.8), w, atol=1e-4)


@pytest.mark.parametrize(("l2", "l1"), [(0.01, 0.0), (0.0, 0.002), (0.02, 0.001)])
def test_many_steps_are_one_with_the_same_zeros(l2: float, l1: float) -> None:
    rates = np.random.default_rng(2).random(1000)
    w = W
    for rate in rates:
        w = flow(w, l2, l1, rate)
    at_once = flow(W, l2, l1, rates.sum())
    np.testing.assert_allclose(w, at_once, rtol=1e-10, atol=1e-14)
    np.testing.assert_array_equal(w == 0, at_once == 0)


def test_without_l2_it_is_the_soft_threshold() -> None:
    for dtype in (np.float64, np.float32):
        w = W.astype(dtype)
        p, q = (np.asarray(one, dtype) for one in ElasticNet().scalars(0.0, 0.5, 0.1))
        ours = moved(ElasticNet(), p, q, w, dtype(0), dtype(0.1))
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, np.sign(w) * np.maximum(np.abs(w) - 0.05, 0), rtol=1e-6)


def test_without_l1_it_is_the_l2_flow() -> None:
    np.testing.assert_allclose(flow(W, 0.3, 0.0, 0.2), moved(L2(), 0.3, 0.0, W, 0.0, 0.2), rtol=1e-14)
    np.testing.assert_allclose(flow(W, 0.3, 0.0, 0.2), W * np.exp(-0.06), rtol=1e-14)
    np.testing.assert_array_equal(flow(W, 0.0, 0.0, 0.2), W)


def test_pulls_too_small_for_a_weight_still_slow_its_step() -> None:
    w, move, rate = np.float32(1.0), np.float32(-1e-6), np.float32(1e-6)
    after = moved(L2(), np.float32(0.5), np.float32(0), w, move, rate)
    assert after == np.float32(1.0 + 1e-6 - 0.5e-6)


def test_what_is_not_finite_stays_so() -> None:
    for penalty, p, q in ((L2(), 0.5, 0.0), (ElasticNet(), *ElasticNet().scalars(0.5, 0.1, 0.1))):
        with np.errstate(all="ignore"):
            after = moved(penalty, p, q, np.array([np.nan, np.inf, 1.0]), np.array([0.0, np.inf, np.nan]), 0.1)
        assert not np.isfinite(after).any()


def test_values() -> None:
    assert penalty_value(np.array([[3.0], [-4.0]]), 0.1) == pytest.approx(0.5 * 0.1 * 25)
    assert penalty_value(np.array([[3.0], [-4.0]]), 0.1, 0.2) == pytest.approx(0.5 * 0.1 * 25 + 0.2 * 7)
