"""Sparse rows: what catches weights up while no row touches them, against dense rows and against itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.cases import (
    LOSSES_BY_NAME,
    RULES_BY_NAME,
    chunk_of,
    cut_rows,
    dense_rows,
    descend,
    learn,
    runs_of,
    targets_for,
    to_sparse,
    weights_of,
)

from schuss.data.chunk import Chunk, SparseRows
from schuss.descent.optimizers import scalar_table
from schuss.descent.optimizers.plain import Momentum, Nesterov
from schuss.kernels import store
from schuss.kernels.sparse import NEAR, SMALLEST_SCALE
from schuss.population import sparse
from schuss.population.linear import RATES, SAME_RATE_ROWS, SETTLED, Linear
from schuss.population.population import Run

LOSS = LOSSES_BY_NAME["log_loss"]
resting = pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad", "ftrl"])


def population(name: str, features: int, batch: int, sparse: bool = True) -> Linear:
    return Linear(RULES_BY_NAME[name].rule, LOSS.loss, features, 1, batch, sparse)


def rare_rows(rows: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows in which features go untouched for long, the last one for good after its first row."""
    x = dense_rows(rows, features, density=0.1)
    x[1:, -1] = 0.0
    x[0, -1] = 1.0
    return x, targets_for(LOSS, x)


@resting
@pytest.mark.parametrize("batch", [1, 8])
def test_bits_do_not_depend_on_the_width_of_a_block(name: str, batch: int) -> None:
    x, y = rare_rows(400, 20)
    runs = runs_of(np.geomspace(0.3, 0.01, 16), l2=np.linspace(0.0, 0.1, 16))
    ours = population(name, 20, batch)
    chunks = [chunk_of(to_sparse(x), y)] * 2
    whole = weights_of(ours, learn(ours, runs, chunks, planned=1000)[0])
    for count in (1, 3, 5):  # blocks of one lane, of four and of eight
        state, _ = learn(ours, runs[:count], chunks, planned=1000)
        assert state.lanes == {1: 1, 3: 4, 5: 8}[count]
        np.testing.assert_array_equal(weights_of(ours, state), whole[:count])


