"""The only training loop: chunks go through every population, held-out rows judge, the race decides who goes on.

Training goes in legs. In a leg the learning rates run through their whole schedule, so that every leg ends with models that
are finished; the better half starts the next leg, twice as long, from where it stands. With `--epochs auto` legs follow one
another until the held-out loss no longer falls; with a number of epochs there is one leg.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import CHUNK_ROWS, Chunk
from ..data.feed import Feed
from ..errors import TrainingError
from ..population.population import Population, Run, Tallies, WinnerState
from .race import Standing, hopeless, standing, survivors
from .record import Recorder

__all__ = ["Champion", "Contender", "Finish", "Plan", "run_race"]

FIRST_LEG_ROWS = 65_536
"""Rows of the first leg on small data: about 2,000 mini-batches of 32."""

ENOUGH_ROWS = 64
"""With `--epochs auto`, training ends at the latest after so many times the rows of the first leg."""

STILL_FALLING = 0.001
"""A leg was worth its rows if it lowered the best held-out loss by this share of what is gained over the constant prediction.

Counted in the loss itself, a loss near zero would go on falling by a percent of nothing for a hundred epochs.
"""

EVALUATIONS = 16
"""How often the held-out rows are looked at in a leg, at most."""

SAFETY = 0.9
"""Share of the time that is left which a leg is planned to take."""


class Plan(NamedTuple):
    """How long to train: so many epochs (None: until it no longer helps), at most so many seconds (None: no limit)."""

    epochs: int | None
    seconds: float | None


@dataclass
class Contender:
    """A population and its state."""

    population: Population
    state: Any

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs that are still in the race."""
        return self.state.runs


class Champion(NamedTuple):
    """The best finished run so far: what it is, what it learned, and how it was judged."""

    run: Run
    state: WinnerState
    loss: float
    rows: int


class Finish(NamedTuple):
    """How a race ended; rows: training rows that each finalist has seen; epochs: the same in epochs."""

    champion: Champion
    outcome: str
    advice: str
    rows: int
    epochs: float


@dataclass
class _Race:
    """All that changes while a race goes on."""

    feed: Feed
    contenders: list[Contender]
    plan: Plan
    constant_loss: float
    record: Recorder
    stop_requested: Callable[[], bool]
    started: float
    leg: int = -1
    leg_start: int = 0
    leg_rows: int = 0
    planned: int = 0
    shortened: bool = False
    rows: int = 0
    epoch: int = 0
    seconds_before_leg: float = 0.0
    champion: Champion | None = None
    tallied: dict[int, float] = field(default_factory=dict)
    tallied_weight: float = 0.0
    last_told: float = 0.0
    best_loss: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds since training was asked for."""
        return time.monotonic() - self.started

    @property
    def runs(self) -> list[Run]:
        """The runs that are still in the race, in the order of their losses' columns."""
        return [run for contender in self.contenders for run in contender.runs]

    @property
    def epochs(self) -> float:
        """Epochs that each finalist has seen."""
        return self.rows / max(self.feed.training_rows, 1)


def run_race(
    feed: Feed,
    contenders: list[Contender],
    plan: Plan,
    *,
    constant_loss: float,
    record: Recorder,
    stop_requested: Callable[[], bool] = lambda: False,
    started: float | None = None,
) -> Finish:
    """Train until the race is decided.

    constant_loss : held-out loss of the best constant prediction; stop_requested : asked after every chunk;
    started : `time.monotonic()` from which a time limit counts.

    Raises TrainingError when every run has diverged.
    """
    race = _Race(
        feed, contenders, plan, constant_loss, record, stop_requested, time.monotonic() if started is None else started
    )
    stream = _stream(race)
    while True:
        _begin_leg(race)
        outcome = _run_leg(race, stream)
        before = race.champion
        if not race.contenders:
            outcome = "converged"  # every finalist of this leg diverged: the champion of the one before stands
            break
        now = _judge(race)
        _crown(race, now)
        outcome = outcome or _why_stop(race, before)
        if outcome:
            break
        _keep(race, now, survivors(now), "behind")
    champion = race.champion
    assert champion is not None
    falling = before is None or _still_falling(race, before)
    return Finish(champion, outcome, _advice(outcome, falling), race.rows, race.epochs)


