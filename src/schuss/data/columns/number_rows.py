"""Numbers of several columns side by side into dense rows, by one compiled loop over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...kernels import store

# Rows that the loop works on at once, and numbers of them that stay in the second cache.
_ROWS, _NUMBERS = 256, 1 << 18
_SINGLE, _DOUBLE, _BYTE = np.float32(0), np.float64(0), np.uint8(0)


class Lanes(NamedTuple):
    """Features that are numbers, in order of their place in the row.

    scales : `(lanes, 4)` float64: centre, factor, lower and upper bound;
    runs : `(runs, 3)`: the first lane of those that are neighbours in the row, their first feature, their number.
    """

    scales: NDArray[np.float64]
    runs: NDArray[np.int64]


def lanes_at(scales: Sequence[NDArray[np.float64]], starts: Sequence[int]) -> Lanes:
    """Lay out columns of numbers; `scales` are the lines of each, and its features begin at the place in `starts`.

    >>> lanes_at([np.zeros((2, 4)), np.zeros((1, 4)), np.zeros((1, 4))], [0, 2, 7]).runs.tolist()
    [[0, 0, 3], [3, 7, 1]]
    """
    places = np.concatenate([start + np.arange(len(lines)) for lines, start in zip(scales, starts, strict=True)])
    first = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    lengths = np.diff(first, append=len(places))
    return Lanes(np.concatenate(scales), np.stack([first, places[first], lengths], axis=1))


def numbers_at(values: NDArray, missing: NDArray[np.bool_] | None, gaps: Sequence[int]) -> list[tuple[int, ...]]:
    """Say where the numbers `(rows, components)` of each lane are: those of all components, then of the `gaps`.

    Numbers and flags must be C-contiguous; the numbers must be uint8, float32 or float64.
    """
    size, step = values.itemsize, values.shape[1]
    begin = values.__array_interface__["data"][0]
    flags = 0 if missing is None else missing.__array_interface__["data"][0]
    lanes = [(component, 0) for component in range(step)] + [(component, 1) for component in gaps]
    return [(begin + size * at, step, flags and flags + at, size, indicator) for at, indicator in lanes]


def _types(numbers: NDArray[np.int64]) -> tuple[np.float32 | None, np.float64 | None, np.uint8 | None]:
    """Give the type that all lanes have, or every type where they differ: few kernels serve all tables."""
    sizes = numbers[:, 3]
    mixed = bool((sizes != sizes[0]).any())
    return (
        _SINGLE if mixed or sizes[0] == 4 else None,
        _DOUBLE if mixed or sizes[0] == 8 else None,
        _BYTE if mixed or sizes[0] == 1 else None,
    )


def write_numbers(
    lanes: Lanes,
    numbers: NDArray[np.int64],
    rows: slice,
    places: NDArray[np.int64],
    out: NDArray[np.float32],
    aside: NDArray[np.float32],
) -> tuple[int, int] | None:
    """Standardise `rows` of the numbers into rows of `out`, the i-th into row `places[i]`, clipped, 0 where missing.

    A place below zero is one of `aside`: -1 is its first row, -2 the next one.
    Gives row and lane of the first number found that is not finite; None if all are.
    """
    padded = -(-len(numbers) // 8) * 8
    step = min(_ROWS, max(_NUMBERS // padded // 8 * 8, 8))
    tile, block = np.empty(8 * step, np.float32), np.empty(padded * step, np.float32)
    problem = np.full(2, -1)
    store.run(
        "encode:numbers",
        _types(numbers),
        *(numbers, lanes.scales, lanes.runs, rows.start, rows.stop, places, out, aside),
        *(tile, block, problem),
    )
    return None if problem[0] < 0 else (int(problem[0]), int(problem[1]))
