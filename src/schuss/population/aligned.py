"""Arrays that begin at a line of the cache."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

__all__ = ["aligned"]

CACHE_LINE = 64


def aligned(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Give float32 zeros that begin at a line of the cache: sixteen runs then take one line, not two.

    >>> aligned((3, 16)).ctypes.data % 64
    0
    """
    size = 4 * prod(shape)
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    begin = -memory.ctypes.data % CACHE_LINE
    return memory[begin : begin + size].view(np.float32).reshape(shape)
