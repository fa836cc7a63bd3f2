"""Slices through a loss: along a line, over a plane, and where a piecewise linear one has its kinks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, as_matrix, take
from schuss.descent.losses import Loss, values_and_gradients
from schuss.errors import OptionError
from schuss.objective import LinearObjective, Objective

from .directions import projected

__all__ = ["Slice", "Surface", "kinks", "slice_along", "surface"]

Array = NDArray[np.float64]

SAME = 1e-9
"""Two slopes or values that differ by less than this share are the same but for rounding."""

SPLITS = 60
"""Halvings of an interval in which a loss has kinks: each finds one or parts two."""


class Slice(NamedTuple):
    """A loss along a line: F(W + t V) at every t."""

    t: Array
    losses: Array


class Surface(NamedTuple):
    """A loss over a plane: F(W + a V₁ + b V₂), `losses[j, i]` at `a[i]`, `b[j]`; not finite where it overflows.

    center_loss : F(W), also where (0, 0) is no point of the grid.
    path : `(points, 2)`, places nearest to points of the whole space.
    path_losses : the losses of these points themselves, not of their places in the plane.
    """

    a: Array
    b: Array
    losses: Array
    center_loss: float
    path: Array
    path_losses: Array


def slice_along(objective: Objective, center: Array, direction: Array, t: Array) -> Slice:
    """Look at a loss along a line through a centre, every point with the same rows.

    >>> from schuss.descent.losses import SquaredError
    >>> rows = Chunk(np.array([[1.0], [2.0]]), np.array([1.0, 2.0], np.float32), np.ones(2, np.float32))
    >>> away = np.array([[1.0], [0.0]])
    >>> slice_along(LinearObjective(rows, SquaredError(), 0.0), away, away, np.array([-1.0, 0.0, 1.0])).losses
    array([1.25, 0.  , 1.25])
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return Slice(t, objective.values_along(center, direction[None], t[:, None]))


def surface(
    objective: Objective, center: Array, first: Array, second: Array, a: Array, b: Array, path: Array | None = None
) -> Surface:
    """Look at a loss over a plane through a centre, every cell with the same rows (Goodfellow et al. 2015).

    Parameters
    ----------
    objective : F; scores of a linear model, and what the first layer of a network makes, are linear in (a, b), so that
        a surface of a linear model costs three products with the rows and one loss for each row and cell.
    center : W.
    first, second : V₁ and V₂, of the shape of W.
    a, b : where the grid has its columns and rows.
    path : `(points, *shape)`, seen in the plane.

    Example
    -------
    >>> from schuss.descent.losses import SquaredError
    >>> rows = Chunk(np.array([[1.0], [-1.0]]), np.zeros(2, np.float32), np.ones(2, np.float32))
    >>> slope, intercept = np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])
    >>> steps = np.array([0.0, 2.0])
    >>> surface(LinearObjective(rows, SquaredError(), 0.0), np.zeros((2, 1)), slope, intercept, steps, steps).losses
    array([[0., 2.],
           [2., 4.]])
    """
    directions = np.stack([first, second])
    grid = np.stack(np.meshgrid(a, b), axis=-1).reshape(-1, 2)
    points = np.empty((0, *center.shape)) if path is None else path
    with np.errstate(over="ignore", invalid="ignore"):
        losses = objective.values_along(center, directions, np.concatenate([grid, np.zeros((1, 2))]))
        own = objective.values(points) if len(points) else np.empty(0)
    grid_losses = losses[:-1].reshape(len(b), len(a))
    return Surface(a, b, grid_losses, float(losses[-1]), projected(points, center, directions), own)


def kinks(rows: Chunk, loss: Loss, center: Array, direction: Array, low: float, high: float) -> Array:
    """Find every t in (low, high) where the slope of some row's loss jumps along W + t V, in ascending order.

    The loss of a row is piecewise linear and convex along a line (hinge, perceptron, absolute error, quantile …), and
    the mean over rows has the kinks of all of them. Between two points the lines that touch the loss meet: on the
    loss itself if there is one kink between them, below it if there are more, and then each side is looked at again. So
    the kinks are exact, and only values and slopes are asked for.

    Raises OptionError for a loss without kinks.

    >>> from schuss.descent.losses import Hinge
    >>> rows = Chunk(np.array([[1.0], [2.0]]), np.array([1, 1], np.int32), np.ones(2, np.float32))
    >>> kinks(rows, Hinge(), np.zeros((2, 1)), np.array([[1.0], [0.0]]), -2.0, 2.0)
    array([0.5, 1. ])
    """
    if loss.smooth or not loss.convex:
        raise OptionError(f"{type(loss).__name__} is not piecewise linear: it has no kinks to find")
    matrix = as_matrix(rows.rows)
    start = matrix @ center[:-1] + center[-1]
    moves = matrix @ direction[:-1] + direction[-1]

    def look(which: NDArray[np.intp], t: Array) -> tuple[Array, Array]:
        values, gradients = values_and_gradients(loss, start[which] + t[:, None] * moves[which], rows.targets[which])
        return values.astype(np.float64), (gradients * moves[which]).sum(axis=1)

    which = np.arange(len(rows.targets))
    left, right = np.full(len(which), low), np.full(len(which), high)
    at_left, at_right = look(which, left), look(which, right)
    found: list[Array] = []
    for _ in range(SPLITS):
        if not len(which):
            break
        jump = at_right[1] - at_left[1]
        bent = jump > SAME * np.maximum(abs(at_left[1]), abs(at_right[1]))
        rise = (at_right[0] - at_left[0] - at_left[1] * (right - left)) / np.where(bent, jump, 1.0)
        middle = right - rise  # where the two lines meet
        at_middle = look(which, middle)
        line = at_left[0] + at_left[1] * (middle - left)
        size = np.maximum(np.maximum(abs(at_left[0]), abs(at_right[0])), 1e-300)
        meets = bent & (at_middle[0] - line <= SAME * size)
        found.append(middle[meets])
        again = bent & ~meets & (middle > left) & (middle < right)
        which = np.tile(which[again], 2)
        left, right = _both(left[again], middle[again]), _both(middle[again], right[again])
        at_left, at_right = (
            (_both(one[0][again], other[0][again]), _both(one[1][again], other[1][again]))
            for one, other in ((at_left, at_middle), (at_middle, at_right))
        )
    return np.unique(np.concatenate(found)) if found else np.empty(0)


def _both(one: Array, other: Array) -> Array:
    return np.concatenate([one, other])


def few_rows(objective: LinearObjective, count: int) -> LinearObjective:
    """Give the mean loss of the first so many rows in memory: that of one, three or a hundred shows its pieces.

    >>> from schuss.descent.losses import Hinge
    >>> rows = Chunk(np.array([[1.0], [2.0]]), np.array([1, 1], np.int32), np.ones(2, np.float32))
    >>> few_rows(LinearObjective(rows, Hinge(), 0.0), 1).pass_rows
    1
    """
    assert isinstance(objective.rows, Chunk)
    return LinearObjective(take(objective.rows, np.arange(count)), objective.loss, 0.0)
