"""Search: methods that only compare losses. Each scores many candidates in one pass over the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from schuss.objective import Objective

from .steps import Step

__all__ = ["random_local_search", "random_search", "simulated_annealing"]

Array = NDArray[np.float64]
Generator = np.random.Generator

CANDIDATES = 64
SCALES = (1e-3, 1.0)


def _noise(rng: Generator, many: int, shape: tuple[int, ...], scales: tuple[float, float]) -> Array:
    """Draw normal arrays `(many, *shape)`, the standard deviation of each log-uniform between two scales."""
    sizes = np.exp(rng.uniform(*np.log(scales), size=many))
    return sizes.reshape(-1, *[1] * len(shape)) * rng.normal(size=(many, *shape))


def _best_so_far(objective: Objective, start: Array, propose: Callable[[Array], Array]) -> Iterator[Step]:
    """Score what is proposed from the best weights so far `(K, *shape)` in one pass, and keep the best seen."""
    best, loss, rows = start, float(objective.values(start[None])[0]), objective.pass_rows
    while True:
        yield Step(best, loss, rows)
        tried = propose(best)
        losses = objective.values(tried)
        rows += objective.pass_rows
        place = int(np.argmin(losses))
        if losses[place] < loss:
            best, loss = tried[place], float(losses[place])


def random_search(
    objective: Objective,
    start: Array,
    rng: Generator,
    *,
    candidates: int = CANDIDATES,
    scales: tuple[float, float] = SCALES,
) -> Iterator[Step]:
    """Guess: draw weights anew, and keep the best seen.

    candidates : scored in a pass; scales : between which the standard deviation of a candidate's weights is drawn.
    """
    return _best_so_far(objective, start, lambda best: _noise(rng, candidates, start.shape, scales))


def random_local_search(
    objective: Objective,
    start: Array,
    rng: Generator,
    *,
    candidates: int = CANDIDATES,
    scales: tuple[float, float] = SCALES,
) -> Iterator[Step]:
    """Try a step at random, and take it if it leads down: the best of some tries, each as long as chance will have it.

    candidates : scored in a pass; scales : between which the standard deviation of a step is drawn.
    """
    return _best_so_far(objective, start, lambda best: best + _noise(rng, candidates, start.shape, scales))


def simulated_annealing(
    objective: Objective,
    start: Array,
    rng: Generator,
    *,
    candidates: int = CANDIDATES,
    scales: tuple[float, float] = SCALES,
    temperature: float | None = None,
    cooling: float = 0.99,
) -> Iterator[Step]:
    """Take steps at random, uphill too while it is warm (Kirkpatrick, Gelatt and Vecchi 1983).

    A step that raises the loss by Δ is taken with the chance exp(−Δ/T); T is multiplied by `cooling` after every pass.
    So many chains as there are candidates walk beside each other; the best place that any has seen counts.

    temperature : the first T, by default a tenth of the loss at the start.
    """
    places = np.repeat(start[None], candidates, axis=0)
    losses, rows = objective.values(places), objective.pass_rows
    warmth = 0.1 * abs(float(losses[0])) if temperature is None else temperature
    best, loss = start, float(losses[0])
    while True:
        yield Step(best, loss, rows)
        tried = places + _noise(rng, candidates, start.shape, scales)
        found = objective.values(tried)
        rows += objective.pass_rows
        with np.errstate(over="ignore", under="ignore"):
            taken = rng.random(candidates) < np.exp(np.minimum(losses - found, 0.0) / warmth)
        places[taken], losses[taken] = tried[taken], found[taken]
        warmth = max(warmth * cooling, 1e-300)
        lowest = int(np.argmin(losses))
        if losses[lowest] < loss:
            best, loss = places[lowest].copy(), float(losses[lowest])
