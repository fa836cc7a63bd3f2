"""How the learning rate falls with progress: each schedule is a function of the share of the training that is done.

A schedule maps progress p ∈ [0, 1) (rows consumed / rows planned) to the factor by which the base rate is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCHEDULES", "Schedule", "constant", "inverse_time", "linear"]

Schedule = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def constant(progress: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep the rate: 1."""
    return np.ones_like(progress)


def linear(progress: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fall in a straight line to zero: 1 − p.

    >>> linear(np.array([0.0, 0.25, 1.0]))
    array([1.  , 0.75, 0.  ])
    """
    return 1.0 - progress


def inverse_time(progress: NDArray[np.float64], decay: float = 15.0) -> NDArray[np.float64]:
    """Fall as 1 / (1 + d·p), by default to a sixteenth at the end.

    >>> inverse_time(np.array([0.0, 1.0]))
    array([1.    , 0.0625])
    """
    return 1.0 / (1.0 + decay * progress)


SCHEDULES: dict[str, Schedule] = {"constant": constant, "linear": linear, "inverse_time": inverse_time}
