"""The learning rates of runs: base rates, times the factors of their schedules."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schuss.descent.schedules import Plateau, Schedule, Slowed, WarmUp, bound, parse_schedule
from schuss.population.population import Run

__all__ = ["bases", "factors", "of_steps", "schedules", "slowed_by"]


def schedule_of(run: Run) -> Schedule:
    """Give the schedule that a run follows."""
    return bound(parse_schedule(run.schedule), run.learning_rate, run.l2)


@lru_cache(maxsize=64)
def schedules(runs: tuple[Run, ...]) -> list[Schedule]:
    """Give the different schedules that runs follow."""
    return list(dict.fromkeys(schedule_of(run) for run in runs))


def factors(runs: tuple[Run, ...], progress: NDArray[np.float64], steps: float) -> NDArray[np.float64]:
    """Give by what each schedule multiplies the base rates `(n, schedules)` at these points of a leg of `steps`."""
    return np.stack([schedule.factors(progress, steps) for schedule in schedules(runs)], axis=1)


@lru_cache(maxsize=64)
def bases(runs: tuple[Run, ...], block: int, lanes: int, slowed: tuple[Slowed, ...]) -> NDArray[np.float64]:
    """Give the learning rate of each run of a block, in the line of its schedule `(schedules, lanes)`.

    slowed : what plateaus have done to each run, empty if there are none.
    """
    known = schedules(runs)
    rates = np.zeros((len(known), lanes))
    for place in range(block * lanes, min((block + 1) * lanes, len(runs))):
        slow = slowed[place].factor if slowed else 1.0
        rates[known.index(schedule_of(runs[place])), place - block * lanes] = runs[place].learning_rate * slow
    return rates


def of_steps(
    runs: tuple[Run, ...], slowed: tuple[Slowed, ...], *, rows: int, planned_rows: int, batch_size: int, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give factors `(steps, schedules)` and bases `(schedules, runs)`, whose product are the rates of coming steps.

    rows : of the leg that have been learned; planned_rows : all that it has.
    """
    progress = np.minimum((rows + batch_size * np.arange(steps)) / planned_rows, 1.0)
    return factors(runs, progress, planned_rows / batch_size), bases(runs, 0, len(runs), slowed)


def slowed_by(runs: tuple[Run, ...], slowed: tuple[Slowed, ...], losses: dict[int, float]) -> tuple[Slowed, ...]:
    """Give what plateaus make of these held-out losses, by the runs' numbers; empty where no run follows one."""
    plateaus = [schedule.after if isinstance(schedule, WarmUp) else schedule for schedule in map(schedule_of, runs)]
    if not any(isinstance(one, Plateau) for one in plateaus):
        return ()
    now = slowed or (Slowed(),) * len(runs)
    return tuple(
        one.after(before, losses[run.number]) if isinstance(one, Plateau) and run.number in losses else before
        for one, before, run in zip(plateaus, now, runs, strict=True)
    )
