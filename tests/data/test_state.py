"""The types that a state is checked against, however NumPy spells them."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schuss.data import state


class Alias:
    """Stands for what `NDArray` is since NumPy 2.5: a name of its own, with the scalar as its one argument."""


@pytest.mark.parametrize("spelling", ["of this NumPy", "of NumPy 2.4", "of NumPy 2.5"])
def test_arrays(spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hint: Any = NDArray[np.float64]
    if spelling == "of NumPy 2.4":
        hint = np.ndarray[tuple[Any, ...], np.dtype[np.float64]]
    elif spelling == "of NumPy 2.5":
        monkeypatch.setattr(state, "NDArray", Alias)
        hint = types.GenericAlias(Alias, (np.float64,))
    assert state.conforms(np.ones(3), hint)
    assert state.conforms(np.ones(3), hint | None)
    for other in (np.ones(3, np.float32), np.ones((3, 1)), np.array([np.nan]), [1.0], None):
        assert not state.conforms(other, hint)