class _Item(NamedTuple):
    """A chunk, and whether it is the last of its epoch; no chunk when the data are at their end."""

    chunk: Chunk | None
    ends_epoch: bool


def _stream(race: _Race) -> Iterator[_Item]:
    """Yield chunks, epoch after epoch."""
    while race.feed.epochs_at_most is None or race.epoch < race.feed.epochs_at_most:
        waiting: Chunk | None = None
        for chunk in race.feed.chunks(race.epoch):
            if waiting is not None:
                yield _Item(waiting, False)
            waiting = chunk
        race.epoch += 1
        if waiting is not None:
            yield _Item(waiting, True)
    while True:
        yield _Item(None, True)


def _begin_leg(race: _Race) -> None:
    """Plan the next leg and begin every schedule anew."""
    race.leg += 1
    speed = race.leg_rows / max(race.seconds - race.seconds_before_leg, 1e-9) if race.leg else None
    race.leg_start, race.leg_rows = race.rows, 0
    race.seconds_before_leg = race.seconds
    epochs = _leg_epochs(race)
    race.planned = _affordable(race, epochs * race.feed.training_rows, speed)
    _plan_leg(race)
    race.record(
        "leg", leg=race.leg, start_rows=race.rows, planned_rows=race.planned,
        epochs=race.planned / max(race.feed.training_rows, 1),
    )  # fmt: skip


