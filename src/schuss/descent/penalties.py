"""Penalties on the weights, as the step that a rule takes along them.

The objective is `mean loss + λ₂/2 ‖w‖²` with the intercept free. The loss has a gradient that must be sampled; the
penalty is known exactly, so its part of the step is solved exactly too.
"""

from __future__ import annotations

from typing import Any

from schuss.descent.ops import expm1

__all__ = ["l2_step", "l2_value"]


def l2_step(w: Any, l2: Any, rate: Any) -> Any:
    """Give the step that weights take along the L2 penalty: w · (exp(−λ₂ · rate) − 1), the exact flow of ẇ = −λ₂ w.

    Gradient descent's own step, −λ₂ · rate · w, is its first order; the flow is stable at every rate, and n steps are
    one step of the summed rates, which is what makes rows with few nonzeros cheap. `rate` is the rate at which the rule
    moves this coordinate (for Adagrad η/(√G + ε)), so that the loss and the penalty are traded at the stated λ₂
    whatever the rule; adding λ₂ w to the gradient would let the penalty distort the rule's own statistics (Loshchilov
    and Hutter 2019, "Decoupled weight decay regularization"). The step, not the weight, is given: w · exp(−λ₂ · rate)
    in float32 is w itself where λ₂ · rate is below 3e-8.

    >>> float(2.0 + l2_step(2.0, 0.5, 0.1)).__round__(6)
    1.902459
    """
    return w * expm1(-l2 * rate)


def l2_value(weights: Any, l2: float) -> Any:
    """Give λ₂/2 ‖w‖² of a weight array without its intercept row."""
    return 0.5 * l2 * (weights * weights).sum()
