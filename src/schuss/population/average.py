"""The average of models that were trained side by side on different rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.data.saved import Saved

__all__ = ["average", "mean"]


def average(states: Sequence[Saved], rows: Sequence[int]) -> Saved:
    """Average states of one population, each weighted by the rows it has learned from (McMahan et al. 2017, FedAvg).

        W = Σₖ (nₖ / n) Wₖ

    The sums are in float64 and in the order given, so that the same states give the same bits. What an optimizer
    remembers is averaged in the same way: velocities and gradients are means of what the workers have seen, second
    moments the means of theirs (Reddi et al. 2021), and products such as β^t are equal where as many steps were taken.
    Whole numbers and plain values are those of the first state; a population makes anew what does not average.

    >>> one, other = (Saved({"rows": 3}, {"w": np.array([v], np.float32)}) for v in (1.0, 4.0))
    >>> average([one, other], [200, 100]).arrays["w"]
    array([2.], dtype=float32)
    """
    first = states[0]
    return Saved(first.values, {name: mean([state.arrays[name] for state in states], rows) for name in first.arrays})


def mean(arrays: Sequence[NDArray[Any]], rows: Sequence[int]) -> NDArray[Any]:
    """Average one array of several states, see `average`."""
    first, shares = arrays[0], np.array(rows) / sum(rows)
    if not np.issubdtype(first.dtype, np.floating):
        return first
    total = np.zeros(first.shape)
    for share, array in zip(shares, arrays, strict=True):
        total += share * array
    return total.astype(first.dtype)
