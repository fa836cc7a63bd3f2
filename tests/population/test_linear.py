"""The compiled population against torch.optim, NumPy formulas, closed forms, and against itself."""

from __future__ import annotations

import itertools
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tests.cases import (
    COMPILED_PAIRS,
    COMPILED_RULES,
    LOSSES_BY_NAME,
    RULES_BY_NAME,
    LossCase,
    RuleCase,
    chunk_of,
    cut_rows,
    dense_rows,
    ids,
    learn,
    runs_of,
    targets_for,
    to_sparse,
    weights_of,
)

from schuss.data.chunk import Chunk, SparseRows
from schuss.descent.losses import values_and_gradients
from schuss.descent.optimizers import OPTIMIZERS
from schuss.kernels import store
from schuss.population.block import LANES, LinearState, state_bytes
from schuss.population.linear import Linear
from schuss.population.population import Run

every_rule = pytest.mark.parametrize("rule", COMPILED_RULES, ids=ids(COMPILED_RULES))
every_pair = pytest.mark.parametrize(
    ("rule", "loss"),
    [(RULES_BY_NAME[rule], LOSSES_BY_NAME[loss]) for rule, loss in COMPILED_PAIRS],
    ids=["-".join(pair) for pair in COMPILED_PAIRS],
)


def population(rule: RuleCase, loss: LossCase, features: int, batch: int, sparse: bool) -> Linear:
    return Linear(rule.rule, loss.loss, features, loss.outputs, batch, sparse)


