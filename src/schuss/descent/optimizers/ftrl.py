"""Follow the regularised leader: weights are the solution of all steps so far together, penalties included."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schuss.descent.ops import absolute, constant, maximum, sqrt, where
from schuss.descent.optimizers.rule import Array, Columns
from schuss.descent.specs import POSITIVE

__all__ = ["FTRL"]


class FTRL(NamedTuple):
    """FTRL-proximal with each weight's own rate (McMahan 2011; McMahan et al. 2013, algorithm 1).

        n ← n + g²;  σ = √n_new − √n_old;  z ← z + η g − σ w;
        w = −sign(z) · max(|z| − H λ₁, 0)/(β + √n + H λ₂)   with H = Σ η, the rates of all steps so far.

    Without penalties it steps as Adagrad does, w ← w − η g/(β + √n); with λ₁ > 0 it is much better at exact zeros than
    rules that shrink after every step. All is multiplied by the rate, the α of the paper, so that it may change on the
    way; and the penalties are of the mean loss, so that they grow with the steps (the paper of 2013 keeps them as they
    are, and they are of the sum).

    β: one number or one a run.
    """

    beta: Any = 1.0

    scalar_names = ("rate", "beta", "l1_before", "l2_before", "l1", "l2")
    slot_names = ("z", "sum_of_squares")
    carry_start = (1.0, 0.0)
    takes = (("beta", POSITIVE),)
    sparse = "resting"
    rate_range = (3e-3, 10.0)
    free = (2, 3, 4, 5)

    def penalised(self, penalty: Any) -> FTRL:
        """Give itself: it has its own way with penalties."""
        return self

    def scalars(self, carry: Array, rate: Array, l2: Any = 0.0, l1: Any = 0.0) -> tuple[Array, Columns]:
        """Give η, β, and λ₁ and λ₂ times the sum of the rates before and after the step.

        The carry holds that sum, and 1 for a run with a penalty, whose scalars change with every step, else 0.
        """
        counts = np.asarray((np.asarray(l2) > 0) | (np.asarray(l1) > 0), np.float64)
        sums = carry[1] + np.cumsum(np.vstack([np.zeros_like(rate[:1]), rate * counts]), axis=0)
        before, after = sums[:-1], sums[1:]
        beta = np.asarray(self.beta, np.float64)
        carry = np.stack([np.broadcast_to(counts, sums[-1].shape), sums[-1]])
        return carry, (rate, beta, before * l1, before * l2, after * l1, after * l2)

    def first_slots(self, w: Any) -> tuple[Any, ...]:
        """Give the slots of which weights that do not start at zero are the solution."""
        return -np.asarray(self.beta) * w, w - w

    def step(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Go to the solution without the penalties, whose turn is when the weight is next looked at."""
        squares = slots[1] + g * g
        root = sqrt(squares)
        z = slots[0] + s[0] * g - (root - sqrt(slots[1])) * w
        return -z / (root + s[1]), (z, squares)

    def rest(self, s: Any, total: Any, w: Any, slots: Any) -> Any:
        """Go to the solution as it was before this step, with all penalties up to then."""
        left = maximum(absolute(slots[0]) - s[2], constant(0.0, w)) / (sqrt(slots[1]) + s[1] + s[3])
        return where(slots[0] < constant(0.0, w), left, -left)

    def update(self, s: Any, w: Any, g: Any, slots: Any) -> tuple[Any, Any]:
        """Go to the solution, penalties and all."""
        squares = slots[1] + g * g
        root = sqrt(squares)
        z = slots[0] + s[0] * g - (root - sqrt(slots[1])) * w
        left = maximum(absolute(z) - s[4], constant(0.0, w)) / (root + s[1] + s[5])
        return where(z < constant(0.0, w), left, -left), (z, squares)
