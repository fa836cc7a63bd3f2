"""Update rules: what one step does to one weight.

A rule is a named tuple of hyperparameters with two pure functions.

`scalars(carry, rate, l2)` gives what is the same for every weight of a run, once a step, in float64: for T steps of K
runs `rate` is `(T, K)` and `l2` is `(K,)`; the result is `(carry, table)`, the table `(T, len(scalar_names), K)`.
`carry` is `(len(carry_start), K)`: running products such as βᵗ, so that a chunk goes on exactly where the last ended.
When all have vanished, scalars are taken to change with the rate alone, and many steps share a line of the table.

`penalty_scalar` names the scalar that is zero where there is no penalty, as for the intercept.

`update(self, s, w, g, slots)` is the arithmetic for one weight (or an array of weights): `s` holds the scalars in the
order of `scalar_names`, `g` is the gradient of the mini-batch's mean loss without the penalty, `slots` is the rule's
memory of this weight. It returns the new weight and the new slots. It is written with `ops` alone and holds no numeric
literal but those that come in through `s` (a literal is float64 and would slow a float32 kernel): one source for NumPy,
torch and the compiled kernels.

On sparse rows only touched weights should cost time. A rule says how its weights rest while their gradient is zero:

- `linear = True`: update(s, w, g) = a·w + b·g, with a and b the same for all weights of a run; then at rest all weights
  are multiplied by the same number, and the engine steps that number instead of the weights;
- `lazy = True`: each weight moves by the penalty alone, at its own rate. `rest(self, s, total, w, slots)` is what that
  comes to over steps whose rates sum to `total`, and `step(self, s, w, g, slots)` is the update without the penalty,
  which is left to the next rest; update = step, then rest for this step's rate.

Other rules move every weight at every step, and cost time for all of them.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schuss.descent.ops import inverse_root, sqrt
from schuss.descent.penalties import l2_step

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "Momentum", "Optimizer"]

Array = NDArray[np.float64]


class Optimizer(Protocol):
    """What the engine needs to know of a rule."""

    scalar_names: ClassVar[tuple[str, ...]]
    penalty_scalar: ClassVar[str]
    slot_names: ClassVar[tuple[str, ...]]
    carry_start: ClassVar[tuple[float, ...]]
    lazy: ClassVar[bool]
    linear: ClassVar[bool]

    def scalars(self, carry: Array, rate: Array, l2: Array) -> tuple[Array, Array]:
        """Give the carry after these steps and the table of scalars `(T, scalars, K)`."""
        ...

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Give the new weight and slots."""
        ...


def _table(rate: Array, *others: NDArray[np.floating[Any]] | float) -> Array:
    """Put scalars `(T, K)`, `(K,)` or single numbers, the first one `(T, K)`, into a table `(T, scalars, K)`.

    Once a chunk: filling it takes a third of the time of stacking what was broadcast.
    """
    steps, runs = rate.shape
    table = np.empty((steps, 1 + len(others), runs))
    table[:, 0] = rate
    for place, scalar in enumerate(others, start=1):
        table[:, place] = scalar
    return table


def _powers(start: Array, factor: Array, steps: int) -> Array:
    """Multiply `start` `(K,)` by a factor at every step: the products `(T, K)`, `(T, 1)` for a factor of all runs."""
    factors = np.empty((steps + 1, factor.size))
    factors[0], factors[1:] = start[: factor.size], factor
    return np.cumprod(factors, axis=0, dtype=np.float64)[1:]


