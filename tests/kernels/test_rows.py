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
    rng = np.random.default_rng(0)
    places = np.where(np.arange(25) % 5 == 3, -7, 0)
    dealt = np.flatnonzero(places == 0)
    slots, orders = np.array([5, 0, 2, 3]), np.stack([rng.permutation(20) for _ in range(4)]).astype(np.int32)
    targets, weights = np.zeros((4, 20), np.int32), np.zeros((4, 20), np.float32)
    limits, counts, state = np.full(4, 20), np.zeros(4, np.int64), np.array([42, 0, -1])
    given = np.arange(25, dtype=np.int32), np.arange(25, dtype=np.float32) / 2
    store.run("rows:deal", (), *given, 0, places, slots, orders, targets, weights, limits, counts, state)
    named = [(bits >> 32) * 4 >> 32 for bits, _ in zip(split_mix(42), range(20), strict=False)]
    assert state[1:].tolist() == [25, -1]
    assert set(places[3::5]) == {-7}
    for bucket in range(4):
        found = targets[bucket, : counts[bucket]]
        assert found.tolist() == [row for row, name in zip(dealt, named, strict=True) if name == bucket]
        np.testing.assert_array_equal(weights[bucket, : counts[bucket]], found / 2)
        np.testing.assert_array_equal(places[found], 20 * slots[bucket] + orders[bucket, : counts[bucket]])


def test_a_full_bucket_stops_the_dealing() -> None:
    places, state, counts = np.zeros(50, np.int64), np.array([42, 0, -1]), np.zeros(2, np.int64)
    room = np.arange(2), np.tile(np.arange(9, dtype=np.int32), (2, 1)), np.zeros((2, 9), np.int32), np.zeros((2, 9))
    given = np.arange(50, dtype=np.int32), np.ones(50, np.float32)
    store.run("rows:deal", (), *given, 10, places, *room, np.array([9, 4]), counts, state)
    named = [bits >> 63 for bits, _ in zip(split_mix(42), range(40), strict=False)]
    last = next(n for n in range(40) if named[: n + 1].count(1) == 4)
    assert named[: last + 1].count(0) < 9
    assert state[1:].tolist() == [10 + last + 1, 1]
    assert counts.tolist() == [named[: last + 1].count(0), 4]


def test_settled_is_what_the_order_says() -> None:
    order, targets = np.array([2, 0, 1], np.int32), np.array([5, 6, 7, 8], np.int32)
    settled = np.zeros(4, np.int32), np.zeros(4, np.float32)
    store.run("rows:settle", (), order, targets, targets.astype(np.float32), *settled)
    assert [array.tolist() for array in settled] == [[6, 7, 5, 0]] * 2


@pytest.mark.parametrize(("room", "stop"), [(3, 3), (4, 5), (5, 6), (7, 8), (20, 8)])
def test_rows_are_lined_up_while_there_is_room(room: int, stop: int) -> None:
    places, state = np.array([0, -1, 0, 0, -2, 0, 0, 0]), np.zeros(2, np.int64)
    targets, out = np.arange(8, dtype=np.int32), (np.full(room, -1, np.int32), np.full(room, -1, np.float32))
    store.run("rows:line_up", (), targets, targets.astype(np.float32), 1, places, 2, *out, state)
    moved = [2, 3, 5, 6, 7][: room - 2]
    assert state.tolist() == [stop, 2 + len(moved)]
    assert places[moved].tolist() == list(range(2, 2 + len(moved)))
    for array in out:
        assert array.tolist() == [-1, -1, *moved, *[-1] * (room - 2 - len(moved))]


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
