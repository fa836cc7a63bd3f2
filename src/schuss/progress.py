"""What happens during training, shown on stderr: a live line on a terminal, a few plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from .printout import duration, number

if TYPE_CHECKING:
    from rich.progress import Progress

Event = Mapping[str, Any]
LOG_SECONDS = 10.0


@contextmanager
def display(*, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Callable[[Event], None] | None]:
    """Give what `train` calls with each event, or None when nothing is to be shown.

    Parameters
    ----------
    quiet : show nothing.
    stream : where to write; stderr unless given, so that stdout holds results only.
    """
    out = stream or sys.stderr
    if quiet:
        yield None
    elif out.isatty():
        with _bar(out) as bar:
            yield _Live(bar)
    else:
        yield _Log(out)


class _Log:
    """One line at the start, one for each notice, one every ten seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = LOG_SECONDS

    def __call__(self, event: Event) -> None:
        for line in _news(event):
            print(line, file=self._stream, flush=True)
        if event["event"] == "progress" and event["seconds"] >= self._next:
            self._next = event["seconds"] + LOG_SECONDS
            print(", ".join(_status(event, _whole)), file=self._stream, flush=True)


class _Live:
    """A bar with rows, rows/s, time left, best held-out loss and runs alive; notices above it."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("reading", total=None)

    def __call__(self, event: Event) -> None:
        for line in _news(event):
            self._bar.console.print(line, markup=False, highlight=False)
        if event["event"] == "progress":
            text = "  ".join(_status(event, _short))
            self._bar.update(self._task, completed=event["rows"], total=event["planned_rows"], description=text)


def _bar(stream: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(file=stream)
    return Progress(BarColumn(bar_width=16), TextColumn("{task.description}"), console=console, transient=True)


def _news(event: Event) -> Iterator[str]:
    """Say what the start of a run brings that a person should know."""
    if event["event"] == "start":
        yield f"schuss: {event['task']} of '{event['target']}' from {event['source']['name']}"
        for notice in event["notices"]:
            yield f"schuss: {notice}"


def _status(event: Event, count: Callable[[float], str]) -> list[str]:
    """Give the parts of a status line; `count` writes numbers of rows."""
    status = [f"{count(event['rows'])} rows", f"{count(event['rows_per_second'])} rows/s"]
    if event["planned_rows"] and event["rows_per_second"]:
        left = max(event["planned_rows"] - event["rows"], 0) / event["rows_per_second"]
        status.append(f"{duration(left)} left")
    if event["best_loss"] is not None:
        status.append(f"held-out loss {number(event['best_loss'])}")
    status.append(f"{event['runs_alive']} runs alive")
    return status


def _whole(count: float) -> str:
    return f"{count:,.0f}"


def _short(count: float) -> str:
    """Write a count in at most five characters, so that the line fits into a narrow terminal.

    >>> _short(950), _short(12_345), _short(999_950), _short(1_234_567_890)
    ('950', '12.3k', '1.0M', '1.2G')
    """
    for unit in ("", "k", "M"):
        if count < 999.95:
            return f"{count:.1f}{unit}" if unit else f"{count:.0f}"
        count /= 1000
    return f"{count:.1f}G"