class SGD(NamedTuple):
    """Plain stochastic gradient descent: w ← (w − η g) · exp(−λ₂ η) (Robbins and Monro 1951).

    >>> rule = SGD()
    >>> w, _ = rule.update((0.5, 0.0), 2.0, 0.1, ())
    >>> float(w)
    1.95
    """

    scalar_names = ("rate", "pull")
    penalty_scalar = "pull"
    slot_names = ()
    carry_start = ()
    lazy = False
    linear = True

    def scalars(self, carry: Array, rate: Array, l2: Array) -> tuple[Array, Array]:
        """Give η, and exp(−λ₂ η) − 1 by which the penalty pulls every weight."""
        return carry, _table(rate, np.expm1(-l2 * rate))

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Step along the gradient, then along the penalty."""
        move = s[0] * g
        return w + ((w - move) * s[1] - move), slots


class Momentum(NamedTuple):
    """Heavy-ball momentum: v ← μ v + g; w ← w − η v (Polyak 1964; the form of torch.optim.SGD without dampening).

    μ: momentum, 0 ≤ μ < 1, one number or one a run. A constant gradient moves the weight by η/(1 − μ) a step in the
    long run, which is therefore the rate at which the penalty acts.
    """

    momentum: Any = 0.9

    scalar_names = ("rate", "pull", "momentum")
    penalty_scalar = "pull"
    slot_names = ("velocity",)
    carry_start = ()
    lazy = False
    linear = False

    def scalars(self, carry: Array, rate: Array, l2: Array) -> tuple[Array, Array]:
        """Give η, exp(−λ₂ η/(1 − μ)) − 1 and μ."""
        mu = np.asarray(self.momentum, np.float64)
        return carry, _table(rate, np.expm1(-l2 * rate / (1.0 - mu)), mu)

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Add the gradient to the velocity and move along it."""
        rate, pull, mu = s[0], s[1], s[2]
        velocity = mu * slots[0] + g
        return w + (w * pull - rate * velocity), (velocity,)


class Adagrad(NamedTuple):
    """Rates that fall with each weight's own gradients: G ← G + g²; w ← w − η g/√(G + ε²) (Duchi et al. 2011).

    ε: keeps the first steps finite. Rare features keep large rates, which suits sparse rows.
    """

    epsilon: Any = 1e-10

    scalar_names = ("rate", "l2", "epsilon_squared")
    penalty_scalar = "l2"
    slot_names = ("sum_of_squares",)
    carry_start = ()
    lazy = True
    linear = False

    def scalars(self, carry: Array, rate: Array, l2: Array) -> tuple[Array, Array]:
        """Give η, λ₂ and ε²."""
        return carry, _table(rate, l2, np.square(np.asarray(self.epsilon, np.float64)))

    def step(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Step along the gradient with the weight's own rate."""
        total = slots[0] + g * g
        return w - s[0] * inverse_root(total + s[2]) * g, (total,)

    def rest(self, s: Any, total: Any, w: Any, slots: Any) -> tuple[Any, Any]:
        """Only the penalty moves an untouched weight, at its own rate."""
        return w + l2_step(w, s[1], total * inverse_root(slots[0] + s[2])), slots

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Step along the gradient, then along the penalty, with the weight's own rate."""
        total = slots[0] + g * g
        own_rate = s[0] * inverse_root(total + s[2])
        move = own_rate * g
        return w + (l2_step(w - move, s[1], own_rate) - move), (total,)


class Adam(NamedTuple):
    """Momentum over rates that follow recent gradients (Kingma and Ba 2015, algorithm 1).

    m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  w ← w − η m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).

    β₁, β₂, ε: one number each or one a run.
    """

    beta1: Any = 0.9
    beta2: Any = 0.999
    epsilon: Any = 1e-8

    scalar_names = (
        "rate",
        "l2",
        "beta1",
        "one_minus_beta1",
        "beta2",
        "one_minus_beta2",
        "unbias1",
        "unbias2",
        "epsilon",
    )
    penalty_scalar = "l2"
    slot_names = ("mean", "mean_of_squares")
    carry_start = (1.0, 1.0)
    lazy = False
    linear = False

    def scalars(self, carry: Array, rate: Array, l2: Array) -> tuple[Array, Array]:
        """Give η, λ₂, the betas, 1/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ) and ε; the carry holds β₁ᵗ and β₂ᵗ."""
        beta1, beta2, epsilon = (np.asarray(one, np.float64) for one in self)
        power1, power2 = _powers(carry[0], beta1, len(rate)), _powers(carry[1], beta2, len(rate))
        table = _table(
            rate, l2, beta1, 1.0 - beta1, beta2, 1.0 - beta2, 1.0 / (1.0 - power1), 1.0 / np.sqrt(1.0 - power2), epsilon
        )
        return np.stack([np.broadcast_to(power[-1], carry.shape[1:]) for power in (power1, power2)]), table

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Average gradient and squared gradient, then step by their ratio."""
        mean = s[2] * slots[0] + s[3] * g
        square = s[4] * slots[1] + s[5] * (g * g)
        own_rate = s[0] / (sqrt(square) * s[7] + s[8])
        return w + (l2_step(w, s[1], own_rate) - own_rate * (mean * s[6])), (mean, square)


OPTIMIZERS: dict[str, type[Any]] = {"sgd": SGD, "momentum": Momentum, "adagrad": Adagrad, "adam": Adam}
