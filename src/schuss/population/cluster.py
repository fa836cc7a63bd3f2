"""A population that many machines teach: each learns from rows of its own, and then their models are averaged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from ..cluster.workers import Workers
from ..data.chunk import CHUNK_ROWS, Chunk, take
from ..data.cluster_feed import Piece, Round
from ..data.room import permutation
from ..data.saved import Saved
from .average import average
from .population import Population, Tallies

__all__ = ["learn", "on_workers"]


def learn(
    population: Population, saved: Saved, pieces: list[Piece], *rows: Chunk
) -> tuple[None, tuple[Saved, Tallies]]:
    """Learn from pieces of spans, with the rows of each span; give the state, and what was said of each run before."""
    state, loss, weight, count = population.resumed(saved), 0.0, 0.0, 0
    for piece, span in zip(pieces, rows, strict=True):
        for chunk in _chunks(piece, span):
            state, tallies = population.advance(state, chunk)
            loss, weight, count = loss + tallies.loss, weight + tallies.weight, count + tallies.rows
    return None, (population.saved(population.up_to_date(state)), Tallies(np.asarray(loss), weight, count))


def _chunks(piece: Piece, span: Chunk) -> Any:
    """Give the rows of a piece in their order."""
    places = np.arange(piece.start, piece.stop, dtype=np.int32)
    if piece.seed is not None:
        places = places[permutation(len(places), np.random.default_rng(piece.seed))]
    for start in range(0, len(places), CHUNK_ROWS):
        yield take(span, places[start : start + CHUNK_ROWS])


@dataclass(frozen=True)
class Cluster:
    """Runs that workers teach, as one population: all it does not do itself its `own` does."""

    own: Population
    workers: Workers

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
        begin, reference = self.workers.begin, self.workers.put(saved)
        jobs = [
            begin(learn, self._put, reference, pieces, *rows)
            for pieces, rows in zip(round.shares, round.rows, strict=True)
        ]
        told = [told for _, told in self.workers.end(jobs)]
        counts = [tallies.rows for _, tallies in told]
        loss = np.sum([tallies.loss for _, tallies in told], axis=0)
        mean = average([state for state, _ in told], counts)
        values = {**mean.values, "rows": saved.values["rows"] + sum(counts) // self.workers.count}
        after = self.own.resumed(mean._replace(values=values))
        return after, Tallies(loss, sum(tallies.weight for _, tallies in told), sum(counts))


def on_workers(population: Population, workers: Workers) -> Population:
    """Let workers teach a population."""
    return cast(Population, Cluster(population, workers))
