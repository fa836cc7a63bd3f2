"""A population of linear models: scores = rows · W + b, for all runs at once.

Weights lie as `[feature, output, run]` with the run fastest, in blocks of sixteen runs; the last "feature" is the
intercept, which no penalty touches. Lanes of a block that hold no run have rate zero and stay at zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, SparseRows
from schuss.descent.losses import Loss
from schuss.descent.optimizers import OPTIMIZERS
from schuss.descent.schedules import SCHEDULES
from schuss.population.kernels import dense, sparse
from schuss.population.population import Run, Tallies, WinnerState

__all__ = ["LANES", "Linear", "LinearState", "state_bytes"]

LANES = 16
"""Runs in a block: sixteen float32 weights fill a cache line of 64 bytes."""


class Block(NamedTuple):
    """Up to sixteen runs.

    weights : `(features + 1, outputs · LANES)`; slots : `(slots, features + 1, outputs · LANES)`; carry : `(carries, LANES)`.
    seen, before : what lazy rules need on sparse rows, see `kernels.sparse.advance_lazily`.
    """

    weights: NDArray[np.float32]
    slots: NDArray[np.float32]
    carry: NDArray[np.float64]
    seen: NDArray[np.int32]
    before: NDArray[np.float64]


@dataclass(frozen=True)
class LinearState:
    """All that changes while a population learns."""

    runs: tuple[Run, ...]
    blocks: tuple[Block, ...]
    rows: int = 0
    planned_rows: int = 1


def state_bytes(features: int, outputs: int, runs: int, optimizer: str) -> int:
    """Give the bytes that the weights and slots of a population take."""
    blocks = -(-runs // LANES)
    return blocks * (features + 1) * outputs * LANES * (1 + len(OPTIMIZERS[optimizer].slot_names)) * 4


def _lanes(block: int, runs: tuple[Run, ...], values: list[float]) -> NDArray[np.float64]:
    """Give one block's share of a value per run, zero in lanes without a run."""
    share = values[block * LANES : (block + 1) * LANES]
    return np.array(share + [0.0] * (LANES - len(share)))


