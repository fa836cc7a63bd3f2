"""A population of linear models: scores = rows · W + b, for all runs at once.

Weights lie as `[feature, output, run]` with the run fastest, in blocks of sixteen runs; the last "feature" is the
intercept, which no penalty touches. Lanes of a block that hold no run have rate zero and stay at zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, SparseRows
from schuss.data.saved import Saved
from schuss.descent.initializers import initial_weights
from schuss.descent.losses import Loss, judge_of
from schuss.descent.optimizers import bare, penalised, per_run, scalar_table, trait
from schuss.descent.penalties import L2, ElasticNet, Shrink
from schuss.population import dense, rates, sparse, whole
from schuss.population.aligned import aligned
from schuss.population.block import Block, LinearState, Table, catching_up, fill, fresh_block, lanes_for, plain, single
from schuss.population.population import Run, Tallies, WinnerState
from schuss.population.saved import load_state, runs_of, save_state
from schuss.population.workers import side_by_side

__all__ = ["Linear"]

SAME_RATE_ROWS = 32
RATES = 4096
"""A learning rate stays the same for 32 rows, in a long leg for a 4,096th of it: a table of the scalars of every step
took 500 ns a row at batch 1, and 15 at batch 32, where two threads gained nothing on 28 features (now 1.4 times)."""

SHARED_LINES, FEW_LINES = 64, 8
"""Lines of tables that are made at once where a chunk has few: made for each chunk, they took a quarter of what Python
does for a chunk of 28 features (an epoch of 20 million rows of Parquet: −7 % of processor time)."""

SETTLED = 1e-10
"""Running products below this change no scalar any more: 1 − 1e-10 is 1 in float32."""

_Room = tuple[NDArray[Any], NDArray[np.float32]]

NARROWING_PAYS = 2e9
"""Features of rows to come from which on fewer runs move to narrower blocks: about a second of learning.

Each width is a kernel of its own, which takes three seconds to compile the first time ever.
"""


@lru_cache(maxsize=64)  # once a chunk: this and the rates of sixteen runs took as long as a third of a chunk's steps
def _penalties(runs: tuple[Run, ...], block: int, lanes: int) -> NDArray[np.float64]:
    """Give λ₂ and λ₁ of each lane of a block `(2, lanes)`, zero in lanes without a run."""
    penalties = np.zeros((2, lanes))
    share = runs[block * lanes : (block + 1) * lanes]
    penalties[:, : len(share)] = [[run.l2 for run in share], [run.l1 for run in share]]
    return penalties


@lru_cache(maxsize=64)
def _specs(runs: tuple[Run, ...], block: int, lanes: int) -> tuple[str, ...]:
    """Give the optimizer's name and hyperparameters in each lane of a block; empty if no run has any of its own."""
    specs = tuple(run.optimizer for run in runs[block * lanes : (block + 1) * lanes])
    return specs + ("",) * (lanes - len(specs)) if any(bare(spec) != spec for spec in specs) else ()


