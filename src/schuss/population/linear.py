"""A population of linear models: scores = rows · W + b, for all runs at once.

Weights lie as `[feature, output, run]` with the run fastest, in blocks of sixteen runs; the last "feature" is the
intercept, which no penalty touches. Lanes of a block that hold no run have rate zero and stay at zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, SparseRows
from schuss.descent.losses import Loss
from schuss.descent.optimizers import OPTIMIZERS
from schuss.descent.schedules import SCHEDULES
from schuss.kernels import dense, sparse
from schuss.population.population import Run, Tallies, WinnerState
from schuss.population.workers import side_by_side

__all__ = ["LANES", "Linear", "LinearState", "state_bytes"]

LANES = 16
"""Runs in a block: sixteen float32 weights fill a cache line of 64 bytes. A few finalists get narrower blocks."""


MOST_CHUNKS = 256
"""Chunks after which a lazy rule catches every weight up, so that the table of what they missed stays short."""


def _lanes_for(runs: int, threads: int) -> int:
    """Give the width of the blocks: the narrowest that gives every thread at most one block, or else the full one."""
    return next((lanes for lanes in (1, 4, 8) if runs <= lanes * threads), LANES)


class Block(NamedTuple):
    """Up to sixteen runs.

    weights : `(features + 1, outputs · lanes)`; slots : `(slots, features + 1, outputs · lanes)`; carry :
    `(carries, lanes)`; seen, before : what lazy rules need on sparse rows, see `kernels.sparse.advance_lazily`.
    """

    weights: NDArray[np.float32]
    slots: NDArray[np.float32]
    carry: NDArray[np.float64]
    seen: NDArray[np.int32]
    before: NDArray[np.float64]


@dataclass(frozen=True)
class LinearState:
    """All that changes while a population learns; lanes : the width of the blocks."""

    runs: tuple[Run, ...]
    blocks: tuple[Block, ...]
    lanes: int
    rows: int = 0
    planned_rows: int = 1


def state_bytes(features: int, outputs: int, runs: int, optimizer: str, threads: int = 1) -> int:
    """Give the bytes that the weights and slots of a population take."""
    lanes = _lanes_for(runs, threads)
    return -(-runs // lanes) * (features + 1) * outputs * lanes * (1 + len(OPTIMIZERS[optimizer].slot_names)) * 4


def _l2(runs: tuple[Run, ...], block: int, lanes: int) -> NDArray[np.float64]:
    """Give the penalty of each lane of a block, zero in lanes without a run."""
    l2 = np.zeros(lanes)
    share = runs[block * lanes : (block + 1) * lanes]
    l2[: len(share)] = [run.l2 for run in share]
    return l2


def _single(scalars: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32; a rate too large for it becomes infinite, and its run diverges."""
    with np.errstate(over="ignore"):
        return scalars.astype(np.float32)


