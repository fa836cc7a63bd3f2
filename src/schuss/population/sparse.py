"""Sparse rows: what the kernels need besides the rows, in each of the ways that untouched weights are caught up."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, SparseRows
from schuss.descent.losses import Loss
from schuss.kernels import store
from schuss.population.aligned import aligned
from schuss.population.block import Block, Table, single

__all__ = ["advance", "bring_up_to_date", "learn_mixed", "linear_steps", "losses", "scores"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

SMALLEST_SHRINK = 2.0**-40
"""Of what a linear rule's penalty leaves of a weight in one step: less is as good as nothing in float32."""

RUN_OUT = 2.0**-26
"""Of its weight, what a velocity may still add to it when it is set to zero: half a unit in the last place."""

SCORED_ROWS = 64

SCALED_STEPS = 64
"""Steps whose scales are computed at a time: they stay in the nearest cache."""


@cache
def _width(lanes: int) -> tuple[np.float32, ...]:
    """Tell a kernel the width of a block by the length of a tuple."""
    return (np.float32(0),) * lanes


@cache
def _widths(*lengths: int) -> tuple[tuple[np.float32, ...], ...]:
    return tuple(_width(length) for length in lengths)


def _like(stepper: Any, lanes: int) -> tuple[tuple[np.float32, ...], ...]:
    """Tell a kernel how many scalars and slots a rule has, and the width of a block."""
    return _widths(len(stepper.scalar_names), len(stepper.slot_names), lanes)


def _rows(chunk: Chunk) -> SparseRows:
    assert isinstance(chunk.rows, SparseRows)
    return chunk.rows


def advance(
    way: str, stepper: Any, plain: Any, loss: Loss, chunk: Chunk, batch: int, table: Table, block: Block,
    tally: Doubles,
) -> None:  # fmt: skip
    """Learn from a chunk with one block; stepper : the rule with its penalty, plain : the same with plain numbers."""
    batch = min(batch, max(len(chunk.targets), 1))
    if way == "scaled":
        _advance_scaled(loss, chunk, batch, table, block, tally)
    elif way == "coasting":
        _advance_coasting(stepper, loss, chunk, batch, table, block, tally)
    elif way == "resting":
        _advance_resting(stepper, plain, loss, chunk, batch, table, block, tally)
    else:
        _advance_fully(stepper, plain, loss, chunk, batch, table, block, tally)


def _workspace(block: Block, rows: int) -> Floats:
    """Give room for the scores of so many rows."""
    return aligned((rows, block.weights.shape[1]))


def linear_steps(stepper: Any, table: Table) -> tuple[NDArray[Any], ...]:
    """Give shrink, move, free_move and together, see `kernels.sparse.advance_scaled`, of a "scaled" rule's table.

    Its two coefficients are its steps from 1 and along 1.
    """
    penalised, free = table.exact.transpose(1, 0, 2), table.free.transpose(1, 0, 2)
    with np.errstate(all="ignore"):
        shrink, move = (stepper.update(penalised, w, g, ())[0] for w, g in ((1.0, 0.0), (0.0, 1.0)))
        free_move = single(stepper.update(free, 0.0, 1.0, ())[0])
    shrink = np.maximum(shrink, SMALLEST_SHRINK)
    together = np.log(SMALLEST_SHRINK) / np.minimum(np.log(np.fmin.reduce(shrink, axis=1, initial=1.0)), -1e-9)
    return shrink, move, free_move, np.clip(together, 1, _steps_at_once(table)).astype(np.int64)


def _steps_at_once(table: Table) -> int:
    """Give for how many steps scales are computed at a time."""
    return min(1 << table.shift, SCALED_STEPS)