def relative(got: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference of weights, relative to the largest weight of the run."""
    axes = tuple(range(1, wanted.ndim))
    return float((np.abs(got - wanted).max(axes) / np.abs(wanted).max(axes)).max())


def torch_weights(
    rule: RuleCase, loss: LossCase, rate: float, rows: np.ndarray, y: np.ndarray, batch: int
) -> np.ndarray:
    """Train a linear layer in float64 by torch alone."""
    layer = torch.zeros((rows.shape[1] + 1, loss.outputs), dtype=torch.float64, requires_grad=True)
    optimizer = rule.reference([layer], rate)
    x, goal = torch.tensor(np.column_stack([rows, np.ones(len(rows))]).astype(np.float64)), torch.tensor(y)
    goal = goal.double() if loss.classes is None else goal
    for start in range(0, len(rows), batch):
        optimizer.zero_grad()
        loss.torch_values(x[start : start + batch] @ layer, goal[start : start + batch]).mean().backward()
        optimizer.step()
    return layer.detach().numpy()


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@every_pair
def test_torch_agrees_after_200_steps(rule: RuleCase, loss: LossCase, sparse: bool) -> None:
    # Rates at which the training itself is not chaotic: a kink of the hinge that one side just misses is no error.
    rates = rule.rates if loss.name in ("log_loss", "softmax") else tuple(rate / 10 for rate in rule.rates)
    rows = dense_rows(1600 - 3, 6)
    y = targets_for(loss, rows)
    ours = population(rule, loss, 6, 8, sparse)
    state, _ = learn(ours, runs_of(rates), [chunk_of(to_sparse(rows) if sparse else rows, y)])
    wanted = np.stack([torch_weights(rule, loss, rate, rows, y, 8) for rate in rates])
    assert relative(weights_of(ours, state), wanted) < 1e-5


@pytest.mark.parametrize("batch", [1, 7, 32])
@every_pair
def test_sparse_rows_are_the_same_algorithm(rule: RuleCase, loss: LossCase, batch: int) -> None:
    rows = dense_rows(400, 40, density=0.1)
    rows[:, 30:] = 0
    rows[300:, 30:35] = 1.5  # first touched late; the last five features never
    rows[::11, 3] = 2.0
    rows[130:390, 3] = 0  # untouched for several chunks, then touched again
    rows[20:23] = 0  # rows without nonzeros
    y = targets_for(loss, rows)
    l2 = [0.0, 0.01, 0.3]
    dense, sparse = (population(rule, loss, 40, batch, is_sparse) for is_sparse in (False, True))
    runs = runs_of(rule.rates, l2=l2, schedule="linear")
    sizes = [100, 50, 1, 99, 150]
    whole = cut_rows(chunk_of(rows, y, np.random.default_rng(0).uniform(0.5, 2, 400)), sizes)
    state, tallies = learn(dense, runs, whole, planned=400)
    other, sparse_tallies = learn(
        sparse, runs, [c._replace(rows=to_sparse(c.rows, shuffled=True)) for c in whole], planned=400
    )
    assert relative(weights_of(sparse, other), weights_of(dense, state)) < 1e-5
    for a, b in zip(tallies, sparse_tallies, strict=True):
        np.testing.assert_allclose(b.loss, a.loss, rtol=1e-5, atol=1e-6)  # a chunk of one row may lose little
        assert (a.weight, a.rows) == (b.weight, b.rows)


@every_rule
def test_reading_the_weights_in_between_changes_nothing_of_note(rule: RuleCase) -> None:
    loss = LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(300, 30, density=0.05)
    y, ours = targets_for(loss, rows), population(rule, loss, 30, 1, True)
    chunks = [c._replace(rows=to_sparse(c.rows)) for c in cut_rows(chunk_of(rows, y), [60] * 5)]
    once, _ = learn(ours, runs_of(rule.rates, l2=0.1), chunks)
    state = ours.start(runs_of(rule.rates, l2=0.1))
    for chunk in chunks:
        state, _ = ours.advance(state, chunk)
        state = ours.up_to_date(state)
    assert relative(weights_of(ours, state), weights_of(ours, once)) < 1e-6


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@every_rule
def test_chunk_boundaries_at_mini_batches_do_not_matter(rule: RuleCase, sparse: bool) -> None:
    loss = LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(320, 5)
    whole = chunk_of(rows, targets_for(loss, rows))
    ours = population(rule, loss, 5, 32, sparse)
    states = []
    for sizes in ([320], [32, 64, 224], [160, 160]):
        chunks = cut_rows(whole, sizes)
        chunks = [c._replace(rows=to_sparse(c.rows)) for c in chunks] if sparse else chunks
        states.append(weights_of(ours, learn(ours, runs_of(rule.rates, schedule="linear"), chunks, planned=320)[0]))
    for other in states[1:]:
        if ours.way == "coasting":  # a chunk's end is where weights that run out are rounded
            assert relative(other, states[0]) < 1e-6
        else:
            np.testing.assert_array_equal(other, states[0])


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@every_rule
def test_a_run_does_not_notice_its_neighbours(rule: RuleCase, sparse: bool) -> None:
    loss = LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(300, 7)
    chunk = chunk_of(to_sparse(rows) if sparse else rows, targets_for(loss, rows))
    ours = population(rule, loss, 7, 8, sparse)
    runs = runs_of(np.geomspace(0.001, 0.1, 16), l2=0.01)
    together = weights_of(ours, learn(ours, runs, [chunk] * 2)[0])
    others = [run._replace(learning_rate=0.5, l2=0.3) for run in runs]
    for place in (0, 5, 15):
        neighbours = tuple(runs[i] if i == place else others[i] for i in range(16))
        np.testing.assert_array_equal(weights_of(ours, learn(ours, neighbours, [chunk] * 2)[0])[place], together[place])
        moved = (
            *others[:9],
            runs[place]._replace(number=9),
        )  # another lane, beside empty ones
        np.testing.assert_array_equal(weights_of(ours, learn(ours, moved, [chunk] * 2)[0])[9], together[place])


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@every_rule
def test_a_run_alone_and_in_wider_blocks(rule: RuleCase, sparse: bool) -> None:
    loss = LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(500, 7)
    chunk = chunk_of(to_sparse(rows) if sparse else rows, targets_for(loss, rows))
    ours = population(rule, loss, 7, 8, sparse)
    runs = runs_of(np.geomspace(0.001, 0.1, 20), l2=0.01)
    whole = weights_of(ours, learn(ours, runs, [chunk])[0])  # two blocks of sixteen
    assert whole.shape == (20, 8, 1)
    for count in (1, 2, 4, 5, 8, 9, 16):
        part = weights_of(ours, learn(ours, runs[:count], [chunk])[0])
        assert relative(part, whole[:count]) < 1e-6
        if count > 1:  # the sums of a run alone are in another order
            np.testing.assert_array_equal(part, whole[:count])
    np.testing.assert_array_equal(weights_of(ours, learn(ours, (*runs[16:], *runs[:12]), [chunk])[0])[:4], whole[16:])


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("loss_name", ["log_loss", "softmax"])
@pytest.mark.parametrize("rule_name", ["adam", "adagrad"])
def test_keep_and_take_are_exact(rule_name: str, loss_name: str, sparse: bool) -> None:
    rule, loss = RULES_BY_NAME[rule_name], LOSSES_BY_NAME[loss_name]
    rows = dense_rows(200, 6)
    chunk = chunk_of(to_sparse(rows) if sparse else rows, targets_for(loss, rows))
    ours = population(rule, loss, 6, 8, sparse)
    runs = runs_of(np.geomspace(0.001, 0.1, 20), l2=0.01)
    state, _ = learn(ours, runs, [chunk], planned=1000)
    winners = {run.number: ours.take(state, run.number) for run in runs}
    losses = ours.losses(state, chunk)
    for numbers in ([0, 3, 9, 15, 16, 17, 18, 19, 4, 5], [19, 2, 7, 11, 1], [16, 0, 5], [18]):
        kept = ours.keep(deepcopy(state), numbers)
        assert [run.number for run in kept.runs] == sorted(numbers)
        assert (kept.rows, kept.planned_rows) == (state.rows, state.planned_rows)
        for number in numbers:
            for ours_now, before in zip(ours.take(kept, number)[::2], winners[number][::2], strict=True):
                np.testing.assert_array_equal(ours_now, before)
            for name, slot in winners[number].slots.items():
                np.testing.assert_array_equal(ours.take(kept, number).slots[name], slot)
        np.testing.assert_allclose(ours.losses(kept, chunk), losses[:, sorted(numbers)], rtol=1e-5, atol=1e-7)
    ten = [0, 3, 4, 5, 9, 15, 16, 17, 18, 19]  # still sixteen lanes: going on must give the very same bits
    on, _ = ours.advance(ours.keep(deepcopy(state), ten), chunk)
    all_on, _ = ours.advance(state, chunk)
    np.testing.assert_array_equal(weights_of(ours, ours.up_to_date(on)), weights_of(ours, ours.up_to_date(all_on))[ten])


def test_runs_that_are_left_stay_in_the_memory_of_their_blocks() -> None:
    rule, loss = RULES_BY_NAME["adagrad"], LOSSES_BY_NAME["log_loss"]
    ours = population(rule, loss, 6, 8, True)
    state = ours.begin_leg(ours.start(runs_of(np.geomspace(0.001, 0.1, 16))), 10)
    kept = ours.keep(state, [3, 8, 15])
    assert kept.lanes == state.lanes
    assert np.shares_memory(kept.blocks[0].weights, state.blocks[0].weights)
    assert np.shares_memory(kept.blocks[0].slots, state.blocks[0].slots)
    assert not kept.blocks[0].weights[:, 3:].any()


def test_take_copies() -> None:
    rule, loss = RULES_BY_NAME["adam"], LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(50, 3)
    chunk = chunk_of(rows, targets_for(loss, rows))
    ours = population(rule, loss, 3, 8, False)
    state, _ = learn(ours, runs_of([0.1]), [chunk])
    taken = ours.take(state, 0)
    before = taken.weights.copy(), taken.slots["mean"].copy(), taken.carry.copy()
    ours.advance(state, chunk)
    np.testing.assert_array_equal(taken.weights, before[0])
    np.testing.assert_array_equal(taken.slots["mean"], before[1])
    np.testing.assert_array_equal(taken.carry, before[2])


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", sorted({loss for _, loss in COMPILED_PAIRS}))
def test_losses_and_tallies_are_those_of_the_formula(name: str, sparse: bool) -> None:
    loss = LOSSES_BY_NAME[name]
    rule = next(rule for rule, other in COMPILED_PAIRS if other == name)
    rows = dense_rows(600, 9, density=0.7)
    weights = np.random.default_rng(2).uniform(0, 3, 600)
    chunk = chunk_of(to_sparse(rows) if sparse else rows, targets_for(loss, rows), weights)
    ours = population(RULES_BY_NAME[rule], loss, 9, 8, sparse)
    runs = 18 if name == "log_loss" else 3  # two blocks of one loss, which other tests compile for a whole block too
    state, _ = learn(ours, runs_of(np.geomspace(0.003, 0.03, runs)), [chunk])
    trained = weights_of(ours, state).astype(np.float64)
    scores = np.einsum("nf,rfo->rno", np.column_stack([rows, np.ones(600)]).astype(np.float64), trained)
    wanted = np.stack([values_and_gradients(loss.loss, s, chunk.targets)[0] for s in scores], axis=1)
    np.testing.assert_allclose(ours.losses(state, chunk), wanted, rtol=1e-5, atol=2e-6 * np.abs(scores).max())
    # A chunk no longer than a mini-batch is scored as a whole before anything is learned from it.
    large = population(RULES_BY_NAME[rule], loss, 9, 600, sparse)
    _, tallies = large.advance(state, chunk)
    np.testing.assert_allclose(tallies.loss, weights.astype(np.float32) @ wanted, rtol=1e-5)
    assert tallies.weight == pytest.approx(weights.sum(), rel=1e-6)
    assert tallies.rows == 600


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_each_mini_batch_is_scored_before_it_is_learned_from(sparse: bool) -> None:
    rule, loss = RULES_BY_NAME["sgd"], LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(40, 5)
    whole = chunk_of(to_sparse(rows) if sparse else rows, targets_for(loss, rows))
    ours = population(rule, loss, 5, 8, sparse)
    _, tallies = learn(ours, runs_of([0.3]), [whole])
    total, state = 0.0, ours.start(runs_of([0.3]))
    for part in cut_rows(chunk_of(rows, whole.targets), [8] * 5):
        piece = part._replace(rows=to_sparse(part.rows)) if sparse else part
        total += ours.losses(ours.up_to_date(state), piece).sum(dtype=np.float64)
        state, _ = ours.advance(state, piece)
    assert tallies[0].loss[0] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@every_rule
def test_weights_are_repeated_rows(rule: RuleCase, sparse: bool) -> None:
    loss = LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(60, 5)
    y, times = targets_for(loss, rows), np.random.default_rng(0).integers(0, 4, 60)
    repeated, goals = np.repeat(rows, times, axis=0), np.repeat(y, times)
    # The mean over 60 weighted rows is that over the repeated ones once the weights have mean one.
    weighted = chunk_of(to_sparse(rows) if sparse else rows, y, times * 60 / times.sum())
    copies = chunk_of(to_sparse(repeated) if sparse else repeated, goals)
    one, many = (population(rule, loss, 5, size, sparse) for size in (60, len(goals)))
    a, tallies = learn(one, runs_of(rule.rates, l2=0.1), [weighted] * 20)
    b, others = learn(many, runs_of(rule.rates, l2=0.1), [copies] * 20)
    assert relative(weights_of(one, a), weights_of(many, b)) < 2e-5
    for ours, theirs in zip(tallies, others, strict=True):
        np.testing.assert_allclose(ours.loss / ours.weight, theirs.loss / theirs.weight, rtol=1e-5)


def test_mini_batches_larger_than_the_chunk_cost_no_memory() -> None:
    rule, loss = RULES_BY_NAME["adam"], LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(50, 3)
    for layout in (rows, to_sparse(rows)):
        chunk = chunk_of(layout, targets_for(loss, rows))
        sparse = isinstance(layout, SparseRows)
        huge, whole = (population(rule, loss, 3, size, sparse) for size in (1_000_000_000_000, 50))
        got, wanted = (weights_of(p, learn(p, runs_of([0.1]), [chunk])[0]) for p in (huge, whole))
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@every_rule
def test_a_diverging_run_shows_and_harms_nobody(rule: RuleCase, sparse: bool) -> None:
    loss = LOSSES_BY_NAME["squared_error" if rule.name == "adagrad" else "log_loss"]
    rows = dense_rows(300, 6)
    chunk = chunk_of(to_sparse(rows) if sparse else rows, targets_for(loss, rows))
    ours = population(rule, loss, 6, 8, sparse)
    calm = runs_of([0.01] * 16)
    wild = tuple(run._replace(learning_rate=3e38) if run.number in (0, 7) else run for run in calm)
    state, tallies = learn(ours, wild, [chunk] * 3)
    quiet, _ = learn(ours, calm, [chunk] * 3)
    lost = ~np.isfinite(tallies[-1].loss)
    assert set(np.flatnonzero(lost)) == {0, 7}
    others = [i for i in range(16) if i not in (0, 7)]
    np.testing.assert_array_equal(weights_of(ours, state)[others], weights_of(ours, quiet)[others])


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_not_a_number_in_the_weights_shows_in_the_tally(sparse: bool) -> None:
    rule, loss = RULES_BY_NAME["sgd"], LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(20, 6)
    chunk = chunk_of(to_sparse(rows) if sparse else rows, targets_for(loss, rows))
    ours = population(rule, loss, 6, 8, sparse)
    for value in (np.nan, np.inf):
        state = ours.start(runs_of([0.01] * 4))
        state.blocks[0].weights[2, 1] = value
        state, tallies = ours.advance(state, chunk)
        assert np.isfinite(tallies.loss).tolist() == [True, False, True, True]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_lanes_without_a_run_stay_at_zero(sparse: bool) -> None:
    loss = LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(100, 6)
    chunk = chunk_of(to_sparse(rows) if sparse else rows, targets_for(loss, rows))
    for rule in COMPILED_RULES:
        ours = population(rule, loss, 6, 8, sparse)
        state, _ = learn(ours, runs_of(rule.rates, l2=0.1), [chunk])
        assert state.blocks[0].weights.shape[1] == 4
        assert not state.blocks[0].weights[:, 3].any()
        assert state.blocks[0].weights[:, :3].all()


@every_rule
def test_logistic_optimum_is_scikit_learns(rule: RuleCase) -> None:
    loss = LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(200, 4)
    y = (rows @ [1.0, -2.0, 0.5, 0.0] + 0.5 + np.random.default_rng(1).logistic(size=200) > 0).astype(np.int32)
    l2, epochs = 0.05, 3000
    theirs = LogisticRegression(C=1 / (l2 * 200), tol=1e-10, max_iter=1000).fit(rows.astype(np.float64), y)
    rate = {"sgd": 1.0, "momentum": 0.1, "adagrad": 1.0, "adam": 0.1, "ftrl": 3.0}[rule.name]
    for layout in (rows, to_sparse(rows)):
        ours = population(rule, loss, 4, 200, isinstance(layout, SparseRows))
        chunks = [chunk_of(layout, y)] * epochs
        state, _ = learn(ours, runs_of([rate], l2=l2, schedule="linear"), chunks, planned=200 * epochs)
        wanted = [*theirs.coef_[0], theirs.intercept_[0]]
        np.testing.assert_allclose(weights_of(ours, state)[0, :, 0], wanted, rtol=3e-3, atol=1e-3)


def test_the_intercept_is_free_of_the_penalty() -> None:
    loss = LOSSES_BY_NAME["squared_error"]
    rows = dense_rows(100, 3)
    y = np.full(100, 2.0, np.float32)
    for layout in (rows, to_sparse(rows)):
        ours = population(RULES_BY_NAME["adagrad"], loss, 3, 10, isinstance(layout, SparseRows))
        state, _ = learn(ours, runs_of([0.5], l2=100.0), [chunk_of(layout, y)] * 30)
        weights = weights_of(ours, state)[0, :, 0]
        assert weights[-1] == pytest.approx(2.0, abs=0.05)
        assert np.abs(weights[:-1]).max() < 0.01


def rates_of(ours: Linear, state: LinearState, rows: int) -> np.ndarray:
    """The learning rate of each line of the coming chunk's table for each lane."""
    return ours._tables(state, rows)[0].penalised[:, ours.stepper.scalar_names.index("rate")]


def test_schedules_reach_their_end_with_the_planned_rows() -> None:
    ours = population(RULES_BY_NAME["sgd"], LOSSES_BY_NAME["log_loss"], 3, 32, False)
    runs = tuple(Run(i, "sgd", 0.5, 0.0, name, 32) for i, name in enumerate(("constant", "linear", "inverse_time")))
    state = ours.begin_leg(ours.start(runs), 640)
    progress = np.arange(10) / 20
    expected = 0.5 * np.stack([np.ones(10), 1 - progress, 1 / (1 + 15 * progress)], axis=1)
    np.testing.assert_allclose(rates_of(ours, state, 320)[:, :3], expected, rtol=1e-6)
    assert not rates_of(ours, state, 320)[:, 3].any()
    row_by_row = replace(ours, batch_size=1)  # a rate stays for 32 rows
    np.testing.assert_allclose(rates_of(row_by_row, state, 320)[:, :3], expected, rtol=1e-6)
    np.testing.assert_allclose(
        rates_of(row_by_row, replace(state, rows=40), 60)[:, :3], expected[1:4], rtol=1e-6
    )  # rows 40 to 99, of which the first 24 go on with the rate of row 32
    rows = dense_rows(320, 3)
    state, _ = ours.advance(state, chunk_of(rows, np.zeros(320, np.int32)))
    np.testing.assert_allclose(rates_of(ours, state, 5)[0, :3], [0.5, 0.25, 0.5 / 8.5], rtol=1e-6)
    assert rates_of(ours, ours.replan(state, 1280), 5)[0, 1] == pytest.approx(0.375)
    assert rates_of(ours, ours.replan(state, 160), 5)[0, 1] == 0
    assert rates_of(ours, ours.begin_leg(state, 1280), 5)[0, 1] == 0.5


PARTS_THAT_GROW = ("weights", "slots", "since", "moving", "spare")
"""Parts of a block that grow with the features."""


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("runs", [1, 5, 17])
def test_state_bytes_are_those_of_the_arrays(name: str, runs: int) -> None:
    rule = OPTIMIZERS[name]()
    for sparse, batch, l1 in itertools.product([False, True], [8, 1], [False, True]):
        ours = Linear(rule, LOSSES_BY_NAME["softmax"].loss, 10, 5, batch, sparse, l1=l1)
        state = ours.start(runs_of([0.1] * runs))
        held = sum(getattr(block, part).nbytes for block in state.blocks for part in PARTS_THAT_GROW)
        assert held == state_bytes(rule, 10, 5, runs, sparse=sparse, l1=l1, batch=batch)
        assert all(block.weights.shape[1] // 5 <= LANES for block in state.blocks)


def test_advance_leaves_the_chunk_alone() -> None:
    rows = dense_rows(50, 4)
    for layout in (rows, to_sparse(rows)):
        chunk = chunk_of(layout, targets_for(LOSSES_BY_NAME["log_loss"], rows))
        arrays = [*(layout[:3] if isinstance(layout, SparseRows) else (layout,)), chunk.targets, chunk.weights]
        before = [array.copy() for array in arrays]
        ours = population(RULES_BY_NAME["sgd"], LOSSES_BY_NAME["log_loss"], 4, 8, isinstance(layout, SparseRows))
        learn(ours, runs_of([0.1]), [Chunk(layout, chunk.targets, chunk.weights)])
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_a_last_row_alone_needs_no_other_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_ready", {})
    x = dense_rows(41, 4)
    ours = population(RULES_BY_NAME["adam"], LOSSES_BY_NAME["log_loss"], 4, 32, False)
    chunks = cut_rows(chunk_of(x, targets_for(LOSSES_BY_NAME["log_loss"], x)), [40, 1])
    learn(ours, runs_of([0.1, 0.2]), chunks)
    assert {name for name, *_ in store._ready} == {"dense:advance_dense"}
