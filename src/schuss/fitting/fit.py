"""From a problem to its weights: which of the ways of learning is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from .contest import Entry, contest
from .descend import Descent, Pace, descend
from .optimum import has_optimum, optimum
from .penalty import chosen_l2
from .problem import Problem
from .schedule import Schedule, optimal_offset

__all__ = ["Fitted", "Recipe", "fit", "schedule_for"]

Array = NDArray[np.float64]

FITS = 1 << 27
"""Numbers of the rows up to which full passes are taken: 1 GiB of float64."""

TRIAL_ROWS = 8192
"""Rows of the race that finds the rate with which one run then trains."""


@dataclass(frozen=True)
class Recipe:
    """How to learn; the names are those of the estimators.

    learning_rate : "auto", or one of scikit-learn's schedules; choose_l2 : whether to choose λ₂ by cross-validation;
    average : the number of the row from which on weights are averaged, 0 for none.
    """

    learning_rate: str
    eta0: float
    power_t: float
    alpha: float
    max_iter: int
    tol: float | None
    n_iter_no_change: int
    shuffle: bool
    average: int
    optimizers: tuple[str, ...]
    schedule: str
    runs: int
    seed: int
    choose_l2: bool = False


class Fitted(NamedTuple):
    """Raw weights `(features + 1, outputs)`, their average so far or None, passes over the rows, and λ₂.

    converged : whether training ended before its epochs were used up.
    """

    weights: Array
    averaged: Array | None
    epochs: int
    converged: bool
    l2: float


def schedule_for(problem: Problem, recipe: Recipe) -> Schedule:
    """Give the schedule of a recipe."""
    offset = optimal_offset(problem.loss, recipe.alpha) if recipe.learning_rate == "optimal" else 0.0
    return Schedule(recipe.learning_rate, recipe.eta0, recipe.power_t, recipe.alpha, offset)


def fit(
    problem: Problem,
    recipe: Recipe,
    start: Array | None = None,
    score: Callable[[Array], float] | None = None,
    *,
    t: float = 1.0,
    averaged: Array | None = None,
) -> Fitted:
    """Learn, from raw weights `start` or from zero.

    With "auto", a problem that can be solved is solved; what cannot (epochs that were asked for with `tol` None, a loss
    without an optimum worth having, too many rows) races. With a schedule, training follows it; then, unless epochs
    were asked for or a score stops it, a problem that can be solved is solved from there, also where the schedule led
    to weights that are not finite.

    score : of raw weights on rows held out, ends training when it rises no more.
    """
    if recipe.choose_l2:
        problem = replace(problem, l2=chosen_l2(problem, recipe.seed))
    solvable = recipe.tol is not None and score is None and has_optimum(problem) and problem.numbers <= FITS
    if recipe.learning_rate == "auto":
        if solvable:
            return _solved(problem, recipe, start, None)
        if score is None:
            return _raced(problem, recipe)
        recipe = _with_raced_rate(problem, recipe)
    begin = np.zeros(problem.shape) if start is None else start
    solvable = solvable and not recipe.average
    try:
        done = descend(problem, begin, schedule_for(problem, recipe), _pace(recipe, score), t=t, averaged=averaged)
    except TrainingError:
        if not solvable:
            raise
        return _solved(problem, recipe, start, None)
    if solvable:
        return _solved(problem, recipe, done.weights, done)
    return Fitted(done.weights, done.averaged, done.epochs, done.converged, problem.l2)


def _pace(recipe: Recipe, score: Callable[[Array], float] | None) -> Pace:
    generator = np.random.default_rng(recipe.seed) if recipe.shuffle else None
    return Pace(recipe.max_iter, recipe.tol, recipe.n_iter_no_change, generator, recipe.average, score)


def _solved(problem: Problem, recipe: Recipe, start: Array | None, after: Descent | None) -> Fitted:
    """Solve, from where a descent ended if there was one."""
    assert recipe.tol is not None
    begin = _constant(problem) if start is None else problem.scaling.scaled(start)
    found = optimum(problem, begin, passes=recipe.max_iter, tol=recipe.tol)
    epochs = found.passes if after is None else after.epochs
    return Fitted(problem.scaling.raw(found.weights), None, epochs, found.converged, problem.l2)


def _constant(problem: Problem) -> Array:
    """Give weights of zero, and the mean of targets that are numbers for the intercept."""
    weights = np.zeros(problem.shape)
    if problem.intercept and problem.targets.dtype.kind == "f":
        weights[-1] = np.average(problem.targets, weights=problem.weights)
    return weights


def _entry(recipe: Recipe, epochs: int | None) -> Entry:
    order = "shuffle" if recipe.shuffle else "keep"
    return Entry(recipe.runs, recipe.optimizers, recipe.schedule, epochs, recipe.max_iter, order, recipe.seed)


def _raced(problem: Problem, recipe: Recipe) -> Fitted:
    """Race for so many epochs if `tol` is None, else until more would not help.

    Many epochs are raced for by few: then the best rate takes them all alone.
    """
    entry = _entry(recipe, recipe.max_iter if recipe.tol is None else None)
    trial = max(-(-TRIAL_ROWS // problem.rows), 1)
    if entry.epochs is not None and entry.epochs > 2 * trial:
        found = contest(problem, entry._replace(epochs=trial))
        entry = entry._replace(optimizers=(found.optimizer,), learning_rate=found.learning_rate)
    done = contest(problem, entry)
    return Fitted(done.weights, None, done.epochs, done.outcome == "converged", problem.l2)


def _with_raced_rate(problem: Problem, recipe: Recipe) -> Recipe:
    """Find the rate of plain descent by a short race."""
    trial = min(max(-(-TRIAL_ROWS // problem.rows), 1), recipe.max_iter)
    entry = _entry(replace(recipe, optimizers=("sgd",), schedule="constant"), trial)._replace(batch_size=1)
    return replace(recipe, learning_rate="constant", eta0=contest(problem, entry).learning_rate)