def _advance_scaled(loss: Loss, chunk: Chunk, batch: int, table: Table, block: Block, tally: Doubles) -> None:
    """Learn with a linear rule."""
    scales, moves = aligned((2, _steps_at_once(table), len(block.scale)))
    of_rows = (*_rows(chunk)[:3], chunk.targets, chunk.weights)
    of_steps = (table.phase, table.shift, *table.linear)
    static = (loss, _width(len(block.scale)))
    if batch == 1 and not loss.multiclass:
        store.run(
            "by_row:advance_rows", static, *of_rows, *of_steps, block.scale, block.weights, scales, moves,
            _kept(chunk, len(block.scale)), tally,
        )  # fmt: skip
        return
    store.run(
        "sparse:advance_scaled", static, *of_rows, batch, *of_steps, block.scale, block.weights,
        _workspace(block, batch), scales, moves, tally,
    )  # fmt: skip


def _kept(chunk: Chunk, lanes: int) -> Floats:
    """Give room for the weights of a row, which a block of one run keeps between score and step."""
    return aligned((int(np.diff(_rows(chunk).indptr).max(initial=0)) if lanes == 1 else 0,))


def _coefficients(stepper: Any, scalars: NDArray[Any]) -> list[Any]:
    """Give a, b, c, m, d of w ← a w + b v + c g, v ← m v + d g for scalars `(lines, scalars, lanes)`: its own steps."""
    s = np.moveaxis(scalars, 1, 0)
    zero = np.zeros(s.shape[1:])
    with np.errstate(all="ignore"):
        (a, _), (b, (m,)), (c, (d,)) = (
            stepper.update(s, zero + w, zero + g, (zero + v,)) for w, v, g in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
        )
    return [np.maximum(a, SMALLEST_SHRINK), b, c, np.maximum(m, SMALLEST_SHRINK), d]


def _steps_until(limit: float, factors: Doubles) -> int:
    """Give how many steps of these factors no run needs to get from 1 below a limit, at least one."""
    with np.errstate(all="ignore"):
        steepest = np.log(np.nan_to_num(factors, nan=1.0).min())
    return max(int(np.log(limit) / min(steepest, -1e-9)), 1)


