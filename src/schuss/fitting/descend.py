"""Stochastic gradient descent along a stated schedule, a row at a time, epoch after epoch, as scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, take
from ..errors import TrainingError
from ..population.linear import Linear, LinearState
from ..population.population import Run
from .problem import Problem
from .schedule import Schedule
from .training import Training, in_training_units, placed, population_of

__all__ = ["Descent", "Pace", "descend"]

Array = NDArray[np.float64]

STEADY = 1e-6
"""With the schedule "adaptive", training ends when the loss falls no more and the rate is not above this."""

EXACTLY_AVERAGED = 2048
"""Rows in all up to which an average takes in every step; else each is that of the ends of spans of rows."""


class Pace(NamedTuple):
    """How long to train, and what is averaged.

    epochs : at most; tol : an epoch counts as one without progress unless it lowers the loss (or raises `score`) by
    this, None to take all epochs; patience : epochs without progress that end training; score : of raw weights on rows
    held out, higher is better; the best epoch's weights are given then; average : the number of the row from which on
    weights are averaged, 0 for none; generator : of the order of the rows, None for the order that they have.
    """

    epochs: int
    tol: float | None
    patience: int
    generator: np.random.Generator | None
    average: int = 0
    score: Callable[[Array], float] | None = None


class Descent(NamedTuple):
    """Raw weights `(features + 1, outputs)`, those averaged so far (or None), the epochs, and whether it converged."""

    weights: Array
    averaged: Array | None
    epochs: int
    converged: bool


class _Average:
    """The mean of the weights after every row from a number on, counted from 1."""

    def __init__(self, first: int, t: float, so_far: Array | None) -> None:
        self.first, self.t = first, t
        self.mean = so_far

    def add(self, weights: Array, rows: int) -> None:
        """Take in the weights after some rows."""
        self.t += rows
        counted = self.t - self.first  # t is one more than the rows learned from
        if counted <= 0:
            return
        before = max(counted - rows, 0)
        mean = weights if self.mean is None or not before else self.mean
        self.mean = mean + (weights - mean) * ((counted - before) / counted)


def descend(
    problem: Problem, start: Array, schedule: Schedule, pace: Pace, *, t: float = 1.0, averaged: Array | None = None
) -> Descent:
    """Train from raw weights `start` on; t : one more than the rows learned from before; averaged : the mean so far.

    Raises TrainingError when weights or losses are not finite any more.
    """
    training = in_training_units(problem)
    population = population_of(training, "sgd", problem.outputs, 1, intercept=problem.intercept)
    state = placed(population.start((_run(training, schedule.rate(t)),)), training.trained(start), problem.outputs)
    average = _Average(pace.average, t, averaged) if pace.average else None
    best, weights, best_weights, waited, epoch = np.inf, start, start, 0, 0
    for epoch in range(1, pace.epochs + 1):
        state, loss = _epoch(population, state, training, schedule, pace, t, average)
        t += problem.rows
        weights = training.raw(population.take(population.up_to_date(state), 0).weights)
        if not (np.isfinite(loss) and np.isfinite(weights).all()):
            raise TrainingError(
                f"Floating-point under-/overflow occurred at epoch #{epoch}. Scaling input data with StandardScaler or"
                " MinMaxScaler might help."
            )
        if pace.score is not None:
            loss = -pace.score(weights if average is None or average.mean is None else average.mean)
        waited = waited + 1 if pace.tol is not None and loss > best - pace.tol else 0
        if loss < best:
            best, best_weights = loss, weights
        if pace.tol is not None and waited >= pace.patience:
            if schedule.name != "adaptive" or schedule.eta0 <= STEADY:
                break
            schedule, waited = schedule._replace(eta0=schedule.eta0 / 5.0), 0
    if pace.score is not None and pace.tol is not None:
        weights = best_weights
    return Descent(weights, None if average is None else average.mean, epoch, waited >= pace.patience)


def _run(training: Training, rate: float) -> Run:
    return Run(0, "sgd", rate, training.l2, "constant", 1, l1=training.l1)


def _epoch(
    population: Linear, state: LinearState, training: Training, schedule: Schedule, pace: Pace, t: float,
    average: _Average | None,
) -> tuple[LinearState, float]:  # fmt: skip
    """Learn from all rows once, and give the mean loss of each before it was learned from."""
    count, total = len(training.rows.targets), 0.0
    order = np.arange(count) if pace.generator is None else pace.generator.permutation(count)
    for start, stop, rate in schedule.spans(t, count):
        state = replace(state, runs=(_run(training, rate),))
        single = average is not None and count * pace.epochs <= EXACTLY_AVERAGED
        for first in range(start, stop, 1 if single else stop - start):
            chunk: Chunk = take(training.rows, order[first : first + 1 if single else stop])
            state, tallies = population.advance(state, chunk)
            total += float(tallies.loss[0])
            if average is not None:
                weights = population.take(population.up_to_date(state), 0).weights
                average.add(training.raw(weights), len(chunk.targets))
    return state, total / count
