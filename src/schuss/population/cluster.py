"""A population that many machines teach: each learns from rows of its own, and then their models are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from ..cluster.workers import Workers
from ..data.chunk import CHUNK_ROWS, Chunk, take
from ..data.cluster_feed import Chosen, Piece, Round
from ..data.saved import Saved
from .changes import Changes, applied, average_of_changes, changes, size_of
from .population import Population, Tallies

__all__ = ["learn", "on_workers"]

APART = 1 << 48
"""By how many rows workers seem to be apart to what is drawn by the rows seen so far, such as masks of dropout."""


NARROW = 1 << 20
"""States of so many bytes are sent as they are; of wider ones, only what has changed since one that was sent."""


def learn(
    population: Population,
    base: Saved,
    news: Changes | None,
    share: int,
    pieces: Sequence[Piece | Chosen],
    *rows: Chunk,
) -> tuple[None, tuple[Changes, Tallies]]:
    """Learn from pieces of spans, with the rows of each span; give the state, and what was said of each run before.

    base, news : a state sent before, and how the one to begin with differs from it (None: not at all). share : the
    number of these pieces among those of the round, so that what is drawn at random differs from others'.
    The state after it is told by how it differs from that before.
    """
    saved = base if news is None else applied(base, news)
    own = {"seen": saved.values["seen"] + share * APART} if "seen" in saved.values else {}
    state = population.resumed(saved._replace(values=saved.values | own))
    loss, weight, count = 0.0, 0.0, 0
    for piece, span in zip(pieces, rows, strict=True):
        for chunk in _chunks(piece, span):
            state, tallies = population.advance(state, chunk)
            loss, weight, count = loss + tallies.loss, weight + tallies.weight, count + tallies.rows
    after = changes(population.saved(population.up_to_date(state)), saved)
    return None, (after, Tallies(np.asarray(loss), weight, count))


def _chunks(piece: Piece | Chosen, span: Chunk) -> Any:
    """Give the rows of a piece in their order."""
    places = piece.places()
    for start in range(0, len(places), CHUNK_ROWS):
        yield take(span, places[start : start + CHUNK_ROWS])


@dataclass
class Sent:
    """What workers have been sent: a state, and what stands for it with them."""

    base: Saved | None = None
    reference: Any = None

    def news(self, saved: Saved, put: Callable[[Any], Any]) -> Any:
        """Have workers know a state; give what stands for its differences from `reference`, None if there are none."""
        if self.base is not None and _shapes(self.base) == _shapes(saved) and _bytes_of(saved) > NARROW:
            told = changes(saved, self.base)
            if 2 * size_of(told) < _bytes_of(saved):
                return put(told)
        self.base, self.reference = saved, put(saved)
        return None


def _shapes(saved: Saved) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in saved.arrays.items()}


def _bytes_of(saved: Saved) -> int:
    return sum(array.nbytes for array in saved.arrays.values())


@dataclass(frozen=True)
class Cluster:
    """Runs that workers teach, as one population: all it does not do itself its `own` does."""

    own: Population
    workers: Workers
    _sent: Sent = field(default_factory=Sent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    @cached_property
    def _put(self) -> Any:
        """What stands for the population with the workers, as it was before it was first used."""
        return self.workers.put(replace(cast(Any, self.own)))

    def begin_leg(self, state: Any, planned_rows: int) -> Any:
        """Begin the schedules anew: they count the rows that one worker learns from."""
        return self.own.begin_leg(state, self._each(planned_rows))

    def replan(self, state: Any, planned_rows: int) -> Any:
        """Let the schedules reach their end after so many rows of the leg, those of all workers."""
        return self.own.replan(state, self._each(planned_rows))

    def _each(self, rows: int) -> int:
        return max(rows // self.workers.count, 1)

    def advance(self, state: Any, round: Round) -> tuple[Any, Tallies]:
        """Learn from a round: all begin with the same weights, and end with their average."""
        saved = self.own.saved(self.own.up_to_date(state))
        begin, news = self.workers.begin, self._sent.news(saved, self.workers.put)
        jobs = [
            begin(learn, self._put, self._sent.reference, news, share, pieces, *rows)
            for share, (pieces, rows) in enumerate(zip(round.shares, round.rows, strict=True))
        ]
        told = [told for _, told in self.workers.end(jobs)]
        counts = [tallies.rows for _, tallies in told]
        loss = np.sum([tallies.loss for _, tallies in told], axis=0)
        mean = average_of_changes(saved, [state for state, _ in told], counts)
        values = {**mean.values, "rows": saved.values["rows"] + sum(counts) // self.workers.count}
        after = self.own.resumed(mean._replace(values=values))
        return after, Tallies(loss, sum(tallies.weight for _, tallies in told), sum(counts))


def on_workers(population: Population, workers: Workers) -> Population:
    """Let workers teach a population."""
    return cast(Population, Cluster(population, workers))
