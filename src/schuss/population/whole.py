"""Rules that look at all weights of a run, on dense and on sparse rows: what the kernels need besides the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, SparseRows
from schuss.descent.losses import Loss
from schuss.kernels import store
from schuss.population.block import Block, Table

__all__ = ["advance"]


def advance(
    stepper: Any, plain: Any, numbers: int, loss: Loss, chunk: Chunk, batch: int, table: Table, block: Block,
    tally: NDArray[np.float64],
) -> None:  # fmt: skip
    """Learn from a chunk with one block; the last `numbers` of the table's carry go on with every step."""
    batch = min(batch, max(len(chunk.targets), 1))
    lanes, columns = len(block.scale), block.weights.shape[1]
    sums = len(stepper.measure(0.0, 0.0, (0.0,) * len(stepper.slot_names)))
    lengths = len(stepper.scalar_names), len(stepper.slot_names), lanes, numbers, sums
    like = tuple((np.float32(0),) * length for length in lengths)
    own = table.carry[-numbers:].astype(np.float32)
    arguments = (
        chunk.targets, chunk.weights, batch, table.phase, table.shift, table.penalised, table.free, block.weights,
        block.slots, own, np.zeros((sums, lanes)), np.zeros((sums, lanes), np.float32),
        np.empty((batch, columns), np.float32), block.spare,
    )  # fmt: skip
    if isinstance(chunk.rows, SparseRows):
        ones = np.ones((1, lanes), np.float32)
        store.run("whole:advance_sparse", (plain, loss, like), *chunk.rows[:3], *arguments, ones, tally)
    else:
        store.run("whole:advance_dense", (plain, loss, like), chunk.rows, *arguments, tally)
    table.carry[-numbers:] = own
