"""scikit-learn's schedules of the learning rate, counted in the rows learned from so far."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..data.chunk import CHUNK_ROWS
from ..descent.losses import Loss, values_and_gradients

__all__ = ["NAMES", "Schedule", "optimal_offset"]

NAMES = ("constant", "optimal", "invscaling", "adaptive")

SAME_RATE = 16
"""A rate is that of the middle of a span of rows, a 16th of those before it: it falls by a 16th in a span at most."""


class Schedule(NamedTuple):
    """The rate at row t, counted from 1.

        constant, adaptive : η₀        optimal : 1 / (α (t₀ + t − 1))        invscaling : η₀ / tᵖ

    With adaptive, whoever trains divides η₀ by five when the loss falls no more. `offset` is t₀.
    """

    name: str
    eta0: float
    power_t: float
    alpha: float
    offset: float

    def rate(self, t: float) -> float:
        """Give the rate at row t."""
        if self.name == "optimal":
            return 1.0 / (self.alpha * (self.offset + t - 1.0))
        return self.eta0 / t**self.power_t if self.name == "invscaling" else self.eta0

    def spans(self, t: float, rows: int) -> Iterator[tuple[int, int, float]]:
        """Cut the next rows, the first of which is number t, into spans (from, to, rate) of nearly the same rate."""
        start = 0
        while start < rows:
            passed = t + start + (self.offset if self.name == "optimal" else 0.0)
            same = CHUNK_ROWS if self.name in ("constant", "adaptive") else max(int(passed / SAME_RATE), 1)
            stop = min(start + min(same, CHUNK_ROWS), rows)
            yield start, stop, self.rate(t + (start + stop - 1) / 2)
            start = stop


def optimal_offset(loss: Loss, alpha: float) -> float:
    """Give t₀ of the schedule "optimal": its first rate moves a weight to the size that weights will have.

    With w = 1/√√α, the rate is w / max(1, |ℓ′(−w)|) of a row of class 1 (Bottou's heuristic, as scikit-learn has it).

    >>> from schuss.descent.losses import Hinge
    >>> optimal_offset(Hinge(), 0.0001)
    1000.0
    """
    size = math.sqrt(1.0 / math.sqrt(alpha))
    slope = float(values_and_gradients(loss, np.array([[-size]]), np.array([1]))[1][0, 0])
    return 1.0 / (size / max(1.0, abs(slope)) * alpha)
