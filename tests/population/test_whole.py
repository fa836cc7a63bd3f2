"""Rules that look at all weights of a run: against their reference, and against themselves uncompiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.cases import (
    LOSSES_BY_NAME,
    chunk_of,
    dense_rows,
    learn,
    runs_of,
    targets_for,
    to_sparse,
    uncompiled,
    weights_of,
)
from tests.references import Prodigy as Reference

from schuss.descent.optimizers import Prodigy
from schuss.kernels import store
from schuss.population.linear import Linear

layouts = pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
RATES = (0.3, 1.0, 1.5)


def reference_weights(name: str, rate: float, rows: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, Reference]:
    """Train in float64 in mini-batches of eight by the authors' formula."""
    loss, x = LOSSES_BY_NAME[name], torch.tensor(np.column_stack([rows, np.ones(len(rows))]).astype(np.float64))
    w = torch.zeros((x.shape[1], loss.outputs), dtype=torch.float64, requires_grad=True)
    theirs = Reference([w], rate)
    for start in range(0, len(rows), 8):
        theirs.zero_grad()
        loss.torch_values(x[start : start + 8] @ w, torch.tensor(y[start : start + 8])).mean().backward()
        theirs.step()
    return w.detach().numpy(), theirs


@layouts
def test_the_reference_agrees_after_200_steps(sparse: bool) -> None:
    loss, rows = LOSSES_BY_NAME["log_loss"], dense_rows(1600 - 3, 6)
    y = targets_for(loss, rows)
    ours = Linear(Prodigy(), loss.loss, 6, loss.outputs, 8, sparse)
    state, _ = learn(ours, runs_of(RATES), [chunk_of(to_sparse(rows) if sparse else rows, y)])
    for run, rate in enumerate(RATES):
        wanted, theirs = reference_weights("log_loss", rate, rows, y)
        np.testing.assert_allclose(weights_of(ours, state)[run], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
        assert state.blocks[0].carry[0, run] == pytest.approx(theirs.d, rel=1e-5)


@layouts
def test_uncompiled_kernels_give_the_same_and_runs_may_leave(sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, rows = LOSSES_BY_NAME["log_loss"], dense_rows(40, 6)
    chunk = chunk_of(to_sparse(rows) if sparse else rows, targets_for(loss, rows))
    ours = Linear(Prodigy(distance=0.01), loss.loss, 6, 1, 8, sparse)

    def use() -> np.ndarray:
        state, _ = learn(ours, runs_of(RATES, l2=0.1), [chunk])
        kept = ours.keep(state, [0, 2])
        after, _ = ours.advance(kept, chunk)
        return weights_of(ours, ours.up_to_date(after))

    compiled = use()
    monkeypatch.setattr(store, "run", uncompiled)
    plain = use()
    np.testing.assert_allclose(compiled, plain, rtol=1e-5, atol=2e-6 * np.abs(plain).max())
    whole = weights_of(ours, learn(ours, runs_of(RATES, l2=0.1), [chunk] * 2)[0])
    np.testing.assert_array_equal(plain, whole[[0, 2]])


@layouts
def test_sums_run_over_all_outputs(sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "run", uncompiled)
    loss, rows = LOSSES_BY_NAME["softmax"], dense_rows(80, 6)
    y = targets_for(loss, rows)
    ours = Linear(Prodigy(), loss.loss, 6, 5, 8, sparse)
    state, _ = learn(ours, runs_of(RATES), [chunk_of(to_sparse(rows) if sparse else rows, y)])
    wanted, theirs = reference_weights("softmax", 1.0, rows, y)
    np.testing.assert_allclose(weights_of(ours, state)[1], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    assert state.blocks[0].carry[0, 1] == pytest.approx(theirs.d, rel=1e-5)
