"""Models averaged over workers: against NumPy, against the population that they all are, for every optimizer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.cases import (
    COMPILED_RULES,
    LOSSES_BY_NAME,
    RuleCase,
    chunk_of,
    cut_rows,
    dense_rows,
    ids,
    problem,
    runs_of,
    targets_for,
    to_sparse,
    weights_of,
)

from schuss.cluster.workers import Here
from schuss.data.chunk import Chunk
from schuss.data.cluster_feed import Piece, Round
from schuss.data.saved import Saved
from schuss.population.average import average
from schuss.population.cluster import learn, on_workers
from schuss.population.linear import Linear

LOSS = LOSSES_BY_NAME["log_loss"]
RATES = (0.01, 0.1)


def population(rule: Any, *, sparse: bool = False, features: int = 5, batch: int = 8) -> Linear:
    return Linear(rule, LOSS.loss, features, LOSS.outputs, batch, sparse)


def rounds(*shares: Chunk) -> Round:
    """A round in which each worker has a chunk of its own, in its order."""
    pieces = [[Piece(span, 0, len(chunk.targets), None)] for span, chunk in enumerate(shares)]
    return Round(pieces, [[chunk] for chunk in shares])


def state_of(own: Any, planned: int) -> Any:
    return own.begin_leg(own.start(runs_of(RATES, l2=0.01, schedule="linear")), planned)


def test_averages_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(3, 4, 5)).astype(np.float32)
    states = [Saved({"rows": n}, {"w": one, "n": np.arange(2)}) for n, one in enumerate(arrays)]
    mean = average(states, [10, 20, 5])
    np.testing.assert_allclose(mean.arrays["w"], np.average(arrays, axis=0, weights=[10, 20, 5]), rtol=2e-7)
    assert mean.arrays["w"].dtype == np.float32
    assert mean.arrays["n"].tolist() == [0, 1]
    assert mean.values == {"rows": 0}


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("rule", COMPILED_RULES, ids=ids(COMPILED_RULES))
def test_workers_who_learn_the_same_are_one_machine(rule: RuleCase, sparse: bool) -> None:
    rows = dense_rows(96, 5, density=0.4)
    targets = targets_for(LOSS, rows)
    chunks = [chunk_of(part.rows, part.targets) for part in cut_rows(chunk_of(rows, targets), [32, 64])]
    if sparse:
        chunks = [chunk._replace(rows=to_sparse(np.asarray(chunk.rows))) for chunk in chunks]
    own = population(rule.rule, sparse=sparse)
    cluster = on_workers(own, Here(2))
    one, many = state_of(own, 96), state_of(cluster, 192)
    for chunk in chunks:
        one, tallies = own.advance(own.up_to_date(one), chunk)
        many, summed = cluster.advance(many, rounds(chunk, chunk))
        np.testing.assert_allclose(summed.loss, 2 * tallies.loss)
        assert (summed.rows, summed.weight) == (2 * tallies.rows, 2 * tallies.weight)
    one = own.up_to_date(one)
    np.testing.assert_array_equal(weights_of(own, many), weights_of(own, one))
    assert many.rows == one.rows == 96
    again, expected = (weights_of(own, own.advance(state, chunks[0])[0]) for state in (many, one))
    np.testing.assert_array_equal(again, expected, "what the optimizer remembers is the same too")


def test_a_round_is_the_average_of_what_each_would_have_learned_alone() -> None:
    data = problem("log_loss", 300)
    shares = cut_rows(data, [160, 100, 40])
    own = population(COMPILED_RULES[0].rule)
    alone = [own.up_to_date(own.advance(state_of(own, 100), share)[0]) for share in shares]
    expected = np.average([weights_of(own, one) for one in alone], axis=0, weights=[160, 100, 40])
    cluster = on_workers(own, Here(3))
    state, tallies = cluster.advance(state_of(cluster, 300), rounds(*shares))
    np.testing.assert_allclose(weights_of(own, state), expected, rtol=1e-6, atol=1e-8)
    assert tallies.rows == 300
    assert state.rows == 100, "the schedules count the rows of one worker"


def test_learning_does_not_touch_what_was_put() -> None:
    own = population(COMPILED_RULES[0].rule)
    saved = own.saved(state_of(own, 100))
    before = {name: array.copy() for name, array in saved.arrays.items()}
    data = problem("log_loss", 64)
    given = replace(own), saved, [Piece(0, 0, 64, (1, 2)), Piece(0, 8, 16, None)], data, data
    (_, (first, _)), (_, (second, tallies)) = learn(*given), learn(*given)
    assert tallies.rows == 72
    for name, array in before.items():
        np.testing.assert_array_equal(saved.arrays[name], array)
        np.testing.assert_array_equal(first.arrays[name], second.arrays[name])


def test_the_order_within_a_piece_is_drawn_from_its_seed() -> None:
    own, data = population(COMPILED_RULES[0].rule), problem("log_loss", 64)
    saved = own.saved(state_of(own, 100))
    weights = [learn(own, saved, [Piece(0, 0, 64, seed)], data)[1][0].arrays for seed in ((0, 1), (0, 1), (0, 2))]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(np.array_equal(weights[0][name], weights[2][name]) for name in weights[0])
