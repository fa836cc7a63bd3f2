"""The page: words, figures and tables put together, and written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from schuss.files import replacing

from . import answer, figures, layout, tables
from .figures.reliability import reliability_bins
from .figures.results import class_names, confusion_counts, residual_points
from .figures.weights import read_weights
from .history import History, RecordLike, as_history, mapping, number, sequence
from .layout import Picture
from .markup import Markup, element, joined
from .runs import race_loss, settings_in_words
from .svg import Figure
from .tables import Table
from .words import bytes_in_words, count, figure, percent, plural, setting

__all__ = ["render", "write_report"]


def write_report(record: RecordLike, path: Path | str) -> Path:
    """Write the report of a record as one self-contained HTML file, which appears whole or not at all.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.
    path
        The file to write.

    Returns
    -------
    Path
        Where the report is.

    Raises
    ------
    DataError
        When `record` is a path and holds no record.
    OutputError
        When the file cannot be written.
    """
    page = render(record).encode("utf-8", "backslashreplace")
    with replacing(path) as file:
        file.write(page)
    return Path(path)


def render(record: RecordLike) -> str:
    """Write the report of a record as HTML; the same record gives the same text.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.

    Raises
    ------
    DataError
        When `record` is a path and holds no record.
    """
    history = as_history(record)
    sections = (_answer, _race, _results, _learned, _data, _repeat)
    version = str(history.start.get("schuss") or "")
    return layout.document(answer.heading(history), version, _time(history), (write(history) for write in sections))


def _time(history: History) -> Markup:
    text = str(history.start.get("time") or "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return Markup()
    zone = moment.strftime(" %Z") if moment.tzinfo else ""
    return element("time", {"datetime": text}, f"{moment.day} {moment:%B %Y, %H:%M}{zone}")


def _answer(history: History) -> Markup:
    stats = layout.facts(((stat.words, stat.value) for stat in answer.stats(history)), "stats")
    open_end = "" if history.finish is not None else " open"
    ended = layout.paragraph(" ".join(answer.how_it_ended(history)), f"ended{open_end}")
    warnings = [element("li", {}, sentence) for sentence in answer.warnings(history)]
    known = element("ul", {"class": "warnings", "aria-label": "Worth knowing"}, *warnings) if warnings else Markup()
    lead = layout.paragraph(answer.lead(history), "lead")
    return layout.section("answer", answer.heading(history), lead, stats, ended, known)


def _picture(
    name: str, draw: Callable[..., Figure], history: History, caption: str, summary: str, table: Table | None
) -> Markup:
    return layout.figure(Picture(name, draw(history), draw(history, narrow=True), caption, summary, table))


def _race(history: History) -> Markup:
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
        parts.append(_folded(tables.runs_table(history), 20, f"All {len(history.runs)} runs"))
    return layout.section("race", "The race", *parts)


def _curves(history: History) -> Markup:
    best = "winner" if history.finish is not None else "best so far"
    caption = (
        f"{history.judged_on.capitalize()} loss against training rows seen, a curve for each run. The {best} is "
        "thick; a dropped run is grey up to the mark where it was dropped. Point at a curve for its settings."
    )
    drawn = _picture(
        "race", figures.learning_rate_curves, history, caption, _race_summary(history), tables.curves_table(history)
    )
    readout = {"class": "readout", "id": "readout", "aria-live": "polite", "hidden": ""}
    return joined([drawn, element("p", readout)])


def _folded(table: Table, most: int, summary: str) -> Markup:
    """A table, folded away if it has more than `most` rows."""
    whole = layout.table(table)
    return layout.details(summary, whole) if len(table.rows) > most else whole


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


def _results(history: History) -> Markup:
    return layout.section("results", "Held-out results", layout.facts(_scores(history)), *_drawn_results(history))


def _drawn_results(history: History) -> list[Markup]:
    """The pictures of how good the model is, then the tables."""
    picture, *rest = _drawn_predictions(history)
    return [picture, *_drawn_probabilities(history), *rest]


def _drawn_probabilities(history: History) -> list[Markup]:
    bins = reliability_bins(history)
    if not len(bins):
        return []
    classes = [str(name) for name in sequence(history.start, "classes")]
    whose = classes[1] if len(classes) == 2 else "the predicted class"
    caption = (
        f"Held-out rows by the probability of {whose} that the model gave them, against how often it was so; on the "
        "dashed line probabilities mean what they say. The bars are two standard errors."
    )
    off = float(np.average(abs(bins[:, 0] - bins[:, 1]), weights=bins[:, 2]))
    summary = (
        f"{plural(float(bins[:, 2].sum()), 'held-out row')}; probabilities are off by {percent(off, 1)} on average."
    )
    table = tables.reliability_table(history)
    return [_picture("reliability", figures.reliability_curve, history, caption, summary, table)]


def _drawn_predictions(history: History) -> list[Markup]:
    counts = confusion_counts(history)
    predicted, actual = residual_points(history)
    if counts is not None:
        right, rows = float(counts.trace()), float(counts.sum())
        caption = (
            "Held-out rows by true class (down) and predicted class (across); the stronger the colour, the larger the "
            "share of the true class."
        )
        summary = f"{count(right)} of {plural(rows, 'held-out row')} on the diagonal, {_confused(history)}."
        numbers, classes = tables.confusion_table(history), tables.class_table(history)
        drawn = _picture("confusion", figures.confusion_matrix, history, caption, summary, numbers)
        return [drawn, _folded(classes, 12, "Precision and recall of each class")] if classes else [drawn]
    if predicted.size:
        caption = (
            "Predicted against actual values of held-out rows, and how their differences are spread; on the dashed "
            "line a prediction is exact."
        )
        typical = figure(float(abs(actual - predicted).mean()), 3)
        summary = f"{plural(predicted.size, 'held-out row')} drawn; predictions miss by {typical} on average."
        numbers = tables.residuals_table(history)
        return [_picture("residuals", figures.residuals, history, caption, summary, numbers)]
    classes = sequence(history.start, "classes")
    if len(classes) > 30 and history.finish is not None:
        return [layout.paragraph(f"A confusion matrix of {count(len(classes))} classes would not be readable.")]
    return [layout.paragraph("The model was not scored on held-out rows.")]


_SCORES = {
    "rows": "rows",
    "accuracy": "accuracy",
    "auc": "area under the ROC curve",
    "macro_f1": "F1, mean of the classes",
    "brier": "Brier score",
    "r2": "R²",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "loss": "loss",
    "constant_loss": "loss of the constant predictor",
}


def _scores(history: History) -> list[tuple[str, str]]:
    """All that was measured on the held-out rows."""
    holdout = mapping(history.finish, "holdout")
    words = {"rows": count, "accuracy": lambda share: percent(share, 2)}
    validation = mapping(history.finish, "cross_validation")
    found = [(name, _known(words.get(key, figure), holdout.get(key))) for key, name in _SCORES.items()]
    folds = plural(number(validation.get("rows")), "row"), number(validation.get("folds"))
    if math.isfinite(folds[1]):
        found.append((f"loss in cross-validation ({folds[0]} in {count(folds[1])} folds)", figure(validation["loss"])))
    return [(name, value) for name, value in found if value]


def _confused(history: History) -> str:
    counts = confusion_counts(history)
    if counts is None:
        return ""
    wrong = counts.copy()
    wrong[range(len(wrong)), range(len(wrong))] = 0
    if not wrong.any():
        return "none elsewhere"
    true, predicted = divmod(int(wrong.argmax()), len(wrong))
    names = class_names(history, len(wrong))
    return f"the commonest mistake is {names[predicted]} for {names[true]} ({plural(float(wrong.max()), 'row')})"


def _learned(history: History) -> Markup:
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
    picture = _picture("weights", figures.largest_weights, history, caption, summary, table)
    return layout.section("learned", heading, picture)


def _data(history: History) -> Markup:
    source = mapping(history.start, "source")
    facts = [
        ("source", str(source.get("name") or answer.source_in_words(history))),
        ("files", count(len(sequence(source, "parts"))) if len(sequence(source, "parts")) > 1 else ""),
        ("rows", _known(count, source.get("rows"))),
        ("size", _known(bytes_in_words, source.get("bytes"))),
        ("training rows", _known(count, history.data.get("training_rows"))),
        ("held-out rows that chose the winner", _known(count, history.data.get("select_rows"))),
        ("held-out rows that scored it, once", _known(count, history.data.get("score_rows"))),
        ("skipped rows", _known(count, history.data.get("skipped_rows"))),
        ("held-out rows with a twin in training", _known(percent, history.data.get("twins"))),
        ("features", _known(count, history.start.get("features"))),
        ("classes", _known(count, len(sequence(history.start, "classes")) or None)),
    ]
    shown = [layout.facts((name, value) for name, value in facts if value)]
    shown += [layout.table(table) for table in (tables.columns_table(history), tables.left_out_table(history)) if table]
    if not any(shown):
        shown = [layout.paragraph("The record says nothing of the data.")]
    return layout.section("data", "The data", *shown)


def _known(words: Callable[[float], str], value: object) -> str:
    return words(number(value)) if math.isfinite(number(value)) else ""


def _repeat(history: History) -> Markup:
    finish = history.finish or {}
    costs = [
        ("time", answer.duration(history.seconds) if math.isfinite(history.seconds) else ""),
        ("rows a second", _known(count, finish.get("rows_per_second"))),
        ("peak memory", _known(bytes_in_words, finish.get("peak_memory_bytes"))),
        ("seed", _known(count, history.start.get("seed"))),
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
