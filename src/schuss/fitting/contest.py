"""A race of learning rates over rows in memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.feed import MemoryFeed
from ..data.reader import Counts
from ..descent.losses import values_and_gradients
from ..descent.optimizers import bare
from ..race.grid import default_runs
from ..race.loop import Contender, Plan, run_race
from ..race.record import Recorder
from ..training.lineup import DENSE_BATCH, FEW_OUTPUTS, available_threads
from .problem import Problem
from .training import Training, in_training_units, population_of

__all__ = ["Contest", "Entry", "contest"]

Array = NDArray[np.float64]


class Entry(NamedTuple):
    """Who races.

    epochs : None for as many as help, at most `most_epochs`; learning_rate : the one for all, None to try a range;
    batch_size : None for what suits the rows.
    """

    runs: int
    optimizers: tuple[str, ...]
    schedule: str
    epochs: int | None
    most_epochs: int
    order: str
    seed: int
    learning_rate: float | None = None
    batch_size: int | None = None


class Contest(NamedTuple):
    """The winner: raw weights `(features + 1, outputs)`, optimizer, rate and epochs, and why the race ended."""

    weights: Array
    optimizer: str
    learning_rate: float
    epochs: int
    outcome: str


def contest(problem: Problem, entry: Entry) -> Contest:
    """Race from zero with the penalty of the problem.

    Nothing is held out: the penalty is stated, so that the runs differ in how near they come to the same optimum, and
    each row tells this before it is learned from. Raises TrainingError when every run diverges.
    """
    mean, scale = _unit_of_targets(problem)
    training = in_training_units(problem, mean=mean, scale=scale)
    counts = Counts(read=problem.rows, training=problem.rows)
    classes = max(problem.outputs, 2) if problem.targets.dtype.kind in "iu" else None
    counts.add_up(training.rows, classes)
    light = problem.outputs <= FEW_OUTPUTS
    feed = MemoryFeed(training.rows, None, None, counts, entry.order, entry.seed, entry.most_epochs, light=light)
    ended = run_race(
        feed,
        _contenders(problem, training, counts, entry),
        Plan(entry.epochs, None),
        constant_loss=_constant_loss(training, problem.outputs),
        record=Recorder(),
    )
    run, weights = ended.champion.run, training.raw(ended.champion.state.weights)
    return Contest(weights, run.optimizer, run.learning_rate, max(round(ended.epochs), 1), ended.outcome)


def _unit_of_targets(problem: Problem) -> tuple[float, float]:
    """Give mean and deviation of targets that are numbers; without an intercept the mean stays where it is."""
    if problem.targets.dtype.kind != "f":
        return 0.0, 1.0
    mean = float(np.average(problem.targets, weights=problem.weights))
    scale = float(np.sqrt(np.average((problem.targets - mean) ** 2, weights=problem.weights)))
    return (mean if problem.intercept else 0.0), scale or 1.0


def _constant_loss(training: Training, outputs: int) -> float:
    """Give the loss of scores that are all zero."""
    rows = training.rows
    losses = values_and_gradients(training.loss, np.zeros((len(rows.targets), outputs)), rows.targets)[0]
    return float(np.average(losses, weights=rows.weights))


def _contenders(problem: Problem, training: Training, counts: Counts, entry: Entry) -> list[Contender]:
    """Give a population for each optimizer."""
    sparse = not isinstance(problem.X, np.ndarray)
    names = [("adagrad" if sparse else "adam") if name == "auto" else name for name in entry.optimizers]
    batch = entry.batch_size or (1 if sparse else DENSE_BATCH)
    runs = default_runs(
        entry.runs,
        optimizers=names,
        learning_rate=entry.learning_rate,
        l2=training.l2,
        l1=training.l1,
        schedules=(entry.schedule,),
        batch_size=batch,
        rows=problem.rows,
        squared_norm=counts.squared_norm / max(counts.summed, 1),
    )
    found = []
    for name in dict.fromkeys(map(bare, names)):
        threads = available_threads(None)
        population = population_of(training, name, problem.outputs, batch, threads, intercept=problem.intercept)
        found.append(Contender(population, population.start(tuple(run for run in runs if bare(run.optimizer) == name))))
    return found
