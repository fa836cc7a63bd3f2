"""What a rule is, and how the engine steps with it.

A rule is a named tuple of hyperparameters with two pure functions.

`scalars(carry, rate)` gives what is the same for every weight of a run, once a step, in float64: for T steps of K runs
`rate` is `(T, K)`; the result is `(carry, columns)`, a column for each of `scalar_names`, `(T, K)`, `(K,)` or a number.
`carry` is `(len(carry_start), K)`: running products such as βᵗ, so that a chunk goes on exactly where the last ended.
When all have vanished, scalars are taken to change with the rate alone, and many steps share a line of the table: a
rule of which that is never true carries a number that stays.

`move(s, w, g, slots)` is the arithmetic for one weight (or an array of weights): `s` holds the scalars in the order of
`scalar_names`, `g` is the gradient of the mini-batch's mean loss, `slots` the rule's memory of this weight, a tuple in
the order of `slot_names`, zero before the first step. It gives `(move, rate, slots)`: what is subtracted from the
weight, the rate at which this coordinate moves (the move would be `rate · g` if the gradient stayed the same), at which
the engine then lets the weight follow the penalty, and the new slots. It is written with `ops` alone: one source for
NumPy, torch and the compiled kernels.

What else a rule may say of itself, as attributes of its class, stands in `TRAITS` with its default.

The engine steps with a `Penalised` rule. On sparse rows only touched weights should cost time; `sparse` says how the
others are caught up so that the result is that of dense rows:

- "scaled": w ← a w + b g, with a and b the same for all weights of a run. At rest all weights are multiplied by the
  same number, and the engine steps that number instead of the weights;
- "coasting": the same with one slot v, w ← a w + b v + c g and v ← m v + d g, m < 1: at rest a weight runs out along
  its velocity, and the engine keeps the place where it will be;
- "resting": only the penalty moves a weight at rest, for the sum of the rates that it missed: `resting_rate(s, total,
  slots)` is the coordinate's rate for a learning rate of `total`. "scaled" rules have it as well, for λ₁ > 0;
- "every": any other rule moves every weight at every step, which is exact and costs time for all of them.

Slots are zero before the first step; a rule whose weights are a function of its slots has `first_slots(w)` for weights
that start elsewhere than at zero.

A rule may depend on sums over all weights of a run. Then `number_names` names what these change: `move` finds the
numbers after the scalars in `s`; `measure(w, g, slots)` gives what is summed, from a weight before the step and its
slots after it; `settle(s, sums)` gives the numbers after the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schuss.descent.ops import constant
from schuss.descent.penalties import moved

__all__ = [
    "TRAITS",
    "Optimizer",
    "Penalised",
    "Stepper",
    "measure",
    "move",
    "penalised",
    "powers",
    "rest",
    "resting_rate",
    "scalar_table",
    "settle",
    "step",
    "trait",
    "update",
]  # fmt: skip

Array = NDArray[np.float64]
Columns = Sequence[Any]

TRAITS: dict[str, Any] = {
    "carry_start": (),
    "number_names": (),  # numbers of a run that sums over all its weights change, see below; the last of the carry
    "decays": (),  # scalars that are zero for intercepts, as every penalty is
    "sparse": "every",
    "uniform": False,  # whether all weights of a run have the same rate
    "rate_range": (1e-4, 1.0),  # learning rates worth trying
    "rates_by_norm": False,  # whether these are multiples of 1/E‖x‖²
    "takes": (),  # hyperparameters that a user can set, with their `Number`s; by default all fields, to any number
}


def trait(rule: Any, name: str) -> Any:
    """Give what a rule says of itself, or the default."""
    return getattr(rule, name, TRAITS[name])


class Optimizer(Protocol):
    """What every rule has."""

    @property
    def scalar_names(self) -> tuple[str, ...]:
        """Names of the scalars."""
        ...

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the slots."""
        ...

    def scalars(self, carry: Array, rate: Array) -> tuple[Array, Columns]:
        """Give the carry after these steps and the columns of scalars."""
        ...

    def move(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
        """Give what is subtracted from the weight, the coordinate's rate and the new slots."""
        ...


class Stepper(Protocol):
    """A rule with its penalty, as the engine uses it; `free`: places of the scalars that are zero for intercepts."""

    @property
    def scalar_names(self) -> tuple[str, ...]:
        """Names of the scalars."""
        ...

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the slots."""
        ...

    @property
    def carry_start(self) -> tuple[Any, ...]:
        """What the carry starts with: numbers, or one a run."""
        ...

    @property
    def free(self) -> list[int]:
        """Places of the scalars that are zero for intercepts."""
        ...

    def scalars(self, carry: Array, rate: Array, l2: Array, l1: Array) -> tuple[Array, Columns]:
        """Give the carry after these steps and the columns of scalars, those of the penalty included."""
        ...

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Give the new weight and slots."""
        ...


def move(self: Any, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any, Any]:
    """Give what a rule subtracts from a weight, the coordinate's rate and the new slots."""
    return self.move(s, w, g, slots)


def resting_rate(self: Any, s: Any, total: Any, slots: Any) -> Any:
    """Give the rate of a coordinate at rest, for a learning rate of `total`."""
    return self.resting_rate(s, total, slots)


def measure(self: Any, w: Any, g: Any, slots: Any) -> tuple[Any, ...]:
    """Give what is summed over all weights of a run, from a weight before a step and its slots after it."""
    return self.measure(w, g, slots)


def settle(self: Any, s: Any, sums: Any) -> tuple[Any, ...]:
    """Give the numbers of a run after a step."""
    return self.settle(s, sums)


def update(self: Any, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
    """Give weight and slots after a step, penalty and all."""
    return self.update(s, w, g, slots)


def step(self: Any, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
    """Give weight and slots after a step without the penalty, which is left to the next rest."""
    return self.step(s, w, g, slots)


def rest(self: Any, s: Any, total: Any, w: Any, slots: Any) -> Any:
    """Give the weight after steps without a gradient whose learning rates sum to `total`."""
    return self.rest(s, total, w, slots)


class Penalised(NamedTuple):
    """A rule and the penalty that its weights follow after each step; the penalty's two scalars come first."""

    rule: Any
    penalty: Any

    @property
    def scalar_names(self) -> tuple[str, ...]:
        """Names of the scalars."""
        return ("p", "q", *self.rule.scalar_names)

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the slots."""
        return self.rule.slot_names

    @property
    def carry_start(self) -> tuple[Any, ...]:
        """What the carry starts with."""
        return trait(self.rule, "carry_start")

    @property
    def free(self) -> list[int]:
        """Places of the scalars that are zero for intercepts."""
        return [self.scalar_names.index(name) for name in ("p", "q", *trait(self.rule, "decays"))]

    def scalars(self, carry: Array, rate: Array, l2: Array, l1: Array) -> tuple[Array, Columns]:
        """Give the carry after these steps and the columns of scalars."""
        carry, columns = self.rule.scalars(carry, rate)
        own = self.rule.move(columns, 0.0, 0.0, (0.0,) * len(self.slot_names))[1] if self._uniform else rate
        return carry, (*self.penalty.scalars(l2, l1, own), *columns)

    @property
    def first_slots(self) -> Callable[[Any], tuple[Any, ...]]:
        """What gives the slots of weights that do not start at zero, where the rule has it; else an AttributeError."""
        return self.rule.first_slots

    @property
    def _uniform(self) -> bool:
        return trait(self.rule, "uniform")

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Step along the gradient, then along the penalty."""
        change, rate, slots = move(self.rule, s[2:], w, g, slots)
        return moved(self.penalty, s[0], s[1], w, change, rate), slots

    def step(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Step along the gradient."""
        change, _, slots = move(self.rule, s[2:], w, g, slots)
        return w - change, slots

    def measure(self, w: Any, g: Any, slots: Any) -> tuple[Any, ...]:
        """Give what the rule sums over all weights."""
        return measure(self.rule, w, g, slots)

    def settle(self, s: Any, sums: Any) -> tuple[Any, ...]:
        """Give the rule's numbers after a step."""
        return settle(self.rule, s[2:], sums)

    def rest(self, s: Any, total: Any, w: Any, slots: Any) -> Any:
        """Step along the penalty."""
        return moved(self.penalty, s[0], s[1], w, constant(0.0, w), resting_rate(self.rule, s[2:], total, slots))


def penalised(rule: Any, penalty: Any) -> Any:
    """Give a rule as the engine steps with it; rules that have a `penalised` of their own know better."""
    own = getattr(rule, "penalised", None)
    return Penalised(rule, penalty) if own is None else own(penalty)


def scalar_table(stepper: Any, carry: Array, rate: Array, l2: Array, l1: Array) -> tuple[Array, Array]:
    """Give the carry after T steps of K runs, and all their scalars `(T, scalars, K)`.

    Once a chunk: filling a table takes a third of the time of stacking what was broadcast.
    """
    carry, columns = stepper.scalars(carry, rate, l2, l1)
    table = np.empty((len(rate), len(columns), rate.shape[1]))
    for place, column in enumerate(columns):
        table[:, place] = column
    return carry, table


def powers(start: Array, factor: Any, steps: int) -> Array:
    """Multiply `start` `(K,)` by a factor at every step: the products `(T, K)`, `(T, 1)` for a factor of all runs."""
    factor = np.asarray(factor, np.float64)
    factors = np.empty((steps + 1, factor.size))
    factors[0], factors[1:] = start[: factor.size], factor
    return np.cumprod(factors, axis=0, dtype=np.float64)[1:]
