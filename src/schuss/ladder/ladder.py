"""The rungs of the ladder: what each method is given, and how it is followed for equal seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..baselines import METHODS, Point, Step, Trajectory, follow
from ..data.chunk import Chunk, SparseRows, take
from ..data.feed import MemoryFeed
from ..descent.losses import Loss, judge_of
from ..errors import TrainingError
from ..finish.finish import finish, run_rows
from ..objective import LinearObjective, in_float64
from ..population.population import Run
from ..race.loop import Contender, Plan, run_race
from ..race.record import Event, Recorder
from ..training.lineup import Constant, line_up
from ..training.preparation import Prepared

__all__ = ["Rung", "Task", "pieces", "rungs"]

PRODUCTS_AT_ONCE = 2e9
"""Products of a pass over many candidates, about a tenth of a second: a search that is to stop is asked that often."""

CANDIDATES = (4, 64)
"""Candidates that searches score in a pass, at least and at most."""

FIRST_ROWS = 32
"""Rows after which optimizers are first looked at; then twice as many, and so on."""

SEARCHES = ("random search", "random local search", "simulated annealing", "numerical gradient")
WHOLE = ("gradient descent", "backtracking", "Newton", "L-BFGS")


class Rung(NamedTuple):
    """A method and how it went.

    kind : "search", "all rows", "sample" or "race"; setting : what it was given; trajectory : on the held-out rows that
    choose, in the units of the data.
    """

    name: str
    kind: str
    setting: str
    trajectory: Trajectory


@dataclass(frozen=True)
class Task:
    """What all rungs share: the data, the objective, and how long each may take."""

    prepared: Prepared
    feed: MemoryFeed
    loss: Loss
    constant: Constant
    unit: float
    l2: float
    seconds: float

    @property
    def start(self) -> NDArray[np.float64]:
        """Weights of zero."""
        return np.zeros((self.prepared.encoder.width + 1, len(self.constant.scores)))

    def judge(self, weights: NDArray[np.float64]) -> float:
        """Give the held-out loss in the units of the data."""
        assert self.feed.select is not None
        with np.errstate(over="ignore", invalid="ignore"):
            return self.unit * float(
                LinearObjective(self.feed.select, judge_of(self.loss), 0.0).values(weights[None])[0]
            )


def rungs(
    task: Task, optimizers: tuple[str, ...], tell: Callable[[Event], None] = lambda event: None
) -> Iterator[Rung]:
    """Climb: yield every rung of the ladder once it has had its seconds, the race last."""
    smooth = task.loss.smooth and task.loss.convex
    names = [name for name in (*SEARCHES, *WHOLE) if smooth or name != "Newton"]
    samples = [("one row at a time", "sgd", 1), ("mini-batch", "sgd", 32)]
    samples += [(name, name, None) for name in optimizers]
    whole = len(names) + len(samples) + 1
    objective = LinearObjective(in_float64(task.feed.training), task.loss, task.l2)
    for place, name in enumerate(names):
        tell({"event": "rung", "name": name, "place": place, "of": whole})
        yield _by_losses_and_slopes(task, objective, name)
    for place, (name, optimizer, batch) in enumerate(samples, start=len(names)):
        tell({"event": "rung", "name": name, "place": place, "of": whole})
        yield _by_samples(task, name, optimizer, batch)
    tell({"event": "rung", "name": "race", "place": whole - 1, "of": whole})
    yield _by_race(task)


def _by_losses_and_slopes(task: Task, objective: LinearObjective, name: str) -> Rung:
    """Follow a method that looks at all rows before each step."""
    rng = np.random.default_rng(task.prepared.settings.seed)
    settings: dict[str, Any] = {}
    said = {
        "gradient descent": "rate 1 / steepest curvature",
        "backtracking": "Armijo",
        "Newton": "conjugate gradients",
        "L-BFGS": "20 corrections",
    }
    if name in SEARCHES:
        low, high = CANDIDATES
        products = _stored(task.feed.training) * task.start.shape[1]
        settings["candidates"] = int(min(max(PRODUCTS_AT_ONCE / products, low), high))
        said[name] = f"{settings['candidates']} candidates a pass"
    with np.errstate(over="ignore", invalid="ignore"):
        steps = METHODS[name](objective, task.start, rng, **settings)
        found = follow(steps, seconds=task.seconds, judge=task.judge)
    return Rung(name, "search" if name in SEARCHES else "all rows", said[name], found)


def _stored(chunk: Chunk) -> int:
    """Give how many values rows store."""
    return len(chunk.rows.values) if isinstance(chunk.rows, SparseRows) else chunk.rows.size


def _by_samples(task: Task, name: str, optimizer: str, batch: int | None) -> Rung:
    """Follow an optimizer with compiled kernels; one that has not been compiled yet is, off the clock."""
    settings = replace(
        task.prepared.settings,
        optimizer=(optimizer,),
        runs=1,
        l2=task.l2,
        schedule="constant",
        batch_size="auto" if batch is None else batch,
    )

    def contender() -> Contender:
        return line_up(settings, task.prepared.encoder, task.feed, task.loss)[0]

    for _, _ in zip(range(2), _learned(task, contender()), strict=False):
        pass
    run = contender().runs[0]
    found = follow(_learned(task, contender()), seconds=task.seconds, judge=task.judge)
    return Rung(name, "sample", _setting(run, optimizer != name), found)


def _setting(run: Run, named: bool) -> str:
    """Say with what an optimizer goes."""
    rows = "1 row" if run.batch_size == 1 else f"{run.batch_size} rows"
    return f"{run.optimizer + ', ' if named else ''}rate {run.learning_rate:.2g}, {rows}"


def _learned(task: Task, contender: Contender) -> Iterator[Step]:
    """Learn chunk after chunk, the first of them piece by piece."""
    population, (run,) = contender.population, contender.runs
    state = population.begin_leg(contender.state, task.feed.training_rows)
    yield Step(task.start, math.nan, 0)
    rows = 0
    for epoch in count():
        for chunk in task.feed.chunks(epoch):
            for piece in pieces(chunk) if rows == 0 else (chunk,):
                state, tallies = population.advance(state, piece)
                state = population.up_to_date(state)
                rows += tallies.rows
                loss = float(tallies.loss[0]) / max(tallies.weight, 1e-300)
                weights = population.take(state, run.number).weights.astype(np.float64)
                yield Step(weights, loss if math.isfinite(loss) else math.inf, rows)


def pieces(chunk: Chunk) -> Iterator[Chunk]:
    """Cut a chunk into pieces, each twice as long as the one before."""
    first, length = 0, FIRST_ROWS
    while first < len(chunk.targets):
        yield take(chunk, np.arange(first, min(first + length, len(chunk.targets))))
        first, length = first + length, 2 * length


def _by_race(task: Task) -> Rung:
    """Let the race run, and finish its winner; a short race beforehand compiles what is not compiled yet."""
    _raced(task, min(0.2, task.seconds))
    return Rung("race", "race", f"{task.prepared.settings.runs} runs", _raced(task, task.seconds))


def _raced(task: Task, seconds: float) -> Trajectory:
    """Race for so many seconds, and give the best run's loss each time that the runs were judged."""
    started = time.monotonic()
    record = Recorder()
    settings = task.prepared.settings
    contenders = line_up(settings, task.prepared.encoder, task.feed, task.loss)
    record("runs", runs=[{"run": run.number} for contender in contenders for run in contender.runs])
    shared: dict[str, Any] = {"constant_loss": task.constant.loss, "record": record, "unit": task.unit}
    ended = run_race(task.feed, contenders, Plan(None, seconds), started=started, **shared)
    points = list(_evaluations(record))
    done = finish(
        ended.champion,
        task.feed,
        task.loss,
        l2=None if settings.l2 == "auto" else float(settings.l2),
        spent_rows=run_rows(record, ended.rows),
        holdout="file",  # what is held out stays so
        stop=lambda: time.monotonic() - started >= seconds,
        **shared,
    )
    passes = sum(one["passes"] for event in record.events if event["event"] == "polish" for one in event["penalties"])
    if passes:
        rows = ended.rows + passes * task.feed.training_rows
        points.append(Point(time.monotonic() - started, rows, task.unit * done.scored.loss))
    weights = done.scored.state.weights.astype(np.float64)
    if not np.isfinite(weights).all():
        raise TrainingError("every run of the race diverged")
    return Trajectory(tuple(points), weights, ended.rows, ended.outcome)


def _evaluations(record: Recorder) -> Iterator[Point]:
    """Give the best loss of every evaluation."""
    for event in record.events:
        if event["event"] == "evaluation":
            losses = [loss for loss in event["holdout_loss"].values() if loss is not None]
            yield Point(event["seconds"], event["rows"], min(losses, default=math.inf))