def _advance_coasting(
    stepper: Any, loss: Loss, chunk: Chunk, batch: int, table: Table, block: Block, tally: Doubles
) -> None:
    """Learn with a rule that has a velocity."""
    lanes, steps = len(block.scale), -(-len(chunk.targets) // batch)
    a, b, c, m, d = _coefficients(stepper, table.exact)
    free = single(np.stack(_coefficients(stepper, table.free)[1:], axis=1))
    with np.errstate(all="ignore"):
        fullest = _coefficients(stepper, table.fullest)
        reach = np.abs(fullest[1] / (1.0 - fullest[3]))[0] / RUN_OUT
    together = min(_steps_until(SMALLEST_SHRINK, m), steps)
    few = min(_steps_until(SMALLEST_SHRINK, a), together)
    store.run(
        "coasting:advance", (loss, _width(lanes)), *_rows(chunk)[:3], chunk.targets, chunk.weights, batch, table.phase,
        table.shift, a, b, c, m, d, free, together, few, reach, block.scale, block.weights, block.slots[0],
        block.moving[0], block.moving[1], _workspace(block, batch), aligned((together + 1, lanes), np.float64),
        aligned((lanes,), np.float64), *aligned((4, few, lanes)), aligned((3, lanes)), tally,
    )  # fmt: skip


def _advance_resting(
    stepper: Any, plain: Any, loss: Loss, chunk: Chunk, batch: int, table: Table, block: Block, tally: Doubles
) -> None:
    """Learn with a rule that lets untouched weights rest."""
    rows, lanes, features = _rows(chunk), len(block.scale), len(block.weights) - 1
    bounds = np.append(rows[0][:-1:batch], rows[0][-1])
    most = 0 if batch == 1 else min(int(np.diff(bounds).max(initial=0)), features)
    store.run(
        "resting:advance_resting", (plain, loss, _like(stepper, lanes)), *rows[:3], chunk.targets, chunk.weights, batch,
        table.phase, table.shift, table.penalised, table.free, int(table.penalty), table.factors, single(table.bases),
        block.now, block.since, block.weights, block.slots, _workspace(block, batch), np.ones((1, lanes), np.float32),
        block.spare, np.empty(most, np.int32), _workspace(block, most), tally,
    )  # fmt: skip


def learn_mixed(
    stepper: Any, plain: Any, loss: Loss, chunk: Chunk, tables: tuple[Floats, Floats], bases: Doubles,
    block: Block, mixing: tuple[float, float, Doubles, Doubles],
) -> None:  # fmt: skip
    """Answer and learn row by row with one block of a "resting" rule, see `kernels.mixture`; `mixing` as for dense."""
    lanes = len(block.scale)
    workspace = _workspace(block, 1), np.ones((1, lanes), np.float32), np.zeros(lanes), np.ones((1, lanes), np.float32)
    store.run(
        "mixture:learn_sparse", (plain, loss, _like(stepper, lanes)), *_rows(chunk)[:3], chunk.targets, chunk.weights,
        *tables, single(bases), block.now, block.since, block.weights, block.slots, *mixing, *workspace,
    )  # fmt: skip


def _advance_fully(
    stepper: Any, plain: Any, loss: Loss, chunk: Chunk, batch: int, table: Table, block: Block, tally: Doubles
) -> None:
    """Learn with a rule that moves every weight at every step."""
    lanes = len(block.scale)
    store.run(
        "sparse:advance_fully", (plain, loss, _like(stepper, lanes)), *_rows(chunk)[:3], chunk.targets, chunk.weights,
        batch, table.phase, table.shift, table.penalised, table.free, block.weights, block.slots,
        _workspace(block, batch), np.ones((1, lanes), np.float32), block.spare, tally,
    )  # fmt: skip


def bring_up_to_date(way: str, stepper: Any, plain: Any, scalars: Doubles, bases: Doubles, block: Block) -> None:
    """Bring every weight of a block up to date.

    scalars : `(1, scalars, lanes)`, of a step at a learning rate of zero; bases : see `Table`.
    """
    lanes = len(block.scale)
    if way in ("scaled", "coasting") and (block.scale != 1.0).any():
        block.weights[:-1] *= np.tile(block.scale, block.weights.shape[1] // lanes).astype(np.float32)
        block.scale[:] = 1.0
    if way == "resting" and scalars[:, stepper.free].any():
        store.run(
            "resting:rest_all", (plain, _like(stepper, lanes)), single(scalars), single(bases), block.now, block.since,
            block.weights, block.slots,
        )  # fmt: skip


def moving(slots: Floats) -> NDArray[np.int32]:
    """Find the features that have a velocity, for `Block.moving`."""
    found = np.zeros((2, slots.shape[1]), np.int32)
    places = np.flatnonzero(slots[0, :-1].any(axis=1))
    found[0, places], found[1, : len(places)], found[1, -1] = 1, places, len(places)
    return found


def scores(rows: SparseRows, weights: Floats) -> Doubles:
    """Give rows · w + b `(n, outputs)` for weights `(features + 1, outputs)`, the intercepts last."""
    out = np.empty((len(rows.indptr) - 1, weights.shape[1]))
    store.run("sparse:scores", (), *rows[:3], np.ascontiguousarray(weights), out)
    return out


def losses(loss: Loss, chunk: Chunk, weights: Floats, lanes: int) -> Floats:
    """Give the loss of every row for every lane of a block `(rows, lanes)`."""
    out = np.empty((len(chunk.targets), lanes), np.float32)
    scores = np.empty((SCORED_ROWS, weights.shape[1]), np.float32)
    store.run(
        "sparse:losses_sparse", (loss, _width(lanes)), *_rows(chunk)[:3], chunk.targets, weights, scores,
        np.ones((1, lanes), np.float32), out,
    )  # fmt: skip
    return out
