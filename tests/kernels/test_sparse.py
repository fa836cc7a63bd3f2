"""The kernels for sparse rows against themselves uncompiled, where reading out of bounds is an error; 1/√x."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from tests.cases import (
    COMPILED_PAIRS,
    LOSSES_BY_NAME,
    RULES_BY_NAME,
    chunk_of,
    dense_rows,
    learn,
    runs_of,
    targets_for,
    to_sparse,
    uncompiled,
    weights_of,
)

from schuss.descent import ops
from schuss.kernels import estimates, store  # noqa: F401 — registers the estimate
from schuss.kernels.lanes import load
from schuss.kernels.lanes import store as write
from schuss.kernels.options import FAST
from schuss.population.linear import Linear


@pytest.mark.parametrize(("rule", "loss"), COMPILED_PAIRS, ids=["-".join(pair) for pair in COMPILED_PAIRS])
def test_uncompiled_kernels_give_the_same(rule: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = LOSSES_BY_NAME[loss]
    rows = dense_rows(19, 9, density=0.5)
    rows[3], rows[18] = 0.0, 0.0
    chunk = chunk_of(to_sparse(rows), targets_for(case, rows), np.random.default_rng(0).uniform(0.5, 2, 19))

    def use(batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ours = Linear(RULES_BY_NAME[rule].rule, case.loss, 9, case.outputs, batch, True)
        state, tallies = learn(ours, runs_of([0.003, 0.01, 0.03], l2=0.1), [chunk])
        return weights_of(ours, state), tallies[0].loss, ours.losses(state, chunk)

    for batch in (1, 5):
        compiled = use(batch)
        with monkeypatch.context() as patch:
            patch.setattr(store, "run", uncompiled)
            plain = use(batch)
        for a, b in zip(compiled, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6 * np.abs(b).max())


WIDE_PAIRS = [
    ("adagrad", "log_loss", 0.0),
    ("adagrad", "softmax", 0.1),
    ("ftrl", "squared_error", 0.1),
    ("sgd", "hinge", 0.1),
]


@pytest.mark.parametrize(("rule", "loss", "penalty"), WIDE_PAIRS, ids=["-".join(pair[:2]) for pair in WIDE_PAIRS])
def test_features_together_have_the_bits_of_one_after_the_other(
    rule: str, loss: str, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run steps sixteen features at a time, a block of four one by one; rows of 0 to 40 nonzeros."""
    case = LOSSES_BY_NAME[loss]
    rows = dense_rows(30, 40, density=0.6)
    rows[3], rows[29], rows[5], rows[6, 16:] = 0.0, 0.0, 1.5, 0.0
    chunk = chunk_of(to_sparse(rows), targets_for(case, rows), np.random.default_rng(0).uniform(0.5, 2, 30))

    def weights(rates: list[float]) -> np.ndarray:
        ours = Linear(RULES_BY_NAME[rule].rule, case.loss, 40, case.outputs, 1, True, l1=rule == "sgd")
        state, _ = learn(ours, runs_of(rates, l2=penalty, l1=penalty * (rule == "sgd")), [chunk, chunk])
        return weights_of(ours, state)

    alone = weights([0.1])
    np.testing.assert_array_equal(alone[0], weights([0.1, 0.03, 0.01])[0])
    monkeypatch.setattr(store, "run", uncompiled)
    np.testing.assert_allclose(alone, weights([0.1]), rtol=1e-5, atol=1e-6 * np.abs(alone).max())


@njit(**FAST)
def compiled_inverse_root(like, x, out):
    for i in range(len(x)):
        write(out, i, 0, ops.inverse_root(load(x, i, 0, like)))


@pytest.mark.parametrize("lanes", [1, 4, 8, 16])
def test_inverse_roots_are_exact_whatever_the_width(lanes: int) -> None:
    x = 10.0 ** np.random.default_rng(0).uniform(-37, 37, 4096)
    x = x.astype(np.float32).reshape(-1, lanes)
    out = np.empty_like(x)
    compiled_inverse_root((np.float32(0),) * lanes, x, out)
    np.testing.assert_allclose(out, 1 / np.sqrt(x.astype(np.float64)), rtol=2.5e-7)
    widest = np.empty((256, 16), np.float32)
    compiled_inverse_root((np.float32(0),) * 16, x.reshape(256, 16), widest)
    np.testing.assert_array_equal(out.ravel(), widest.ravel())
