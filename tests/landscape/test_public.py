"""Every tool of the landscape is documented on its page, and every function shows an example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schuss import landscape

PAGE = (Path(__file__).parents[2] / "docs" / "landscape.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", landscape.__all__)
def test_what_is_public_is_documented(name: str) -> None:
    assert re.search(rf"(auto|py:)(function|class|data):: {name}$", PAGE, re.MULTILINE)
    found = getattr(landscape, name)
    if callable(found) and not isinstance(found, type):
        assert ">>>" in (found.__doc__ or "")
