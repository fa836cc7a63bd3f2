"""Schedules in a population: the rates that runs learn with, plateaus, runs with schedules of their own."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import (
    LOSSES_BY_NAME,
    RULES_BY_NAME,
    chunk_of,
    dense_rows,
    learn,
    runs_of,
    targets_for,
    to_sparse,
    weights_of,
)

from schuss.descent.schedules import Slowed, parse_schedule
from schuss.population import rates
from schuss.population.linear import Linear

LOSS = LOSSES_BY_NAME["log_loss"]
ROWS = dense_rows(64, 5)
TARGETS = targets_for(LOSS, ROWS)


def linear(rule: str, batch: int = 1, *, sparse: bool = False) -> Linear:
    return Linear(RULES_BY_NAME[rule].rule, LOSS.loss, 5, 1, batch, sparse)


@pytest.mark.parametrize("spec", ["cosine", "optimal", "invscaling", "warmup:0.25+step:0.5,0.25"])
def test_a_run_follows_its_schedule(spec: str) -> None:
    """Batches of 32 rows have a rate each; steps are counted in them."""
    runs = tuple(run._replace(schedule=spec, l2=0.3) for run in runs_of([0.1, 0.4]))
    progress = np.arange(4) / 4
    found = rates.factors(runs, progress, 4) @ rates.bases(runs, 0, 4, ())
    for place, run in enumerate(runs):
        if spec == "optimal":
            wanted = 1 / (1 + run.learning_rate * 0.3 * np.arange(4))
        else:
            wanted = parse_schedule(spec).factors(progress, 4)
        np.testing.assert_allclose(found[:, place], run.learning_rate * wanted, rtol=1e-12)
    assert (found[:, 2:] == 0).all()


@pytest.mark.parametrize("rule", ["sgd", "adagrad"])
@pytest.mark.parametrize("sparse", [False, True])
def test_runs_with_schedules_of_their_own_learn_as_they_do_alone(rule: str, sparse: bool) -> None:
    specs = ["cosine", "optimal", "linear", "optimal"]
    runs = tuple(
        run._replace(schedule=spec, l2=0.01) for run, spec in zip(runs_of([0.1, 0.2, 0.3, 0.4]), specs, strict=True)
    )
    rows = to_sparse(ROWS) if sparse else ROWS
    chunks = [chunk_of(rows, TARGETS)]
    ours = linear(rule, sparse=sparse)
    together = weights_of(ours, learn(ours, runs, chunks, planned=64)[0])
    for run in runs:
        alone = weights_of(ours, learn(ours, (run,), chunks, planned=64)[0])[0]
        np.testing.assert_allclose(together[run.number], alone, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_plateau_slows_its_run_alone(sparse: bool) -> None:
    plateau, constant = (run._replace(schedule=spec, l2=0.1) for run, spec in zip(
        runs_of([0.1, 0.1]), ("plateau:0.5,0", "constant"), strict=True))  # fmt: skip
    rows = to_sparse(ROWS) if sparse else ROWS
    half = [chunk_of(rows, TARGETS)] * 2
    ours = linear("adagrad", sparse=sparse)
    state = ours.begin_leg(ours.start((plateau, constant)), 64)
    state, _ = ours.advance(state, half[0])
    state = ours.hear(state, {0: 0.5, 1: 0.5})
    assert state.slowed == (Slowed(1.0, 0.5, 0), Slowed())
    before = weights_of(ours, ours.up_to_date(state))
    np.testing.assert_array_equal(before[0], before[1])
    state = ours.hear(state, {0: 0.5, 1: 0.5})
    assert [one.factor for one in state.slowed] == [0.5, 1.0]
    state, _ = ours.advance(state, half[1])
    state = ours.keep(ours.up_to_date(state), [0])
    assert state.slowed == (Slowed(0.5, 0.5, 0),)
    # The same as a run whose rate is halved between the two chunks.
    slow = constant._replace(number=0, learning_rate=0.05)
    other = ours.begin_leg(ours.start((constant,)), 64)
    other, _ = ours.advance(other, half[0])
    other = ours.up_to_date(other)
    halved, _ = ours.advance(type(other)((slow,), other.blocks, other.lanes, other.rows, other.planned_rows), half[1])
    np.testing.assert_allclose(
        weights_of(ours, ours.up_to_date(state))[0], weights_of(ours, ours.up_to_date(halved))[0], rtol=1e-5, atol=1e-7
    )


def test_without_a_plateau_nothing_is_remembered() -> None:
    ours = linear("sgd")
    state = ours.start(runs_of([0.1]))
    assert ours.hear(state, {0: 1.0}) is state
