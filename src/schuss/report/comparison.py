"""A comparison as one HTML page: what was reached, two pictures, and the numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schuss import __version__

from . import layout
from .figures.ladder import loss_by_rows, loss_by_seconds
from .layout import Picture
from .markup import Markup, element, joined
from .svg import Figure
from .tables import Table
from .words import count, duration, figure, percent, plural, short_count

__all__ = ["ladder_table", "render_comparison"]

_LINKS = {"curves": "Curves", "numbers": "Numbers"}


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """Write a comparison, as `schuss compare --json` prints it, as a self-contained HTML page."""
    sections = (_answer(comparison), _curves(comparison), _numbers(comparison))
    return layout.document(
        f"The ladder on {comparison['source']}",
        __version__,
        Markup(),
        sections,
        links=_LINKS,
        source="",
    )


def ladder_table(comparison: Mapping[str, Any]) -> Table:
    """Every rung with what it reached on the rows that nobody chose by."""
    measure = "accuracy" if comparison["task"] == "classification" else "r2"
    rows = [("constant prediction", "", figure(comparison["holdout"]["constant_loss"]), "", "", "", "")]
    for rung in comparison["rungs"]:
        held = rung["holdout"]
        loss, value = held["loss"], held.get(measure)
        reached = "" if value is None else percent(value) if measure == "accuracy" else figure(value)
        lost = "diverged" if loss is None else figure(loss)
        rows.append(
            (rung["name"], rung["setting"], lost, reached, short_count(rung["rows"]), duration(rung["seconds"]),
             rung["outcome"])
        )  # fmt: skip
    head = ("method", "setting", "held-out loss", "accuracy" if measure == "accuracy" else "R²", "rows read", "time",
            "ended")  # fmt: skip
    states = ("", *("won" if rung is best(comparison) else "" for rung in comparison["rungs"]))
    numbers = (-1, *range(len(comparison["rungs"])))
    caption = f"After at most {duration(comparison['seconds'])} each, on {_scored(comparison)} that nobody chose by"
    return Table(caption, head, rows, frozenset({0, 1, 6}), numbers, "", states)


def best(comparison: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rung with the lowest loss in the end."""
    scored = [rung for rung in comparison["rungs"] if rung["holdout"]["loss"] is not None]
    return min(scored or comparison["rungs"], key=lambda rung: rung["holdout"]["loss"] or 0.0)


def _scored(comparison: Mapping[str, Any]) -> str:
    return plural(comparison["holdout"]["rows"], "held-out row")


def _answer(comparison: Mapping[str, Any]) -> Markup:
    won = best(comparison)
    name = str(won["name"])
    heading = f"{name[:1].upper()}{name[1:]} gets lowest: {figure(won['holdout']['loss'] or float('nan'))}"
    size = f"{count(comparison['training_rows'])} training rows, {count(comparison['features'])} features"
    seconds, penalty = duration(comparison["seconds"]), figure(comparison["l2"], 2)
    lead = (
        f"{len(comparison['rungs'])} ways to predict '{comparison['target']}' from {comparison['source']} with a "
        f"linear model, each for {seconds} on the same {size}, from weights of zero. The penalty is {penalty} for all "
        "but the race, which chooses its own."
    )
    return layout.section("answer", heading, layout.paragraph(lead, "lead"))


def _curves(comparison: Mapping[str, Any]) -> Markup:
    dots = "A point ends a method that got no further; dots lead on to its name."
    by_seconds = (
        "Held-out loss against seconds of the method's own work. Dotted: search, which only "
        f"compares losses. Dashed: steps that look at all rows. Drawn through: steps that look at a few. {dots}"
    )
    by_rows = (
        "The same against rows read. Searches score many candidates in one pass; the runs of the race share theirs, "
        "and the passes of its finish are counted."
    )
    readout = element("p", {"class": "readout", "id": "readout", "aria-live": "polite", "hidden": ""})
    return layout.section(
        "curves",
        "Curves",
        _picture("seconds", loss_by_seconds, comparison, by_seconds),
        _picture("rows", loss_by_rows, comparison, by_rows),
        readout,
    )


def _picture(name: str, draw: Callable[..., Figure], comparison: Mapping[str, Any], caption: str) -> Markup:
    return layout.figure(Picture(name, draw(comparison), draw(comparison, narrow=True), caption, ""))


def _numbers(comparison: Mapping[str, Any]) -> Markup:
    return layout.section("numbers", "Numbers", joined([layout.table(ladder_table(comparison))]))
