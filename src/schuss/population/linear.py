"""A population of linear models: scores = rows · W + b, for all runs at once.

Weights lie as `[feature, output, run]` with the run fastest, in blocks of sixteen runs; the last "feature" is the
intercept, which no penalty touches. Lanes of a block that hold no run have rate zero and stay at zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, SparseRows
from schuss.data.saved import Saved
from schuss.descent.initializers import initial_weights
from schuss.descent.losses import Loss, judge_of
from schuss.descent.optimizers import OPTIMIZERS
from schuss.descent.schedules import Slowed
from schuss.kernels import store
from schuss.population import dense, rates
from schuss.population.aligned import aligned
from schuss.population.population import Run, Tallies, WinnerState
from schuss.population.saved import load_state, runs_of, save_state
from schuss.population.workers import side_by_side

__all__ = ["LANES", "Linear", "LinearState", "state_bytes"]

LANES = 16
"""Runs in a block: sixteen float32 weights fill a cache line of 64 bytes. A few finalists get narrower blocks."""


SAME_RATE_ROWS = 32
RATES = 4096
"""A learning rate stays the same for 32 rows, in a long leg for a 4,096th of it: a table of the scalars of every step
took 500 ns a row at batch 1, and 15 at batch 32, where two threads gained nothing on 28 features (now 1.4 times)."""

SETTLED = 1e-10
"""Running products below this change no scalar any more: 1 − 1e-10 is 1 in float32."""


SMALLEST_SHRINK = 2.0**-40
"""Of what a linear rule's penalty leaves of a weight in one step: less is as good as nothing in float32."""


NARROWING_PAYS = 2e9
"""Features of rows to come from which on fewer runs move to narrower blocks: about a second of learning.

Each width is a kernel of its own, which takes three seconds to compile the first time ever.
"""


def _lanes_for(runs: int, threads: int, outputs: int) -> int:
    """Give the width of the blocks: the narrowest that gives every thread at most one block, or else the full one.

    Runs are shared among threads only in whole vectors: blocks of eight take nearly as long as those of sixteen (784
    features: two threads 1.1 times as fast with one output, 1.9 times with ten).
    """
    widths = (lanes for lanes in (1, 4, 8) if runs <= lanes * (threads if lanes * outputs >= LANES else 1))
    return next(widths, LANES)


class Block(NamedTuple):
    """Up to sixteen runs.

    weights : `(features + 1, outputs · lanes)`; slots : `(slots, features + 1, outputs · lanes)`; carry :
    `(carries, lanes)`; scale : `(lanes,)`, by which a linear rule's weights are to be multiplied on sparse rows; now,
    since : `(schedules,)` and `(features, schedules)`, how far a lazy rule's weights are up to date, see
    `kernels.sparse.advance_resting`; spare : `(features + 1, …)`, workspace, one value for no feature in between.
    """

    weights: NDArray[np.float32]
    slots: NDArray[np.float32]
    carry: NDArray[np.float64]
    scale: NDArray[np.float64]
    now: NDArray[np.float64]
    since: NDArray[np.float64]
    spare: NDArray[np.float32 | np.int32]


class Table(NamedTuple):
    """What the steps of a chunk have in common for all weights of a run: step t takes line (phase + t) >> shift.

    factors : `(lines, schedules)`, by what the schedules multiply the rates; carry : after the chunk; exact, penalised,
    free : `(lines, scalars, lanes)`, the rule's scalars in float64, in float32, and without the penalty.
    """

    phase: int
    shift: int
    factors: NDArray[np.float64]
    carry: NDArray[np.float64]
    exact: NDArray[np.float64]
    penalised: NDArray[np.float32]
    free: NDArray[np.float32]


@dataclass(frozen=True)
class LinearState:
    """All that changes while a population learns; lanes : the width of the blocks; slowed : by plateaus, each run."""

    runs: tuple[Run, ...]
    blocks: tuple[Block, ...]
    lanes: int
    rows: int = 0
    planned_rows: int = 1
    slowed: tuple[Slowed, ...] = ()


