"""The random numbers of the rows' kernels, and the order they give, beside Python's whole numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from schuss.kernels import store

MASK = 2**64 - 1


def split_mix(state: int) -> Iterator[int]:
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & MASK
        yield bits ^ (bits >> 31)


def test_the_generator_is_split_mix_64() -> None:
    """The first numbers from 1234567 that the authors' own program gives."""
    assert [bits for bits, _ in zip(split_mix(1234567), range(2), strict=False)] == [
        6457827717110365317, 3203168211198807973
    ]  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_shuffle_is_fisher_yates(seed: int) -> None:
    places, expected = np.arange(100, dtype=np.int32), list(range(100))
    store.run("rows:shuffle", (), places, seed)
    for left, bits in zip(range(100, 1, -1), split_mix(seed), strict=False):
        chosen = int((bits >> 11) / 2**53 * left)
        expected[chosen], expected[left - 1] = expected[left - 1], expected[chosen]
    assert places.tolist() == expected


def test_rows_go_to_the_bucket_that_the_numbers_name() -> None:
    rows = np.arange(60, dtype=np.float32).reshape(20, 3)
    buckets, targets, weights = np.zeros((4 * 21, 3), np.float32), np.zeros(84, np.int32), np.zeros(84, np.float32)
    limits, counts, state = np.full(4, 20), np.zeros(4, np.int64), np.array([42, 0, -1])
    given = rows, np.arange(20, dtype=np.int32), np.ones(20, np.float32)
    store.run("rows:deal", (), *given, 0, buckets, targets, weights, limits, counts, state)
    named = [(bits >> 32) * 4 >> 32 for bits, _ in zip(split_mix(42), range(20), strict=False)]
    assert state[1:].tolist() == [20, -1]
    for bucket in range(4):
        found = targets[21 * bucket : 21 * bucket + counts[bucket]]
        assert found.tolist() == [row for row, name in enumerate(named) if name == bucket]
        np.testing.assert_array_equal(buckets[21 * bucket : 21 * bucket + counts[bucket]], rows[found])


def test_uncompiled_numbers_are_the_same_and_overflow_in_silence() -> None:
    code = "import numpy as np; from schuss.data.room import permutation; rng = np.random.default_rng(5)"
    code += "; print(permutation(50, rng).tolist())"
    orders = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled}, capture_output=True, text=True, check=True,
        ).stdout
        for disabled in ("0", "1")
    ]  # fmt: skip
    assert orders[0] == orders[1]
