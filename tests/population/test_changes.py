"""States told by their differences: nothing is lost, nothing is rounded, averages are those of whole states."""

from __future__ import annotations

import numpy as np
import pytest

from schuss.data.saved import Saved
from schuss.population.average import average
from schuss.population.changes import applied, average_of_changes, changes, size_of


def state(seed: int = 0) -> Saved:
    rng = np.random.default_rng(seed)
    return Saved(
        {"rows": seed},
        {
            "weights": rng.normal(size=(400, 3)).astype(np.float32),
            "slots": rng.normal(size=(2, 400, 3)).astype(np.float32),
            "since": rng.normal(size=(400, 1)),
            "scale": rng.normal(size=3),
            "none": np.empty((0, 4), np.float32),
            "moving": np.arange(8, dtype=np.int32).reshape(2, 4),
        },
    )


def touched(before: Saved, lines: int, seed: int) -> Saved:
    """The same state with other values in so many lines of each wide array."""
    rng, arrays = np.random.default_rng([seed, 1]), {name: array.copy() for name, array in before.arrays.items()}
    for name in ("weights", "slots", "since"):
        flat = arrays[name].reshape(-1, arrays[name].shape[-1])
        flat[rng.choice(len(flat), lines, replace=False)] += 1
    return Saved({"rows": seed}, arrays)


def same(one: Saved, other: Saved) -> bool:
    alike = all(one.arrays[name].tobytes() == array.tobytes() for name, array in other.arrays.items())
    return alike and one.arrays.keys() == other.arrays.keys() and one.values == other.values


@pytest.mark.parametrize("lines", [0, 1, 50, 399])
def test_what_is_told_is_all_there_is(lines: int) -> None:
    before = state()
    after = touched(before, lines, 5)
    told = changes(after, before)
    assert same(applied(before, told), after)
    assert same(before, state()), "what was before stays"
    assert ("weights" in told.whole) == (lines == 399), "a whole array where lines would take as many bytes"


def test_bits_count_not_numbers() -> None:
    before, after = (Saved({}, {"w": np.zeros((90, 2), np.float32)}) for _ in range(2))
    after.arrays["w"][3] = -0.0
    after.arrays["w"][4] = np.nan
    assert changes(after, before).lines["w"].places.tolist() == [3, 4]
    before.arrays["w"][4] = np.nan
    assert same(applied(before, changes(after, before)), after)
    assert changes(after, before).lines["w"].places.tolist() == [3]


@pytest.mark.parametrize("lines", [[0, 0], [3, 7], [20, 399], [399, 399]])
def test_averages_are_those_of_whole_states(lines: list[int]) -> None:
    before = state()
    states = [touched(before, count, 2 + place) for place, count in enumerate(lines)]
    found = average_of_changes(before, [changes(one, before) for one in states], [100, 250])
    whole = average(states, [100, 250])
    for name, array in whole.arrays.items():
        exact = array.dtype != np.float64  # a double that nobody has changed stays, its average may differ by a bit
        np.testing.assert_allclose(found.arrays[name], array, rtol=0 if exact else 1e-15)
    assert found.values == {"rows": 2}


def test_few_lines_take_few_bytes() -> None:
    before = state()
    narrow, one = size_of(changes(touched(before, 4, 1), before)), sum(a.nbytes for a in before.arrays.values())
    small = before.arrays["scale"].nbytes
    assert narrow - small == 2 * 4 * (8 + 12) + 4 * (8 + 8) < one / 10
