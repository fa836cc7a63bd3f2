"""Losses compiled against the same formulas uncompiled, in float32 and float64."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import (
    LOSS_CASES,
    RULES_BY_NAME,
    LossCase,
    chunk_of,
    dense_rows,
    ids,
    learn,
    numbers_for,
    runs_of,
    weights_of,
)

from schuss.descent.losses import Huber, values_and_gradients
from schuss.kernels import store
from schuss.kernels.options import kernel
from schuss.kernels.scores import learn_from_scores
from schuss.population.linear import Linear

LANES = 4
ROWS = 40


@kernel()
def learn_rows(loss, like, outputs, scores, targets, weights, tally):
    learn_from_scores(loss, like, outputs, scores, targets, weights, tally)


def problem(case: LossCase) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores `(rows, outputs, lanes)`, some of them at kinks, targets and weights."""
    rng = np.random.default_rng(6)
    scores = 2 * rng.normal(size=(ROWS, case.outputs, LANES))
    scores[:10] = np.round(scores[:10])
    targets = rng.integers(case.classes or 4, size=ROWS)
    if case.classes is not None:
        return scores.astype(np.float32), targets.astype(np.int32), rng.uniform(0.5, 2, ROWS).astype(np.float32)
    numbers = numbers_for(case, np.where(np.arange(ROWS) < 10, targets, rng.normal(size=ROWS)))
    return scores.astype(np.float32), numbers.astype(np.float32), rng.uniform(0.5, 2, ROWS).astype(np.float32)


@pytest.mark.parametrize("case", LOSS_CASES, ids=ids(LOSS_CASES))
def test_compiled_is_uncompiled(case: LossCase) -> None:
    scores, targets, weights = problem(case)
    flat, tally = scores.reshape(ROWS, -1).copy(), np.zeros(LANES)
    like = (np.float32(0),) * LANES
    learn_rows(case.loss, like, case.outputs, flat, targets, weights, tally)
    compiled = flat.reshape(scores.shape)
    for dtype in (np.float32, np.float64):
        for lane in range(LANES):
            typed = targets.astype(dtype) if case.outputs == 1 else targets
            values, gradients = values_and_gradients(case.loss, scores[:, :, lane].astype(dtype), typed)
            assert values.dtype == gradients.dtype == dtype
            np.testing.assert_allclose(tally[lane], (values * weights).sum(), rtol=2e-6)
            wanted = gradients * weights[:, None].astype(dtype) / ROWS
            np.testing.assert_allclose(compiled[:, :, lane], wanted, rtol=2e-5, atol=2e-7)


def test_the_numbers_of_a_loss_are_those_of_the_call() -> None:
    """One compiled kernel serves every δ, and each gives what its formula gives uncompiled."""
    rows = dense_rows(40, 5)
    chunk = chunk_of(rows, 3 * rows[:, 0] - rows[:, 1])
    found, kernels = [], []
    for delta in (0.1, 1.0, 10.0):
        ours = Linear(RULES_BY_NAME["sgd"].rule, Huber(delta), 5, 1, 4, False)
        state, tallies = learn(ours, runs_of([0.1, 0.2]), [chunk])
        found.append(weights_of(ours, state))
        assert np.isfinite(tallies[0].loss).all()
        values, _ = values_and_gradients(Huber(delta), (rows @ found[-1][0, :-1]) + found[-1][0, -1], chunk.targets)
        np.testing.assert_allclose(ours.losses(state, chunk)[:, 0], values, rtol=1e-5, atol=1e-6)
        kernels.append(len(store._ready))
    assert len(set(kernels)) == 1
    assert not np.allclose(found[0], found[1])
    assert not np.allclose(found[1], found[2])
