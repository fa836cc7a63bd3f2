"""Statistics of numbers, taken piece by piece in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .kind import LEAST_DEVIATION


class Moments(NamedTuple):
    """Of each component, over the values that are there: mean, deviation to scale by, range; shares of all rows.

    Where there is no value at all, mean, least and most are 0. `deviation` is 0 where there is at most one distinct
    value; where there are two, as in an indicator, it is at least LEAST_DEVIATION times their distance.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]
    zeros: NDArray[np.float64]
    missing: NDArray[np.float64]


def take_moments(pieces: Callable[[], Iterator[NDArray[np.float64]]], width: int) -> Moments:
    """Take the moments of `(rows, width)` pieces, NaN standing for missing; they are gone through twice.

    >>> m = take_moments(lambda: iter([np.array([[1.0], [np.nan]]), np.array([[3.0], [5.0]])]), 1)
    >>> m.mean.item(), round(m.deviation.item(), 4), m.missing.item()
    (3.0, 1.633, 0.25)
    """
    least, most, rows = np.full(width, np.inf), np.full(width, -np.inf), 0
    for piece in pieces():
        rows += len(piece)
        np.fmin(least, np.fmin.reduce(piece, axis=0), out=least)
        np.fmax(most, np.fmax.reduce(piece, axis=0), out=most)
    nothing = least > most
    least[nothing] = most[nothing] = 0.0
    reach = most - least
    # Positions within the range: their variance is at least 1 / 2n, since both ends are among them, so the difference
    # of the second moment and the squared mean loses few digits, whatever the data.
    unit = np.where(reach > 0, reach, 1.0)
    first, second, count, zeros, ends = np.zeros((5, width))
    for piece in pieces():
        at_ends = np.flatnonzero(ends == count)  # so far: most columns are out of it after the first piece
        position = (piece - least) / unit
        lacking = np.isnan(position)
        np.copyto(position, 0.0, where=lacking)
        first += position.sum(axis=0)
        second += np.einsum("ij,ij->j", position, position)
        zeros += _counted(piece == 0)
        count += len(piece) - _counted(lacking)
        some, there = position[:, at_ends], ~lacking[:, at_ends]
        ends[at_ends] += _counted((some == 1) | ((some == 0) & there))
    present = np.maximum(count, 1)
    mean = first / present
    deviation = np.sqrt(np.maximum(second / present - mean**2, 0))
    deviation = np.where(ends == count, np.maximum(deviation, LEAST_DEVIATION), deviation)
    total = max(rows, 1)
    return Moments(
        least + mean * unit, np.where(reach > 0, deviation * unit, 0.0), least, most, zeros / total, 1 - count / total
    )


def _counted(flags: NDArray[np.bool_]) -> NDArray[np.intp] | int:
    """Count the flags of each column; most pieces have none, and to see that takes a twentieth of the time."""
    return np.count_nonzero(flags, axis=0) if flags.any() else 0
