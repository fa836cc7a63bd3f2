"""Compiling the kernels before they are needed."""

from __future__ import annotations

import time

import numpy as np

from ..data.chunk import Chunk, SparseRows
from ..descent.losses import LogLoss, Loss, Softmax, SquaredError
from ..descent.optimizers import Adagrad, Adam
from .linear import Linear
from .population import Run

__all__ = ["warmup"]

DEFAULT_LOSSES: tuple[tuple[Loss, int], ...] = ((LogLoss(), 1), (Softmax(), 3), (SquaredError(), 1))


def warmup() -> float:
    """Compile what a training with default settings uses; give the seconds it took.

    Compiled kernels are kept on the disk, so that a second call takes almost no time.
    """
    begun = time.perf_counter()
    dense = np.eye(4, 3, dtype=np.float32)
    sparse = SparseRows(np.arange(5, dtype=np.int64), np.zeros(4, np.int32), np.ones(4, np.float32), 3)
    for loss, outputs in DEFAULT_LOSSES:
        targets = np.zeros(4, np.int32 if loss.classification else np.float32)
        for rule, rows, batch in ((Adam(), dense, 32), (Adagrad(), sparse, 1)):
            population = Linear(rule, loss, 3, outputs, batch, isinstance(rows, SparseRows))
            state = population.start((Run(0, "", 0.1, 0.0, "linear", batch),))
            chunk = Chunk(rows, targets, np.ones(4, np.float32))
            state, _ = population.advance(state, chunk)
            population.losses(population.up_to_date(state), chunk)
    return time.perf_counter() - begun
