"""The race: the curves of all runs, what each learning rate came to, and every run in a table."""

from __future__ import annotations

import math

from .. import answer, figures, layout, tables
from ..history import History
from ..layout import Picture
from ..markup import Markup, element, joined
from ..runs import race_loss, settings_in_words
from ..words import count, plural, setting
from .parts import folded, picture

__all__ = ["race"]


def race(history: History) -> Markup:
    """Write the section of the race."""
    drawn = [run for run in history.runs if run.rows.size]
    parts = (
        [_curves(history)]
        if drawn
        else [layout.paragraph("No run was scored on held-out rows, so there is no curve to draw.")]
    )
    if sum(run.learning_rate > 0 for run in drawn) > 1:
        caption = "Where each run ended: too small a learning rate learns too little, too large a one diverges."
        drawing = figures.loss_by_learning_rate(history)
        losses = Picture("losses", drawing, None, caption, _losses_summary(history))
        parts.append(layout.figure(losses, f"Last {race_loss(history)} by learning rate"))
    if history.runs:
        shared = tables.shared_settings(history)
        parts.append(layout.paragraph(shared and f"All runs: {shared}.", "small"))
        parts.append(folded(tables.runs_table(history), 20, f"All {len(history.runs)} runs"))
    return layout.section("race", "The race", *parts)


def _curves(history: History) -> Markup:
    best = "winner" if history.finish is not None else "best so far"
    caption = (
        f"{history.judged_on.capitalize()} loss against training rows seen, a curve for each run. The {best} is "
        "thick; a dropped run is grey up to the mark where it was dropped. Point at a curve for its settings."
    )
    drawn = picture(
        "race", figures.learning_rate_curves, history, caption, _race_summary(history), tables.curves_table(history)
    )
    readout = {"class": "readout", "id": "readout", "aria-live": "polite", "hidden": ""}
    return joined([drawn, element("p", readout)])


def _race_summary(history: History) -> str:
    runs, winner = history.runs, history.winner
    diverged = sum(run.diverged for run in runs)
    behind = sum(run.drop is not None for run in runs) - diverged
    parts = [f"{count(behind)} dropped"] * bool(behind) + [f"{count(diverged)} diverged"] * bool(diverged)
    said = f"{plural(len(runs), 'run')} on up to {count(history.rows_seen)} training rows"
    said += f": {', '.join(parts)}." if parts else "."
    if winner is not None:
        name = "The winner is" if history.finish is not None else "The best so far is"
        loss = answer.loss_of(history.model_at[1], history)
        said += f" {name} run {winner.number} ({settings_in_words(winner)}) with a {history.judged_on} loss of {loss}."
    return said


def _losses_summary(history: History) -> str:
    """Which learning rates would have done as well as the winner, and which were too large."""
    winner = history.winner
    lost = sorted({run.learning_rate for run in history.runs if run.diverged and run.learning_rate > 0})
    said = []
    best = history.model_at[1]
    if winner is not None and math.isfinite(best):
        gain = abs(history.constant_loss - best)
        close = best + 0.02 * (gain if math.isfinite(gain) else abs(best))
        good = sorted(run.learning_rate for run in history.runs if run is winner or run.final_loss <= close)
        span = setting(good[0]) if good[0] == good[-1] else f"{setting(good[0])} to {setting(good[-1])}"
        said.append(f"Within 2% of what the winner gained: learning rate {span}.")
    if lost:
        span = setting(lost[0]) if lost[0] == lost[-1] else f"{setting(lost[0])} to {setting(lost[-1])}"
        said.append(f"Diverged: {span}.")
    return " ".join(said)
