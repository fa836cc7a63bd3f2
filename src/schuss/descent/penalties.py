"""Penalties on the weights, as the step that a rule takes along them.

The objective is `mean loss + λ₂/2 ‖w‖² + λ₁ ‖w‖₁` with the intercept free. The loss has a gradient that must be
sampled; the penalty is known exactly, so its part of the step is solved exactly too: after the step along the gradient
weights follow the flow ẇ = −λ₂ w − λ₁ sign(w) for the time `rate`, at which the rule moves this coordinate (for Adagrad
η/√(G + ε²)). So the loss and the penalty are traded at the stated λ whatever the rule; adding λ₂ w to the gradient
would let the penalty distort the rule's own statistics (Loshchilov and Hutter 2019, "Decoupled weight decay
regularization"). Gradient descent's own step, −λ₂ · rate · w, is the flow's first order. The flow is stable at every
rate, ends exactly at zero where λ₁ says so (for λ₂ = 0 it is the soft threshold of λ₁ · rate), and n steps are one step
of the summed rates, which is what makes rows with few nonzeros cheap.

A penalty reaches the weights by two scalars of a run, which `scalars` prepares. Both are zero for the intercept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from schuss.descent.ops import absolute, constant, expm1, where

__all__ = ["L2", "ElasticNet", "NoPenalty", "Shrink", "moved", "penalty_value"]

SMALLEST_L2 = 1e-30
"""What stands for λ₂ = 0 beside λ₁ > 0: λ₁/λ₂ and λ₂ · rate are normal float32 numbers."""


class NoPenalty(NamedTuple):
    """No penalty: the step along the gradient alone."""

    def scalars(self, l2: Any, l1: Any, rate: Any) -> tuple[Any, Any]:
        """Give the two scalars."""
        return 0.0, 0.0

    def moved(self, p: Any, q: Any, w: Any, move: Any, rate: Any) -> Any:
        """Give w − move."""
        return w - move


class L2(NamedTuple):
    """λ₂/2 ‖w‖²; the scalars are λ₂ and nothing."""

    def scalars(self, l2: Any, l1: Any, rate: Any) -> tuple[Any, Any]:
        """Give the two scalars."""
        return l2, 0.0

    def moved(self, p: Any, q: Any, w: Any, move: Any, rate: Any) -> Any:
        """Give w − move after the flow.

        Only the sum of both steps is added to w: w · exp(−λ₂ · rate) in float32 is w itself below λ₂ · rate = 3e-8.
        """
        return w + ((w - move) * expm1(-p * rate) - move)


class Shrink(NamedTuple):
    """λ₂/2 ‖w‖² where all weights of a run have the same rate; the scalars are exp(−λ₂ · rate) − 1 and nothing."""

    def scalars(self, l2: Any, l1: Any, rate: Any) -> tuple[Any, Any]:
        """Give the two scalars."""
        return np.expm1(-l2 * rate), 0.0

    def moved(self, p: Any, q: Any, w: Any, move: Any, rate: Any) -> Any:
        """Give w − move after the flow."""
        return w + ((w - move) * p - move)


class ElasticNet(NamedTuple):
    """λ₂/2 ‖w‖² + λ₁ ‖w‖₁ (Zou and Hastie 2005); the scalars are λ₂ and λ₁/λ₂.

    |w| + λ₁/λ₂ shrinks by exp(−λ₂ · rate) until |w| is zero.
    """

    def scalars(self, l2: Any, l1: Any, rate: Any) -> tuple[Any, Any]:
        """Give the two scalars."""
        l2 = np.where(np.asarray(l1) > 0, np.maximum(l2, SMALLEST_L2), l2)
        return l2, np.asarray(l1) / np.maximum(l2, SMALLEST_L2)

    def moved(self, p: Any, q: Any, w: Any, move: Any, rate: Any) -> Any:
        """Give w − move after the flow, exactly zero where it ends."""
        after, zero = w - move, constant(0.0, w)
        size = absolute(after)
        change = expm1(-p * rate) * (size + q)
        step = where(after < zero, -change, change)
        return where(size + change > zero, w + (step - move), (after - after))


def moved(self: Any, p: Any, q: Any, w: Any, move: Any, rate: Any) -> Any:
    """Give the weights w − move after the flow of a penalty with the scalars p and q for the time `rate`.

    >>> float(moved(L2(), 0.5, 0.0, 2.0, 0.0, 0.1).round(6))
    1.902459
    >>> l2, ratio = ElasticNet().scalars(0.0, 0.5, 0.1)
    >>> moved(ElasticNet(), l2, ratio, np.array([2.0, -0.3, 0.04]), 0.0, 0.1).round(6)
    array([ 1.95, -0.25,  0.  ])
    """
    return self.moved(p, q, w, move, rate)


def penalty_value(weights: Any, l2: float, l1: float = 0.0) -> Any:
    """Give λ₂/2 ‖w‖² + λ₁ ‖w‖₁ of a weight array without its intercept row."""
    return 0.5 * l2 * (weights * weights).sum() + l1 * absolute(weights).sum()
