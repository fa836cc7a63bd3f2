"""How long to train: the planning of legs, and why no further leg follows."""

from __future__ import annotations

from ..data.chunk import CHUNK_ROWS
from .state import Champion, Race

__all__ = ["advice", "begin_leg", "correct", "leg_is_over", "replan", "still_falling", "why_stop"]

FIRST_LEG_ROWS = 65_536
"""Rows of the first leg on small data: about 2,000 mini-batches of 32."""

SHORT_LEG_ROWS = 16_384
LONGEST_SHORT_LEG = 262_144
"""Rows of the one leg of a short race: whole epochs, but no more than the second. Where full passes follow, 65,536 rows
or an epoch end at the same losses within 0.03 % of the gain, on sets of 135,000 to four million rows.
"""

FEWEST_ROWS = 64
"""Legs over fewer rows have as many epochs as over these: an epoch is at least one mini-batch, however small."""

ENOUGH_ROWS = 64
"""With `--epochs auto`, training ends at the latest after so many times the rows of the first leg."""

STILL_FALLING = 0.001
"""A leg was worth its rows if it lowered the best held-out loss by this share of the gain over the constant prediction.

Counted in the loss itself, a loss near zero would go on falling by a percent of nothing for a hundred epochs.
"""

SAFETY = 0.9
"""Share of the time that is left which a leg is planned to take."""


def begin_leg(race: Race) -> None:
    """Plan the next leg and begin every schedule anew."""
    race.leg += 1
    speed = race.leg_rows / max(race.seconds - race.seconds_before_leg, 1e-9) if race.leg else None
    race.leg_start, race.leg_rows = race.rows, 0
    race.seconds_before_leg = race.seconds
    planned = _leg_epochs(race) * race.feed.training_rows
    race.planned = _affordable(race, min(planned, LONGEST_SHORT_LEG) if race.plan.short() else planned, speed)
    for contender in race.contenders:
        contender.state = contender.population.begin_leg(contender.state, race.planned)
    epochs = race.planned / max(race.feed.training_rows, 1)
    race.record("leg", leg=race.leg, start_rows=race.rows, planned_rows=race.planned, epochs=epochs)


def _leg_epochs(race: Race) -> int:
    """Give the whole epochs of the coming leg."""
    if race.plan.epochs is not None:
        return min(race.plan.epochs, race.feed.epochs_at_most or race.plan.epochs)
    first = -(-(SHORT_LEG_ROWS if race.plan.short() else FIRST_LEG_ROWS) // max(race.feed.training_rows, FEWEST_ROWS))
    epochs = first * 2**race.leg
    return min(epochs, race.feed.epochs_at_most or epochs)


def _affordable(race: Race, planned: int, speed: float | None) -> int:
    """Shorten a leg to what the time limit leaves room for."""
    if race.plan.seconds is None or speed is None:
        return planned
    left = max(race.plan.seconds - race.seconds, 0.0)
    return min(planned, max(int(SAFETY * left * speed), CHUNK_ROWS))


def correct(race: Race) -> None:
    """Plan epochs that were asked for anew when their rows, which may have been an estimate, are known."""
    exact = (race.plan.epochs or 0) * race.feed.training_rows
    if exact and not race.shortened and exact != race.planned:
        race.planned = exact
        for contender in race.contenders:
            contender.state = contender.population.replan(contender.state, exact)


def leg_is_over(race: Race, ends_epoch: bool) -> bool:
    """Whether a leg is over: with the last epoch asked for, else by its rows, at an epoch's end if that is near."""
    if race.plan.epochs is not None and not race.shortened:
        return ends_epoch and race.epoch >= _leg_epochs(race)
    nearly = race.leg_rows > race.planned - race.feed.training_rows // 2
    return race.leg_rows >= race.planned or (ends_epoch and nearly)


def replan(race: Race, begun: float) -> None:
    """Shorten a leg whose speed is known now, if it would outlast the time limit."""
    speed = race.leg_rows / max(race.seconds - begun, 1e-9)
    affordable = race.leg_rows + _affordable(race, race.planned, speed)
    if affordable < race.planned:
        race.planned, race.shortened = affordable, True
        for contender in race.contenders:
            contender.state = contender.population.replan(contender.state, affordable)
        race.record("replan", leg=race.leg, rows=race.rows, planned_rows=affordable)


def why_stop(race: Race, before: Champion | None) -> str | None:
    """Say why no further leg follows, or None if one does."""
    if race.plan.epochs is not None:
        return "epochs done"
    if race.plan.short():
        return "converged"
    if race.feed.epochs_at_most is not None and race.epoch >= race.feed.epochs_at_most:
        return "end of the stream"
    if before is not None and not still_falling(race, before):
        return "converged"
    share = min(race.feed.training_rows / FEWEST_ROWS, 1.0)
    if race.rows >= ENOUGH_ROWS * max(share * FIRST_LEG_ROWS, race.feed.training_rows):
        return "epochs done"
    if race.plan.seconds is not None:
        speed = race.rows / max(race.seconds, 1e-9)
        if SAFETY * (race.plan.seconds - race.seconds) * speed < (race.rows - race.leg_start) / 2:
            return "time limit"
    return None


def still_falling(race: Race, before: Champion) -> bool:
    """Whether the last leg has lowered the best held-out loss by what counts."""
    assert race.champion is not None
    gained = abs(race.constant_loss - race.champion.loss)
    return before.loss - race.champion.loss > STILL_FALLING * gained


def advice(outcome: str, falling: bool, *, short: bool) -> str:
    """Say in a sentence what the outcome means for the next training; short : whether the race was a short one."""
    if outcome == "converged" and short:
        return "a short race is enough, because what follows it decides: more epochs would not help"
    if outcome == "converged":
        return "the held-out loss no longer falls: more epochs would not help"
    if outcome in ("time limit", "interrupted") and falling:
        return "training was cut short while the held-out loss was still falling: more time may help"
    if outcome == "epochs done":
        return "all planned epochs are done; --epochs auto goes on while the held-out loss falls"
    return ""
