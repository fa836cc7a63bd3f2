"""Who is chosen by held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schuss.finish.choose import choose


def losses_with(means: list[float], spread: list[float], rows: int = 100) -> Any:
    """Losses `(rows, candidates)` with these means, whose differences vary as told."""
    signs = np.where(np.arange(rows) % 2, 1.0, -1.0)[:, None]
    return (np.array(means) + signs * np.array(spread)).astype(np.float32)


@pytest.mark.parametrize(
    ("means", "spread", "expected"),
    [
        ([0.30, 0.20, 0.21, 0.25], [0, 0, 0, 0], 1),  # the best
        ([0.2009, 0.20, 0.21, 0.25], [0, 0, 0, 0], 0),  # level: 0.18 % of the gain apart
        ([0.2011, 0.20, 0.21, 0.25], [0, 0, 0, 0], 1),  # 0.22 % apart, and surely
        ([0.2049, 0.20, 0.21, 0.25], [0.06, 0, 0, 0], 0),  # level: 0.98 % and less than a standard error
        ([0.2049, 0.20, 0.21, 0.25], [0.04, 0, 0, 0], 1),  # 0.98 % and more than a standard error
        ([0.2051, 0.20, 0.21, 0.25], [1.0, 0, 0, 0], 1),  # unsure, but 1.02 %
        ([0.30, 0.20, 0.21, 0.19], [0, 0, 0, 0.001], 3),  # the champion is surely ahead
        ([0.30, 0.20, 0.21, 0.19], [0, 0, 0, 0.06], 1),  # ahead by 1.7 standard errors only
        ([0.30, 0.20, 0.21, 0.1998], [0, 0, 0, 0], 1),  # ahead by less than counts
        ([0.30, 0.20, 0.21, 0.20], [0, 0, 0, 0], 1),  # no difference
        ([np.nan, 0.20, np.inf, 0.25], [0, 0, 0, 0], 1),
        ([np.nan, np.nan, np.inf, 0.25], [0, 0, 0, 0], 3),
    ],
)
def test_who_is_chosen(means: list[float], spread: list[float], expected: int) -> None:
    place, found = choose(losses_with(means, spread), np.ones(100, np.float32), 0.7)
    assert place == expected
    np.testing.assert_allclose(found, np.where(np.isfinite(means), means, np.inf), rtol=1e-5)


def test_weights_of_held_out_rows_count() -> None:
    losses = np.array([[0.1, 0.3], [0.3, 0.1]], np.float32)
    assert choose(np.c_[losses, [0.5, 0.5]], np.array([3, 1], np.float32), 1.0)[0] == 0
    assert choose(np.c_[losses, [0.5, 0.5]], np.array([1, 3], np.float32), 1.0)[0] == 1
