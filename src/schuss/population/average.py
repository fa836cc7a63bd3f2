"""The average of models that were trained side by side on different rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.data.saved import Saved

__all__ = ["average"]


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
    shares = np.array(rows) / sum(rows)
    first = states[0]

    def mean(name: str, array: NDArray[Any]) -> NDArray[Any]:
        if not np.issubdtype(array.dtype, np.floating):
            return array
        total = np.zeros(array.shape)
        for share, state in zip(shares, states, strict=True):
            total += share * state.arrays[name]
        return total.astype(array.dtype)

    return Saved(first.values, {name: mean(name, array) for name, array in first.arrays.items()})
