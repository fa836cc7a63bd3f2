"""What a race is made of, and all that changes while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..data.feed import Feed
from ..data.saved import Saved
from ..population.population import Population, Run, WinnerState
from .record import Recorder

__all__ = ["Champion", "Contender", "Finish", "Plan", "Race", "Saving"]


class Plan(NamedTuple):
    """How long to train: so many epochs (None: until it no longer helps), at most so many seconds (None: no limit).

    short : whether the race is a first look at the rates, by one short leg, because what follows decides; asked when a
    leg begins or ends, for of rows that stream by it is known after their first epoch.
    """

    epochs: int | None
    seconds: float | None
    short: Callable[[], bool] = lambda: False


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
    """The best finished run so far: what it is, what it learned, and how it was judged.

    rows : training rows that it has seen; passes : full passes over the rows that finished it after the race.
    """

    run: Run
    state: WinnerState
    loss: float
    rows: int
    passes: int = 0


class Finish(NamedTuple):
    """How a race ended; rows: training rows that each finalist has seen; epochs: the same in epochs."""

    champion: Champion
    outcome: str
    advice: str
    rows: int
    epochs: float


class Saving(NamedTuple):
    """How a race is written down: `due` says whether the time has come, `write` gets all of it and of its feed."""

    due: Callable[[], bool]
    write: Callable[[Saved], None]


@dataclass
class Race:
    """All that changes while a race goes on; losses are training's, times `unit` they are the record's.

    interval, due : rows of a leg between two evaluations, and until the next one; begun : seconds when a leg began to
    learn; replanned : whether it has been planned by its speed; pause : how its feed goes on after the chunk learned
    last, where that is known.
    """

    feed: Feed
    contenders: list[Contender]
    plan: Plan
    constant_loss: float
    record: Recorder
    stop_requested: Callable[[], bool]
    started: float
    unit: float = 1.0
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
    best_loss: float | None = None
    interval: int = 1
    due: int = 1
    begun: float = 0.0
    replanned: bool = False
    last_told: float = 0.0
    saving: Saving | None = None
    pause: Saved | None = None

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
