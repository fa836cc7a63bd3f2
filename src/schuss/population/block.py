"""The arrays of a population: blocks of up to sixteen runs, and how much memory they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.descent.optimizers import trait
from schuss.descent.schedules import Slowed
from schuss.population import dense
from schuss.population.aligned import aligned
from schuss.population.population import Run

__all__ = [
    "LANES", "Block", "LinearState", "Table", "catching_up", "fill", "fresh_block", "lanes_for", "plain",
    "single", "state_bytes",
]  # fmt: skip

LANES = 16
"""Runs in a block: sixteen float32 weights fill a cache line of 64 bytes. A few finalists get narrower blocks."""


class Block(NamedTuple):
    """Up to sixteen runs.

    weights : `(features + 1, outputs · lanes)`; slots : `(slots, features + 1, outputs · lanes)`; carry :
    `(carries, lanes)`. On sparse rows: scale : `(lanes,)`, by which the weights of "scaled" and "coasting" rules are to
    be multiplied; now, since : `(schedules,)` and `(features, schedules)`, how far "resting" weights are up to date,
    see `kernels.resting.advance_resting`; moving : `(2, features + 1)`, which features of a "coasting" rule have a
    velocity, and a list of them, whose last element is their number; spare : `(features + 1, …)`, workspace, one value
    for no feature in between.
    """

    weights: NDArray[np.float32]
    slots: NDArray[np.float32]
    carry: NDArray[np.float64]
    scale: NDArray[np.float64]
    now: NDArray[np.float64]
    since: NDArray[np.float64]
    moving: NDArray[np.int32]
    spare: NDArray[np.float32 | np.int32]


class Table(NamedTuple):
    """What the steps of a chunk have in common for all weights of a run: step t takes line (phase + t) >> shift.

    factors : `(lines, schedules)`, by what the schedules multiply the rates; bases : `(schedules, lanes)`, the rate of
    each run in the line of its schedule; penalty : whether any run has one; carry : after the chunk; exact, penalised,
    free : `(lines, scalars, lanes)`, the rule's scalars in float64 (float32, where the rule is neither "scaled" nor
    "coasting"), in float32, and without the penalty; fullest : the first line, for the whole of the rates; linear : of
    "scaled" rules, what `sparse.linear_steps` makes of the scalars.
    """

    phase: int
    shift: int
    factors: NDArray[np.float64]
    bases: NDArray[np.float64]
    penalty: bool
    carry: NDArray[np.float64]
    exact: NDArray[Any]
    penalised: NDArray[np.float32]
    free: NDArray[np.float32]
    fullest: NDArray[Any]
    linear: tuple[NDArray[Any], ...]

    def part(self, lines: slice) -> Table:
        """Give the table of some lines."""
        return self._replace(
            factors=self.factors[lines], exact=self.exact[lines], penalised=self.penalised[lines],
            free=self.free[lines], linear=tuple([one[lines] for one in self.linear]),
        )  # fmt: skip


@dataclass(frozen=True)
class LinearState:
    """All that changes while a population learns; lanes : the width of the blocks; slowed : by plateaus, each run."""

    runs: tuple[Run, ...]
    blocks: tuple[Block, ...]
    lanes: int
    rows: int = 0
    planned_rows: int = 1
    slowed: tuple[Slowed, ...] = ()


def catching_up(rule: Any, *, sparse: bool, l1: bool) -> str:
    """Say how weights that no row touches are caught up: as the rule says, for λ₁ > 0 as far as that knows the way.

    "whole" rules step all weights together, on dense rows too.
    """
    if trait(rule, "number_names"):
        return "whole"
    if not sparse:
        return "every"
    way = trait(rule, "sparse")
    if l1 and way in ("scaled", "coasting"):
        return "resting" if hasattr(rule, "resting_rate") else "every"
    return way


def lanes_for(runs: int, threads: int, outputs: int) -> int:
    """Give the width of the blocks: the narrowest that gives every thread at most one block, or else the full one.

    Runs are shared among threads only in whole vectors: on dense rows blocks of eight take nearly as long as those of
    sixteen (784 features: two threads 1.1 times as fast with one output, 1.9 times with ten). On sparse rows two
    threads with eight runs each take 0.95, 1.11 and 1.00 of the time of one with sixteen (47,000 features, a million,
    sixteen million), and nearly twice the processors', which the next rows need.
    """
    widths = (lanes for lanes in (1, 4, 8) if runs <= lanes * (threads if lanes * outputs >= LANES else 1))
    return next(widths, LANES)


def plain(stepper: Any) -> Any:
    """Give a rule of the same type with plain numbers in it."""
    return type(stepper)(*[plain(field) if isinstance(field, tuple) else 0.0 for field in stepper])


def single(scalars: NDArray[Any]) -> NDArray[np.float32]:
    """Round to float32, where it is not that already; a rate too large becomes infinite, and its run diverges."""
    with np.errstate(over="ignore"):
        return scalars.astype(np.float32, copy=False)


def fill(table: NDArray[Any], columns: Sequence[Any], runs: slice) -> None:
    """Write the scalars of some of the runs into a table `(T, scalars, runs)`; what is too large becomes infinite.

    Once a chunk: columns that are the same for all steps are written together, as one line (10 scalars, 256 steps, 16
    runs: 44 → 17 µs).
    """
    parts = [np.asarray(column) for column in columns]
    parts = [part[..., runs] if part.ndim and part.shape[-1] > 1 else part for part in parts]
    line = np.zeros(table.shape[1:], table.dtype)
    with np.errstate(over="ignore"):
        for place, part in enumerate(parts):
            if part.ndim < 2:
                line[place] = part
        table[:] = line
        for place, part in enumerate(parts):
            if part.ndim == 2:
                table[:, place] = part


def fresh_block(
    stepper: Any, features: int, outputs: int, lanes: int, schedules: int, *, sparse: bool, way: str, batch: int
) -> Block:
    """Give a block whose weights are zero."""
    shape = (features + 1, outputs * lanes if sparse or way == "whole" else dense.columns(outputs, lanes))
    slots, start = len(stepper.slot_names), np.zeros((len(stepper.carry_start), lanes))
    for line, value in zip(start, stepper.carry_start, strict=True):
        line[:] = value
    spare: NDArray[Any] = np.zeros((0, 0), np.float32)
    if way == "resting":  # the line of each feature in a list of those of a mini-batch
        spare = np.full((features if batch > 1 else 0, 1), -1, np.int32)
    elif way == "whole" or (sparse and way == "every"):  # the gradient
        spare = aligned(shape)
    scale = aligned((lanes,), np.float64)
    scale[:] = 1.0
    return Block(
        weights=aligned(shape),
        slots=aligned((slots, *shape)),
        carry=start,
        scale=scale,
        now=aligned((schedules,), np.float64),
        since=np.zeros((features if way == "resting" else 0, schedules)),
        moving=np.zeros((2, features + 1 if way == "coasting" else 0), np.int32),
        spare=spare,
    )


def state_bytes(
    rule: Any, features: int, outputs: int, runs: int, threads: int = 1, *, sparse: bool, batch: int, l1: bool = False,
    schedules: int = 1,
) -> int:  # fmt: skip
    """Give the bytes of all blocks of a population whose runs follow so many schedules."""
    lanes = lanes_for(runs, threads, outputs)
    way = catching_up(rule, sparse=sparse, l1=l1)
    together = sparse or way == "whole"
    tables = 1 + len(rule.slot_names) + (together and way in ("every", "whole"))
    columns = outputs * lanes if together else dense.columns(outputs, lanes)
    each = 8 * schedules + (0 if batch == 1 else 4) if way == "resting" else 0  # `since`, for mini-batches `spare`
    moving = 8 * (features + 1) if way == "coasting" else 0
    return -(-runs // lanes) * ((features + 1) * columns * tables * 4 + features * each + moving)