@dataclass(frozen=True)
class Linear:
    """A population of linear models that share optimizer, loss and batch size.

    rule : the optimizer with its hyperparameters; loss : of `outputs` scores; lazy : whether rows are sparse and the rule lets
    untouched weights rest.
    """

    rule: Any
    loss: Loss
    features: int
    outputs: int
    batch_size: int
    is_sparse: bool

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
        columns = self.outputs * LANES
        slots = len(self.rule.slot_names)
        blocks = tuple(
            Block(
                np.zeros((self.features + 1, columns), np.float32),
                np.zeros((slots, self.features + 1, columns), np.float32),
                np.repeat(np.array(self.rule.carry_start, np.float64).reshape(-1, 1), LANES, axis=1),
                np.zeros(self.features if self.lazy else 0, np.int32),
                np.zeros((1, LANES)),
            )
            for _ in range(0, len(runs), LANES)
        )
        return LinearState(runs, blocks)

    def begin_leg(self, state: LinearState, planned_rows: int) -> LinearState:
        """Begin the schedules anew, to reach their end after so many rows."""
        return replace(state, rows=0, planned_rows=planned_rows)

    def _rates(self, state: LinearState, block: int, rows: int) -> NDArray[np.float64]:
        """Give the learning rate of each step of the coming chunk `(steps, LANES)`."""
        starts = state.rows + np.arange(0, rows, self.batch_size)
        progress = np.minimum(starts / state.planned_rows, 1.0)
        factors = {name: SCHEDULES[name](progress) for name in {run.schedule for run in state.runs}}
        rates = np.zeros((len(starts), LANES))
        for lane, run in enumerate(state.runs[block * LANES : (block + 1) * LANES]):
            rates[:, lane] = run.learning_rate * factors[run.schedule]
        return rates

    def advance(self, state: LinearState, chunk: Chunk) -> tuple[LinearState, Tallies]:
        """Learn from a chunk; the arrays of `state` are used up."""
        tally = np.zeros((len(state.blocks), LANES))
        blocks = tuple(self._advance_block(state, b, chunk, tally[b]) for b in range(len(state.blocks)))
        rows = len(chunk.targets)
        after = replace(state, blocks=blocks, rows=state.rows + rows)
        return after, Tallies(tally.ravel()[: len(state.runs)], float(chunk.weights.sum(dtype=np.float64)), rows)

    def _advance_block(self, state: LinearState, b: int, chunk: Chunk, tally: NDArray[np.float64]) -> Block:
        """Learn from a chunk with one block."""
        block = state.blocks[b]
        rates = self._rates(state, b, len(chunk.targets))
        l2 = _lanes(b, state.runs, [run.l2 for run in state.runs])
        carry, table = self.rule.scalars(block.carry, rates, l2)
        free_table = self.rule.scalars(block.carry, rates, np.zeros(LANES))[1]
        tables = table.astype(np.float32), free_table.astype(np.float32)
        rule = type(self.rule)()  # only its type matters to a kernel, and a default one has only numbers in it
        rows = chunk.rows
        what = (chunk.targets, chunk.weights, self.batch_size, *tables)
        if not isinstance(rows, SparseRows):
            dense.advance_dense(rule, self.loss, self._like, rows, *what, block.weights, block.slots, tally)
            return block._replace(carry=carry)
        if not self.lazy:
            sparse.advance_fully(
                rule, self.loss, self._like, *rows[:3], *what, block.weights, block.slots, tally
            )  # fmt: skip
            return block._replace(carry=carry)
        sums = np.zeros((len(rates) + 1, LANES))
        np.cumsum(rates, axis=0, out=sums[1:])
        number = len(block.before) - 1
        sparse.advance_lazily(
            rule, self.loss, self._like, *rows[:3], *what, sums.astype(np.float32), block.before, block.seen, number,
            block.weights, block.slots, tally,
        )  # fmt: skip
        return block._replace(carry=carry, before=np.vstack([block.before, block.before[-1:] + sums[-1]]))

    def _up_to_date(self, state: LinearState, b: int) -> Block:
        """Give a block whose every weight is up to date."""
        block = state.blocks[b]
        if not self.lazy or len(block.before) == 1:
            return block
        l2 = _lanes(b, state.runs, [run.l2 for run in state.runs])
        table = self.rule.scalars(block.carry, np.zeros((1, LANES)), l2)[1][0].astype(np.float32)
        sparse.catch_up(
            type(self.rule)(), self._like, table, block.before, block.seen, len(block.before) - 1, block.weights, block.slots
        )
        block.seen[:] = 0
        return block._replace(before=np.zeros((1, LANES)))

    def up_to_date(self, state: LinearState) -> LinearState:
        """Give the state with every weight up to date, before weights are read as a whole."""
        return replace(state, blocks=tuple(self._up_to_date(state, b) for b in range(len(state.blocks))))

    def losses(self, state: LinearState, chunk: Chunk) -> NDArray[np.float32]:
        """Give the loss of every row for every run `(rows, runs)`; `state` must be up to date."""
        out = np.empty((len(state.blocks), len(chunk.targets), LANES), np.float32)
        for b, block in enumerate(state.blocks):
            if isinstance(chunk.rows, SparseRows):
                sparse.losses_sparse(self.loss, *chunk.rows[:3], chunk.targets, block.weights, LANES, out[b])
            else:
                dense.losses_dense(self.loss, chunk.rows, chunk.targets, block.weights, LANES, out[b])
        return np.concatenate(list(out), axis=1)[:, : len(state.runs)]

    def keep(self, state: LinearState, numbers: list[int]) -> LinearState:
        """Go on with these runs alone, closed up into as few blocks as they need; `state` must be up to date."""
        places = [i for i, run in enumerate(state.runs) if run.number in numbers]
        fresh = self.start(tuple(state.runs[i] for i in places))
        for new, old in enumerate(places):
            source, target = state.blocks[old // LANES], fresh.blocks[new // LANES]
            a, z = old % LANES, new % LANES
            target.weights[:, z::LANES] = source.weights[:, a::LANES]
            target.slots[:, :, z::LANES] = source.slots[:, :, a::LANES]
            target.carry[:, z] = source.carry[:, a]
        return replace(fresh, rows=state.rows, planned_rows=state.planned_rows)

    def take(self, state: LinearState, number: int) -> WinnerState:
        """Copy one run out; `state` must be up to date."""
        place = [run.number for run in state.runs].index(number)
        block, lane = state.blocks[place // LANES], place % LANES
        slots = {name: block.slots[i, :, lane::LANES].copy() for i, name in enumerate(self.rule.slot_names)}
        return WinnerState(block.weights[:, lane::LANES].copy(), slots, block.carry[:, lane].copy())
