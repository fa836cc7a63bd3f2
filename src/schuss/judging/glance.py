"""A glance at the ground around a model that has just been trained: what its own report shows without being asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, SparseRows, take
from ..data.feed import Feed, MemoryFeed
from ..descent.losses import Loss
from ..finish.finish import Finished
from ..objective import LinearObjective, in_float64
from ..race.record import Event

__all__ = ["glance"]

CELLS = 21
LOSSES = 1_500_000
"""Losses of rows that a surface may take: a few hundredths of a second. Small trainings take one second."""

NUMBERS = 1_000_000
"""Rows times numbers of a row times outputs, of each of the some forty products that find the steepest directions."""

FEWEST_ROWS = 64
MOST_ROWS = 512
PARAMETERS = 20_000
EXACT = 150
"""With so few parameters the whole spectrum costs next to nothing."""


def glance(
    finished: Finished, race: NDArray[np.float32], feed: Feed, loss: Loss, *, unit: float, unit_name: str,
    record: Sequence[Event], chosen: Mapping[str, Any], seed: int,
) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
    """Give the events of a loss surface, the largest eigenvalues, how often features are touched, and advice.

    Nothing is given where rows do not lie in memory or the work would be noticed, which sizes decide, not a clock:
    the same training has the same record. `schuss landscape RUN` looks at all of it, with more rows.

    finished : the model; race : the weights with which the race ended.
    """
    sample = _sample(feed, finished.final.state.weights.size, len(race[0]), seed)
    if sample is None:
        return
    from ..landscape.advice import advise, facts_of
    from ..landscape.curvature import eigenpairs, products_at
    from ..landscape.density import spectrum
    from ..landscape.survey import LEADING, Ground, curvature, rows_touched, surfaces

    objective = LinearObjective(in_float64(sample), loss, finished.final.run.l2)
    end, won = (one.astype(np.float64) for one in (finished.final.state.weights, race))
    path = [(np.zeros_like(end), "zero weights"), (end, "model")]
    if not np.array_equal(end, won):
        path.insert(1, (won, "end of the race"))
    ground = Ground(objective, end, path[0][0], unit=unit, unit_name=unit_name, path=tuple(path), smooth=loss.smooth)
    leading = eigenpairs(products_at(objective, end), end.shape, LEADING, seed=seed) if loss.smooth else None
    seen = [*surfaces(ground, leading, resolution=CELLS, seed=seed, most=1)]
    if leading is not None:
        seen.append(curvature(ground, leading, spectrum(objective, end) if end.size <= EXACT else None, seed))
    seen.append(rows_touched(sample))
    finish: Event = {"event": "finish", "chosen": chosen, "winner": finished.final.run.number}
    seen.append({"event": "advice", "rules": advise(facts_of([*record, *seen, finish]))})
    for event in seen:
        yield event.pop("event"), event


def _sample(feed: Feed, parameters: int, outputs: int, seed: int) -> Chunk | None:
    """Draw as many rows as may be looked at; None if that is too few to say anything."""
    if not isinstance(feed, MemoryFeed) or parameters > PARAMETERS:
        return None
    rows, length = feed.training.rows, feed.training_rows
    numbers = len(rows.values) / length if isinstance(rows, SparseRows) else rows.shape[1]
    many = int(min(length, MOST_ROWS, LOSSES / (CELLS**2 * outputs), NUMBERS / (max(numbers, 1) * outputs)))
    if many < min(FEWEST_ROWS, length):
        return None
    return take(feed.training, np.sort(np.random.default_rng(seed).choice(length, many, replace=False)))
