"""What a method of descent gives on its way, and the trajectory that comes of following it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Method", "Point", "Step", "Trajectory", "follow"]

Array = NDArray[np.float64]

DENSITY = 1.05
"""A point of a trajectory is kept when so many times the rows of the one before have been read."""


class Step(NamedTuple):
    """Where a method stands: the weights it would give now, their loss as far as it knows it, rows read so far."""

    weights: Array
    loss: float
    rows: int


Method = Callable[..., Iterator[Step]]
"""method(objective, start, rng, **settings) yields its steps without end, the start first; it ends where no step gains.

The same seed of `rng` gives the same steps.
"""


class Point(NamedTuple):
    """A point of a trajectory: seconds of the method's own work, rows read, loss."""

    seconds: float
    rows: int
    loss: float


class Trajectory(NamedTuple):
    """A way down.

    points : the start, the end, and some between, ever farther apart; weights : at the end; steps : taken in all;
    outcome : "converged" where no step gains, "diverged" where the loss is not finite, else "out of time".
    """

    points: tuple[Point, ...]
    weights: Array
    steps: int
    outcome: str


def follow(
    steps: Iterator[Step],
    *,
    seconds: float = math.inf,
    rows: float = math.inf,
    most: float = math.inf,
    judge: Callable[[Array], float] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Trajectory:
    """Follow a method until it ends, or has taken so many seconds, rows or steps; a step that has begun is finished.

    judge : gives the loss to show for weights, by default what the method says; the clock stands while it looks.

    >>> walk = (Step(np.zeros(1), 1.0 / (1 + i), 10 * i) for i in range(100))
    >>> follow(walk, rows=30).points[-1].loss
    0.25
    """
    points: list[Point] = []
    taken, begun, idle, outcome = 0, clock(), 0.0, "converged"
    last: Step | None = None
    while True:
        step = next(steps, None)
        elapsed = clock() - begun - idle
        ends = step is None or elapsed >= seconds or step.rows >= rows or taken + 1 >= most
        if step is None:
            break
        last = step
        taken += 1
        if not points or ends or step.rows >= DENSITY * points[-1].rows:
            paused = clock()
            loss = step.loss if judge is None else judge(step.weights)
            points.append(Point(elapsed, step.rows, float(loss)))
            idle += clock() - paused
        if not math.isfinite(points[-1].loss) or math.isinf(step.loss):
            outcome = "diverged"
            break
        if ends:
            outcome = "out of time"
            break
    assert last is not None, "a method yields its start first"
    if points[-1].rows != last.rows:
        points.append(Point(elapsed, last.rows, float(last.loss if judge is None else judge(last.weights))))
    return Trajectory(tuple(points), last.weights, taken, outcome)