@dataclass(frozen=True)
class Linear:
    """A population of linear models that share optimizer, loss and batch size.

    rule : the optimizer with its hyperparameters; loss : of `outputs` scores; threads : blocks that learn at a time,
    which changes no bits: no block knows of another, and no run of its neighbours.
    """

    rule: Any
    loss: Loss
    features: int
    outputs: int
    batch_size: int
    is_sparse: bool
    threads: int = 1

    @property
    def lazy(self) -> bool:
        """Whether only touched weights cost time."""
        return self.is_sparse and self.rule.lazy

    @property
    def _like(self) -> tuple[tuple[np.float32, ...], tuple[np.float32, ...]]:
        """Tuples whose lengths tell a kernel how many scalars and slots its rule has."""
        zero = np.float32(0)
        return (zero,) * len(self.rule.scalar_names), (zero,) * len(self.rule.slot_names)

    def start(self, runs: tuple[Run, ...]) -> LinearState:
        """Give the state of runs that start at zero."""
        lanes = _lanes_for(len(runs), self.threads)
        columns = self.outputs * lanes
        slots = len(self.rule.slot_names)
        blocks = tuple(
            Block(
                np.zeros((self.features + 1, columns), np.float32),
                np.zeros((slots, self.features + 1, columns), np.float32),
                np.repeat(np.array(self.rule.carry_start, np.float64).reshape(-1, 1), lanes, axis=1),
                np.zeros(self.features if self.lazy else 0, np.int32),
                np.zeros((1, lanes)),
            )
            for _ in range(0, len(runs), lanes)
        )
        return LinearState(runs, blocks, lanes)

    def begin_leg(self, state: LinearState, planned_rows: int) -> LinearState:
        """Begin the schedules anew, to reach their end after so many rows."""
        return replace(state, rows=0, planned_rows=planned_rows)

    def replan(self, state: LinearState, planned_rows: int) -> LinearState:
        """Let the schedules reach their end after so many rows of the leg."""
        return replace(state, planned_rows=planned_rows)

    def _rates(self, state: LinearState, block: int, rows: int) -> NDArray[np.float64]:
        """Give the learning rate of each step of the coming chunk `(steps, lanes)`."""
        starts = state.rows + np.arange(0, rows, self.batch_size)
        progress = np.minimum(starts / state.planned_rows, 1.0)
        factors = {name: SCHEDULES[name](progress) for name in {run.schedule for run in state.runs}}
        lanes = state.lanes
        rates = np.zeros((len(starts), lanes))
        for lane, run in enumerate(state.runs[block * lanes : (block + 1) * lanes]):
            rates[:, lane] = run.learning_rate * factors[run.schedule]
        return rates

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
        block = state.blocks[b]
        if len(block.before) > MOST_CHUNKS:
            block = self._up_to_date(state, b)
        rates = self._rates(state, b, len(chunk.targets))
        carry, table = self.rule.scalars(block.carry, rates, _l2(state.runs, b, state.lanes))
        free_table = self.rule.scalars(block.carry, rates, np.zeros(state.lanes))[1]
        tables = _single(table), _single(free_table)
        rule = type(self.rule)()  # only its type matters to a kernel, and a default one has only numbers in it
        rows = chunk.rows
        what = (chunk.targets, chunk.weights, min(self.batch_size, len(chunk.targets)), *tables)
        if not isinstance(rows, SparseRows):
            dense.advance_dense(rule, self.loss, self._like, rows, *what, block.weights, block.slots, tally)
            return block._replace(carry=carry)
        if not self.lazy:
            sparse.advance_fully(
                rule, self.loss, self._like, *rows[:3], *what, block.weights, block.slots, tally
            )  # fmt: skip
            return block._replace(carry=carry)
        sums = np.zeros((len(rates) + 1, state.lanes))
        np.cumsum(rates, axis=0, out=sums[1:])
        number = len(block.before) - 1
        sparse.advance_lazily(
            rule, self.loss, self._like, *rows[:3], *what, _single(sums), block.before, block.seen, number,
            block.weights, block.slots, tally,
        )  # fmt: skip
        return block._replace(carry=carry, before=np.vstack([block.before, block.before[-1:] + sums[-1]]))

    def _up_to_date(self, state: LinearState, b: int) -> Block:
        """Give a block whose every weight is up to date."""
        block = state.blocks[b]
        if not self.lazy or len(block.before) == 1:
            return block
        lanes = state.lanes
        l2 = _l2(state.runs, b, lanes)
        table = self.rule.scalars(block.carry, np.zeros((1, lanes)), l2)[1][0].astype(np.float32)
        sparse.catch_up(
            type(self.rule)(),
            self._like,
            table,
            block.before,
            block.seen,
            len(block.before) - 1,
            block.weights,
            block.slots,
        )
        block.seen[:] = 0
        return block._replace(before=np.zeros((1, lanes)))

    def up_to_date(self, state: LinearState) -> LinearState:
        """Give the state with every weight up to date, before weights are read as a whole."""
        return replace(state, blocks=tuple(self._up_to_date(state, b) for b in range(len(state.blocks))))

    def losses(self, state: LinearState, chunk: Chunk) -> NDArray[np.float32]:
        """Give the loss of every row for every run `(rows, runs)`; `state` must be up to date."""
        lanes = state.lanes
        out = np.empty((len(state.blocks), len(chunk.targets), lanes), np.float32)
        for b, block in enumerate(state.blocks):
            if isinstance(chunk.rows, SparseRows):
                sparse.losses_sparse(self.loss, *chunk.rows[:3], chunk.targets, block.weights, lanes, out[b])
            else:
                dense.losses_dense(self.loss, chunk.rows, chunk.targets, block.weights, lanes, out[b])
        return np.concatenate(list(out), axis=1)[:, : len(state.runs)]

    def keep(self, state: LinearState, numbers: list[int]) -> LinearState:
        """Go on with these runs alone, closed up into as few blocks as they need; `state` must be up to date."""
        places = [i for i, run in enumerate(state.runs) if run.number in numbers]
        fresh = self.start(tuple(state.runs[i] for i in places))
        for new, old in enumerate(places):
            source, target = state.blocks[old // state.lanes], fresh.blocks[new // fresh.lanes]
            a, z = old % state.lanes, new % fresh.lanes
            target.weights[:, z :: fresh.lanes] = source.weights[:, a :: state.lanes]
            target.slots[:, :, z :: fresh.lanes] = source.slots[:, :, a :: state.lanes]
            target.carry[:, z] = source.carry[:, a]
        return replace(fresh, rows=state.rows, planned_rows=state.planned_rows)

    def take(self, state: LinearState, number: int) -> WinnerState:
        """Copy one run out; `state` must be up to date."""
        place = [run.number for run in state.runs].index(number)
        block, lane, lanes = state.blocks[place // state.lanes], place % state.lanes, state.lanes
        slots = {name: block.slots[i, :, lane::lanes].copy() for i, name in enumerate(self.rule.slot_names)}
        return WinnerState(block.weights[:, lane::lanes].copy(), slots, block.carry[:, lane].copy())
