"""Adam and its relatives: momentum over rates that follow recent gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schuss.descent.ops import absolute, maximum, sqrt
from schuss.descent.optimizers.rule import Array, Columns, powers
from schuss.descent.specs import AT_LEAST_ZERO, BELOW_ONE, POSITIVE

__all__ = ["AMSGrad", "Adam", "AdamW", "Lion"]

_NAMES = ("rate", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2", "unbias1", "unbias2", "epsilon")
_TAKES = (("beta1", BELOW_ONE), ("beta2", BELOW_ONE), ("epsilon", POSITIVE))


def _moments(carry: Array, rate: Array, beta1: Any, beta2: Any, epsilon: Any) -> tuple[Array, Columns]:
    """Give η, the betas, 1/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ) and ε; the carry holds β₁ᵗ and β₂ᵗ."""
    beta1, beta2, epsilon = (np.asarray(one, np.float64) for one in (beta1, beta2, epsilon))
    power1, power2 = powers(carry[0], beta1, len(rate)), powers(carry[1], beta2, len(rate))
    after = np.stack([np.broadcast_to(power[-1], carry.shape[1:]) for power in (power1, power2)])
    unbias = 1.0 / (1.0 - power1), 1.0 / np.sqrt(1.0 - power2)
    return after, (rate, beta1, 1.0 - beta1, beta2, 1.0 - beta2, *unbias, epsilon)


class Adam(NamedTuple):
    """Momentum over rates that follow recent gradients (Kingma and Ba 2015, algorithm 1).

    m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← w − η m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).

    β₁, β₂, ε: one number each or one a run.
    """

    beta1: Any = 0.9
    beta2: Any = 0.999
    epsilon: Any = 1e-8

    scalar_names = _NAMES
    slot_names = ("mean", "mean_of_squares")
    carry_start = (1.0, 1.0)
    takes = _TAKES
    rate_range = (3e-4, 3.0)

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η, the betas, what takes the bias away, and ε."""
        return _moments(carry, rate, *self)

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Average gradient and squared gradient, then step by their ratio."""
        mean = s[1] * slots[0] + s[2] * g
        square = s[3] * slots[1] + s[4] * (g * g)
        own_rate = s[0] / (sqrt(square) * s[6] + s[7])
        return own_rate * (mean * s[5]), own_rate, (mean, square)


class AMSGrad(NamedTuple):
    """Adam whose rates never rise again: by the largest v so far (Reddi et al. 2018; the form of torch.optim.Adam).

    β₁, β₂, ε: one number each or one a run.
    """

    beta1: Any = 0.9
    beta2: Any = 0.999
    epsilon: Any = 1e-8

    scalar_names = _NAMES
    slot_names = ("mean", "mean_of_squares", "largest")
    carry_start = (1.0, 1.0)
    takes = _TAKES
    rate_range = (3e-4, 3.0)

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η, the betas, what takes the bias away, and ε."""
        return _moments(carry, rate, *self)

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Average gradient and squared gradient, then step by the ratio to the largest."""
        mean = s[1] * slots[0] + s[2] * g
        square = s[3] * slots[1] + s[4] * (g * g)
        largest = maximum(slots[2], square)
        own_rate = s[0] / (sqrt(largest) * s[6] + s[7])
        return own_rate * (mean * s[5]), own_rate, (mean, square, largest)


class AdamW(NamedTuple):
    """Adam with decoupled weight decay: w ← w − η m̂/(√v̂ + ε) − η λ w (Loshchilov and Hutter 2019).

    The decay acts at the learning rate itself, not at each weight's own rate, and is therefore no penalty of the
    objective: it comes on top of λ₂ and λ₁. Intercepts do not decay.
    β₁, β₂, ε, λ: one number each or one a run.
    """

    beta1: Any = 0.9
    beta2: Any = 0.999
    epsilon: Any = 1e-8
    weight_decay: Any = 0.01

    scalar_names = (*_NAMES, "decay")
    slot_names = ("mean", "mean_of_squares")
    carry_start = (1.0, 1.0)
    takes = (*_TAKES, ("weight_decay", AT_LEAST_ZERO))
    decays = ("decay",)
    rate_range = (3e-4, 3.0)

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give Adam's scalars and η λ."""
        carry, columns = _moments(carry, rate, self.beta1, self.beta2, self.epsilon)
        return carry, (*columns, rate * np.asarray(self.weight_decay, np.float64))

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Step as Adam, and decay: torch decays first and then steps, which is the same."""
        mean = s[1] * slots[0] + s[2] * g
        square = s[3] * slots[1] + s[4] * (g * g)
        own_rate = s[0] / (sqrt(square) * s[6] + s[7])
        return own_rate * (mean * s[5]) + s[8] * w, own_rate, (mean, square)


class Lion(NamedTuple):
    """Steps of one size along the sign of a momentum (Chen et al. 2023, "Symbolic discovery", algorithm 2).

    c = β₁ m + (1 − β₁) g;  w ← w − η (sign(c) + λ w);  m ← β₂ m + (1 − β₂) g.

    The rate at which a coordinate follows its gradient, and the penalty, is η/|c|. The decay λ acts at the learning
    rate itself. β₁, β₂, λ: one number each or one a run.
    """

    beta1: Any = 0.9
    beta2: Any = 0.99
    weight_decay: Any = 0.0

    scalar_names = (
        "rate", "beta1", "one_minus_beta1", "beta2", "one_minus_beta2", "decay", "smallest",
    )  # fmt: skip
    slot_names = ("mean",)
    takes = (("beta1", BELOW_ONE), ("beta2", BELOW_ONE), ("weight_decay", AT_LEAST_ZERO))
    decays = ("decay",)
    rate_range = (1e-5, 0.1)

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give η, the betas, η λ, and what keeps own rates finite."""
        beta1, beta2, decay = (np.asarray(one, np.float64) for one in self)
        return carry, (rate, beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate * decay, 1e-12)

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Step along the sign, which is the momentum times the coordinate's own rate."""
        ahead = s[1] * slots[0] + s[2] * g
        own_rate = s[0] / maximum(absolute(ahead), s[6])
        return own_rate * ahead + s[5] * w, own_rate, (s[3] * slots[0] + s[4] * g,)
