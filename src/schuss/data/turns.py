"""When each bucket of a shuffled stream is full: soon for the first time, then in turn."""

from __future__ import annotations

import numpy as np

from .saved import Saved, load_into

__all__ = ["Turns"]


class Turns:
    """How many rows are in each bucket, and how many make it full.

    When all buckets have left for the first time, which they do one soon after the other, they get limits that let them
    leave in turn from then on: reading and training go on side by side.

    limits, counts : `(many,)`; state : of the kernels that deal, see there.
    """

    def __init__(self, many: int, size: int, rng: np.random.Generator) -> None:
        self.counts, self.limits = np.zeros(many, np.int64), np.full(many, size)
        self.state = np.array([rng.integers(1 << 63), 0, -1])
        self._size, self._left = size, 0

    def saved(self) -> Saved:
        """Give everything, to go on from."""
        arrays = {"counts": self.counts, "limits": self.limits, "state": self.state}
        return Saved({"left": self._left}, {name: array.copy() for name, array in arrays.items()})

    def go_on(self, saved: Saved) -> None:
        """Go on from what was saved; raises ValueError where it cannot be."""
        for name, array in (("counts", self.counts), ("limits", self.limits), ("state", self.state)):
            load_into(array, saved.arrays, name)
        self._left = saved.values["left"]
        possible = (self.counts >= 0) & (self.counts <= self.limits) & (self.limits <= self._size)
        if not possible.all() or self._left < 0:
            raise ValueError("its buckets hold more than they can")

    def leave(self, bucket: int) -> None:
        """Note that a bucket has been emptied."""
        many = len(self.counts)
        self.counts[bucket] = 0
        self._left += 1
        self.limits[bucket] = max(self._size * self._left // many, 1) if self._left <= many else self._size