def state_bytes(
    features: int, outputs: int, runs: int, optimizer: str, threads: int = 1, *, sparse: bool = False, batch: int = 1,
    schedules: int = 1,
) -> int:  # fmt: skip
    """Give the bytes of all blocks of a population whose runs follow so many schedules."""
    rule = OPTIMIZERS[optimizer]
    lanes = _lanes_for(runs, threads, outputs)
    tables, clocks = 1 + len(rule.slot_names), 0
    if sparse and rule.lazy:
        clocks = 8 * schedules + (0 if batch == 1 else 4)  # `since`, and for mini-batches `spare`
    elif sparse and not rule.linear:
        tables += 1  # `spare`
    columns = outputs * lanes if sparse else dense.columns(outputs, lanes)
    return -(-runs // lanes) * ((features + 1) * columns * tables * 4 + features * clocks)


@lru_cache(maxsize=64)  # once a chunk: this and the rates of sixteen runs took as long as a third of a chunk's steps
def _l2(runs: tuple[Run, ...], block: int, lanes: int) -> NDArray[np.float64]:
    """Give the penalty of each lane of a block, zero in lanes without a run."""
    l2 = np.zeros(lanes)
    share = runs[block * lanes : (block + 1) * lanes]
    l2[: len(share)] = [run.l2 for run in share]
    return l2


def _width(lanes: int) -> tuple[np.float32, ...]:
    """Tell a kernel the width of a block by the length of a tuple."""
    return (np.float32(0),) * lanes


def _single(scalars: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32; a rate too large for it becomes infinite, and its run diverges."""
    with np.errstate(over="ignore"):
        return scalars.astype(np.float32)


@dataclass(frozen=True)
class Linear:
    """A population of linear models that share optimizer, loss and batch size.

    rule : the optimizer with its hyperparameters; loss : of `outputs` scores; threads : blocks that learn at a time,
    which changes no bits: no block knows of another, and no run of its neighbours; seed : of the first weights.
    """

    rule: Any
    loss: Loss
    features: int
    outputs: int
    batch_size: int
    is_sparse: bool
    threads: int = 1
    seed: int = 0

    @property
    def lazy(self) -> bool:
        """Whether each weight must be caught up on what the penalty did to it while no row touched it."""
        return self.is_sparse and self.rule.lazy

    @property
    def scaled(self) -> bool:
        """Whether weights are kept as a multiple of a run's scale."""
        return self.is_sparse and self.rule.linear

    @property
    def _like(self) -> tuple[tuple[np.float32, ...], tuple[np.float32, ...]]:
        """Tuples whose lengths tell a kernel how many scalars and slots its rule has."""
        zero = np.float32(0)
        return (zero,) * len(self.rule.scalar_names), (zero,) * len(self.rule.slot_names)

    def start(self, runs: tuple[Run, ...]) -> LinearState:
        """Give the state of runs that have not learned anything yet."""
        state = self._fresh(runs, _lanes_for(len(runs), self.threads, self.outputs))
        for place, run in enumerate(runs):
            if run.init != "zero":
                columns = self._columns_of(place % state.lanes, state.lanes)
                first = initial_weights(run.init, self.features, self.outputs, seed=self.seed, run=run.number)
                state.blocks[place // state.lanes].weights[:, columns] = first
        return state

    def _fresh(self, runs: tuple[Run, ...], lanes: int) -> LinearState:
        """Give the state of runs that start at zero in blocks of this width."""
        schedules = len(rates.schedules(runs))
        return LinearState(runs, tuple(self._fresh_block(lanes, schedules) for _ in range(0, len(runs), lanes)), lanes)

    def _fresh_block(self, lanes: int, schedules: int) -> Block:
        """Give a block whose weights are zero."""
        columns = self.outputs * lanes if self.is_sparse else dense.columns(self.outputs, lanes)
        shape = (self.features + 1, columns)
        return Block(
            weights=aligned(shape),
            slots=aligned((len(self.rule.slot_names), *shape)),
            carry=np.repeat(np.array(self.rule.carry_start, np.float64).reshape(-1, 1), lanes, axis=1),
            scale=np.ones(lanes),
            now=np.zeros(schedules),
            since=np.zeros((self.features if self.lazy else 0, schedules)),
            spare=self._spare(shape),
        )

    def _spare(self, shape: tuple[int, int]) -> NDArray[np.float32 | np.int32]:
        """Give workspace for the gradients of sparse mini-batches: of all features, or the line of each in a list."""
        if not self.is_sparse or self.scaled:
            return np.zeros((0, 0), np.float32)
        if not self.lazy:
            return aligned(shape)
        return np.full((self.features if self.batch_size > 1 else 0, 1), -1, np.int32)

    def begin_leg(self, state: LinearState, planned_rows: int) -> LinearState:
        """Begin the schedules anew, to reach their end after so many rows."""
        return replace(state, rows=0, planned_rows=planned_rows)

    def replan(self, state: LinearState, planned_rows: int) -> LinearState:
        """Let the schedules reach their end after so many rows of the leg."""
        return replace(state, planned_rows=planned_rows)

    def hear(self, state: LinearState, losses: dict[int, float]) -> LinearState:
        """Tell the schedules the held-out losses of the runs, by number."""
        slowed = rates.slowed_by(state.runs, state.slowed, losses)
        # What a weight at rest has missed was at the old rates.
        return replace(self.up_to_date(state), slowed=slowed) if slowed != state.slowed else state

    def _bases(self, state: LinearState, b: int) -> NDArray[np.float64]:
        """Give the learning rate of each run of a block, in the line of its schedule `(schedules, lanes)`."""
        return rates.bases(state.runs, b, state.lanes, state.slowed)

    def _spans(self, state: LinearState, b: int, rows: int) -> tuple[int, int, NDArray[np.float64]]:
        """Give phase and shift of the coming chunk's table, and the progress at the start of each of its lines.

        A line serves a span of steps; while scalars change with every step there is one line a step.
        """
        same = max(SAME_RATE_ROWS, state.planned_rows // RATES)
        settled = (state.blocks[b].carry < SETTLED).all()
        span_steps = max(1, same // self.batch_size) if settled else 1
        shift = span_steps.bit_length() - 1
        span = self.batch_size << shift
        phase = state.rows % span // self.batch_size
        begun = state.rows - (phase * self.batch_size if shift else 0)
        return phase, shift, np.minimum(np.arange(begun, state.rows + rows, span) / state.planned_rows, 1.0)

    def _table(self, state: LinearState, b: int, rows: int) -> Table:
        """Give what the steps of the coming chunk have in common."""
        phase, shift, progress = self._spans(state, b, rows)
        factors = rates.factors(state.runs, progress, state.planned_rows / self.batch_size)
        rate = factors @ self._bases(state, b)
        carry, exact = self.rule.scalars(state.blocks[b].carry, rate, _l2(state.runs, b, state.lanes))
        penalised = _single(exact)
        free = penalised.copy()
        free[:, self.rule.scalar_names.index(self.rule.penalty_scalar)] = 0.0
        return Table(phase, shift, factors, carry, exact, penalised, free)

    def advance(self, state: LinearState, chunk: Chunk) -> tuple[LinearState, Tallies]:
        """Learn from a chunk; the arrays of `state` are used up."""
        tally = np.zeros((len(state.blocks), state.lanes))
        jobs = [partial(self._advance_block, state, b, chunk, tally[b]) for b in range(len(state.blocks))]
        blocks = tuple(side_by_side(jobs, self.threads))
        rows = len(chunk.targets)
        after = replace(state, blocks=blocks, rows=state.rows + rows)
        return after, Tallies(tally.ravel()[: len(state.runs)], float(chunk.weights.sum(dtype=np.float64)), rows)

    def _advance_block(self, state: LinearState, b: int, chunk: Chunk, tally: NDArray[np.float64]) -> Block:
        """Learn from a chunk with one block."""
        table = self._table(state, b, len(chunk.targets))
        if not isinstance(chunk.rows, SparseRows):
            self._advance_dense(state, b, chunk, table, tally)
        elif self.scaled:
            self._advance_scaled(state, b, chunk, table, tally)
        elif self.lazy:
            self._advance_resting(state, b, chunk, table, tally)
        else:
            self._advance_fully(state, b, chunk, table, tally)
        return state.blocks[b]._replace(carry=table.carry)

    def _advance_dense(
        self, state: LinearState, b: int, chunk: Chunk, table: Table, tally: NDArray[np.float64]
    ) -> None:
        """Learn from dense rows."""
        # Single rows have a kernel of their own: a last row alone would be no reason to compile it.
        block, batch = state.blocks[b], min(self.batch_size, max(len(chunk.targets), 2))
        tables = table.penalised, table.free
        steps = table.phase, table.shift
        dense.advance(
            self._type_of_rule, self.loss, self.outputs, chunk, batch, steps, tables, block.weights, block.slots, tally
        )

    @property
    def _type_of_rule(self) -> Any:
        """A rule with plain numbers in it: only its type matters to a kernel."""
        return type(self.rule)()

    def _sparse_arguments(self, chunk: Chunk, table: Table) -> tuple[Any, ...]:
        """Give what all kernels for sparse rows begin with."""
        rows = chunk.rows
        assert isinstance(rows, SparseRows)
        batch = min(self.batch_size, max(len(chunk.targets), 1))
        return (*rows[:3], chunk.targets, chunk.weights, batch, table.phase, table.shift)

    def _scores(self, lanes: int, rows: int) -> NDArray[np.float32]:
        """Give workspace for the scores of so many rows."""
        return np.empty((rows, self.outputs * lanes), np.float32)

    def _advance_scaled(
        self, state: LinearState, b: int, chunk: Chunk, table: Table, tally: NDArray[np.float64]
    ) -> None:
        """Learn from sparse rows with a linear rule, whose two coefficients are its steps from 1 and along 1."""
        block, lanes = state.blocks[b], state.lanes
        arguments = self._sparse_arguments(chunk, table)
        penalised, free = np.moveaxis(table.exact, 1, 0), np.moveaxis(table.free, 1, 0)
        with np.errstate(all="ignore"):
            shrink, move = (self.rule.update(penalised, w, g, ())[0] for w, g in ((1.0, 0.0), (0.0, 1.0)))
            free_move = _single(self.rule.update(free, 0.0, 1.0, ())[0])
        shrink = np.maximum(shrink, SMALLEST_SHRINK)
        steps = 1 << table.shift
        together = np.log(SMALLEST_SHRINK) / np.minimum(np.log(np.nan_to_num(shrink, nan=1.0).min(axis=1)), -1e-9)
        scales, moves = np.empty((2, steps, lanes), np.float32)
        store.run(
            "sparse:advance_scaled", (self.loss, _width(lanes)), *arguments, shrink, move, free_move,
            np.clip(together, 1, steps).astype(np.int64), block.scale, block.weights,
            self._scores(lanes, arguments[5]), scales, moves, tally,
        )  # fmt: skip

    def _advance_resting(
        self, state: LinearState, b: int, chunk: Chunk, table: Table, tally: NDArray[np.float64]
    ) -> None:
        """Learn from sparse rows with a lazy rule."""
        block, lanes = state.blocks[b], state.lanes
        arguments = self._sparse_arguments(chunk, table)
        indptr, batch = arguments[0], arguments[5]
        bounds = np.append(indptr[:-1:batch], indptr[-1])
        most = 0 if batch == 1 else min(int(np.diff(bounds).max(initial=0)), self.features)
        store.run(
            "sparse:advance_resting", (self._type_of_rule, self.loss, (*self._like, _width(lanes))), *arguments,
            table.penalised, table.free, int(_l2(state.runs, b, lanes).any()), table.factors,
            _single(self._bases(state, b)), block.now, block.since, block.weights, block.slots,
            self._scores(lanes, batch),
            np.ones((1, lanes), np.float32), block.spare, np.empty(most, np.int32), self._scores(lanes, most), tally,
        )  # fmt: skip

    def _advance_fully(
        self, state: LinearState, b: int, chunk: Chunk, table: Table, tally: NDArray[np.float64]
    ) -> None:
        """Learn from sparse rows with a rule that moves every weight at every step."""
        block, lanes = state.blocks[b], state.lanes
        arguments = self._sparse_arguments(chunk, table)
        store.run(
            "sparse:advance_fully", (self._type_of_rule, self.loss, (*self._like, _width(lanes))), *arguments,
            table.penalised, table.free, block.weights, block.slots,
            self._scores(lanes, arguments[5]), np.ones((1, lanes), np.float32), block.spare, tally,
        )  # fmt: skip

    def _bring_up_to_date(self, state: LinearState, b: int) -> None:
        """Bring every weight of a block up to date."""
        block, lanes = state.blocks[b], state.lanes
        if self.scaled and (block.scale != 1.0).any():
            block.weights[:-1] *= np.tile(block.scale, self.outputs).astype(np.float32)
            block.scale[:] = 1.0
        l2 = _l2(state.runs, b, lanes)
        if self.lazy and l2.any():
            table = self.rule.scalars(block.carry, np.zeros((1, lanes)), l2)[1]
            store.run(
                "sparse:rest_all", (self._type_of_rule, (*self._like, _width(lanes))), _single(table),
                _single(self._bases(state, b)), block.now, block.since, block.weights, block.slots,
            )  # fmt: skip

    def up_to_date(self, state: LinearState) -> LinearState:
        """Give the state with every weight up to date, before weights are read as a whole."""
        side_by_side([partial(self._bring_up_to_date, state, b) for b in range(len(state.blocks))], self.threads)
        return state

    def losses(self, state: LinearState, chunk: Chunk) -> NDArray[np.float32]:
        """Give the loss of every row for every run `(rows, runs)`; `state` must be up to date."""
        jobs = [partial(self._losses_of_block, state, b, chunk) for b in range(len(state.blocks))]
        return np.concatenate(side_by_side(jobs, self.threads), axis=1)[:, : len(state.runs)]

    def _losses_of_block(self, state: LinearState, b: int, chunk: Chunk) -> NDArray[np.float32]:
        """Give the loss of every row for every lane of a block `(rows, lanes)`."""
        block, lanes = state.blocks[b], state.lanes
        if not isinstance(chunk.rows, SparseRows):
            return dense.losses(judge_of(self.loss), self.outputs, lanes, chunk, block.weights)
        out = np.empty((len(chunk.targets), lanes), np.float32)
        store.run(
            "sparse:losses_sparse", (judge_of(self.loss), _width(lanes)), *chunk.rows[:3], chunk.targets, block.weights,
            self._scores(lanes, 64), np.ones((1, lanes), np.float32), out,
        )  # fmt: skip
        return out

    def keep(self, state: LinearState, numbers: list[int]) -> LinearState:
        """Go on with these runs alone, closed up into as few blocks as they need; `state` must be up to date."""
        places = [i for i, run in enumerate(state.runs) if run.number in numbers]
        work = state.planned_rows * self.features * self.outputs
        lanes = _lanes_for(len(places), self.threads, self.outputs) if work >= NARROWING_PAYS else state.lanes
        fresh = self._fresh(tuple(state.runs[i] for i in places), lanes)
        for new, old in enumerate(places):
            source, target = state.blocks[old // state.lanes], fresh.blocks[new // fresh.lanes]
            a, z = self._columns_of(old % state.lanes, state.lanes), self._columns_of(new % fresh.lanes, fresh.lanes)
            target.weights[:, z] = source.weights[:, a]
            target.slots[:, :, z] = source.slots[:, :, a]
            target.carry[:, new % fresh.lanes] = source.carry[:, old % state.lanes]
        slowed = tuple(state.slowed[place] for place in places) if state.slowed else ()
        return replace(fresh, rows=state.rows, planned_rows=state.planned_rows, slowed=slowed)

    def take(self, state: LinearState, number: int) -> WinnerState:
        """Copy one run out; `state` must be up to date."""
        place = [run.number for run in state.runs].index(number)
        block, lane = state.blocks[place // state.lanes], place % state.lanes
        columns = self._columns_of(lane, state.lanes)
        slots = {name: block.slots[i][:, columns].copy() for i, name in enumerate(self.rule.slot_names)}
        return WinnerState(block.weights[:, columns].copy(), slots, block.carry[:, lane].copy())

    def saved(self, state: LinearState) -> Saved:
        """Give all of a state, to go on from."""
        return save_state(state)

    def resumed(self, saved: Saved) -> LinearState:
        """Give the state that was saved."""
        return load_state(saved, self._fresh(runs_of(saved), saved.values["lanes"]))

    def _columns_of(self, lane: int, lanes: int) -> slice:
        """Give the columns of a run's outputs."""
        return slice(lane, self.outputs * lanes, lanes)
