"""Dense rows as passes go through them fastest: sixteen of them side by side, feature by feature."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, SparseRows
from ..descent.losses import Loss, curvatures
from ..kernels import store
from ..objective import HessianPart, mean_hessian
from ..population.aligned import aligned

__all__ = [
    "LANES",
    "Turned",
    "hessian_of_turned",
    "part_of_turned",
    "sums_of_turned",
    "turn",
    "turn_every",
    "turning_pays",
]

Floats = NDArray[np.float32]

LANES = 16
LIKE = (np.float32(0.0),) * LANES
"""Tells kernels how many lanes there are; one object, because `store.run` knows static parameters by identity."""

FEWEST_LINES = 4
"""Lines that a tile of the kernels needs."""

FEWEST_VALUES = 1 << 15
"""With fewer values of all rows a pass takes less than a tenth of a millisecond in either way, and the kernels take
three seconds to compile: a third of what the very first training on a thousand rows takes.
"""

BLOCK_BYTES = 1 << 18
"""Rows and scores that are gone through at a time: a quarter of a megabyte, read again from the second cache."""


class Turned(NamedTuple):
    """Dense rows, turned: a pass over them takes half to a third of the time, and no thread but this one.

    rows : `(vectors, lines, 16)`: a line for each feature, and one of ones, the last; between them zeros where there
    are fewer than four; targets, weights : `(vectors, 16)`, the weights zero where there is no row; weight : what the
    rows weigh that have a part in sums; left_out : those that have none, vectors from one number to before the other.
    """

    rows: Floats
    targets: Floats
    weights: Floats
    features: int
    weight: float
    left_out: tuple[int, int] = (0, 0)

    def between(self, begin: int, end: int) -> Turned:
        """Give some vectors."""
        weights = self.weights[begin:end]
        return Turned(self.rows[begin:end], self.targets[begin:end], weights, self.features, _sum(weights))

    def without(self, begin: int, end: int) -> Turned:
        """Leave some vectors out of sums."""
        weight = _sum(self.weights[:begin]) + _sum(self.weights[end:])
        return self._replace(weight=weight, left_out=(begin, end))


def turning_pays(parts: Sequence[Chunk]) -> bool:
    """Whether rows are dense, and so many that passes over them should be fast."""
    sizes = [0 if isinstance(part.rows, SparseRows) else part.rows.size for part in parts]
    return sum(sizes) >= FEWEST_VALUES


def turn(parts: Sequence[Chunk]) -> tuple[Turned, list[tuple[int, int]]]:
    """Turn dense rows, and give the vectors of each part: from one number to before the other."""
    ends = np.cumsum([0, *(-(-len(part.targets) // LANES) for part in parts)]).tolist()
    features = parts[0].rows.shape[1]  # pyright: ignore[reportAttributeAccessIssue]
    found = _room(ends[-1], features)
    for part, (begin, end) in zip(parts, pairwise(ends), strict=True):
        _turn_into(found, begin, end, part)
    return found._replace(weight=_sum(found.weights)), [*pairwise(ends)]


def turn_every(chunk: Chunk, every: int) -> Turned:
    """Turn every n-th of dense rows, from the first on."""
    vectors = -(-len(range(0, len(chunk.targets), every)) // LANES)
    found = _room(vectors, chunk.rows.shape[1])  # pyright: ignore[reportAttributeAccessIssue]
    _turn_into(found, 0, vectors, chunk, every)
    return found._replace(weight=_sum(found.weights))


def _room(vectors: int, features: int) -> Turned:
    """Make room for so many vectors of rows, which weigh nothing yet."""
    rows = aligned((vectors, max(features + 1, FEWEST_LINES), LANES))
    rows[:, -1] = 1.0
    return Turned(rows, aligned((vectors, LANES)), aligned((vectors, LANES)), features, 0.0)


def _turn_into(room: Turned, begin: int, end: int, chunk: Chunk, every: int = 1) -> None:
    """Turn every n-th of some rows into the vectors from `begin` to before `end`."""
    targets, weights = chunk.targets[::every], chunk.weights[::every]
    rows: Any = np.ascontiguousarray(chunk.rows, np.float32)
    store.run("turned:turn", (LIKE,), rows, every, room.rows[begin:end])
    room.targets[begin:end].reshape(-1)[: len(targets)] = targets
    room.weights[begin:end].reshape(-1)[: len(weights)] = weights


def sums_of_turned(turned: Turned, loss: Loss, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Add up the losses of rows, each times its weight, and their gradients at `weights` `(features + 1, outputs)`."""
    lined, vectors = _lined(turned, weights), len(turned.rows)
    tally, gradient = np.zeros(LANES), np.zeros(lined.shape)
    block = max(BLOCK_BYTES // (4 * LANES * sum(lined.shape)), 1)
    scores = aligned((min(block, vectors), len(lined), LANES))
    store.run(
        "turned:sums", (loss, LIKE), turned.rows, turned.targets, turned.weights, *turned.left_out, lined, tally,
        gradient, scores, np.empty_like(lined),
    )  # fmt: skip
    return float(tally.sum()), np.ascontiguousarray(_kept(turned, gradient).T)


def hessian_of_turned(turned: Turned, loss: Loss, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the Hessian of the mean loss, as `LinearObjective.hessian` does, from curvatures in single precision."""
    return mean_hessian([part_of_turned(turned, loss, weights)], weights.shape, 0.0)


def part_of_turned(turned: Turned, loss: Loss, weights: NDArray[np.float64]) -> HessianPart:
    """Give the part of rows in a Hessian."""
    lined, (vectors, many, _) = _lined(turned, weights), turned.rows.shape
    outputs = len(lined)
    scores = aligned((vectors, outputs, LANES))
    store.run("turned:score_rows", (LIKE,), turned.rows, lined, scores)
    shares = turned.weights.ravel()
    columns = np.ascontiguousarray(scores.transpose(1, 0, 2)).reshape(outputs, -1)
    factors = (curvatures(loss, columns, turned.targets.ravel()) * shares).astype(np.float32, copy=False)
    found = np.zeros((len(factors), many, many))
    scaled = aligned((min(max(BLOCK_BYTES // (8 * LANES * many), 1), vectors), many, LANES))
    store.run("turned:squares", (LIKE,), turned.rows, factors, found, scaled, np.empty((many, many), np.float32))
    return HessianPart(turned.weight, _kept(turned, _kept(turned, found).transpose(0, 2, 1)))


def _sum(weights: Floats) -> float:
    return float(weights.sum(dtype=np.float64))


def _lined(turned: Turned, weights: NDArray[np.float64]) -> Floats:
    """Give weights `(features + 1, outputs)` as the kernels have them `(outputs, lines)`."""
    lined = np.zeros((weights.shape[1], turned.rows.shape[1]), np.float32)
    lined[:, : turned.features], lined[:, -1] = weights[:-1].T, weights[-1]
    return lined


def _kept(turned: Turned, lined: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave away the lines, in the last dimension, that only fill up."""
    if lined.shape[-1] == turned.features + 1:
        return lined
    return np.concatenate([lined[..., : turned.features], lined[..., -1:]], axis=-1)
