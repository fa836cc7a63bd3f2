"""All of a race, to be written down between two chunks and gone on with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ..data.feed import Feed
from ..data.saved import Saved, from_plain, to_plain, together
from ..population.population import Population, Run, WinnerState
from .record import Recorder
from .state import Champion, Contender, Finish, Plan, Race, Saving

__all__ = ["load_finish", "load_race", "save_finish", "save_race"]

_OUTSIDE = ("feed", "contenders", "plan", "record", "stop_requested", "started", "last_told", "saving", "pause")
"""What is made anew for a race that goes on."""

_APART = ("champion", "tallied")


def save_race(race: Race) -> Saved:
    """Save all that changes in a race, but for its feed and its record."""
    plain = [field.name for field in fields(race) if field.name not in (*_OUTSIDE, *_APART)]
    values: dict[str, Any] = {name: to_plain(getattr(race, name)) for name in plain}
    parts = {f"population{place}": one.population.saved(one.state) for place, one in enumerate(race.contenders)}
    if race.champion is not None:
        parts["champion"] = _save_champion(race.champion)
    tallied = [to_plain(pair) for pair in race.tallied.items()]
    return together({"plain": values, "seconds": race.seconds, "tallied": tallied}, **parts)


def load_race(
    saved: Saved,
    population: Callable[[Run], Population],
    feed: Feed,
    plan: Plan,
    record: Recorder,
    stop_requested: Callable[[], bool],
    saving: Saving | None,
) -> Race:
    """Give the race that was saved, its clock set to the seconds that it had taken.

    population : gives the population of a run and of those beside it. Raises KeyError, TypeError or ValueError where
    `saved` is not a race.
    """
    contenders = []
    while (name := f"population{len(contenders)}") in saved.values:
        state = saved.part(name)
        own = population(Run(*from_plain(state.values["runs"][0])))
        contenders.append(Contender(own, own.resumed(state)))
    return Race(
        feed,
        contenders,
        plan,
        record=record,
        stop_requested=stop_requested,
        started=time.monotonic() - saved.values["seconds"],
        champion=_load_champion(saved.part("champion")) if "champion" in saved.values else None,
        tallied=dict(from_plain(saved.values["tallied"])),
        saving=saving,
        **{name: from_plain(value) for name, value in saved.values["plain"].items()},
    )


def save_finish(finish: Finish, seconds: float) -> Saved:
    """Save how a race ended, after so many seconds."""
    values = {name: to_plain(value) for name, value in finish._asdict().items() if name != "champion"}
    return together({"plain": values, "seconds": seconds}, champion=_save_champion(finish.champion))


def load_finish(saved: Saved) -> Finish:
    """Give the end of a race that was saved."""
    plain = {name: from_plain(value) for name, value in saved.values["plain"].items()}
    return Finish(_load_champion(saved.part("champion")), **plain)


def _save_champion(champion: Champion) -> Saved:
    values = {name: to_plain(value) for name, value in champion._asdict().items() if name not in ("run", "state")}
    state = champion.state
    slots = {f"slots.{name}": array for name, array in state.slots.items()}
    arrays = Saved({"slots": [*state.slots]}, {"weights": state.weights, "carry": state.carry, **slots})
    return together({"plain": values, "run": to_plain(champion.run)}, state=arrays)


def _load_champion(saved: Saved) -> Champion:
    state = saved.part("state")
    slots = {name: state.arrays[f"slots.{name}"] for name in state.values["slots"]}
    winner = WinnerState(state.arrays["weights"], slots, state.arrays["carry"])
    plain = {name: from_plain(value) for name, value in saved.values["plain"].items()}
    return Champion(Run(*from_plain(saved.values["run"])), winner, **plain)
