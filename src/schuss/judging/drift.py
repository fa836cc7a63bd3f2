"""Whether the held-out rows are like the rows learned from, feature by feature."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns.kind import width_edges
from ..data.encoder import Encoder
from ..data.moments import Moments

__all__ = ["drift"]

SHOWN = 10
_FEW = 5.0
_CHANCE = 0.05


def drift(encoder: Encoder, then: Moments, now: Moments) -> dict[str, Any]:
    """Compare the means of features: the standardised difference (m₁ − m₀)/√((s₁² + s₀²)/2), and what chance explains.

    then, now : of rows learned from, and of held-out ones.

    Gives `rows` and `against` (how many of each were compared), `features`, `beyond_chance` (features whose difference
    exceeds its standard error times the quantile at which, by Bonferroni, any of all would by chance once in twenty
    comparisons), and `columns`: the ten with the largest difference, each with the `feature` that has it. Features that
    are too skewed for the errors of their means to be normal are left out: γ² > n/5 in n held-out rows, which of two
    values is an expectation of less than five of the rarer one.

    Source: Austin, Balance diagnostics (2009), where 0.1 is the rule of thumb for a difference that matters.
    """
    spread = np.sqrt((then.variance + now.variance) / 2)
    known = (then.variance > 0) & (now.variance > 0) & (then.third**2 <= now.rows / _FEW * then.variance**3)
    apart = np.where(known, now.mean - then.mean, 0.0)
    difference = apart / np.where(known, spread, 1.0)
    error = np.sqrt(then.variance / then.rows + now.variance / now.rows)
    limit = _quantile(_CHANCE / (2 * max(int(known.sum()), 1)))
    beyond = np.abs(apart) > limit * np.where(known, error, np.inf)
    return {
        "rows": now.rows,
        "against": then.rows,
        "features": int(known.sum()),
        "beyond_chance": int(beyond.sum()),
        "columns": _largest(encoder, difference, beyond),
    }


def _largest(encoder: Encoder, difference: NDArray[np.float64], beyond: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Describe the columns that differ most, each by its feature that does."""
    found = []
    for column, (start, stop) in zip(encoder.features, pairwise(width_edges(encoder.features)), strict=True):
        if start < stop:
            at = start + int(np.argmax(np.abs(difference[start:stop])))
            found.append((column.name, at, float(difference[at])))
    found.sort(key=lambda entry: -abs(entry[2]))
    return [
        {"name": name, "feature": encoder.feature(at)[0], "difference": size, "beyond_chance": bool(beyond[at])}
        for name, at, size in found[:SHOWN]
        if size
    ]


def _quantile(tail: float) -> float:
    """Give what a standard normal variable exceeds with this probability.

    >>> round(_quantile(0.025), 6)
    1.959964
    """
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(middle / math.sqrt(2)) / 2 > tail else (low, middle)
    return low
