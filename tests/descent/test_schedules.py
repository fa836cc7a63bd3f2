"""Schedules against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from schuss.descent.schedules import SCHEDULES

PROGRESS = np.linspace(0, 1, 33)
CLOSED_FORMS = {
    "constant": np.ones(33),
    "linear": np.arange(32, -1, -1) / 32,
    "inverse_time": np.array([1 / (1 + 15 * p) for p in PROGRESS]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_closed_form(name: str) -> None:
    np.testing.assert_allclose(SCHEDULES[name](PROGRESS), CLOSED_FORMS[name], rtol=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_starts_at_one_and_never_rises(name: str) -> None:
    factors = SCHEDULES[name](PROGRESS)
    assert factors[0] == 1
    assert (np.diff(factors) <= 0).all()
    assert (factors >= 0).all()
