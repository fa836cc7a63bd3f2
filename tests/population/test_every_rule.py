"""Every optimizer with every penalty, uncompiled: sparse rows are dense rows, and no run notices its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cases import (
    LOSSES_BY_NAME,
    RULE_CASES,
    RuleCase,
    chunk_of,
    cut_rows,
    dense_rows,
    ids,
    learn,
    targets_for,
    to_sparse,
    uncompiled,
    weights_of,
)
from tests.references import Prodigy as ProdigyReference

from schuss.descent.optimizers import Averaged, Prodigy
from schuss.kernels import store
from schuss.population import dense
from schuss.population.linear import Linear
from schuss.population.population import Run

CASES = [
    *RULE_CASES,
    RuleCase("prodigy", Prodigy(distance=0.01), ProdigyReference, (0.3, 0.7, 1.0)),
    RuleCase("averaged_prodigy", Averaged(Prodigy(distance=0.01)), ProdigyReference, (0.3, 0.7, 1.0)),
]
every_rule = pytest.mark.parametrize("case", CASES, ids=ids(CASES))
PENALTIES = [(0.0, 0.0), (0.3, 0.0), (0.0, 0.03), (0.3, 0.03)]
LOSS = LOSSES_BY_NAME["log_loss"]


@pytest.fixture(autouse=True)
def _uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "run", uncompiled)
    monkeypatch.setattr(dense, "run", uncompiled)


def runs_for(case: RuleCase, l1: bool) -> tuple[Run, ...]:
    """Four runs of different rates and penalties."""
    penalties = PENALTIES if l1 else [(0.0, 0.0), (0.3, 0.0), (0.1, 0.0), (1.0, 0.0)]
    rates = [*case.rates, case.rates[1]]
    return tuple(
        Run(i, case.name, rate, ridge, "linear", 4, l1=lasso)
        for i, (rate, (ridge, lasso)) in enumerate(zip(rates, penalties, strict=True))
    )


def learned(rule: Any, runs: tuple[Run, ...], sparse: bool, l1: bool) -> np.ndarray:
    """The weights after a few chunks in which features go untouched for long, one of them for ever."""
    rows = dense_rows(60, 9, density=0.3)
    rows[:20, 6], rows[25:55, 3], rows[20:, 7], rows[:, 8] = 0.0, 0.0, 0.0, 0.0
    chunks = cut_rows(chunk_of(rows, targets_for(LOSS, rows)), [16, 1, 11, 32])
    chunks = [chunk._replace(rows=to_sparse(chunk.rows)) for chunk in chunks] if sparse else chunks
    ours = Linear(rule, LOSS.loss, 9, 1, 4, sparse, l1=l1)
    return weights_of(ours, learn(ours, runs, chunks, planned=90)[0])[:, :, 0]


@every_rule
@pytest.mark.parametrize("l1", [False, True])
def test_sparse_rows_are_the_same_algorithm(case: RuleCase, l1: bool) -> None:
    runs = runs_for(case, l1)
    wanted, got = (learned(case.rule, runs, sparse, l1) for sparse in (False, True))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    assert np.abs(wanted).max(axis=1).all()
    if l1:
        np.testing.assert_array_equal(got == 0, wanted == 0)


@every_rule
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_a_run_does_not_notice_its_neighbours(case: RuleCase, sparse: bool) -> None:
    runs = runs_for(case, True)
    together = learned(case.rule, runs, sparse, True)
    wild = tuple(run._replace(learning_rate=3.0 * run.learning_rate, l2=1.0, l1=0.0) for run in runs)
    beside = learned(case.rule, (*wild[:2], runs[2], wild[3]), sparse, True)
    np.testing.assert_array_equal(beside[2], together[2])
