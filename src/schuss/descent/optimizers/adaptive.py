"""Rules whose rates follow the size of each weight's own gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schuss.descent.ops import constant, inverse_root, maximum, sqrt
from schuss.descent.optimizers.rule import Array, Columns
from schuss.descent.specs import BELOW_ONE, POSITIVE

__all__ = ["Adadelta", "Adagrad", "CentredRMSprop", "RMSprop"]


class Adagrad(NamedTuple):
    """Rates that fall with each weight's own gradients: G ← G + g²; w ← w − η g/√(G + ε²) (Duchi et al. 2011).

    ε: keeps the first steps finite. Rare features keep large rates, which suits sparse rows.
    """

    epsilon: Any = 1e-10

    scalar_names = ("rate", "epsilon_squared")
    slot_names = ("sum_of_squares",)
    takes = (("epsilon", POSITIVE),)
    sparse = "resting"
    rate_range = (3e-3, 10.0)

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η and ε²."""
        return carry, (rate, np.square(np.asarray(self.epsilon, np.float64)))

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Step along the gradient with the weight's own rate."""
        total = slots[0] + g * g
        own_rate = s[0] * inverse_root(total + s[1])
        return own_rate * g, own_rate, (total,)

    def resting_rate(self, s: Any, total: Any, slots: Any) -> Any:
        """Give the weight's own rate."""
        return total * inverse_root(slots[0] + s[1])


class RMSprop(NamedTuple):
    """Rates that follow recent gradients: v ← α v + (1 − α) g²; w ← w − η g/(√v + ε) (Tieleman and Hinton 2012).

    α, ε: one number each or one a run.
    """

    alpha: Any = 0.99
    epsilon: Any = 1e-8

    scalar_names = ("rate", "alpha", "one_minus_alpha", "epsilon")
    slot_names = ("mean_of_squares",)
    takes = (("alpha", BELOW_ONE), ("epsilon", POSITIVE))
    rate_range = (3e-5, 0.3)

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η, α, 1 − α and ε."""
        alpha, epsilon = (np.asarray(one, np.float64) for one in self)
        return carry, (rate, alpha, 1.0 - alpha, epsilon)

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Step along the gradient with the weight's own rate."""
        square = s[1] * slots[0] + s[2] * (g * g)
        own_rate = s[0] / (sqrt(square) + s[3])
        return own_rate * g, own_rate, (square,)


class CentredRMSprop(NamedTuple):
    """RMSprop by the variance of recent gradients: m ← α m + (1 − α) g; w ← w − η g/(√(v − m²) + ε) (Graves 2013).

    α, ε: one number each or one a run.
    """

    alpha: Any = 0.99
    epsilon: Any = 1e-8

    scalar_names = ("rate", "alpha", "one_minus_alpha", "epsilon")
    slot_names = ("mean_of_squares", "mean")
    takes = (("alpha", BELOW_ONE), ("epsilon", POSITIVE))
    rate_range = (3e-5, 0.3)

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η, α, 1 − α and ε."""
        alpha, epsilon = (np.asarray(one, np.float64) for one in self)
        return carry, (rate, alpha, 1.0 - alpha, epsilon)

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Step along the gradient with the weight's own rate; rounding must not make the variance negative."""
        square = s[1] * slots[0] + s[2] * (g * g)
        mean = s[1] * slots[1] + s[2] * g
        own_rate = s[0] / (sqrt(maximum(square - mean * mean, constant(0.0, g))) + s[3])
        return own_rate * g, own_rate, (square, mean)


class Adadelta(NamedTuple):
    """Steps in the units of the weights: their own recent size over that of the gradients (Zeiler 2012, algorithm 1).

    v ← ρ v + (1 − ρ) g²;  Δ = √(u + ε)/√(v + ε) · g;  u ← ρ u + (1 − ρ) Δ²;  w ← w − η Δ.

    ρ, ε: one number each or one a run; η is 1 in the paper.
    """

    rho: Any = 0.9
    epsilon: Any = 1e-6

    scalar_names = ("rate", "rho", "one_minus_rho", "epsilon")
    slot_names = ("mean_of_squares", "mean_of_squared_moves")
    takes = (("rho", BELOW_ONE), ("epsilon", POSITIVE))
    rate_range = (0.03, 100.0)

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η, ρ, 1 − ρ and ε."""
        rho, epsilon = (np.asarray(one, np.float64) for one in self)
        return carry, (rate, rho, 1.0 - rho, epsilon)

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Step along the gradient with the weight's own rate."""
        square = s[1] * slots[0] + s[2] * (g * g)
        ratio = sqrt(slots[1] + s[3]) * inverse_root(square + s[3])
        delta = ratio * g
        return s[0] * delta, s[0] * ratio, (square, s[1] * slots[1] + s[2] * (delta * delta))
