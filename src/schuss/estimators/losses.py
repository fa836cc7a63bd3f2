"""The losses by scikit-learn's names."""

from __future__ import annotations

from ..descent.losses import (
    EpsilonInsensitive,
    Hinge,
    Huber,
    LogLoss,
    Loss,
    ModifiedHuber,
    Perceptron,
    SquaredEpsilonInsensitive,
    SquaredError,
    SquaredHinge,
)

__all__ = ["FOR_CLASSES", "FOR_NUMBERS", "loss_named"]

EPSILON = 0.1

FOR_NUMBERS: dict[str, tuple[type[Loss], ...] | tuple[type[Loss], float]] = {
    "squared_error": (SquaredError,),
    "huber": (Huber, EPSILON),
    "epsilon_insensitive": (EpsilonInsensitive, EPSILON),
    "squared_epsilon_insensitive": (SquaredEpsilonInsensitive, EPSILON),
}
"""Losses of numbers, with the default of their parameter; for classes, the numbers are −1 and 1."""

FOR_CLASSES = {
    "hinge": (Hinge,),
    "squared_hinge": (SquaredHinge,),
    "perceptron": (Perceptron,),
    "log_loss": (LogLoss,),
    "modified_huber": (ModifiedHuber,),
    **FOR_NUMBERS,
}


def loss_named(name: str, epsilon: float) -> Loss:
    """Give a loss of one score; `epsilon` is the number of those that have one."""
    form, *parameter = FOR_CLASSES[name]
    return form(epsilon) if parameter else form()
