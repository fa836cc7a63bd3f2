"""The way of a model followed again as its record tells it: where it was at the start, and then ever more rarely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.feed import Feed, MemoryFeed
from ..finish.committee import FOLDS, MEMBERS, all_rows, learned_anew
from ..ladder.ladder import pieces
from ..model.model import Model
from ..population.population import Run
from ..race.record import Event
from ..training.lineup import line_up, population_of
from ..training.preparation import Prepared

__all__ = ["retraced"]

RETRACED_ROWS = 131_072
"""How far the winner is followed again at most, to see its path."""

RETRACED_WORK = 3e9
"""Rows times parameters of a network that is followed again at most: some seconds."""

Place = tuple[NDArray[np.float32], str]


def retraced(model: Model, prepared: Prepared, feed: Feed, record: Sequence[Event]) -> Iterator[Place]:
    """Give where the winner was at the start, and after ever more rows, each time twice as many.

    Linear models and the winners of a race of networks are followed for the race's first leg; networks of a committee,
    of which the first one is meant, from beginning to end. The record tells the settings and how long it was, and the
    feed gives the rows in the same order.
    """
    follow = _member if model.network is not None and len(model.weights) > 1 else _winner
    return follow(model, prepared, feed, record)


def _winner(model: Model, prepared: Prepared, feed: Feed, record: Sequence[Event]) -> Iterator[Place]:
    """Run the winner's first leg again."""
    chosen, number = record[-1]["chosen"], record[-1]["winner"]
    known = {name: chosen[name] for name in ("optimizer", "learning_rate", "schedule", "l2", "batch_size")}
    settings = replace(prepared.settings, runs=1, **{**known, "optimizer": (known["optimizer"],)})
    contender = line_up(settings, prepared.encoder, feed, model.formula)[0]
    population, run = contender.population, contender.runs[0]
    run = run._replace(number=number, init=chosen.get("init", run.init))
    most = RETRACED_ROWS
    if model.network is not None:
        most = min(most, int(RETRACED_WORK // model.network.size))
    planned = min(next(event["planned_rows"] for event in record if event["event"] == "leg"), most)
    state, rows = population.begin_leg(population.start((run,)), planned), 0
    yield population.take(state, number).weights, "start"
    due = 0
    for chunk in chain.from_iterable(map(feed.chunks, count())):
        for piece in pieces(chunk) if rows == 0 else (chunk,):
            state, tallies = population.advance(state, piece)
            rows += tallies.rows
            if rows >= due or rows >= planned:
                due = 2 * rows
                state = population.up_to_date(state)
                yield population.take(state, number).weights, f"{rows:,} rows"
        if rows >= planned:
            return


def _member(model: Model, prepared: Prepared, feed: Feed, record: Sequence[Event]) -> Iterator[Place]:
    """Train the first network of a committee again, in the legs that were best; one of a fold is only begun."""
    assert isinstance(feed, MemoryFeed)
    settings, chosen = prepared.settings, record[-1]["chosen"]
    races = [event for event in record if event["event"] == "committee"]
    leg = int(np.argmin([min(event["losses"]) for event in races]))
    from_all_rows = len(model.weights) == MEMBERS
    penalties = races[0]["l2"]
    best = races[leg]["l2"][int(np.argmin(races[leg]["losses"]))]
    told = {name: chosen[name] for name in ("optimizer", "learning_rate", "l2", "schedule", "batch_size")}
    run = Run(
        number=FOLDS * (len(penalties) if from_all_rows else penalties.index(best)),
        init=chosen.get("init", "zero"),
        l1=chosen.get("l1", 0.0),
        **told,
    )
    members: Any = population_of(run.optimizer, settings, prepared.encoder, feed, model.formula, run.batch_size)
    rows, due = all_rows(feed), 0
    for weights, epoch, last in learned_anew(members, run, rows, settings.seed, leg + 1):
        if epoch >= due or last:
            due = max(2 * epoch, 1)
            yield weights, f"{epoch * len(rows.targets):,} rows" if epoch else "start"
        if not from_all_rows:
            return
