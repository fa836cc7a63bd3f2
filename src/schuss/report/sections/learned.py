"""What the model learned: its largest weights."""

from __future__ import annotations

from .. import figures, layout, tables
from ..figures.columns import read_columns
from ..figures.weights import read_weights
from ..history import History
from ..markup import Markup
from ..words import figure, shorten
from .parts import picture

__all__ = ["learned"]


def learned(history: History) -> Markup:
    """Write the section of the weights."""
    weights, only = read_weights(history)
    heading = "What the model learned"
    columns = _columns(history)
    if not weights and not columns and history.finish is None:
        return Markup()
    if not weights:
        return layout.section("learned", heading, columns, layout.paragraph("The record holds no weights."))
    raised = f"raises the score of {shorten(only, 60)}" if only else "raises the score"
    if history.task == "regression":
        raised = "raises the prediction"
    slopes = " Of a network it is its mean slope over held-out rows." if history.network else ""
    caption = (
        "The features that move the score most, by a standard deviation of each: to the right a larger value "
        f"{raised}, to the left it lowers it.{slopes}"
    )
    first = weights[0]
    summary = f"The largest is {shorten(first.name, 80)} with {figure(first.moved, 3)}."
    table = tables.weights_table(history)
    drawn = picture("weights", figures.largest_weights, history, caption, summary, table)
    return layout.section("learned", heading, columns, drawn)


def _columns(history: History) -> Markup:
    columns = read_columns(history)
    if len(columns) < 2 or not columns[0][1] > 0:
        return Markup()
    caption = (
        "How much each column moves the score: the standard deviation, over held-out rows, of what it adds. Columns "
        f"that say the same share what they say.{' Of a network: integrated gradients.' if history.network else ''}"
    )
    most, spread = columns[0]
    summary = f"{shorten(most, 80)} moves it most, by {figure(spread, 3)}."
    return picture("columns", figures.column_importance, history, caption, summary, tables.importance_table(columns))
