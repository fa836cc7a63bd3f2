"""What is shown during training, on a terminal and in a log."""

from __future__ import annotations

import io
from typing import Any

import pytest

from schuss.cli.progress import display

START = {
    "event": "start",
    "task": "regression",
    "target": "price",
    "source": {"name": "houses"},
    "notices": ["'id' is left out: it differs in every row [1]"],
}


def progress(rows: int, seconds: float, **other: Any) -> dict[str, Any]:
    return {
        "event": "progress",
        "rows": rows,
        "planned_rows": 1_000_000,
        "rows_per_second": 50_000.0,
        "seconds": seconds,
        "runs_alive": 9,
        "best_loss": 0.41234,
        "epoch": 0.5,
        "leg": 0,
        **other,
    }


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_log_is_a_line_every_ten_seconds() -> None:
    log = io.StringIO()
    with display(stream=log) as show:
        assert show is not None
        show(START)
        for tenth in range(250):
            show(progress(5_000 * tenth, tenth / 10))
        show({"event": "drop", "run": 3})
    assert log.getvalue().splitlines() == [
        "schuss: regression of 'price' from houses",
        "schuss: 'id' is left out: it differs in every row [1]",
        "500,000 rows, 50,000 rows/s, 10.0 s left, held-out loss 0.4123, 9 runs alive",
        "1,000,000 rows, 50,000 rows/s, 0 s left, held-out loss 0.4123, 9 runs alive",
    ]


def test_log_before_anything_is_known() -> None:
    log = io.StringIO()
    with display(stream=log) as show:
        assert show is not None
        show(progress(10, 11.0, planned_rows=None, best_loss=None, rows_per_second=0.0))
    assert log.getvalue() == "10 rows, 0 rows/s, 9 runs alive\n"


def test_terminal_shows_a_line_and_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    with display(stream=terminal) as show:
        assert show is not None
        show(START)
        show(progress(500_000, 10.0))
    shown = terminal.getvalue()
    assert "it differs in every row [1]" in shown
    assert "500k rows  50k rows/s  10.0 s left  held-out loss 0.4123  9 runs alive" in shown
    assert shown.endswith("\x1b[2K"), "the line is erased at the end"


def test_quiet_shows_nothing() -> None:
    with display(quiet=True) as show:
        assert show is None


def test_the_finish_is_told_on_a_terminal() -> None:
    terminal = Terminal()
    with display(stream=terminal) as show:
        assert show is not None
        show(progress(10, 1.0))
        show({"event": "finishing", "penalties": 5, "passes": 100})
    assert "full passes over the rows" in terminal.getvalue()
