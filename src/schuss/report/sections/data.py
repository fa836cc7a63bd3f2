"""The data: where the rows went, and what became of each column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .. import answer, layout, tables
from ..history import History, mapping, number, sequence
from ..markup import Markup
from ..tables import Table
from ..words import bytes_in_words, count, figure, percent, plural, shorten
from .parts import known

__all__ = ["data"]


def data(history: History) -> Markup:
    """Write the section of the data."""
    source = mapping(history.start, "source")
    facts = [
        ("source", str(source.get("name") or answer.source_in_words(history))),
        ("files", count(len(sequence(source, "parts"))) if len(sequence(source, "parts")) > 1 else ""),
        ("rows", known(count, source.get("rows"))),
        ("size", known(bytes_in_words, source.get("bytes"))),
        ("training rows", known(count, history.data.get("training_rows"))),
        ("held-out rows that chose the winner", known(count, history.data.get("select_rows"))),
        ("held-out rows that scored it, once", known(count, history.data.get("score_rows"))),
        ("skipped rows", known(count, history.data.get("skipped_rows"))),
        ("held-out rows with a twin in training", known(percent, history.data.get("twins"))),
        ("features", known(count, history.start.get("features"))),
        ("classes", known(count, len(sequence(history.start, "classes")) or None)),
    ]
    shown = [layout.facts((name, value) for name, value in facts if value)]
    shown += [layout.table(table) for table in (tables.columns_table(history), tables.left_out_table(history)) if table]
    shown += _drift(history)
    if not any(shown):
        shown = [layout.paragraph("The record says nothing of the data.")]
    return layout.section("data", "The data", *shown)


def _drift(history: History) -> list[Markup]:
    """How far the held-out rows are from those learned from, and how that was measured."""
    found = mapping(history.finish, "drift")
    features, beyond = number(found.get("features")), number(found.get("beyond_chance"))
    if not features > 0:
        return []
    largest = max((abs(number(c.get("difference"))) for c in _compared(found)), default=math.nan)
    verdict = "no feature differs" if beyond == 0 else f"{count(beyond)} of {plural(features, 'feature')} differ"
    compared = f"{plural(number(found.get('rows')), 'held-out row')} and {plural(number(found.get('against')), 'row')}"
    first = ", of those that were read first," if found.get("first") is True else ","
    sentence = (
        f"Drift: {verdict} by more than chance explains; the largest difference is {figure(largest, 2)} standard "
        f"deviations, where 0.1 is commonly taken as the least that matters (Austin, 2009). Measured on {compared} "
        f"learned from{first} as differences of the means of {plural(features, 'feature')}; chance by their standard "
        "errors at 5%, after Bonferroni."
    )
    rows = [
        (shorten(c.get("name") or "", 60), shorten(c.get("feature") or "", 60), figure(number(c.get("difference")), 2),
         "yes" if c.get("beyond_chance") is True else "no")
        for c in _compared(found)
    ]  # fmt: skip
    head = ("column", "feature", "difference", "more than chance")
    table = Table("Largest differences between held-out rows and those learned from", head, rows, frozenset({0, 1, 3}))
    drawn = layout.details("The largest differences", layout.table(table)) if rows else Markup()
    return [layout.paragraph(sentence, "small"), drawn]


def _compared(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [column for column in sequence(found, "columns") if isinstance(column, Mapping)]
