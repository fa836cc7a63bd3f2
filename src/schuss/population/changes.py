"""What has changed between two states of a population: of wide ones, a round touches few lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.data.saved import Saved
from schuss.population.average import mean

__all__ = ["Changes", "applied", "average_of_changes", "changes", "size_of"]

Array = NDArray[Any]


class Lines(NamedTuple):
    """Lines along the last axis of an array that has at least two: their places, and what stands there now."""

    places: NDArray[np.int64]
    values: Array


class Changes(NamedTuple):
    """A state, told by how it differs from one before it: plain values, arrays as a whole, lines of others."""

    values: dict[str, Any]
    whole: dict[str, Array]
    lines: dict[str, Lines]


def changes(after: Saved, before: Saved) -> Changes:
    """Say how a state differs from one before it, whose arrays have the same shapes; bit by bit, nothing is rounded.

    >>> before = Saved({}, {"w": np.zeros((1000, 2), np.float32)})
    >>> after = Saved({}, {"w": np.zeros((1000, 2), np.float32)})
    >>> after.arrays["w"][7] = 1.0
    >>> changes(after, before).lines["w"].places, size_of(changes(after, before))
    (array([7]), 16)
    """
    whole: dict[str, Array] = {}
    lines: dict[str, Lines] = {}
    for name, array in after.arrays.items():
        if array.ndim < 2 or not array.size:
            whole[name] = array
            continue
        now, then = (_flat(one) for one in (array, before.arrays[name]))
        differs = now.view(f"u{now.itemsize}") != then.view(f"u{now.itemsize}")
        places = np.flatnonzero(differs.any(axis=1))
        if len(places) * (8 + now[:1].nbytes) < array.nbytes:
            lines[name] = Lines(places, now[places])
        else:
            whole[name] = array
    return Changes(after.values, whole, lines)


def applied(before: Saved, told: Changes) -> Saved:
    """Give the state that differs so from one before it, in memory of its own as far as it differs."""
    return Saved(told.values, {name: _array(told, name, before) for name in before.arrays})


def _array(told: Changes, name: str, before: Saved) -> Array:
    """Give one array of that state."""
    if name in told.whole:
        return told.whole[name]
    places, values = told.lines[name]
    old = before.arrays[name]
    if not len(places):
        return old
    new = old.copy()
    _flat(new)[places] = values
    return new


def average_of_changes(before: Saved, told: Sequence[Changes], rows: Sequence[int]) -> Saved:
    """Average states of one population that began as `before`, see `average`; lines that none has changed stay."""
    arrays: dict[str, Array] = {}
    for name, old in before.arrays.items():
        if any(name in one.whole for one in told):
            arrays[name] = mean([_array(one, name, before) for one in told], rows)
            continue
        touched = np.unique(np.concatenate([one.lines[name].places for one in told]))
        arrays[name] = new = old.copy()
        _flat(new)[touched] = mean([_at(one.lines[name], old, touched) for one in told], rows)
    return Saved(told[0].values, arrays)


def _at(lines: Lines, old: Array, touched: NDArray[np.int64]) -> Array:
    """Give the lines at some places, the changed ones among them."""
    found = _flat(old)[touched]
    found[np.searchsorted(touched, lines.places)] = lines.values
    return found


def _flat(array: Array) -> Array:
    """Give the lines of an array, which is contiguous."""
    return array.reshape(-1, array.shape[-1])


def size_of(told: Changes) -> int:
    """Count the bytes of its arrays."""
    return sum(array.nbytes for array in [*told.whole.values(), *(part for one in told.lines.values() for part in one)])
