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
from schuss.data.chunk import Chunk, SparseRows
from schuss.data.cluster_feed import Piece, Round
from schuss.data.saved import Saved
from schuss.descent.optimizers import rule_named
from schuss.population import cluster as cluster_module
from schuss.population.architecture import Architecture
from schuss.population.average import average
from schuss.population.changes import Changes, applied, size_of
from schuss.population.cluster import learn, on_workers
from schuss.population.linear import Linear
from schuss.population.network.network import Network

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


def test_at_the_end_of_an_epoch_some_workers_rest() -> None:
    """Two of four have rows left: theirs is the average, and the schedules count what each of four would have had."""
    data = problem("log_loss", 300)
    shares = cut_rows(data, [200, 100])
    own = population(COMPILED_RULES[0].rule)
    cluster = on_workers(own, Here(4))
    begun = state_of(cluster, 400)
    alone = [own.up_to_date(own.advance(state_of(own, 100), share)[0]) for share in shares]
    state, tallies = cluster.advance(begun, rounds(*shares))
    expected = np.average([weights_of(own, one) for one in alone], axis=0, weights=[200, 100])
    np.testing.assert_allclose(weights_of(own, state), expected, rtol=1e-6, atol=1e-8)
    assert (tallies.rows, state.rows) == (300, 75)


def test_learning_does_not_touch_what_was_put() -> None:
    own = population(COMPILED_RULES[0].rule)
    saved = own.saved(state_of(own, 100))
    before = {name: array.copy() for name, array in saved.arrays.items()}
    data = problem("log_loss", 64)
    given = replace(own), saved, None, 0, [Piece(0, 0, 64, (1, 2)), Piece(0, 8, 16, None)], data, data
    (_, (first, _)), (_, (second, tallies)) = learn(*given), learn(*given)
    assert tallies.rows == 72
    for name, array in before.items():
        np.testing.assert_array_equal(saved.arrays[name], array)
        np.testing.assert_array_equal(applied(saved, first).arrays[name], applied(saved, second).arrays[name])


def test_the_order_within_a_piece_is_drawn_from_its_seed() -> None:
    own, data = population(COMPILED_RULES[0].rule), problem("log_loss", 64)
    saved = own.saved(state_of(own, 100))
    weights = [
        applied(saved, learn(own, saved, None, 0, [Piece(0, 0, 64, seed)], data)[1][0]).arrays
        for seed in ((0, 1), (0, 1), (0, 2))
    ]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(np.array_equal(weights[0][name], weights[2][name]) for name in weights[0])


def wide_rounds(own: Linear, count: int) -> list[Round]:
    """Rounds of rows of which each touches three of the features."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        shares = []
        for _ in range(2):
            indices = np.sort(rng.integers(0, own.features, (64, 3)), axis=1).astype(np.int32).ravel()
            rows = SparseRows(np.arange(0, 193, 3), indices, np.ones(192, np.float32), own.features)
            shares.append(Chunk(rows, rng.integers(0, 2, 64).astype(np.int32), np.ones(64, np.float32)))
        found.append(rounds(*shares))
    return found


class Listening(Here):
    """Workers of whom is known what they are sent and what they tell."""

    def __init__(self) -> None:
        super().__init__(2)
        self.put_bytes: list[int] = []
        self.told: list[Changes] = []

    def put(self, value: Any) -> Any:
        if isinstance(value, Saved):
            self.put_bytes.append(sum(array.nbytes for array in value.arrays.values()))
        elif isinstance(value, Changes):
            self.put_bytes.append(size_of(value))
        return value

    def end(self, begun: Any) -> Any:
        ended = super().end(begun)
        self.told += [told[0] for _, told in ended]
        return ended


@pytest.mark.parametrize("rule", COMPILED_RULES, ids=ids(COMPILED_RULES))
def test_of_wide_states_only_what_was_touched_is_sent(rule: RuleCase, monkeypatch: pytest.MonkeyPatch) -> None:
    own = population(rule.rule, sparse=True, features=20_000)
    workers = Listening()
    cluster, all_sent = on_workers(own, workers), on_workers(own, Here(2))
    one, other = (state_of(which, 64 * 12) for which in (cluster, all_sent))
    for place, each in enumerate(wide_rounds(own, 6)):
        monkeypatch.setattr(cluster_module, "NARROW", 1 << 10)
        one, _ = cluster.advance(one, each)
        monkeypatch.setattr(cluster_module, "NARROW", 1 << 60)
        other, _ = all_sent.advance(other, each)
        one, other = cluster.keep(one, [0, 1]), all_sent.keep(other, [0, 1])
        if place == 3:
            one, other = cluster.keep(one, [1]), all_sent.keep(other, [1])
    for mine, theirs in zip(own.saved(one).arrays.values(), own.saved(other).arrays.values(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    if rule.name in ("sgd", "adagrad"):
        first, *later = workers.put_bytes
        assert len(later) == 5
        assert max(later) < first / 2
        assert max(map(size_of, workers.told[:8])) < first / 4


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_each_worker_drops_units_of_its_own(dropout: float) -> None:
    data = problem("log_loss", 64)
    architecture = Architecture(np.asarray(data.rows).shape[1], 1, (8,), "relu", dropout, ())
    own = Network(rule_named("sgd"), LOSS.loss, architecture, 16)
    one, cluster = on_workers(own, Here(1)), on_workers(own, Here(3))

    def begun(of: Any, planned: int) -> Any:
        return of.begin_leg(of.start(tuple(run._replace(init="he") for run in runs_of(RATES))), planned)

    def after(*shares: Chunk) -> np.ndarray:
        which = cluster if len(shares) > 1 else one
        state, _ = which.advance(begun(which, 64 * len(shares)), rounds(*shares))
        return which.take(state, 1).weights

    alone = own.take(own.advance(begun(own, 64), data)[0], 1).weights
    np.testing.assert_allclose(after(data), alone, rtol=1e-6, atol=1e-7, err_msg="the first is as one machine")
    three = after(data, data, data)
    assert np.allclose(three, alone, rtol=1e-5, atol=1e-6) == (dropout == 0.0)
    np.testing.assert_array_equal(three, after(data, data, data))
