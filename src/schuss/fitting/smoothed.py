"""Losses with their kinks rounded off, so that solvers that count on a gradient can come near the optimum."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..descent.losses import EpsilonInsensitive, Hinge, Loss
from ..descent.ops import constant, maximum, where

__all__ = ["rounded"]


class RoundedHinge(NamedTuple):
    """Hinge loss whose kink is a parabola of this width; at most width / 8 above the hinge itself.

    >>> value, derivative = RoundedHinge(0.1).evaluate(np.array([0.0, 1.0, 2.0]), np.array([1, 1, 1]))
    >>> value.round(6).tolist(), derivative.tolist()
    ([1.0, 0.0125, 0.0], [-1.0, -0.5, -0.0])
    """

    width: float
    margin: float = 1.0

    multiclass = False
    smooth = True
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        sign = y + y - constant(1.0, s)
        value, slope = ramp(constant(self.margin, s) - sign * s, constant(self.width, s))
        return value, -sign * slope

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative."""
        return _bend(self.margin - (2.0 * y - 1.0) * s, self.width)


class RoundedInsensitive(NamedTuple):
    """ε-insensitive loss whose two kinks are parabolas of this width."""

    epsilon: float
    width: float

    multiclass = False
    smooth = True
    convex = True

    def evaluate(self, s: Any, y: Any) -> tuple[Any, Any]:
        """Give value and derivative."""
        epsilon, width = constant(self.epsilon, s), constant(self.width, s)
        above, rising = ramp(s - y - epsilon, width)
        below, falling = ramp(y - s - epsilon, width)
        return above + below, rising - falling

    def curvature(self, s: Any, y: Any) -> Any:
        """Give the second derivative."""
        return _bend(s - y - self.epsilon, self.width) + _bend(y - s - self.epsilon, self.width)


def ramp(z: Any, width: Any) -> tuple[Any, Any]:
    """Give max(0, z) with its kink rounded off, and the derivative."""
    zero, half, one = constant(0.0, z), constant(0.5, z), constant(1.0, z)
    slope = maximum(z / width + half, zero)
    return where(slope < one, half * width * slope * slope, z), where(slope < one, slope, one)


def _bend(z: Any, width: float) -> Any:
    """Give the second derivative of the ramp."""
    return np.where(np.abs(z) < 0.5 * width, 1.0 / width, 0.0)


def rounded(loss: Loss, width: float) -> Any | None:
    """Give a loss with its kinks rounded off; None for those that have no rounded form."""
    if isinstance(loss, Hinge):
        return RoundedHinge(width, getattr(loss, "margin", 1.0))
    if isinstance(loss, EpsilonInsensitive):
        return RoundedInsensitive(loss.epsilon, width)
    return None
