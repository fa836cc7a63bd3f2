"""How sharp a minimum is: worst case in a box, radius and volume of its basin, and the bits that its weights need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.objective import Objective

__all__ = ["Bits", "basin_radii", "bits_needed", "ellipsoid_volume", "keskar_sharpness", "volume_by_rays"]

Array = NDArray[np.float64]

ITERATIONS = 10
"""Of L-BFGS-B for the worst place in a box, as Keskar et al. take them."""

RAY_ROUNDS = 60
"""Doublings or halvings of a radius at most, until a ray has left its basin."""

RAY_DIGITS = 12
"""Halvings of a bracket of a factor of two: to 0.02 %."""

BITS = tuple(range(2, 17))


def keskar_sharpness(
    objective: Objective, weights: Array, epsilon: float = 1e-3, iterations: int = ITERATIONS
) -> float:
    """Give 100 (max F(w + y) − F(w)) / (1 + F(w)) over the box `|yᵢ| ≤ ε (|wᵢ| + 1)`, in percent.

    The worst place is looked for by so many iterations of L-BFGS-B (Keskar et al. 2017, *On Large-Batch Training for
    Deep Learning*, metric 2.1 with A = I). Compare only minima of the same loss, and with care: a network with larger
    weights computes the same and looks flatter.

    >>> from schuss.data.chunk import Chunk
    >>> from schuss.descent.losses import SquaredError
    >>> from schuss.objective import LinearObjective
    >>> rows = Chunk(np.array([[2.0]]), np.zeros(1, np.float32), np.ones(1, np.float32))
    >>> worst = keskar_sharpness(LinearObjective(rows, SquaredError(), 0.0), np.zeros((2, 1)), 0.1)
    >>> round(worst, 9)  # ½ (2 · 0.1 + 0.1)², a corner of the box
    4.5
    """
    from scipy.optimize import minimize

    half = epsilon * (abs(weights.reshape(-1)) + 1)
    before = float(objective.values(weights[None])[0])
    worst = before

    def lower(move: Array) -> tuple[float, Array]:
        nonlocal worst
        value, gradient = objective.value_and_gradient(weights + move.reshape(weights.shape))
        worst = max(worst, value)
        return -value, -gradient.reshape(-1)

    # At a minimum the slope says nothing of where it is steepest: begin a little off it, always the same way.
    start = 0.5 * half * np.random.default_rng(0).choice([-1.0, 1.0], len(half))
    options = {"maxiter": iterations}
    minimize(lower, start, jac=True, method="L-BFGS-B", bounds=np.stack([-half, half], axis=1), options=options)
    return 100 * (worst - before) / (1 + before)


def basin_radii(
    objective: Objective, weights: Array, rise: float, *, directions: int = 32, seed: int = 0
) -> Array:  # fmt: skip
    """Give how far from W the loss has risen by `rise`, along random directions: `(directions,)`, to 0.02 %.

    Each direction is a unit vector, every one equally likely; infinite where the loss does not rise that far.

    >>> from schuss.data.chunk import Chunk
    >>> from schuss.descent.losses import SquaredError
    >>> from schuss.objective import LinearObjective
    >>> rows = Chunk(np.array([[1.0], [-1.0]]), np.zeros(2, np.float32), np.ones(2, np.float32))
    >>> objective = LinearObjective(rows, SquaredError(), 0.0)
    >>> basin_radii(objective, np.zeros((2, 1)), 0.5, directions=3).round(3)
    array([1., 1., 1.])
    """
    rng = np.random.default_rng(seed)
    rays = rng.normal(size=(directions, *weights.shape))
    rays /= np.linalg.norm(rays.reshape(directions, -1), axis=1).reshape(-1, *[1] * weights.ndim)
    limit = float(objective.values(weights[None])[0]) + rise

    def outside(radii: Array, which: NDArray[np.intp]) -> NDArray[np.bool_]:
        with np.errstate(over="ignore", invalid="ignore"):
            return ~(objective.values_along(weights, rays[which], np.diag(radii)) <= limit)

    low, high = np.zeros(directions), np.full(directions, math.inf)
    radii = np.full(directions, 1e-2 * (1.0 + float(np.linalg.norm(weights))))
    for _ in range(RAY_ROUNDS):
        open_ = np.flatnonzero((low == 0) | np.isinf(high))
        if not len(open_):
            break
        left = outside(radii[open_], open_)
        high[open_[left]], low[open_[~left]] = radii[open_[left]], radii[open_[~left]]
        radii[open_] *= np.where(left, 0.5, 2.0)
    closed = np.flatnonzero((low > 0) & np.isfinite(high))
    for _ in range(RAY_DIGITS if len(closed) else 0):
        middle = np.sqrt(low[closed] * high[closed])
        left = outside(middle, closed)
        high[closed[left]], low[closed[~left]] = middle[left], middle[~left]
    return np.where(np.isfinite(high), np.sqrt(low * high), math.inf)


def ellipsoid_volume(eigenvalues: Array, rise: float) -> float:
    """Give the logarithm of the volume where ½ xᵀHx ≤ c: log V = log ωₙ + (n/2) log 2c − ½ log det H.

    ωₙ = π^{n/2} / Γ(n/2 + 1) is the volume of the unit ball (Huang et al. 2019, *Understanding Generalization through
    Visualizations*, whose basins it approximates). NaN unless all eigenvalues are positive.

    >>> round(float(np.exp(ellipsoid_volume(np.array([1.0, 4.0]), 2.0))), 9)  # half axes 2 and 1
    6.283185307
    """
    if not (eigenvalues > 0).all():
        return math.nan
    size = len(eigenvalues)
    return _log_ball(size) + size / 2 * math.log(2 * rise) - 0.5 * float(np.log(eigenvalues).sum())


def volume_by_rays(radii: Array, size: int) -> float:
    """Give log(ωₙ · mean rⁿ), the logarithm of the volume that rays of these lengths reach in n dimensions.

    Unbiased for V, and yet far too low for nearly every draw in high dimensions: a few long rays, which are never
    drawn, hold nearly all of it. For n = 1,000 and axes whose squares spread a hundredfold 3,000 rays miss 292 nats.
    Trust it up to some ten dimensions.

    >>> round(float(np.exp(volume_by_rays(np.array([1.0, 1.0]), 2))), 9)
    3.141592654
    """
    logs = size * np.log(radii)
    return _log_ball(size) + float(np.log(np.exp(logs - logs.max()).mean()) + logs.max())


def _log_ball(size: int) -> float:
    """Give log ωₙ."""
    return size / 2 * math.log(math.pi) - math.lgamma(size / 2 + 1)


class Bits(NamedTuple):
    """The loss with weights rounded to so many bits each; needed : the fewest that keep it, None if none do."""

    bits: tuple[int, ...]
    losses: Array
    needed: int | None


def bits_needed(
    objective: Objective, weights: Array, rise: float, blocks: Sequence[Any] | None = None, bits: Sequence[int] = BITS
) -> Bits:
    """Round the weights to fewer and fewer bits, and find how many keep the loss within `rise`.

    b bits are 2ᵇ − 1 equally spaced values between `−max |w|` and `max |w|` of a block. A flat minimum needs fewer:
    that is how Hochreiter and Schmidhuber (1997, *Flat Minima*) define one.

    blocks : places in the weights that have a scale of their own; by default all have one.

    >>> from schuss.data.chunk import Chunk
    >>> from schuss.descent.losses import SquaredError
    >>> from schuss.objective import LinearObjective
    >>> rows = Chunk(np.array([[1.0], [-1.0]]), np.zeros(2, np.float32), np.ones(2, np.float32))
    >>> objective = LinearObjective(rows, SquaredError(), 0.0)
    >>> bits_needed(objective, np.array([[0.3], [1.0]]), 0.01).needed
    4
    """
    rounded = np.repeat(weights[None], len(bits), axis=0)
    for many, one in zip(bits, rounded, strict=True):
        for places in blocks or [...]:
            step = float(abs(weights[places]).max(initial=0.0)) / (2 ** (many - 1) - 1)
            one[places] = np.round(weights[places] / step) * step if step > 0 else 0.0
    losses = objective.values(rounded)
    limit = float(objective.values(weights[None])[0]) + rise
    too_few = [many for many, loss in zip(bits, losses, strict=True) if not loss <= limit]
    needed = next((many for many in sorted(bits) if many > max(too_few, default=0)), None)
    return Bits(tuple(bits), losses, needed)
