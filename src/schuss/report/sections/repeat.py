"""What it takes to train the same again: the command, what it cost, settings and versions."""

from __future__ import annotations

import math

from .. import answer, layout, tables
from ..history import History, mapping
from ..markup import Markup, element
from ..words import bytes_in_words, count
from .parts import known

__all__ = ["repeat"]


def repeat(history: History) -> Markup:
    """Write the section on how to repeat it."""
    finish = history.finish or {}
    costs = [
        ("time", answer.duration(history.seconds) if math.isfinite(history.seconds) else ""),
        ("rows a second", known(count, finish.get("rows_per_second"))),
        ("peak memory", known(bytes_in_words, finish.get("peak_memory_bytes"))),
        ("seed", known(count, history.start.get("seed"))),
    ]
    found = (tables.chosen_table(history), tables.options_table(history), tables.versions_table(history))
    side = [element("div", {}, layout.table(table)) for table in found if table]
    return layout.section(
        "repeat",
        "To repeat it",
        _command(str(history.start.get("command") or _python_call(history))),
        layout.facts((name, value) for name, value in costs if value),
        element("div", {"class": "side"}, *side),
    )


def _command(words: str) -> Markup:
    if not words:
        return Markup()
    shown = element("pre", {"tabindex": "0", "aria-label": "Command"}, element("code", {}, words))
    return element("div", {"class": "command"}, shown, element("button", {"type": "button", "hidden": ""}, "Copy"))


def _python_call(history: History) -> str:
    """The call from Python that repeats a run which was not started by the command line."""
    left_out = {"target", "out", "force", "progress", "json", "quiet"}
    options = [("target", history.start.get("target")), ("seed", history.start.get("seed"))]
    options += [item for item in mapping(history.start, "options").items() if item[0] not in left_out | {"seed"}]
    given = "".join(f", {name}={value!r}" for name, value in options if value is not None)
    return (
        f"schuss.train({str(mapping(history.start, 'source').get('name') or 'data')!r}{given})" if history.start else ""
    )
