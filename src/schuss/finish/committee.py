"""On few rows the race's champion becomes a committee of networks.

A tenth of a thousand rows can tell neither a good penalty from a bad one nor when to stop. Dealt into folds, all of
them can: a row is scored by the networks that have not learned from it. All networks of all penalties learn at once, as
runs of one population whose rows weigh nothing where they are held out, in legs as in the race, the better penalties
going on, until the rows left out no longer gain by it. Then networks that begin anew learn from all rows, with the best
penalty and for as long as was best. Their scores are averaged, which is better than the best of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import CHUNK_ROWS, Chunk, join, take
from ..data.feed import Feed, MemoryFeed
from ..data.holdout import Kind
from ..descent.losses import Loss, judge_of, values_and_gradients
from ..population.population import Run, Tallies, WinnerState
from ..race.record import Recorder
from ..race.state import Champion
from .dealing import deal
from .finish import Finished, Validation

__all__ = ["FOLDS", "MEMBERS", "PENALTIES", "Members", "all_rows", "committee", "is_affordable", "learned_anew"]

PENALTIES = (30.0, 10.0, 3.0, 0.3)
"""λ₂ · N of the members."""

FOLDS = 4

MEMBERS = 5
"""Networks that learn from all rows in the end."""

GO_ON = (2, 2, 1)
"""Penalties that go on after each leg, those of the last number after all others."""

LEGS = (256, 256, 512, 1024, 2048)
"""Mini-batches of each leg, filled up to whole epochs."""

STRETCH_ROWS = 2048
"""Rows that are learned at a time: by epochs of a small set, what lies between takes as long as learning."""

STILL_FALLING = 0.005
"""A leg was worth its rows if it lowered the loss of the rows left out by this share of it."""

MOST_ROWS = 20_000
MOST_WORK = 3e8
"""Rows, and products of rows and parameters, up to which a committee takes seconds."""


class Members(Protocol):
    """A population whose rows may weigh differently in each run, and whose scores can be seen."""

    def start(self, runs: tuple[Run, ...]) -> Any:
        """Give the state of runs that have not learned anything yet."""
        ...

    def begin_leg(self, state: Any, planned_rows: int) -> Any:
        """Begin the schedules anew."""
        ...

    def advance(self, state: Any, chunk: Chunk, shares: NDArray[np.float32] | None = None) -> tuple[Any, Tallies]:
        """Learn from a chunk."""
        ...

    def scores(self, state: Any, chunk: Chunk) -> NDArray[np.float32]:
        """Give the scores `(rows, runs, outputs)`."""
        ...

    def keep(self, state: Any, numbers: list[int]) -> Any:
        """Go on with these runs alone."""
        ...

    def take(self, state: Any, number: int) -> WinnerState:
        """Copy one run out."""
        ...


@dataclass
class _Learning:
    """Runs that learn, and by what each multiplies the weights of the rows `(rows, runs)`, None for all alike."""

    runs: tuple[Run, ...]
    state: Any
    shares: NDArray[np.float32] | None


class _Best(NamedTuple):
    """What was best so far: the leg and the penalty, its networks, and their loss of the rows left out."""

    leg: int
    penalty: float
    weights: NDArray[np.float32]
    loss: float


class _Task(NamedTuple):
    """What all parts of a committee's training share."""

    members: Members
    seed: int
    stop: Callable[[], bool]

    def legs(self, going: _Learning, rows: Chunk) -> Iterator[Any]:
        """Train in legs, and give the state after each; less of the last one where training is to stop."""
        return (state for state, _, leg_is_over in self.stretches(going, rows) if leg_is_over)

    def stretches(self, going: _Learning, rows: Chunk) -> Iterator[tuple[Any, int, bool]]:
        """Train stretch by stretch, some epochs each.

        Gives after each the state, which the next one uses up, the epochs so far, and whether a leg is over.
        """
        epoch, many = 0, len(rows.targets)
        for epochs in _epochs(many, going.runs[0].batch_size):
            going.state, end = self.members.begin_leg(going.state, epochs * many), epoch + epochs
            while epoch < end:
                after = min(epoch + max(STRETCH_ROWS // many, 1), end)
                for order in self._orders(many, range(epoch, after)):
                    if self.stop():
                        break
                    own = None if going.shares is None else going.shares[order]
                    going.state = self.members.advance(going.state, take(rows, order), own)[0]
                epoch = after
                yield going.state, epoch, epoch == end

    def begun(self, runs: tuple[Run, ...], shares: NDArray[np.float32] | None = None) -> _Learning:
        """Give runs at their beginning."""
        return _Learning(runs, self.members.start(runs), shares)

    def narrow(self, going: _Learning, penalties: list[int]) -> None:
        """Go on with the runs of the penalties at these places alone."""
        kept = [place * FOLDS + fold for place in penalties for fold in range(FOLDS)]
        going.runs = tuple(going.runs[place] for place in kept)
        going.state = self.members.keep(going.state, [run.number for run in going.runs])
        going.shares = None if going.shares is None else np.ascontiguousarray(going.shares[:, kept])

    def _orders(self, many: int, epochs: range) -> Iterator[NDArray[np.int64]]:
        """Give the places of the rows of some epochs, each in an order of its own, a chunk at a time."""
        order = np.concatenate([np.random.default_rng([self.seed, n, FOLDS]).permutation(many) for n in epochs])
        yield from (order[start : start + CHUNK_ROWS] for start in range(0, len(order), CHUNK_ROWS))

    def weights(self, state: Any, runs: tuple[Run, ...]) -> NDArray[np.float32]:
        """Give the parameters of some runs `(runs, parameters)`."""
        return np.stack([self.members.take(state, run.number).weights for run in runs])


def is_affordable(feed: Feed, size: int, holdout: Kind) -> bool:
    """Whether a committee of networks with so many parameters comes after a race over these rows."""
    if not isinstance(feed, MemoryFeed) or holdout not in ("share", "none"):
        return False
    rows = feed.training_rows
    return 2 * FOLDS <= rows <= MOST_ROWS and rows * size <= MOST_WORK


def committee(
    champion: Champion,
    members: Members,
    feed: Feed,
    loss: Loss,
    *,
    l2: float | None,
    least_rate: float,
    record: Recorder,
    seed: int,
    unit: float,
    stop: Callable[[], bool],
) -> Finished:
    """Train a committee with the champion's optimizer and rate on all rows but those that score.

    l2 : the penalty that the user has fixed, None to choose one; least_rate : the champion's rate is raised to it;
    unit : what losses are multiplied by for the record; stop : asked before every chunk.
    """
    assert isinstance(feed, MemoryFeed)
    rows = _unscored_rows(feed)
    many, task = len(rows.targets), _Task(members, seed, stop)
    penalties = [level / many for level in PENALTIES] if l2 is None else [l2]
    first = champion.run._replace(learning_rate=max(champion.run.learning_rate, least_rate))
    runs = tuple(
        first._replace(number=place * FOLDS + fold, l2=penalty)
        for place, penalty in enumerate(penalties)
        for fold in range(FOLDS)
    )
    dealt = deal(rows.targets, seed, FOLDS)
    there = (dealt[:, None] != np.arange(FOLDS)) * np.float32(FOLDS / (FOLDS - 1))
    going = task.begun(runs, np.tile(there.astype(np.float32), len(penalties)))
    best: _Best | None = None
    for leg, state in enumerate(task.legs(going, rows)):
        losses, before = _losses(members.scores(state, rows), dealt, loss, rows), best
        record("committee", leg=leg, l2=penalties, folds=FOLDS, losses=[unit * one for one in losses.tolist()])
        if best is None or losses.min() < best.loss:
            place = int(losses.argmin())
            own = task.weights(state, going.runs[place * FOLDS : (place + 1) * FOLDS])
            best = _Best(leg, penalties[place], own, float(losses.min()))
        if stop() or (before is not None and not best.loss < (1 - STILL_FALLING) * before.loss):
            break
        going_on = sorted(np.argsort(losses, kind="stable")[: GO_ON[min(leg, len(GO_ON) - 1)]].tolist())
        if len(going_on) < len(penalties):
            task.narrow(going, going_on)
            penalties = [penalties[place] for place in going_on]
    assert best is not None
    run = first._replace(l2=best.penalty)
    epochs = sum(_epochs(many, run.batch_size)[: best.leg + 1])
    scored = champion._replace(run=run, state=_winner(best.weights), rows=epochs * many, loss=best.loss)
    final = scored
    if not stop():
        everything = all_rows(feed)
        anew = tuple(run._replace(number=len(runs) + place) for place in range(MEMBERS))
        state = next(islice(task.legs(task.begun(anew), everything), best.leg, None))
        final = scored if stop() else scored._replace(state=_winner(task.weights(state, anew)))
    return Finished(scored, final, Validation(many, FOLDS, unit * best.loss))


def _unscored_rows(feed: MemoryFeed) -> Chunk:
    return feed.training if feed.select is None else join([feed.training, feed.select])


def all_rows(feed: MemoryFeed) -> Chunk:
    """Give the rows that the networks of the end learn from, in their order."""
    rows = _unscored_rows(feed)
    return rows if feed.score is None else join([rows, feed.score])


def learned_anew(
    members: Members, run: Run, rows: Chunk, seed: int, legs: int
) -> Iterator[tuple[NDArray[np.float32], int, bool]]:
    """Train a network of the end again, alone, for so many legs; give its parameters at the start and on the way.

    With each come the epochs so far, and whether it is the end. A run learns the same bits whatever its neighbours.
    """
    task = _Task(members, seed, lambda: False)
    going, over = task.begun((run,)), 0
    yield task.weights(going.state, (run,))[0], 0, False
    for state, epoch, leg_is_over in task.stretches(going, rows):
        over += leg_is_over
        yield task.weights(state, (run,))[0], epoch, over == legs
        if over == legs:
            return


def _epochs(rows: int, batch: int) -> list[int]:
    """Give the epochs of each leg."""
    return [-(-steps * min(batch, rows) // rows) for steps in LEGS]


def _winner(weights: NDArray[np.float32]) -> WinnerState:
    return WinnerState(weights, {}, np.empty(0))


def _losses(scores: NDArray[np.float32], dealt: NDArray[np.int8], loss: Loss, rows: Chunk) -> NDArray[np.float64]:
    """Give the mean loss of each penalty's members over the rows that they have not learned from."""
    there = np.flatnonzero(dealt >= 0)
    by_penalty = scores.reshape(len(scores), -1, FOLDS, scores.shape[2])[there, :, dealt[there]]
    weights, targets = rows.weights[there].astype(np.float64), rows.targets[there]
    means = []
    for own in by_penalty.transpose(1, 0, 2):
        losses = values_and_gradients(judge_of(loss), own.astype(np.float64), targets)[0]
        means.append(float(np.average(losses, weights=weights)))
    return np.where(np.isfinite(means), means, np.inf)
