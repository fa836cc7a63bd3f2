"""The gradient check: an objective's own gradient beside differences of its values, block by block."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, as_matrix
from schuss.errors import OptionError
from schuss.objective import LinearObjective, in_float64

__all__ = ["BlockCheck", "Coordinate", "GradientCheck", "gradcheck"]

Array = NDArray[np.float64]
Blocks = dict[str, Array]
Function = Callable[[Blocks], tuple[float, Blocks]]

TOLERANCE = 1e-6
COORDINATES = 200
WORST = 5

TOGETHER = 1e-3
"""Slopes of both sides that differ less, in units of the larger one, need no second look."""

SHRINK = 8.0
"""By how much the second pair of steps is shorter than the first."""


class Coordinate(NamedTuple):
    """One number that was moved: where it is in its block, its slope as the objective has it and by differences.

    forward, centred : (F(x + h) − F(x)) / h and (F(x + h) − F(x − h)) / 2h, each with the h that suits it; error :
    |gradient − centred| in units of the largest slope of the block; kink : the slopes on both sides differ.
    """

    place: tuple[int, ...]
    gradient: float
    forward: float
    centred: float
    error: float
    kink: bool


class BlockCheck(NamedTuple):
    """A block of parameters or data: how far its gradient is from the differences.

    forward, centred : the largest |gradient − difference| over the coordinates without a kink, in units of the largest
    slope of the block; kinks : coordinates where the slopes on both sides differ, which are no errors if the gradient
    lies between these; worst : the coordinates of the largest errors, wrong ones at kinks among them; right : whether
    no error is above the tolerance.
    """

    name: str
    size: int
    checked: int
    forward: float
    centred: float
    kinks: int
    worst: tuple[Coordinate, ...]
    right: bool


class GradientCheck(NamedTuple):
    """What a gradient check found: the value at the point, and each block."""

    value: float
    blocks: tuple[BlockCheck, ...]

    @property
    def right(self) -> bool:
        """Whether the gradient of every block is right."""
        return all(block.right for block in self.blocks)

    def summary(self) -> dict[str, Any]:
        """Give all of it as plain values, as `schuss gradcheck --json` prints it."""
        blocks = [block._asdict() | {"worst": [one._asdict() for one in block.worst]} for block in self.blocks]
        return {"value": self.value, "right": self.right, "blocks": blocks}


def gradcheck(
    objective: Any,
    at: Any = None,
    *,
    tolerance: float = TOLERANCE,
    coordinates: int = COORDINATES,
    seed: int = 0,
) -> GradientCheck:
    """Compare the gradient of an objective with forward and centred differences of its values.

    Every coordinate x of a block, or so many drawn at random, is moved to both sides by h = ∛ε (times x where that is
    larger than 1), ε the rounding of the gradient's type, and to one by √ε. Where the slopes of both sides differ, and
    go on differing when h shrinks, there is a kink (hinge, absolute value); there any slope between the two is right.

    Parameters
    ----------
    objective : a function of named arrays, parameters or data, that gives its value and its gradient: of one array as
        it is, of several as a tuple in the order of the arguments or a dict by their names (a block that the dict lacks
        is not checked); or an object with `value_and_gradient(weights)`; for a `LinearObjective` slopes, intercepts
        and rows are blocks of their own.
    at : where to look: a dict of arrays by the names of the arguments, for an object the weights; what it lacks comes
        from the defaults of the arguments.
    tolerance : error of a right gradient at most, in units of the largest slope of its block.
    coordinates : of each block that are checked at most.
    seed : of the choice of coordinates.

    Raises
    ------
    OptionError
        When the objective cannot be called so, or what it gives does not fit.

    Example
    -------
    >>> def loss(w, x=np.array([1.0, 2.0])):
    ...     return (w @ x) ** 2, {"w": 2 * (w @ x) * x, "x": 2 * (w @ x) * w}
    >>> check = gradcheck(loss, {"w": np.array([0.5, -1.0])})
    >>> [block.name for block in check.blocks], check.right
    (['w', 'x'], True)
    """
    function, point = _as_function(objective, at)
    value, gradients = function(point)
    rng = np.random.default_rng(seed)
    blocks = []
    for name, gradient in gradients.items():
        places = np.arange(point[name].size)
        if len(places) > coordinates:
            places = np.sort(rng.choice(places, coordinates, replace=False))
        found = [_coordinate(function, point, name, place, value, gradient) for place in places.tolist()]
        blocks.append(_judged(name, gradient, found, tolerance))
    return GradientCheck(value, tuple(blocks))


def _judged(name: str, gradient: Array, found: Sequence[_Slopes], tolerance: float) -> BlockCheck:
    """Put the coordinates of a block together."""
    slopes = [abs(side) for one in found for side in (one.gradient, one.centred)]
    unit = max([*slopes, 1e-300])
    noise = max((one.noise for one in found), default=0.0)
    unit = max(unit, noise / tolerance)  # slopes below the noise are as good as zero
    coordinates = [
        Coordinate(
            tuple(int(i) for i in np.unravel_index(one.place, gradient.shape)),
            one.gradient, one.forward, one.centred, one.miss / unit, one.kink,
        )
        for one in found
    ]  # fmt: skip
    smooth = [one for one in coordinates if not one.kink]
    worst = sorted(coordinates, key=lambda one: -one.error)[:WORST]
    return BlockCheck(
        name,
        gradient.size,
        len(found),
        max((abs(one.gradient - one.forward) / unit for one in smooth), default=0.0),
        max((one.error for one in smooth), default=0.0),
        len(coordinates) - len(smooth),
        tuple(one for one in worst if one.error > 0),
        all(one.error <= tolerance for one in coordinates),
    )


class _Slopes(NamedTuple):
    """The slopes at one coordinate; miss : by how much the gradient misses them; noise : of the difference."""

    place: int
    gradient: float
    forward: float
    centred: float
    miss: float
    noise: float
    kink: bool


def _coordinate(
    function: Function, point: Blocks, name: str, place: int, value: float, gradient: Array
) -> _Slopes:  # fmt: skip
    """Take the differences at one coordinate."""
    own = float(gradient.reshape(-1)[place])
    rounding = float(np.finfo(gradient.dtype).eps)
    size = max(1.0, abs(float(point[name].reshape(-1)[place])))

    def slope(step: float) -> float:
        there = point[name].copy()
        there.reshape(-1)[place] += step
        moved = float(there.reshape(-1)[place]) - float(point[name].reshape(-1)[place])
        return (function({**point, name: there})[0] - value) / moved

    forward = slope(rounding**0.5 * size)
    step = rounding ** (1 / 3) * size
    right, left = slope(step), slope(-step)
    centred, noise = (right + left) / 2, 4 * rounding * max(abs(value), 1e-300) / step
    apart = abs(right - left)
    if apart <= TOGETHER * max(abs(right), abs(left)) + 2 * noise:
        return _Slopes(place, own, forward, centred, abs(own - centred), noise, False)
    # A smooth function's one-sided slopes come together as h shrinks; those at a kink stay apart.
    near_right, near_left = slope(step / SHRINK), slope(-step / SHRINK)
    near_noise = noise * SHRINK
    stays = abs(near_right - near_left) > max(0.5 * apart, 4 * near_noise)
    if stays:
        low, high = sorted((near_right, near_left))
        outside = max(low - own, own - high, 0.0)
        return _Slopes(place, own, forward, centred, max(outside - near_noise, 0.0), noise, True)
    near = (near_right + near_left) / 2
    if abs(own - near) + near_noise < abs(own - centred):  # a kink, or much curvature, lay between
        return _Slopes(place, own, near_right, near, abs(own - near), near_noise, False)
    return _Slopes(place, own, forward, centred, abs(own - centred), noise, False)


def _as_function(objective: Any, at: Any) -> tuple[Function, Blocks]:
    """Give an objective as a function of named arrays, and the point to look at."""
    if isinstance(objective, LinearObjective):
        return _linear(objective, at)
    if hasattr(objective, "value_and_gradient"):
        point = at if at is not None else getattr(objective, "start", None)
        if point is None:
            raise OptionError(f"a gradient check of {_named(objective)} needs a point: pass `at`, or give it a `start`")
        return _called(lambda weights: objective.value_and_gradient(weights), ["weights"]), _arrays({"weights": point})
    if not callable(objective):
        raise OptionError(f"a gradient check takes a function or an object with value_and_gradient, not {objective!r}")
    arguments = inspect.signature(objective).parameters
    if at is not None and not isinstance(at, Mapping):
        at = dict(zip(arguments, [at], strict=False))
    point = {name: one.default for name, one in arguments.items() if one.default is not inspect.Parameter.empty}
    point |= dict(at or {})
    for name in point.keys() - arguments.keys():
        raise OptionError(f"{_named(objective)} has no argument '{name}'; it has {', '.join(arguments)}")
    for name in arguments:
        if name not in point:
            raise OptionError(f"{_named(objective)} needs a value for its argument '{name}', as a default or in `at`")
    return _called(objective, list(arguments)), _arrays(point)


def _named(objective: Any) -> str:
    return f"'{getattr(objective, '__name__', type(objective).__name__)}'"


def _arrays(point: Mapping[str, Any]) -> Blocks:
    """Copy the blocks as arrays of floats."""
    try:
        found = {name: np.array(value) for name, value in point.items()}
        return {name: one if one.dtype.kind == "f" else one.astype(np.float64) for name, one in found.items()}
    except (TypeError, ValueError) as error:
        raise OptionError(f"a gradient check needs arrays of numbers: {error}") from error


def _called(objective: Callable[..., Any], names: Sequence[str]) -> Function:
    """Call an objective with blocks, and check what it gives."""

    def call(blocks: Blocks) -> tuple[float, Blocks]:
        try:
            given = objective(*(blocks[name] for name in names))
        except Exception as error:
            raise OptionError(f"{_named(objective)} raised {type(error).__name__}: {error}") from error
        if not isinstance(given, tuple) or len(given) != 2:
            raise OptionError(f"{_named(objective)} must give its value and its gradient, not {type(given).__name__}")
        value, gradient = given
        if np.size(value) != 1:
            raise OptionError(f"{_named(objective)} must give one number as its value, not {np.shape(value)}")
        if not isinstance(gradient, Mapping):
            gradient = dict(zip(names, gradient if isinstance(gradient, (tuple, list)) else [gradient], strict=False))
        for name, one in gradient.items():
            if name not in blocks or np.shape(one) != blocks[name].shape:
                shape = blocks[name].shape if name in blocks else "no such argument"
                raise OptionError(f"the gradient for '{name}' has shape {np.shape(one)}, its argument {shape}")
        return float(np.reshape(value, ())), _arrays(gradient)

    return call


def _linear(objective: LinearObjective, at: Any) -> tuple[Function, Blocks]:
    """Take a linear model's objective apart into slopes, intercepts and rows, in float64."""
    if not isinstance(objective.rows, Chunk):
        raise OptionError("a gradient check needs rows in memory")
    if at is None:
        raise OptionError("a gradient check of a linear model needs its weights: pass `at`")
    chunk = in_float64(objective.rows)
    matrix = as_matrix(chunk.rows)
    weights = np.asarray(at, np.float64)

    def function(blocks: Blocks) -> tuple[float, Blocks]:
        now = LinearObjective(chunk._replace(rows=blocks["rows"]), objective.loss, objective.l2)  # pyright: ignore
        joined = np.concatenate([blocks["slopes"], blocks["intercepts"][None]])
        value, gradient = now.value_and_gradient(joined)
        return value, {"slopes": gradient[:-1], "intercepts": gradient[-1], "rows": now.data_gradient(joined)}

    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    return function, {"slopes": weights[:-1].copy(), "intercepts": weights[-1].copy(), "rows": dense}