def _leg_epochs(race: _Race) -> int:
    """Give the whole epochs of the coming leg."""
    if race.plan.epochs is not None:
        return min(race.plan.epochs, race.feed.epochs_at_most or race.plan.epochs)
    first = -(-FIRST_LEG_ROWS // max(race.feed.training_rows, 1))
    epochs = first * 2**race.leg
    return min(epochs, race.feed.epochs_at_most or epochs)


def _affordable(race: _Race, planned: int, speed: float | None) -> int:
    """Shorten a leg to what the time limit leaves room for."""
    if race.plan.seconds is None or speed is None:
        return planned
    left = max(race.plan.seconds - race.seconds, 0.0)
    return min(planned, max(int(SAFETY * left * speed), CHUNK_ROWS))


def _plan_leg(race: _Race) -> None:
    """Tell every population how long its schedules are."""
    for contender in race.contenders:
        state = contender.population.begin_leg(contender.state, race.planned)
        contender.state = state


def _run_leg(race: _Race, stream: Iterator[_Item]) -> str | None:
    """Train through a leg; say why if it was cut short."""
    select = race.feed.select
    interval = max(race.planned // EVALUATIONS, 2 * len(select.targets) if select is not None else 0, 1)
    due = interval
    replanned = race.plan.seconds is None
    begun = race.seconds
    for item in stream:
        if item.chunk is None:
            return None
        _advance(race, item.chunk)
        _tell(race)
        if not race.contenders:
            return None
        if race.stop_requested():
            return "interrupted"
        if race.plan.seconds is not None and race.seconds >= race.plan.seconds:
            return "time limit"
        if not replanned and race.seconds - begun > 0.1 * (race.plan.seconds or 0.0):
            replanned = True
            _replan(race, begun)
        if item.ends_epoch and race.epoch == 1:
            _correct(race)
        if _leg_is_over(race, item.ends_epoch):
            return None
        if race.leg_rows >= due:
            due = race.leg_rows + interval
            _eliminate(race, _judge(race))
    raise AssertionError("the stream of chunks has no end")


def _correct(race: _Race) -> None:
    """Plan epochs that were asked for anew when their rows, which may have been an estimate, are known."""
    exact = (race.plan.epochs or 0) * race.feed.training_rows
    if exact and not race.shortened and exact != race.planned:
        race.planned = exact
        for contender in race.contenders:
            contender.state = contender.population.replan(contender.state, exact)


def _leg_is_over(race: _Race, ends_epoch: bool) -> bool:
    """Whether a leg is over: with the last epoch asked for, else by its rows, at the end of an epoch if that is near."""
    if race.plan.epochs is not None and not race.shortened:
        return ends_epoch and race.epoch >= _leg_epochs(race)
    nearly = race.leg_rows > race.planned - race.feed.training_rows // 2
    return race.leg_rows >= race.planned or (ends_epoch and nearly)


def _replan(race: _Race, begun: float) -> None:
    """Shorten a leg whose speed is known now, if it would outlast the time limit."""
    speed = race.leg_rows / max(race.seconds - begun, 1e-9)
    affordable = race.leg_rows + _affordable(race, race.planned, speed)
    if affordable < race.planned:
        race.planned, race.shortened = affordable, True
        for contender in race.contenders:
            contender.state = contender.population.replan(contender.state, affordable)
        race.record("replan", leg=race.leg, rows=race.rows, planned_rows=affordable)


def _advance(race: _Race, chunk: Chunk) -> None:
    """Learn from a chunk in every population, and drop runs whose losses are not finite any more."""
    for contender in list(race.contenders):
        contender.state, tallies = contender.population.advance(contender.state, chunk)
        _tally(race, contender.runs, tallies)
        lost = [run for run, loss in zip(contender.runs, tallies.loss, strict=True) if not np.isfinite(loss)]
        if lost:
            _drop(race, lost, "diverged", {})
    race.tallied_weight += float(chunk.weights.sum(dtype=np.float64))
    race.rows += len(chunk.targets)
    race.leg_rows += len(chunk.targets)


def _tally(race: _Race, runs: tuple[Run, ...], tallies: Tallies) -> None:
    """Add up the progressive losses since the last evaluation."""
    for run, loss in zip(runs, tallies.loss, strict=True):
        race.tallied[run.number] = race.tallied.get(run.number, 0.0) + float(loss)


def _judge(race: _Race) -> Standing:
    """Compare the runs on the held-out rows (on the rows just learned, if none are held out) and record it."""
    select = race.feed.select
    progressive = np.array([race.tallied.get(run.number, np.nan) for run in race.runs]) / max(race.tallied_weight, 1e-300)
    if select is None:
        now = standing(progressive[None, :].astype(np.float32), np.ones(1, np.float32))
    else:
        now = standing(np.concatenate([_losses(c, select) for c in race.contenders], axis=1), select.weights)
    numbers = [run.number for run in race.runs]
    race.best_loss = float(now.means[now.best])
    race.record(
        "evaluation", leg=race.leg, rows=race.rows, epoch=race.epochs, seconds=race.seconds,
        holdout_loss=dict(zip(numbers, now.means.tolist(), strict=True)),
        train_loss=dict(zip(numbers, progressive.tolist(), strict=True)),
    )  # fmt: skip
    race.tallied, race.tallied_weight = {}, 0.0
    return now


def _losses(contender: Contender, rows: Chunk) -> NDArray[np.float32]:
    """Give the losses of held-out rows `(rows, runs)`."""
    contender.state = contender.population.up_to_date(contender.state)
    return contender.population.losses(contender.state, rows)


def _eliminate(race: _Race, now: Standing) -> None:
    """Drop the runs without hope in the middle of a leg."""
    if race.leg_rows * 4 < race.planned:
        return
    lost = hopeless(now, race.constant_loss)
    if lost.any():
        _keep(race, now, np.flatnonzero(~lost), "behind")


def _keep(race: _Race, now: Standing, places: NDArray[np.int64], reason: str) -> None:
    """Go on with the runs at these places of a standing."""
    going_on = set(places.tolist())
    runs = race.runs
    losses = {run.number: float(now.means[place]) for place, run in enumerate(runs)}
    _drop(race, [run for place, run in enumerate(runs) if place not in going_on], reason, losses)


def _drop(race: _Race, lost: list[Run], reason: str, losses: dict[int, float]) -> None:
    """Take runs out of their populations."""
    numbers = {run.number for run in lost}
    for run in lost:
        loss = losses.get(run.number)
        why = reason if loss is None or np.isfinite(loss) else "diverged"
        race.record("drop", run=run.number, leg=race.leg, rows=race.rows, reason=why, holdout_loss=loss)
    for contender in list(race.contenders):
        kept = [run.number for run in contender.runs if run.number not in numbers]
        if not kept:
            race.contenders.remove(contender)
        elif len(kept) < len(contender.runs):
            contender.state = contender.population.up_to_date(contender.state)
            contender.state = contender.population.keep(contender.state, kept)
    if not race.contenders and race.champion is None:
        rates = sorted(run.learning_rate for run in lost)
        raise TrainingError(f"every run diverged, also the one with the lowest learning rate, {rates[0]:.3g}")


def _crown(race: _Race, now: Standing) -> None:
    """Keep the best run of a finished leg if it is better than the best so far."""
    run = race.runs[now.best]
    loss = float(now.means[now.best])
    if not np.isfinite(loss) and race.champion is None:
        raise TrainingError("every run diverged on the held-out rows")
    if race.champion is not None and not loss < race.champion.loss:
        return
    contender = next(contender for contender in race.contenders if run in contender.runs)
    state = contender.population.take(contender.population.up_to_date(contender.state), run.number)
    race.champion = Champion(run, state, loss, race.rows)


def _why_stop(race: _Race, before: Champion | None) -> str | None:
    """Say why no further leg follows, or None if one does."""
    if race.plan.epochs is not None:
        return "epochs done"
    if race.feed.epochs_at_most is not None and race.epoch >= race.feed.epochs_at_most:
        return "end of the stream"
    if before is not None and not _still_falling(race, before):
        return "converged"
    if race.rows >= ENOUGH_ROWS * max(FIRST_LEG_ROWS, race.feed.training_rows):
        return "epochs done"
    if race.plan.seconds is not None:
        speed = race.rows / max(race.seconds, 1e-9)
        if SAFETY * (race.plan.seconds - race.seconds) * speed < (race.rows - race.leg_start) / 2:
            return "time limit"
    return None


def _still_falling(race: _Race, before: Champion) -> bool:
    """Whether the last leg has lowered the best held-out loss by what counts."""
    assert race.champion is not None
    gained = max(race.constant_loss - race.champion.loss, 0.0)
    return before.loss - race.champion.loss > STILL_FALLING * gained


def _advice(outcome: str, falling: bool) -> str:
    """Say in a sentence what the outcome means for the next training."""
    if outcome == "converged":
        return "the held-out loss no longer falls: more epochs would not help"
    if outcome in ("time limit", "interrupted") and falling:
        return "training was cut short while the held-out loss was still falling: more time may help"
    if outcome == "epochs done":
        return "all planned epochs are done; --epochs auto goes on while the held-out loss falls"
    return ""


def _tell(race: _Race) -> None:
    """Tell a listener how far training is, about five times a second."""
    now = race.seconds
    if now - race.last_told < 0.2:
        return
    race.last_told = now
    race.record.tell(
        "progress", rows=race.rows, planned_rows=race.leg_start + race.planned, seconds=now,
        rows_per_second=race.leg_rows / max(now - race.seconds_before_leg, 1e-9), runs_alive=len(race.runs),
        best_loss=race.best_loss, epoch=race.epochs, leg=race.leg,
    )  # fmt: skip
