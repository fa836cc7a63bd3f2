"""Learning from rows as they come, by copies of a model of many paces side by side, which answer together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import as_matrix, cut
from ..descent.losses import Loss, values_and_gradients
from ..population.mixture import HALF_LIFE, MEMORY_ROWS, Mixture, MixtureState
from .problem import Problem, Scaling, unscaled
from .training import Training, in_training_units

__all__ = ["Ground", "Online", "ground_of"]

Array = NDArray[np.float64]

ROWS_SEEN = 8192
"""Rows that are enough to tell how large gradients are."""

GROWN = 1.1
"""Features are scaled anew when the rows seen have become so many times as many."""


@dataclass
class _Moments:
    """Weight, mean and sum of squared differences from it of each column, row by row (Chan, Golub and LeVeque 1979)."""

    mean: Any = 0.0
    squares: Any = 0.0
    weight: float = 0.0

    def add(self, X: Any, weights: Array) -> None:
        """Take in rows."""
        weight = float(weights.sum())
        mean, total = weights @ X / weight, self.weight + weight
        apart = mean - self.mean
        self.squares = self.squares + weight * _variance(X, weights, mean) + apart**2 * (self.weight * weight / total)
        self.mean = self.mean + apart * (weight / total)
        self.weight = total

    def scaling(self, centred: bool) -> Scaling:
        """Give the scaling to a mean of zero (where `centred`) and a deviation of one."""
        deviation = np.sqrt(self.squares / self.weight)
        constant = deviation <= 1e-7 * np.abs(self.mean)
        factor = 1.0 / np.where(constant, 1.0, deviation)
        return Scaling(self.mean if centred else np.zeros_like(self.mean), factor)

    def unit(self, centred: bool) -> tuple[float, float]:
        """Give the mean (zero where not `centred`) and the deviation of the only column."""
        scaling = self.scaling(centred)
        return float(scaling.centre[0]), float(1.0 / scaling.factor[0])


class Ground(NamedTuple):
    """What a training leaves to whoever goes on from it.

    scaling : of the features; unit : mean and deviation of targets that are numbers, else 0 and 1; squares : how large
    the squared gradient of a row is for each weight `(features + 1, outputs)`, in these units; None if not known.
    """

    scaling: Scaling
    unit: tuple[float, float]
    squares: Array | None


def ground_of(problem: Problem, weights: Array) -> Ground:
    """Look once more at some of the rows that raw `weights` were learned from."""
    unit = (0.0, 1.0)
    if problem.targets.dtype.kind == "f":
        moments = _Moments()
        moments.add(problem.targets[:, None], problem.weights)
        unit = moments.unit(problem.intercept)
    some = slice(None, None, -(-problem.rows // ROWS_SEEN))
    part = replace(problem, X=problem.X[some], targets=problem.targets[some], weights=problem.weights[some])
    training = in_training_units(part, mean=unit[0], scale=unit[1])
    rows, trained = as_matrix(training.rows.rows), training.trained(weights)
    scores = rows @ trained[:-1] + trained[-1]
    slopes = values_and_gradients(training.loss, scores, training.rows.targets)[1] * part.weights[:, None]
    squared = np.square(rows) if isinstance(rows, np.ndarray) else rows.power(2)
    squares = np.vstack([squared.T @ slopes**2, (slopes**2).sum(axis=0)]) / part.rows
    return Ground(training.scaling, unit, squares)


@dataclass
class Online:
    """A mixture of copies that learn from the same rows, each at its pace; the answer is the average of their weights.

    Each copy counts by its losses on the rows of later calls before it learned from them, since these are what it was
    asked for: judged row by row, copies are best that are lost a hundred rows later. On the first 8,000 rows of elec2,
    ten a call, the log loss of the answers fell from 0.43 to 0.39, after a fit to 2,000 of them from 0.30 to 0.28.

    loss, outputs, l2, l1 : of the problem; intercept : whether there is one; standardize : whether features are scaled
    by what has been seen so far; weights : raw `(features + 1, outputs)` from which all copies start; ground : what
    the training of these has left, whose scaling then stays; None to begin with nothing.
    """

    loss: Loss
    outputs: int
    l2: float
    l1: float
    intercept: bool
    standardize: bool
    weights: Array
    ground: Ground | None = None
    _state: MixtureState | None = None
    _columns: _Moments = field(default_factory=_Moments)
    _targets: _Moments = field(default_factory=_Moments)
    _scaling: Scaling | None = None
    _unit: tuple[float, float] = (0.0, 1.0)
    _scaled_at: float = 0.0

    def learn(self, X: Any, targets: NDArray[Any], weights: Array) -> None:
        """Learn from rows; the answer is then in `weights`."""
        before = self._scaling, self._unit
        if self.ground is None:
            self._take_in(X, targets, weights)
        else:
            self._scaling, self._unit = self.ground.scaling, self.ground.unit
        assert self._scaling is not None
        problem = Problem(X, targets, weights, self.loss, self.outputs, self.l2, self.l1, self.intercept, self._scaling)
        training = in_training_units(problem, mean=self._unit[0], scale=self._unit[1])
        sparse = not isinstance(training.rows.rows, np.ndarray)
        penalties = training.l2, training.l1
        mixture = Mixture(training.loss, len(self.weights) - 1, self.outputs, sparse, *penalties, self.intercept)
        if self._state is None:
            state = self._begun(mixture, training)
        else:
            state = _rescaled(mixture, self._state, before, (training.scaling, self._unit))
        for chunk in cut(training.rows._replace(weights=weights.astype(np.float32))):
            if self._state is None and self.ground is None:
                state, _ = mixture.advance(state, chunk)
            else:
                standing = np.exp(-len(chunk.targets) / MEMORY_ROWS) * state.standing + mixture.losses(state, chunk)
                state, _ = mixture.advance(state, chunk)
                state.standing[:] = standing
            self._state = state
        self._scaling = training.scaling
        self.weights = training.raw(mixture.weights(state))

    def _begun(self, mixture: Mixture, training: Training) -> MixtureState:
        """Start all copies from the weights."""
        weights = training.trained(self.weights)
        if self.ground is not None:
            squares = self.ground.squares
            return mixture.start(weights, np.ones_like(weights) if squares is None else squares)
        # Nothing has been learned yet that would speak for the slow ones. Squares as of few rows let first steps be
        # long, and grow shorter; as of a single row, the first two rows of a stream were followed far too far.
        state = mixture.start(weights, np.full_like(weights, MEMORY_ROWS / HALF_LIFE))
        state.standing[:] = 0.0
        return state

    def _take_in(self, X: Any, targets: NDArray[Any], weights: Array) -> None:
        """Take the rows into the moments, and scale by these when there are enough new ones."""
        if self._scaling is None:
            self._scaling = unscaled(X.shape[1])
        if not self.standardize:
            return
        numbers = targets.dtype.kind == "f"
        self._columns.add(X, weights)
        if numbers:
            self._targets.add(targets[:, None], weights)
        if self._columns.weight >= GROWN * self._scaled_at:
            self._scaled_at = self._columns.weight
            self._scaling = self._columns.scaling(isinstance(X, np.ndarray) and self.intercept)
            if numbers:
                self._unit = self._targets.unit(self.intercept)


def _variance(X: Any, weights: Array, centre: Array) -> Array:
    """Give the variance of each column around its mean."""
    shares = weights / weights.sum()
    if isinstance(X, np.ndarray):
        return shares @ np.square(X - centre)
    squares = X.copy()
    squares.data = squares.data**2
    return np.maximum(shares @ squares - centre**2, 0.0)


def _rescaled(
    mixture: Mixture,
    state: MixtureState,
    before: tuple[Scaling | None, tuple[float, float]],
    now: tuple[Scaling, tuple[float, float]],
) -> MixtureState:
    """Say the same with weights of features and targets that are scaled in another way."""
    (old, (mean, unit)), (new, (new_mean, new_unit)) = before, now
    assert old is not None
    same = np.array_equal(old.factor, new.factor) and np.array_equal(old.centre, new.centre)
    if same and (mean, unit) == (new_mean, new_unit):
        return state
    growth = np.append(new.factor / old.factor, 1.0) * unit / new_unit

    def change(weights: Array) -> Array:
        raw = old.raw(weights) * unit
        raw[-1] += mean - new_mean
        return new.scaled(raw) / new_unit

    return mixture.rescaled(state, change, growth**2)
