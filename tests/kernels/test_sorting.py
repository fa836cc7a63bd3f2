"""Numbers of rows in ascending order, each once, against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schuss.kernels import store
from schuss.kernels.sorting import FEW, GROUP


@settings(deadline=None)
@given(st.lists(st.integers(0, 3 * FEW), min_size=1, max_size=5), st.sampled_from([3, 40, 1 << 30]), st.integers(0, 99))
@example([0, 1, GROUP, GROUP + 1, FEW, FEW + 1], 1 << 30, 0)
@example([0, 1, GROUP, GROUP + 1, FEW, FEW + 1], 30, 0)
def test_each_once(sizes: list[int], below: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, below, size) for size in sizes]
    numbers = np.concatenate([*rows, np.zeros(GROUP)]).astype(np.int32)
    counts = np.array(sizes)
    kept, times = np.zeros((2, len(numbers)), np.int32)
    store.run("sorting:each_once", (), numbers, counts, kept, times, np.zeros(2 * GROUP, np.int32))
    edges = itertools.pairwise(np.cumsum([0, *counts]).tolist())
    found = [(kept[begin:end].tolist(), times[begin:end].tolist()) for begin, end in edges]
    expected = [np.unique(row, return_counts=True) for row in rows]
    assert found == [(number.tolist(), count.tolist()) for number, count in expected]
