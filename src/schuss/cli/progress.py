"""What happens during training, shown on stderr: a live line on a terminal, a few plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from ..report.words import count, duration, short_count
from .printout import number

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
        with _on_terminal(out) as show:
            yield show
    else:
        yield _in_log(out)


def _in_log(stream: TextIO) -> Callable[[Event], None]:
    """Print what is known at the start, then a line every ten seconds."""
    due = LOG_SECONDS

    def show(event: Event) -> None:
        nonlocal due
        for line in _news(event):
            print(line, file=stream, flush=True)
        if event["event"] in ("progress", "update") and event["seconds"] >= due:
            due = event["seconds"] + LOG_SECONDS
            print(", ".join(_status(event, count)), file=stream, flush=True)

    return show


@contextmanager
def _on_terminal(stream: TextIO) -> Iterator[Callable[[Event], None]]:
    """Show what is known at the start above a moving bar; all of it makes room for the summary at the end."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    news = Text()
    bar = Progress(BarColumn(bar_width=16), TextColumn("{task.description}"))
    task = bar.add_task("reading the data", total=None)

    def show(event: Event) -> None:
        for line in _news(event):
            news.append(f"\n{line}" if news else line)
        if event["event"] == "runs":
            bar.update(task, description="starting the runs; the first time, their kernels are compiled")
        if event["event"] == "progress":
            text = "  ".join(_status(event, short_count))
            bar.update(task, completed=event["rows"], total=event["planned_rows"], description=text)
        if event["event"] == "update":
            bar.update(task, description="  ".join(_status(event, short_count)))
        if event["event"] == "rung":
            text = f"{event['name']} ({event['place'] + 1} of {event['of']})"
            bar.update(task, completed=event["place"], total=event["of"], description=text)
        if event["event"] == "finishing":
            bar.update(task, total=None, description="finishing the winner by full passes over the rows")

    with Live(Group(news, bar), console=Console(file=stream), transient=True):
        yield show


def _news(event: Event) -> Iterator[str]:
    """Say what the start of a run brings that a person should know."""
    if event["event"] == "start":
        yield f"schuss: {event['task']} of '{event['target']}' from {event['source']['name']}"
        for notice in event["notices"]:
            yield f"schuss: {notice}"
    if event["event"] == "notice":
        yield f"schuss: {event['message']}"


def _status(event: Event, write: Callable[[float], str]) -> list[str]:
    """Give the parts of a status line; `write` says how numbers of rows are written."""
    status = [f"{write(event['rows'])} rows", f"{write(event['rows_per_second'])} rows/s"]
    if event["event"] == "update":
        losses = (("loss", event["loss"]), ("of the last thousand", event["recent_loss"]))
        return [*status, *(f"{name} {number(loss)}" for name, loss in losses)]
    if event["planned_rows"] and event["rows_per_second"]:
        left = max(event["planned_rows"] - event["rows"], 0) / event["rows_per_second"]
        status.append(f"{duration(left)} left")
    if event["best_loss"] is not None:
        status.append(f"held-out loss {number(event['best_loss'])}")
    status.append(f"{event['runs_alive']} runs alive")
    return status
