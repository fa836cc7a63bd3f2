"""What the tests of the finish share."""

from __future__ import annotations

import pytest

from schuss.finish import turned


@pytest.fixture(autouse=True, params=[1, turned.FEWEST_VALUES], ids=["turned", "as they are"])
def fewest_values(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are turned however few values they have, or only if many."""
    monkeypatch.setattr(turned, "FEWEST_VALUES", request.param)
