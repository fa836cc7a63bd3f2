"""What the model learned: its largest weights."""

from __future__ import annotations

from .. import figures, layout, tables
from ..figures.weights import read_weights
from ..history import History
from ..markup import Markup
from ..words import figure
from .parts import picture

__all__ = ["learned"]


def learned(history: History) -> Markup:
    """Write the section of the weights."""
    weights, only = read_weights(history)
    heading = "What the model learned"
    if not weights:
        return layout.section("learned", heading, layout.paragraph("The record holds no weights."))
    raised = f"raises the score of {only}" if only else "raises the score"
    if history.task == "regression":
        raised = "raises the prediction"
    caption = (
        f"The largest weights, per standard deviation of their feature: to the right a larger value {raised}, to the "
        "left it lowers it."
    )
    first = weights[0]
    summary = f"The largest is {first.name} with {figure(first.weight, 3)}."
    table = tables.weights_table(history)
    drawn = picture("weights", figures.largest_weights, history, caption, summary, table)
    return layout.section("learned", heading, drawn)
