"""A problem in the units that populations train in: float32 rows of scaled features, standardised targets."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, SparseRows, feature_count
from ..descent.losses import EpsilonInsensitive, Huber, Loss, SquaredEpsilonInsensitive
from ..descent.optimizers import rule_named
from ..population.linear import Linear, LinearState
from .problem import Problem, Scaling, as_chunk

__all__ = ["Training", "in_training_units", "placed", "population_of"]

Array = NDArray[np.float64]


class Training(NamedTuple):
    """What a population learns from.

    rows : all of them, of mean weight one; loss, l2, l1 : of targets (y − mean) / scale; scaling : of the features,
    with no centre on sparse rows.
    """

    rows: Chunk
    loss: Loss
    l2: float
    l1: float
    scaling: Scaling
    mean: float
    scale: float

    def raw(self, weights: NDArray[Any]) -> Array:
        """Give weights for features and targets as they come."""
        raw = self.scaling.raw(weights.astype(np.float64)) * self.scale
        raw[-1] += self.mean
        return raw

    def trained(self, weights: Array) -> Array:
        """Give weights in the units of training for those of features and targets as they come."""
        shifted = weights.copy()
        shifted[-1] -= self.mean
        return self.scaling.scaled(shifted) / self.scale


def in_training_units(problem: Problem, *, mean: float = 0.0, scale: float = 1.0) -> Training:
    """Scale the rows of a problem, and its targets by a mean and a scale.

    With targets in units of σ a loss that grows with the p-th power of the unit is σᵖ times as large, and so the
    penalties weigh λ₂ σ^(2 − p) and λ₁ σ^(1 − p).
    """
    scaling, X = problem.scaling, problem.X
    if isinstance(X, np.ndarray):
        X = ((X - scaling.centre) * scaling.factor).astype(np.float32)
    else:
        X, scaling = X.copy(), scaling._replace(centre=np.zeros_like(scaling.centre))
        X.data = (X.data * scaling.factor[X.indices]).astype(np.float32)
    targets = problem.targets
    if targets.dtype.kind == "f":
        targets = (targets - mean) / scale
    power = 1 if isinstance(problem.loss, EpsilonInsensitive) else 2
    rows = as_chunk(X, targets, problem.weights / problem.weights.mean(), np.float32)
    l2, l1 = problem.l2 * scale ** (2 - power), problem.l1 * scale ** (1 - power)
    return Training(rows, loss_in_units(problem.loss, scale), l2, l1, scaling, mean, scale)


def loss_in_units(loss: Loss, scale: float) -> Loss:
    """Give a loss whose number is in units of the targets for targets divided by `scale`."""
    if isinstance(loss, Huber | EpsilonInsensitive | SquaredEpsilonInsensitive):
        return type(loss)(loss[0] / scale)
    return loss


def population_of(
    training: Training, rule: str, outputs: int, batch: int, threads: int = 1, *, intercept: bool = True
) -> Linear:
    """Give the population that learns from these rows with a rule."""
    rows = training.rows.rows
    width = feature_count(rows)
    named, sparse, l1 = rule_named(rule), isinstance(rows, SparseRows), training.l1 > 0
    return Linear(named, training.loss, width, outputs, batch, sparse, threads, l1=l1, intercept=intercept)


def placed(state: LinearState, weights: Array, outputs: int) -> LinearState:
    """Set every run of a fresh state to weights `(features + 1, outputs)`."""
    for block in state.blocks:
        block.weights[:, : outputs * state.lanes] = np.repeat(weights.astype(np.float32), state.lanes, axis=1)
    return state
