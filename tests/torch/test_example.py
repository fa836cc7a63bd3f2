"""The example with a module of one's own runs, and says something sensible."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "own_module.py"), run_name="__main__")
    first, second, third = capsys.readouterr().out.splitlines()
    assert all(float(re.search(r"([\d.]+)%", line)[1]) > 85 for line in (first, second))
    assert "momentum would like" in third
