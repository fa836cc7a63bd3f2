"""Descent by a sample of the rows: each step looks at a few of them. In plain NumPy; `population` has it compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schuss.descent.optimizers import SGD, penalised, scalar_table
from schuss.descent.penalties import L2
from schuss.objective import Objective

from .steps import Step

__all__ = ["Sum", "mini_batch", "one_row"]

Array = NDArray[np.float64]
Generator = np.random.Generator


class Sum(Protocol):
    """An objective that is a mean over rows, so that a part of them tells which way is down.

    l2 : the penalty on all weights but the last line, the intercepts.
    """

    @property
    def l2(self) -> float:
        """λ₂."""
        ...

    @property
    def pass_rows(self) -> int:
        """How many rows there are."""
        ...

    def part(self, places: NDArray[np.integer]) -> Objective:
        """Give the mean over some of the rows, without the penalty."""
        ...


def mini_batch(
    objective: Sum,
    start: Array,
    rng: Generator,
    *,
    batch: int = 32,
    rate: float | Callable[[int], float] = 0.01,
    order: str = "shuffle",
    rule: Any = None,
) -> Iterator[Step]:
    """Mini-batch descent: each step follows the gradient of the next few rows (Robbins and Monro 1951).

    The loss of a step is that of the rows it is about to learn from.

    batch : rows in a step; rate : η, or a function from the rows read so far to it; order : of the rows, "shuffle"
    (anew in every epoch), "once", "replace" (drawn with replacement) or "keep"; rule : an optimizer, by default SGD.
    """
    stepper = penalised(SGD() if rule is None else rule, L2())
    weights, rows = start.astype(np.float64), 0
    slots = tuple(np.zeros_like(weights) for _ in stepper.slot_names)
    carry = np.array(stepper.carry_start, np.float64).reshape(-1, 1)
    for places in _order(order, objective.pass_rows, batch, rng):
        value, gradient = objective.part(places).value_and_gradient(weights)
        yield Step(weights, value, rows)
        now = np.full((1, 1), rate(rows) if callable(rate) else rate)
        carry, table = scalar_table(stepper, carry, now, np.array([objective.l2]), np.zeros(1))
        scalars = np.repeat(table[0, :, 0, None, None], len(weights), axis=1)
        scalars[stepper.free, -1] = 0.0
        weights, slots = stepper.update(tuple(scalars), weights, gradient, slots)
        rows += len(places)


def one_row(objective: Sum, start: Array, rng: Generator, **settings: Any) -> Iterator[Step]:
    """One row at a time, as if each were seen once and forgotten: mini-batches of one."""
    return mini_batch(objective, start, rng, batch=1, **settings)


def _order(order: str, rows: int, batch: int, rng: Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each mini-batch, epoch after epoch."""
    places = np.arange(rows) if order == "keep" else rng.permutation(rows)
    while True:
        if order == "replace":
            places = rng.integers(0, rows, rows)
        for first in range(0, rows, batch):
            yield places[first : first + batch]
        if order == "shuffle":
            places = rng.permutation(rows)
