"""Objectives of one's own for `schuss gradcheck`: one right, one with a kink, one with a slip.

schuss gradcheck examples/gradient_check.py:ridge
schuss gradcheck examples/gradient_check.py:lasso
schuss gradcheck examples/gradient_check.py:slip
"""

from __future__ import annotations

import numpy as np

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 3))
y = X @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=50)
W = np.array([0.3, -0.2, 0.1])


def ridge(w=W, x=X):
    """Mean squared error with a penalty; its gradient for the parameters and for the data."""
    residual = x @ w - y
    value = residual @ residual / len(y) + 0.1 * w @ w
    return value, {"w": 2 * x.T @ residual / len(y) + 0.2 * w, "x": 2 * np.outer(residual, w) / len(y)}


def lasso(w=np.array([0.3, 0.0, 0.1])):  # noqa: B008 — the default is the point to look at
    """Mean squared error with an absolute penalty, whose slope jumps from −0.1 to 0.1 where a weight is zero."""
    residual = X @ w - y
    return residual @ residual / len(y) + 0.1 * np.abs(w).sum(), 2 * X.T @ residual / len(y) + 0.1 * np.sign(w)


def slip(w=W):
    """The mean squared error again, with a 2 forgotten in the penalty."""
    residual = X @ w - y
    return residual @ residual / len(y) + 0.1 * w @ w, 2 * X.T @ residual / len(y) + 0.1 * w