@dataclass(frozen=True)
class Linear:
    """A population of linear models that share optimizer, loss and batch size.

    rule : the optimizer, with the hyperparameters of runs that have none of their own; loss : of `outputs` scores;
    threads : blocks that learn at a time, which changes no bits: no block knows of another, and no run of its
    neighbours; seed : of the first weights; l1 : whether runs may have λ₁ > 0.
    """

    rule: Any
    loss: Loss
    features: int
    outputs: int
    batch_size: int
    is_sparse: bool
    threads: int = 1
    seed: int = 0
    l1: bool = False
    intercept: bool = True

    @cached_property
    def way(self) -> str:
        """How weights that no row touches are caught up."""
        return catching_up(self.rule, sparse=self.is_sparse, l1=self.l1)

    @cached_property
    def stepper(self) -> Any:
        """The rule with its penalty."""
        return self._penalised(self.rule)

    def _penalised(self, rule: Any) -> Any:
        shared = trait(rule, "uniform") and self.way != "resting"
        return penalised(rule, ElasticNet() if self.l1 else Shrink() if shared else L2())

    def _stepper_of(self, runs: tuple[Run, ...], b: int, lanes: int) -> Any:
        """Give the rule of a block with its penalty: with one number a run where runs differ in hyperparameters."""
        specs = _specs(runs, b, lanes)
        return self._penalised(per_run(self.rule, specs)) if specs else self.stepper

    def start(self, runs: tuple[Run, ...]) -> LinearState:
        """Give the state of runs that have not learned anything yet."""
        state = self._fresh(runs, lanes_for(len(runs), self.threads, self.outputs))
        for place, run in enumerate(runs):
            if run.init != "zero":
                columns = self._columns_of(place % state.lanes, state.lanes)
                first = initial_weights(run.init, self.features, self.outputs, seed=self.seed, run=run.number)
                block, stepper = state.blocks[place // state.lanes], self._stepper_of((run,), 0, 1)
                block.weights[:, columns] = first
                if hasattr(stepper, "first_slots"):
                    block.slots[:, :, columns] = np.stack(stepper.first_slots(first))
        return state

    def _fresh(self, runs: tuple[Run, ...], lanes: int) -> LinearState:
        """Give the state of runs that start at zero in blocks of this width."""
        size = self.features, self.outputs, lanes, len(rates.schedules(runs))
        options = {"sparse": self.is_sparse, "way": self.way, "batch": self.batch_size}
        steppers = (self._stepper_of(runs, b, lanes) for b in range(-(-len(runs) // lanes)))
        return LinearState(runs, tuple(fresh_block(stepper, *size, **options) for stepper in steppers), lanes)

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

    def _spans(self, state: LinearState, rows: int) -> tuple[int, int, NDArray[np.float64]]:
        """Give phase and shift of the coming chunk's tables, and the progress at the start of each of their lines.

        A line serves a span of steps; while scalars change with every step there is one line a step.
        """
        same = max(SAME_RATE_ROWS, state.planned_rows // RATES)
        settled = all((block.carry < SETTLED).all() for block in state.blocks)
        span_steps = max(1, same // self.batch_size) if settled else 1
        shift = span_steps.bit_length() - 1
        span = self.batch_size << shift
        phase = state.rows % span // self.batch_size
        begun = state.rows - (phase * self.batch_size if shift else 0)
        return phase, shift, np.minimum(np.arange(begun, state.rows + rows, span) / state.planned_rows, 1.0)

    def _tables(self, state: LinearState, rows: int) -> list[Table]:
        """Give what the steps of the coming chunk have in common, for each block.

        Made for all blocks at once, and before they learn in threads of their own: threads that each make theirs take
        the interpreter's lock from one another at every operation of NumPy.
        """
        phase, shift, progress = self._spans(state, rows)
        if shift == 0 or len(progress) > FEW_LINES or self.way == "whole":
            rooms = self._rooms_again(state, len(progress))
            return self._made_tables(state, phase, shift, progress, [block.carry for block in state.blocks], rooms)
        return self._shared_tables(state, phase, shift, len(progress))

    def _shared_tables(self, state: LinearState, phase: int, shift: int, lines: int) -> list[Table]:
        """Give lines of tables that many chunks share; made for the first of them, then kept."""
        span = self.batch_size << shift
        first = state.rows // span
        group = first - first % SHARED_LINES
        asked = (state.runs, state.lanes, state.slowed, state.planned_rows, shift, group)
        if self._kept.get("asked") != asked:
            of_group = np.arange(group, group + SHARED_LINES + FEW_LINES, dtype=np.int64)
            progress = np.minimum(of_group * span / state.planned_rows, 1.0)
            # That the carry has settled is why lines are shared: what is left of it is nothing.
            settled = [np.zeros_like(block.carry) for block in state.blocks]
            rooms = self._rooms(state, len(progress))
            self._kept.update(asked=asked, tables=self._made_tables(state, 0, shift, progress, settled, rooms))
        here = slice(first - group, first - group + lines)
        pairs = zip(self._kept["tables"], state.blocks, strict=True)
        return [table.part(here)._replace(phase=phase, carry=block.carry) for table, block in pairs]

    def _rooms(self, state: LinearState, lines: int) -> list[_Room]:
        """Give memory for the tables of each block, with and without the penalty."""
        shape = lines, len(self.stepper.scalar_names), state.lanes
        exact = np.float64 if self.way in ("scaled", "coasting") else np.float32
        return [(np.empty(shape, exact), np.empty(shape, np.float32)) for _ in state.blocks]

    def _rooms_again(self, state: LinearState, lines: int) -> list[_Room]:
        """Give the memory of the chunk before, if it is as large: to get it anew took as long as to fill it."""
        size = lines, state.lanes, len(state.blocks)
        if self._kept.get("size") != size:
            self._kept.update(size=size, rooms=self._rooms(state, lines))
        return self._kept["rooms"]

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return {}

    def _made_tables(
        self, state: LinearState, phase: int, shift: int, progress: NDArray[np.float64],
        starts: list[NDArray[np.float64]], rooms: list[_Room],
    ) -> list[Table]:  # fmt: skip
        """Make tables with a line for each point of the leg; starts : the carry of each block before them."""
        every = len(starts) * state.lanes
        factors = rates.factors(state.runs, progress, state.planned_rows / self.batch_size)
        bases, penalties = rates.bases(state.runs, 0, every, state.slowed), _penalties(state.runs, 0, every)
        stepper, start, rate = self._stepper_of(state.runs, 0, every), np.concatenate(starts, axis=1), factors @ bases
        carry, columns = stepper.scalars(start, rate, *penalties)
        free = columns
        if not self.intercept:  # at a rate of zero no rule moves a weight
            free = stepper.scalars(start, 0.0 * rate, *(0.0 * penalties))[1]
        free = [0.0 if place in stepper.free else column for place, column in enumerate(free)]
        fullest = np.zeros((1, len(columns), every))
        if self.way == "coasting":
            fullest = scalar_table(stepper, start, bases.sum(axis=0)[None], *penalties)[1]

        def of_block(b: int) -> Table:
            own, (exact, unpenalised) = slice(b * state.lanes, (b + 1) * state.lanes), rooms[b]
            fill(exact, columns, own)
            fill(unpenalised, free, own)
            table = Table(
                phase, shift, factors, bases[:, own], bool(penalties[:, own].any()), carry[:, own].copy(), exact,
                single(exact), unpenalised, fullest[:, :, own], (),
            )  # fmt: skip
            return table._replace(linear=sparse.linear_steps(self.stepper, table)) if self.way == "scaled" else table

        return [of_block(b) for b in range(len(rooms))]

    def advance(self, state: LinearState, chunk: Chunk) -> tuple[LinearState, Tallies]:
        """Learn from a chunk; the arrays of `state` are used up."""
        tallies = [aligned((state.lanes,), np.float64) for _ in state.blocks]
        tables = self._tables(state, len(chunk.targets))
        learn = [
            partial(self._advance_block, block, table, chunk, tally)
            for block, table, tally in zip(state.blocks, tables, tallies, strict=True)
        ]
        # The rows' weights come last: added up by a thread that began first, or has a block less, while others learn.
        jobs = [*learn, partial(chunk.weights.sum, dtype=np.float64)]
        *blocks, weight = side_by_side(jobs, min(self.threads, len(learn)))
        rows = len(chunk.targets)
        after = replace(state, blocks=tuple(blocks), rows=state.rows + rows)
        return after, Tallies(np.concatenate(tallies)[: len(state.runs)], float(weight), rows)

    def _advance_block(self, block: Block, table: Table, chunk: Chunk, tally: NDArray[np.float64]) -> Block:
        """Learn from a chunk with one block."""
        if self.way == "whole":
            numbers = len(trait(self.rule, "number_names"))
            whole.advance(self.stepper, self._plain, numbers, self.loss, chunk, self.batch_size, table, block, tally)
        elif isinstance(chunk.rows, SparseRows):
            sparse.advance(self.way, self.stepper, self._plain, self.loss, chunk, self.batch_size, table, block, tally)
        else:
            # Single rows have a kernel of their own: a last row alone would be no reason to compile it.
            batch = min(self.batch_size, max(len(chunk.targets), 2))
            dense.advance(
                self._plain, self.loss, self.outputs, chunk, batch, (table.phase, table.shift),
                (table.penalised, table.free), block.weights, block.slots, tally,
            )  # fmt: skip
        return block._replace(carry=table.carry)

    @cached_property
    def _plain(self) -> Any:
        """The stepper with plain numbers in it: only its type matters to a kernel."""
        return plain(self.stepper)

    def _bring_up_to_date(self, state: LinearState, b: int) -> None:
        """Bring every weight of a block up to date."""
        block, penalties = state.blocks[b], _penalties(state.runs, b, state.lanes)
        stepper = self._stepper_of(state.runs, b, state.lanes)
        scalars = scalar_table(stepper, block.carry, np.zeros((1, state.lanes)), *penalties)[1]
        sparse.bring_up_to_date(self.way, self.stepper, self._plain, scalars, self._bases(state, b), block)

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
        weights, lanes = self._evaluated(state, b), state.lanes
        if isinstance(chunk.rows, SparseRows):
            return sparse.losses(judge_of(self.loss), chunk, weights, lanes)
        return dense.losses(judge_of(self.loss), self.outputs, lanes, chunk, weights)

    def _evaluated(self, state: LinearState, b: int) -> NDArray[np.float32]:
        """Give the weights that count: those on the way, or what the rule makes of them, such as their average."""
        block, stepper = state.blocks[b], self._stepper_of(state.runs, b, state.lanes)
        if not hasattr(stepper, "evaluated"):
            return block.weights
        rows, columns = block.weights.shape
        weights = block.weights.reshape(rows, -1, state.lanes)
        slots = block.slots.reshape(len(block.slots), rows, -1, state.lanes)
        return stepper.evaluated(block.carry, weights, slots).reshape(rows, columns).astype(np.float32)

    def keep(self, state: LinearState, numbers: list[int]) -> LinearState:
        """Go on with these runs alone, closed up into as few blocks as they need.

        `state` must be up to date; its arrays are used up. Where the blocks stay as wide as they are, runs move within
        their memory, to lower lanes only: new blocks beside the old ones would take as much once more.
        """
        places = [i for i, run in enumerate(state.runs) if run.number in numbers]
        work = state.planned_rows * self.features * self.outputs
        lanes = lanes_for(len(places), self.threads, self.outputs) if work >= NARROWING_PAYS else state.lanes
        fresh = self._fresh(tuple(state.runs[i] for i in places), lanes)
        if lanes == state.lanes:
            pairs = zip(fresh.blocks, state.blocks, strict=False)
            fresh = replace(fresh, blocks=tuple(b._replace(weights=o.weights, slots=o.slots) for b, o in pairs))
        for new, old in enumerate(places):
            source, target = state.blocks[old // state.lanes], fresh.blocks[new // fresh.lanes]
            a, z = self._columns_of(old % state.lanes, state.lanes), self._columns_of(new % fresh.lanes, fresh.lanes)
            target.weights[:, z] = source.weights[:, a]
            target.slots[:, :, z] = source.slots[:, :, a]
            target.carry[:, new % fresh.lanes] = source.carry[:, old % state.lanes]
        for empty in range(len(places), len(fresh.blocks) * lanes):
            block, z = fresh.blocks[-1], self._columns_of(empty % lanes, lanes)
            block.weights[:, z], block.slots[:, :, z] = 0.0, 0.0
        self._find_moving(fresh)
        slowed = tuple(state.slowed[place] for place in places) if state.slowed else ()
        return replace(fresh, rows=state.rows, planned_rows=state.planned_rows, slowed=slowed)

    def take(self, state: LinearState, number: int) -> WinnerState:
        """Copy one run out; `state` must be up to date."""
        place = [run.number for run in state.runs].index(number)
        block, lane = state.blocks[place // state.lanes], place % state.lanes
        columns = self._columns_of(lane, state.lanes)
        slots = {name: block.slots[i][:, columns].copy() for i, name in enumerate(self.stepper.slot_names)}
        weights = self._evaluated(state, place // state.lanes)
        if weights is not block.weights:
            slots["on_the_way"] = block.weights[:, columns].copy()
        return WinnerState(weights[:, columns].copy(), slots, block.carry[:, lane].copy())

    def saved(self, state: LinearState) -> Saved:
        """Give all of a state, to go on from."""
        return save_state(state)

    def resumed(self, saved: Saved) -> LinearState:
        """Give the state that was saved."""
        state = load_state(saved, self._fresh(runs_of(saved), saved.values["lanes"]))
        self._find_moving(state)  # of an average, others move than in what it was made of
        return state

    def _find_moving(self, state: LinearState) -> None:
        """Find the features that have a velocity, for rules that need to know."""
        if self.way == "coasting":
            for block in state.blocks:
                block.moving[:] = sparse.moving(block.slots)

    def _columns_of(self, lane: int, lanes: int) -> slice:
        """Give the columns of a run's outputs."""
        return slice(lane, self.outputs * lanes, lanes)
