"""Averages of the weights on the way, which are what is judged and kept while the steps go on from the last ones.

Both rules below are made of another rule. They have `evaluated(carry, w, slots)`, which gives the weights that count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from schuss.descent.optimizers.adam import AdamW
from schuss.descent.optimizers.plain import SGD
from schuss.descent.optimizers.rule import Array, Columns, measure, move, penalised, settle, trait, update
from schuss.descent.penalties import L2, moved
from schuss.descent.specs import AT_LEAST_ZERO, Number

__all__ = ["Averaged", "ScheduleFree"]


class Averaged(NamedTuple):
    """Any rule, with the average of its weights (Polyak and Juditsky 1992; weighted: Shamir and Zhang 2013).

        w̄ ← w̄ + c (w − w̄),  c = (1 + p)/(t + p)

    which weighs the weights after step s about sᵖ. With p = 0 all count the same, the start too; p = 8, as in Ivgi et
    al. (2023), forgets it.

    >>> rule = Averaged(SGD(), power=0.0).penalised(L2())
    >>> _, (c, *_) = rule.scalars(np.ones((1, 1)), np.full((4, 1), 0.1), np.zeros(1), np.zeros(1))
    >>> c.ravel()
    array([1.        , 0.5       , 0.33333333, 0.25      ])
    """

    rule: Any = SGD()
    power: Any = 8.0

    takes = (("power", AT_LEAST_ZERO),)

    @property
    def scalar_names(self) -> tuple[str, ...]:
        """Names of the scalars: the share of the new weights in the average, and the rule's own."""
        return ("share", *self.rule.scalar_names)

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the slots: the average, and the rule's own."""
        return ("average", *self.rule.slot_names)

    @property
    def carry_start(self) -> tuple[Any, ...]:
        """The number of the next step, and what the rule's own carry starts with."""
        return (1.0, *trait(self.rule, "carry_start"))

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the numbers that sums over all weights change: those of the rule."""
        return trait(self.rule, "number_names")

    @property
    def free(self) -> list[int]:
        """Places of the scalars that are zero for intercepts."""
        return [1 + place for place in self.rule.free]

    @property
    def rate_range(self) -> tuple[float, float]:
        """Learning rates worth trying: those of the rule."""
        return trait(self.rule, "rate_range")

    @property
    def rates_by_norm(self) -> bool:
        """Whether these are multiples of 1/E‖x‖²."""
        return trait(self.rule, "rates_by_norm")

    @property
    def first_slots(self) -> Callable[[Any], tuple[Any, ...]]:
        """What gives the slots of weights that do not start at zero, where the rule has it; else an AttributeError."""
        own = self.rule.first_slots
        return lambda w: (w - w, *own(w))

    def penalised(self, penalty: Any) -> Averaged:
        """Give the average of the penalised rule."""
        return self._replace(rule=penalised(self.rule, penalty))

    def scalars(self, carry: Array, rate: Array, l2: Array, l1: Array) -> tuple[Array, Columns]:
        """Give the share of each step, and the rule's own scalars."""
        own, columns = self.rule.scalars(carry[1:], rate, l2, l1)
        steps = carry[:1] + np.arange(len(rate))[:, None]
        power = np.asarray(self.power, np.float64)
        after = np.concatenate([carry[:1] + len(rate), own])
        return after, ((1.0 + power) / (steps + power), *columns)

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Step as the rule does, and let the average follow."""
        w, own = update(self.rule, s[1:], w, g, slots[1:])
        return w, (slots[0] + s[0] * (w - slots[0]), *own)

    def measure(self, w: Any, g: Any, slots: Any) -> tuple[Any, ...]:
        """Give what the rule sums over all weights."""
        return measure(self.rule, w, g, slots[1:])

    def settle(self, s: Any, sums: Any) -> tuple[Any, ...]:
        """Give the rule's numbers after a step."""
        return settle(self.rule, s[1:], sums)

    def evaluated(self, carry: Array, w: Any, slots: Any) -> Any:
        """Give the average; the weights themselves before the first step."""
        return np.where(carry[0] > 1, slots[0], w)


class ScheduleFree(NamedTuple):
    """A rule's steps z, their average x, and gradients between both (Defazio et al. 2024, "The road less scheduled").

        y = (1 − β) z + β x;  z ← z − η g(y);  x ← (1 − c) x + c z,  c = η²/Σ η²

    The average does the work of a falling learning rate, whose end need not be known: use a constant schedule. The
    weights that are stepped are y, those that count are x. The penalty acts on z, which is kept as y + d.

    rule: SGD, or AdamW without momentum for the schedule-free AdamW; β: one number or one a run.
    """

    rule: Any = SGD()
    beta: Any = 0.9
    penalty: Any = L2()

    takes = (("beta", Number(0.0, 1.0, least_allowed=False)),)

    @property
    def scalar_names(self) -> tuple[str, ...]:
        """Names of the scalars: the penalty's, c and β as they are needed, and the rule's own."""
        return ("p", "q", "share", "beta", "behind", *self.rule.scalar_names)

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the slots: d, and the rule's own."""
        return ("ahead", *self.rule.slot_names)

    @property
    def carry_start(self) -> tuple[Any, ...]:
        """Σ η², a 1 that stays, as scalars change with every step, and what the rule's own carry starts with."""
        return (0.0, 1.0, *trait(self.rule, "carry_start"))

    @property
    def free(self) -> list[int]:
        """Places of the scalars that are zero for intercepts."""
        return [self.scalar_names.index(name) for name in ("p", "q", *trait(self.rule, "decays"))]

    @property
    def rate_range(self) -> tuple[float, float]:
        """Learning rates worth trying: those of the rule."""
        return trait(self.rule, "rate_range")

    @property
    def rates_by_norm(self) -> bool:
        """Whether these are multiples of 1/E‖x‖²."""
        return trait(self.rule, "rates_by_norm")

    def penalised(self, penalty: Any) -> ScheduleFree:
        """Give the same with a penalty on z."""
        return self._replace(penalty=penalty)

    def scalars(self, carry: Array, rate: Array, l2: Array, l1: Array) -> tuple[Array, Columns]:
        """Give the scalars of the penalty, of the average and of the rule."""
        own, columns = self.rule.scalars(carry[2:], rate)
        total = carry[0] + np.cumsum(rate * rate, axis=0)
        share = rate * rate / np.maximum(total, 1e-300)
        beta = np.asarray(self.beta, np.float64)
        after = np.concatenate([total[-1:], carry[1:2], own])
        return after, (*self.penalty.scalars(l2, l1, rate), share, beta, 1.0 - 1.0 / beta, *columns)

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Step z along the gradient at y, average, and go to the next y."""
        z, x = w + slots[0], w + s[4] * slots[0]
        change, rate, own = move(self.rule, s[5:], w, g, slots[1:])
        z = moved(self.penalty, s[0], s[1], z, change, rate)
        ahead = s[3] * (z - (x + s[2] * (z - x)))
        return z - ahead, (ahead, *own)

    def evaluated(self, carry: Array, w: Any, slots: Any) -> Any:
        """Give x."""
        return w + (1.0 - 1.0 / np.asarray(self.beta)) * slots[0]


def schedule_free_adamw() -> ScheduleFree:
    """Give the schedule-free AdamW: the average takes the place of Adam's momentum."""
    return ScheduleFree(AdamW(beta1=0.0, weight_decay=0.0))