@pytest.mark.parametrize("features", [40, NEAR + 40])
@pytest.mark.parametrize("count", [1, 3])
def test_rows_one_by_one_have_the_bits_of_mini_batches_of_one(
    count: int, features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of 0 to 40 nonzeros; from some number of features on lines are sent for."""
    x, y = rare_rows(400, 40)
    x[7:20] = np.tri(13, 40, 30) * (1.0 + x[7:20])
    ours, runs = population("sgd", features, 1), runs_of([0.3, 0.1, 0.03][:count], l2=[0.1, 0.0, 0.01][:count])
    apart = to_sparse(x)
    rows = SparseRows(apart.indptr, apart.indices * (features // 40), apart.values, features)
    chunks, run = [chunk_of(rows, y)] * 2, store.run
    state, tallies = learn(ours, runs, chunks, planned=1000)
    called = []

    def by_batches(kernel: str, static: Any, *given: Any) -> None:
        called.append(kernel)
        assert kernel == "by_row:advance_rows"
        scores = np.empty((1, len(static[1])), np.float32)
        run("sparse:advance_scaled", static, *given[:5], 1, *given[5:13], scores, *given[13:15], given[16])

    with monkeypatch.context() as patch:
        patch.setattr(store, "run", by_batches)
        again, tallies_again = learn(ours, runs, chunks, planned=1000)
    assert called
    np.testing.assert_array_equal(weights_of(ours, state), weights_of(ours, again))
    np.testing.assert_array_equal(tallies[1].loss, tallies_again[1].loss)


def exact_weights(rule: Any, run: Run, x: np.ndarray, y: np.ndarray, batch: int) -> np.ndarray:
    """Step every weight at every step, in float64, at a constant rate."""
    rows = np.column_stack([x, np.ones(len(x))]).astype(np.float64)
    starts = iter(range(0, len(rows), batch))

    def gradient(w: np.ndarray) -> np.ndarray:
        start = next(starts)
        part, goals = rows[start : start + batch], y[start : start + batch]
        return part.T @ (1 / (1 + np.exp(-part @ w)) - goals) / len(goals)

    rates = np.full(-(-len(rows) // batch), run.learning_rate)
    return descend(rule, gradient, rates, np.zeros(rows.shape[1]), l2=run.l2, l1=run.l1)


@resting
@pytest.mark.parametrize("batch", [1, 8])
def test_every_step_of_every_weight_is_caught_up(name: str, batch: int) -> None:
    x, y = rare_rows(1000, 20)
    for l2 in (0.0, 1e-6, 0.01, 1.0, 300.0):
        rates = np.array([0.003, 0.1, 1.0])  # of momentum a tenth: its long run is ten steps
        runs = runs_of(rates / 10 if name == "momentum" else rates, l2=l2)
        ours = population(name, 20, batch)
        got = weights_of(ours, learn(ours, runs, [chunk_of(to_sparse(x), y)])[0])[:, :, 0]
        for run, weights in zip(runs, got, strict=True):
            exact = exact_weights(RULES_BY_NAME[name].rule, run, x, y, batch)
            np.testing.assert_allclose(weights, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("l2", [0.0, 0.1, 20.0])
@pytest.mark.parametrize("rule", [Momentum(0.9), Momentum(0.1), Momentum(0.0), Nesterov(0.5)], ids=str)
def test_velocities_from_several_stretches_ago_are_carried_on(rule: Any, l2: float) -> None:
    """A stretch of μ = 0.9 is 263 steps, of 0.5 forty, of 0.1 twelve, of 0 one; features come back after 1 to 700."""
    x, y = rare_rows(1200, 20)
    x[:, -4:] = 0.0
    for column, touched in ((-1, (0, 700, 1100)), (-2, (262, 263, 264)), (-3, (262, 600)), (-4, (39, 40, 530, 1199))):
        x[touched, column] = 1.5
    ours = Linear(rule, LOSS.loss, 20, 1, 1, True)
    runs = runs_of([0.003, 0.1, 0.3], l2=l2)
    chunks = pieces(x, y, [500, 700])
    got = weights_of(ours, learn(ours, runs, chunks)[0])[:, :, 0]
    for run, weights in zip(runs, got, strict=True):
        exact = exact_weights(rule, run, x, y, 1)
        np.testing.assert_allclose(weights, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_a_scale_that_runs_out_is_renewed_and_nobody_notices() -> None:
    x, y = rare_rows(600, 20)
    ours = population("sgd", 20, 1)
    calm = runs_of([0.1, 0.2, 0.3], l2=0.01)
    wild = (*calm[:2], calm[2]._replace(l2=20.0))  # 600 steps shrink the weights by e⁻³⁶⁰⁰
    chunk = chunk_of(to_sparse(x), y)
    state, _ = ours.advance(ours.start(wild), chunk)
    assert (state.blocks[0].scale > SMALLEST_SCALE * 2.0**-41).all()
    assert np.isfinite(state.blocks[0].weights).all()
    quiet, _ = ours.advance(ours.start(calm), chunk)
    np.testing.assert_array_equal(
        weights_of(ours, ours.up_to_date(state))[:2], weights_of(ours, ours.up_to_date(quiet))[:2]
    )


@resting
def test_runs_of_a_block_follow_their_own_schedules(name: str) -> None:
    x, y = rare_rows(300, 10)
    runs = tuple(
        Run(i, name, 0.2, 0.05, schedule, 1) for i, schedule in enumerate(("linear", "constant", "inverse_time"))
    )
    ours = population(name, 10, 1)
    chunks = [chunk_of(to_sparse(x), y)]
    mixed = weights_of(ours, learn(ours, runs, chunks, planned=400)[0])
    for run in runs:
        same = tuple(run._replace(number=i) for i in range(3))
        alone = weights_of(ours, learn(ours, same, chunks, planned=400)[0])
        np.testing.assert_array_equal(mixed[run.number], alone[run.number])
    assert np.abs(mixed[0] - mixed[1]).max() > 0.01


def pieces(x: np.ndarray, y: np.ndarray, sizes: list[int]) -> list[Chunk]:
    """The rows as chunks of these sizes."""
    parts = cut_rows(chunk_of(x, y), sizes)
    return [part._replace(rows=to_sparse(part.rows)) for part in parts]


@resting
def test_chunks_may_end_anywhere_while_a_rate_lasts(name: str) -> None:
    x, y = rare_rows(200, 10)
    ours = population(name, 10, 1)
    runs = runs_of([0.3, 0.1], l2=0.01, schedule="linear")
    whole, cut = (
        weights_of(ours, learn(ours, runs, pieces(x, y, sizes), planned=300)[0])
        for sizes in ([200], [1, 30, 2, 64, 50, 53])
    )
    np.testing.assert_allclose(cut, whole, rtol=2e-6, atol=1e-7)


def test_a_rate_lasts_for_thirty_two_rows() -> None:
    for batch, steps in ((1, 32), (2, 16), (7, 4), (16, 2), (32, 1), (100, 1)):
        ours = population("sgd", 5, batch)
        state = ours.begin_leg(ours.start(runs_of([0.1])), 10_000)
        phase, shift, progress = ours._spans(state, 1000)
        assert (phase, 1 << shift) == (0, steps)
        assert steps * batch <= max(SAME_RATE_ROWS, batch)
        np.testing.assert_allclose(progress, np.arange(0, 1000, steps * batch) / 10_000)
    ours = population("sgd", 5, 1)
    state = replace(ours.begin_leg(ours.start(runs_of([0.1])), 10_000), rows=70)
    phase, _, progress = ours._spans(state, 60)
    assert phase == 6
    np.testing.assert_allclose(progress, [0.0064, 0.0096, 0.0128])


def test_rules_whose_scalars_change_with_every_step_have_a_line_for_each() -> None:
    ours = population("adam", 5, 1)
    assert ours._spans(ours.begin_leg(ours.start(runs_of([0.1])), 100), 50)[1] == 0


def test_scalars_that_have_settled_share_lines_in_a_long_leg() -> None:
    ours = population("adam", 5, 32)
    state = ours.begin_leg(ours.start(runs_of([0.1])), RATES * 1024)
    assert ours._spans(state, 8192)[1] == 0
    state.blocks[0].carry[:] = 0.9 * SETTLED
    _, shift, progress = ours._spans(state, 8192)
    assert 1 << shift == 1024 // 32
    np.testing.assert_allclose(progress, np.arange(8) / RATES)
    exact = ours._tables(state, 8192)[0].exact[0, 3:, 0]
    _, fresh = scalar_table(ours.stepper, np.zeros((2, 1)), np.ones((1, 1)), np.zeros(1), np.zeros(1))
    np.testing.assert_array_equal(exact.astype(np.float32), fresh[0, 3:, 0].astype(np.float32))


def test_lines_that_are_made_for_many_chunks_are_those_of_each() -> None:
    ours = population("adam", 5, 32)
    runs = runs_of([0.1, 0.3], l2=0.01, schedule="linear")
    leg = RATES * 2048
    for rows in (0, 8192, 65_536, 65_536 + 40, leg - 5000):
        state = replace(ours.begin_leg(ours.start(runs), leg), rows=rows)
        state.blocks[0].carry[:] = 0.9 * SETTLED
        phase, shift, progress = ours._spans(state, 8192)
        shared = ours._tables(state, 8192)[0]
        rooms = ours._rooms(state, len(progress))
        made = ours._made_tables(state, phase, shift, progress, [state.blocks[0].carry], rooms)[0]
        assert (shared.phase, shared.shift, len(shared.exact)) == (phase, shift, len(made.exact))
        np.testing.assert_allclose(shared.penalised, made.penalised, rtol=0, atol=1e-5)  # 40 rows of 8 million
        np.testing.assert_allclose(shared.free, made.free, rtol=0, atol=1e-5)
        np.testing.assert_allclose(shared.factors, made.factors, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(shared.carry, state.blocks[0].carry)


def test_weights_begin_at_a_line_of_the_cache() -> None:
    for runs in (1, 4, 16):
        block = population("adagrad", 33, 1).start(runs_of([0.1] * runs)).blocks[0]
        assert block.weights.ctypes.data % 64 == 0
        assert block.slots.ctypes.data % 64 == 0
        assert block.scale.ctypes.data % 64 == block.now.ctypes.data % 64 == 0


@resting
def test_rows_without_nonzeros_move_the_intercept_alone(name: str) -> None:
    ours = population(name, 5, 1)
    chunk = chunk_of(to_sparse(np.zeros((10, 5), np.float32)), np.ones(10, np.int32))
    weights = weights_of(ours, learn(ours, runs_of([0.1], l2=0.1), [chunk])[0])[0, :, 0]
    assert not weights[:5].any()
    assert weights[5] > 0


@pytest.mark.parametrize("outputs", [1, 3])
def test_scores_are_the_product_with_the_rows(outputs: int) -> None:
    x = dense_rows(200, 30, density=0.2)
    weights = np.random.default_rng(0).normal(size=(31, outputs)).astype(np.float32)
    x[[0, 199]] = 0.0
    expected = x.astype(np.float64) @ weights[:-1].astype(np.float64) + weights[-1]
    np.testing.assert_allclose(sparse.scores(to_sparse(x), weights), expected, rtol=1e-12, atol=1e-12)
