"""A chunk of dense rows as one call of a kernel for up to sixteen runs, see `kernels.layers`.

Operations of PyTorch and their calls take three to six times as long for the networks of small tables, and no less for
large ones. They do what has no compiled form: dropped units, sparse rows, rules that look at all weights.
"""

from __future__ import annotations

import threading
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk
from schuss.descent.activations import GELU, parse_activation
from schuss.descent.losses import Loss
from schuss.kernels import store
from schuss.population.aligned import aligned
from schuss.population.architecture import Architecture
from schuss.population.network.rules import VECTOR, Stack

__all__ = ["has_kernel", "learn"]

_activation = cache(parse_activation)  # the same object at every call, as `store.run` knows static parameters by


def has_kernel(architecture: Architecture) -> bool:
    """Whether there is a compiled form of all that an architecture computes on dense rows."""
    usual = not architecture.dropout and not architecture.embeddings
    return usual and not isinstance(parse_activation(architecture.activation), GELU)  # it needs the error function


def learn(
    stack: Stack, architecture: Architecture, loss: Loss, chunk: Chunk, batch: int, weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Do the planned steps along a chunk; give the summed losses of the runs `(K,)`.

    weights : of each row for each run `(rows, K)`.
    """
    assert isinstance(chunk.rows, np.ndarray)
    plan, sizes = _plan(architecture, min(batch, len(weights)))
    (own, table), (free, free_table) = stack.planned
    stepper, like = stack.static
    static = (stepper, loss, _activation(architecture.activation), like)
    state = [one.numpy() for buffer in (own, free) for one in (buffer.weights, buffer.slots)]
    rows, found = chunk.rows.reshape(-1), []
    for run in range(0, stack.runs, VECTOR):
        runs = min(VECTOR, stack.runs - run)
        beside = np.zeros((len(weights), VECTOR), np.float32)
        beside[:, :runs] = weights[:, run : run + runs]
        tally = np.zeros(VECTOR)
        store.run(
            "layers:learn", static, plan, rows, chunk.targets, beside, batch, run, runs, table, free_table, *state,
            tally, *_ROOM.of((runs, own.weights.shape[1], free.weights.shape[1], *sizes)),
        )  # fmt: skip
        found.append(tally[:runs])
    return np.concatenate(found)


@lru_cache(64)
def _plan(architecture: Architecture, rows: int) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Give the kernel's plan for mini-batches of so many rows, and the sizes of its workspace.

    Sizes: rows, outputs, the sums of a run, the widest layer, the largest matrix.
    """
    lines, matrix, bias, place = [], 0, 0, 0
    layers = [*pairwise([architecture.features, *architecture.hidden, architecture.outputs])]
    for inputs, units in layers:
        lines.append((inputs, units, matrix, bias, place))
        matrix, bias, place = matrix + inputs * units, bias + units, place + rows * _filled(units)
    widest = max(_filled(units) for units in architecture.hidden)
    largest = max(max(inputs * _filled(units), units * _filled(inputs)) for inputs, units in layers)
    return np.array(lines, np.int64), (rows, architecture.outputs, place, widest, largest)


def _filled(count: int) -> int:
    """Fill up to whole vectors."""
    return -(-count // VECTOR) * VECTOR


class _Room(threading.local):
    """The workspace of a thread, kept between chunks: the system takes longer to give it than a small chunk takes."""

    def __init__(self) -> None:
        self.key: tuple[int, ...] = ()
        self.arrays: tuple[Any, ...] = ()

    def of(self, key: tuple[int, ...]) -> tuple[Any, ...]:
        """Give arrays for so many runs, parameters of both kinds, and a plan's sizes."""
        if key != self.key:
            runs, own, free, rows, outputs, sums, widest, largest = key
            shapes = (
                (runs * sums,), (runs * sums,), (rows * widest,), (rows, outputs * VECTOR), (rows * _filled(outputs),),
                (own,), (free,), (largest,),
            )  # fmt: skip
            self.key, self.arrays = key, tuple(aligned(shape) for shape in shapes)
        return self.arrays


_ROOM = _Room()
