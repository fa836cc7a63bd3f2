"""Rules with one rate for all weights of a run: plain steps, and steps with momentum."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schuss.descent.optimizers.rule import Array, Columns
from schuss.descent.specs import BELOW_ONE

__all__ = ["SGD", "Momentum", "Nesterov"]


class SGD(NamedTuple):
    """Plain stochastic gradient descent: w ← w − η g (Robbins and Monro 1951).

    >>> move, rate, _ = SGD().move((0.5,), 2.0, 0.1, ())
    >>> move, rate
    (0.05, 0.5)
    """

    scalar_names = ("rate",)
    slot_names = ()
    sparse = "scaled"
    uniform = True
    rate_range = (2.0**-9, 2.0**5)
    rates_by_norm = True

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η."""
        return carry, (rate,)

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Step along the gradient."""
        return s[0] * g, s[0], slots

    def resting_rate(self, s: Any, total: Any, slots: Any) -> Any:
        """Give the rate, the same for all weights."""
        return total


class Momentum(NamedTuple):
    """Heavy-ball momentum: v ← μ v + (1 − τ) g; w ← w − η v (Polyak 1964; the form of torch.optim.SGD).

    μ: momentum, 0 ≤ μ < 1; τ: dampening, which torch leaves out of the first step; one number each or one a run. A
    constant gradient moves the weight by η (1 − τ)/(1 − μ) a step in the long run, at which rate the penalty acts.
    """

    momentum: Any = 0.9
    dampening: Any = 0.0

    scalar_names = ("rate", "momentum", "undampened", "long_run")
    slot_names = ("velocity",)
    takes = (("momentum", BELOW_ONE), ("dampening", BELOW_ONE))
    sparse = "coasting"
    uniform = True
    rate_range = (2.0**-12, 2.0**2)
    rates_by_norm = True

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η, μ, 1 − τ and η (1 − τ)/(1 − μ)."""
        mu, tau = np.asarray(self.momentum, np.float64), np.asarray(self.dampening, np.float64)
        return carry, (rate, mu, 1.0 - tau, rate * (1.0 - tau) / (1.0 - mu))

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Add the gradient to the velocity and move along it."""
        velocity = s[1] * slots[0] + s[2] * g
        return s[0] * velocity, s[3], (velocity,)


class Nesterov(NamedTuple):
    """Nesterov's momentum: v ← μ v + g; w ← w − η (g + μ v) (Sutskever et al. 2013; the form of torch.optim.SGD).

    The gradient is taken where the velocity will have carried the weight, so that an overshoot is seen a step earlier.
    μ: momentum, 0 ≤ μ < 1, one number or one a run.
    """

    momentum: Any = 0.9

    scalar_names = ("rate", "momentum", "long_run")
    slot_names = ("velocity",)
    takes = (("momentum", BELOW_ONE),)
    sparse = "coasting"
    uniform = True
    rate_range = (2.0**-12, 2.0**2)
    rates_by_norm = True

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η, μ and η/(1 − μ)."""
        mu = np.asarray(self.momentum, np.float64)
        return carry, (rate, mu, rate / (1.0 - mu))

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Add the gradient to the velocity and move along where it leads."""
        velocity = s[1] * slots[0] + g
        return s[0] * (g + s[1] * velocity), s[2], (velocity,)
