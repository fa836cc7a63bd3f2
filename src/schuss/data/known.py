"""What is known of the targets before training begins."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .chunk import Chunk

__all__ = ["Known", "known_of"]

KNOWN_ROWS = 1 << 17
"""Rows from which the best constant prediction is learned, at most."""


class Known(NamedTuple):
    """Targets and weights of training rows, both `(n,)`."""

    targets: NDArray[Any]
    weights: NDArray[np.float32]


def known_of(training: Chunk | Known, most: int = KNOWN_ROWS) -> Known:
    """Take every row, or evenly spaced ones where there are more than `most`."""
    every = -(-len(training.targets) // most) or 1
    return Known(training.targets[::every].copy(), training.weights[::every].copy())
