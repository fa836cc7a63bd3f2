"""The data: where the rows went, and what became of each column."""

from __future__ import annotations

from .. import answer, layout, tables
from ..history import History, mapping, sequence
from ..markup import Markup
from ..words import bytes_in_words, count, percent
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
    if not any(shown):
        shown = [layout.paragraph("The record says nothing of the data.")]
    return layout.section("data", "The data", *shown)
