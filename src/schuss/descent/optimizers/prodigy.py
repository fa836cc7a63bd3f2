"""A rule without a learning rate: it learns from the gradients how far the weights have to go."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schuss.descent.ops import absolute, constant, maximum, sqrt
from schuss.descent.optimizers.rule import Array, Columns
from schuss.descent.specs import BELOW_ONE, POSITIVE

__all__ = ["Prodigy"]


class Prodigy(NamedTuple):
    """Adam's steps in units of the distance d to the solution, as far as it is known (Mishchenko and Defazio 2023).

        r ← √β₂ r − (1 − √β₂) η d² Σ g w;  s ← √β₂ s + (1 − √β₂) η d² g;  d ← max(d, r/Σ|s|);
        m ← β₁ m + (1 − β₁) d g;  v ← β₂ v + (1 − β₂) d² g²;  w ← w − η d m/(√v + d ε)   with the d before the step.

    The sums run over all weights of a run, intercepts too, and distances are counted from the origin (those of networks
    from where they began). η is a factor about 1 that a schedule lets fall; without bias corrections, as the authors
    have it. Their package, prodigyopt 1.1, multiplies ε by the d after the step: while d grows by factors of ten the
    first steps differ a little, and weights by 1e-5 to 1e-3 after 200 steps.

    β₁, β₂, ε, and `distance`, the d to begin with: one number each or one a run.
    """

    beta1: Any = 0.9
    beta2: Any = 0.999
    epsilon: Any = 1e-8
    distance: Any = 1e-6

    scalar_names = (
        "rate", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2", "beta3", "one_minus_beta3", "epsilon",
    )  # fmt: skip
    number_names = ("distance", "numerator")
    slot_names = ("mean", "mean_of_squares", "sum")
    takes = (("beta1", BELOW_ONE), ("beta2", BELOW_ONE), ("epsilon", POSITIVE), ("distance", POSITIVE))
    rate_range = (0.1, 3.0)

    @property
    def carry_start(self) -> tuple[Any, ...]:
        """The first d, and r = 0."""
        return (self.distance, 0.0)

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η, the betas, √β₂ and ε."""
        beta1, beta2, epsilon = (np.asarray(one, np.float64) for one in self[:3])
        beta3 = np.sqrt(beta2)
        return carry, (rate, beta1, 1.0 - beta1, beta2, 1.0 - beta2, beta3, 1.0 - beta3, epsilon)

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Step as Adam does along the gradient in units of d."""
        scaled = s[8] * g
        mean = s[1] * slots[0] + s[2] * scaled
        square = s[3] * slots[1] + s[4] * (scaled * scaled)
        rate = s[0] * s[8] / (sqrt(square) + s[8] * s[7])
        return rate * mean, rate * s[8], (mean, square, s[5] * slots[2] + s[6] * (s[0] * s[8] * scaled))

    def measure(self, w: Any, g: Any, slots: Any) -> tuple[Any, ...]:
        """Give what is summed over all weights, from a weight before the step and its slots after it."""
        return g * w, absolute(slots[2])

    def settle(self, s: Any, sums: Any) -> tuple[Any, ...]:
        """Give the next d and r."""
        numerator = s[5] * s[9] - s[6] * (s[0] * s[8] * s[8] * sums[0])
        return maximum(s[8], numerator / maximum(sums[1], constant(1e-37, s[8]))), numerator
