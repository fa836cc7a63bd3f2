"""The only training loop: chunks go through every population, held-out rows judge, the race decides who goes on.

Training goes in legs. In a leg the learning rates run through their whole schedule, so that every leg ends with
models that are finished; the better half starts the next leg, twice as long, from where it stands. With
`--epochs auto` legs follow one another until the held-out loss no longer falls; with a number of epochs there is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk
from ..data.feed import Feed
from ..data.saved import Saved, together
from ..errors import TrainingError
from ..population.population import Run, Tallies
from .checkpoint import save_race
from .legs import advice, begin_leg, correct, leg_is_over, replan, still_falling, why_stop
from .race import Standing, hopeless, standing, survivors
from .record import Recorder
from .state import Champion, Contender, Finish, Plan, Race, Saving

__all__ = ["Champion", "Contender", "Finish", "Plan", "go_on", "run_race"]

EVALUATIONS = 16
"""How often the held-out rows are looked at in a leg, at most."""


def run_race(
    feed: Feed,
    contenders: list[Contender],
    plan: Plan,
    *,
    constant_loss: float,
    record: Recorder,
    unit: float = 1.0,
    stop_requested: Callable[[], bool] = lambda: False,
    started: float | None = None,
    saving: Saving | None = None,
) -> Finish:
    """Train until the race is decided.

    constant_loss : held-out loss of the best constant prediction, as the populations count it; unit : what losses are
    multiplied by for the record; stop_requested : asked after every chunk; started : `time.monotonic()` from which a
    time limit counts; saving : how the race is written down on the way.

    Raises TrainingError when every run has diverged.
    """
    started = time.monotonic() if started is None else started
    race = Race(feed, contenders, plan, constant_loss, record, stop_requested, started, unit, saving=saving)
    _begin_leg(race)
    return go_on(race)


def go_on(race: Race) -> Finish:
    """Train until a race is decided, from the middle of a leg on; raises TrainingError as `run_race` does."""
    stream = _stream(race)
    while True:
        outcome = _run_leg(race, stream)
        before = race.champion
        if not race.contenders:
            outcome = "converged"  # every finalist of this leg diverged: the champion of the one before stands
            break
        now = _judge(race)
        _crown(race, now)
        outcome = outcome or why_stop(race, before)
        if outcome:
            break
        _keep(race, now, survivors(now), "behind")
        _begin_leg(race)
    champion = race.champion
    assert champion is not None
    falling = before is None or still_falling(race, before)
    said = advice(outcome, falling, short=race.plan.short())
    return Finish(champion, outcome, said, race.rows, race.epochs)


class _Item(NamedTuple):
    """A chunk or round, whether it is the last of its epoch, and how its feed goes on after it, where that is known.

    No chunk when the data are at their end.
    """

    chunk: Any
    ends_epoch: bool
    pause: Saved | None = None


def _stream(race: Race) -> Iterator[_Item]:
    """Yield chunks, epoch after epoch."""

    def pause() -> Saved | None:
        return race.feed.pause() if race.saving is not None and race.saving.due() else None

    while race.feed.epochs_at_most is None or race.epoch < race.feed.epochs_at_most:
        waiting: _Item | None = None
        for chunk in race.feed.chunks(race.epoch):
            if waiting is not None:
                yield waiting
            waiting = _Item(chunk, False, pause())
        race.epoch += 1
        if waiting is not None:
            yield _Item(waiting.chunk, True, pause())
    while True:
        yield _Item(None, True)


def _begin_leg(race: Race) -> None:
    """Begin a leg, and say when its runs are looked at."""
    begin_leg(race)
    select = race.feed.select
    held_out = 2 * len(select.targets) if select is not None else 0
    race.due = race.interval = max(race.planned // EVALUATIONS, held_out, 1)
    race.begun, race.replanned = race.seconds, race.plan.seconds is None


def _run_leg(race: Race, stream: Iterator[_Item]) -> str | None:
    """Train through a leg, or what is left of it; say why if it was cut short."""
    if _stops(race):
        return "interrupted"
    for item in stream:
        if item.chunk is None:
            return None
        _advance(race, item.chunk)
        _tell(race)
        if not race.contenders:
            return None
        race.pause = item.pause
        if race.saving is None and race.stop_requested():
            return "interrupted"
        if race.plan.seconds is not None and race.seconds >= race.plan.seconds:
            return "time limit"
        if not race.replanned and race.seconds - race.begun > 0.1 * (race.plan.seconds or 0.0):
            race.replanned = True
            replan(race, race.begun)
        if item.ends_epoch and race.epoch == 1:
            correct(race)
        if leg_is_over(race, item.ends_epoch):
            return None
        if race.leg_rows >= race.due:
            race.due = race.leg_rows + race.interval
            _eliminate(race, _judge(race))
        if _stops(race):
            return "interrupted"
    raise AssertionError("the stream of chunks has no end")


def _stops(race: Race) -> bool:
    """Write a race down where its feed can be paused; say whether it is to stop there."""
    if race.saving is None or race.pause is None:
        return False
    race.saving.write(together({}, race=save_race(race), feed=race.pause))
    race.pause = None
    return race.stop_requested()


def _advance(race: Race, chunk: Any) -> None:
    """Learn from a chunk or round in every population, and drop runs whose losses are not finite any more."""
    weight, rows = 0.0, 0
    for contender in list(race.contenders):
        contender.state, tallies = contender.population.advance(contender.state, chunk)
        weight, rows = tallies.weight, tallies.rows  # of the chunk, the same from every population
        _tally(race, contender.runs, tallies)
        finite = np.isfinite(tallies.loss).tolist()
        lost = [run for run, is_finite in zip(contender.runs, finite, strict=True) if not is_finite]
        if lost:
            _drop(race, lost, "diverged", {})
    race.tallied_weight += weight
    race.rows += rows
    race.leg_rows += rows


def _tally(race: Race, runs: tuple[Run, ...], tallies: Tallies) -> None:
    """Add up the progressive losses since the last evaluation."""
    for run, loss in zip(runs, tallies.loss.tolist(), strict=True):
        race.tallied[run.number] = race.tallied.get(run.number, 0.0) + loss


def _judge(race: Race) -> Standing:
    """Compare the runs on the held-out rows (on the rows just learned, if none are held out) and record it."""
    select = race.feed.select
    tallied = np.array([race.tallied.get(run.number, np.nan) for run in race.runs])
    progressive = tallied / max(race.tallied_weight, 1e-300)
    if select is None:
        now = standing(progressive[None, :].astype(np.float32), np.ones(1, np.float32))
    else:
        now = standing(np.concatenate([_losses(c, select) for c in race.contenders], axis=1), select.weights)
    numbers = [run.number for run in race.runs]
    race.best_loss = race.unit * float(now.means[now.best])
    means = dict(zip(numbers, now.means.tolist(), strict=True))
    errors = now.errors if select is not None else np.full(len(numbers), np.nan)
    for contender in race.contenders:
        contender.state = contender.population.hear(contender.state, means)
    race.record(
        "evaluation",
        leg=race.leg,
        rows=race.rows,
        epoch=race.epochs,
        seconds=race.seconds,
        holdout_loss=dict(zip(numbers, (race.unit * now.means).tolist(), strict=True)),
        behind_error=dict(zip(numbers, (race.unit * errors).tolist(), strict=True)),
        train_loss=dict(zip(numbers, (race.unit * progressive).tolist(), strict=True)),
    )
    race.tallied, race.tallied_weight = {}, 0.0
    return now


def _losses(contender: Contender, rows: Chunk) -> NDArray[np.float32]:
    """Give the losses of held-out rows `(rows, runs)`."""
    contender.state = contender.population.up_to_date(contender.state)
    return contender.population.losses(contender.state, rows)


def _eliminate(race: Race, now: Standing) -> None:
    """Drop the runs without hope in the middle of a leg."""
    if race.leg_rows * 4 < race.planned:
        return
    lost = hopeless(now, race.constant_loss)
    if lost.any():
        _keep(race, now, np.flatnonzero(~lost), "behind")


def _keep(race: Race, now: Standing, places: NDArray[np.int64], reason: str) -> None:
    """Go on with the runs at these places of a standing."""
    going_on = set(places.tolist())
    runs = race.runs
    losses = {run.number: race.unit * float(now.means[place]) for place, run in enumerate(runs)}
    _drop(race, [run for place, run in enumerate(runs) if place not in going_on], reason, losses)


def _drop(race: Race, lost: list[Run], reason: str, losses: dict[int, float]) -> None:
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


def _crown(race: Race, now: Standing) -> None:
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


def _tell(race: Race) -> None:
    """Tell a listener how far training is, about five times a second."""
    now = race.seconds
    if now - race.last_told < 0.2:
        return
    race.last_told = now
    race.record.tell(
        "progress",
        rows=race.rows,
        planned_rows=race.leg_start + race.planned,
        seconds=now,
        rows_per_second=race.leg_rows / max(now - race.seconds_before_leg, 1e-9),
        runs_alive=len(race.runs),
        best_loss=race.best_loss,
        epoch=race.epochs,
        leg=race.leg,
    )
