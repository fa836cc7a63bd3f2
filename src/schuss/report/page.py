"""The page: words, figures and tables put together, and written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schuss.files import replacing

from . import answer, figures, tables
from .figures.results import class_names, confusion_counts, residual_points
from .figures.weights import read_weights
from .history import History, RecordLike, as_history, mapping, number, sequence
from .palette import DARK, LIGHT, css_variables
from .runs import race_loss, settings_in_words
from .svg import inline_svg
from .tables import Table
from .words import bytes_in_words, count, figure, percent, plural, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render", "write_report"]


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its drawings for desk and phone, its caption, its text alternative, its numbers."""

    name: str
    wide: str
    narrow: str
    caption: str
    summary: str
    table: Table | None = None


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
    page = render(record).encode("utf-8")
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
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    history = as_history(record)
    script = _asset("report.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_asset("report.html.j2"))
    return template.render(
        heading=answer.heading(history),
        lead=answer.lead(history),
        stats=answer.stats(history),
        ended=answer.how_it_ended(history),
        finished=history.finish is not None,
        warnings=answer.warnings(history),
        time=_time(history),
        version=str(history.start.get("schuss") or ""),
        race=_race(history),
        results=_results(history),
        learned=_learned(history),
        data=_data(history),
        settings=_settings(history),
        style=Markup(_asset("report.css")),
        light=Markup(css_variables(LIGHT)),
        dark=Markup(css_variables(DARK)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        markup=Markup,
    )


def _asset(name: str) -> str:
    return resources.files("schuss.report").joinpath(name).read_text(encoding="utf-8")


def _time(history: History) -> dict[str, str] | None:
    text = str(history.start.get("time") or "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    zone = moment.strftime(" %Z") if moment.tzinfo else ""
    return {"machine": text, "words": f"{moment.day} {moment:%B %Y, %H:%M}{zone}"}


def _picture(
    name: str, draw: Callable[..., Figure], history: History, caption: str, summary: str, table: Table | None
) -> Picture:
    label = summary or caption
    wide = inline_svg(draw(history), f"{name}-wide", label)
    narrow = inline_svg(draw(history, narrow=True), f"{name}-narrow", label)
    return Picture(name, wide, narrow, caption, summary, table)


def _race(history: History) -> dict[str, Any]:
    drawn = [run for run in history.runs if run.rows.size]
    section: dict[str, Any] = {"curves": None, "losses": None, "runs": None, "shared": ""}
    if history.runs:
        section["runs"] = tables.runs_table(history)
        section["shared"] = tables.shared_settings(history)
    if drawn:
        best = "winner" if history.finish is not None else "best so far"
        caption = (
            f"{history.judged_on.capitalize()} loss against training rows seen, a curve for each run. The {best} is "
            "thick; a dropped run is grey up to the mark where it was dropped. Point at a curve for its settings."
        )
        section["curves"] = _picture(
            "race", figures.learning_rate_curves, history, caption, _race_summary(history), tables.curves_table(history)
        )
    if sum(run.learning_rate > 0 for run in drawn) > 1:
        svg = inline_svg(
            figures.loss_by_learning_rate(history), "losses", f"Last {race_loss(history)} by learning rate"
        )
        caption = "Where each run ended: too small a learning rate learns too little, too large a one diverges."
        section["losses"] = Picture("losses", svg, "", caption, _losses_summary(history))
    return section


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


def _results(history: History) -> dict[str, Any]:
    section: dict[str, Any] = {"picture": None, "classes": None, "why": "", "facts": _scores(history)}
    counts = confusion_counts(history)
    predicted, actual = residual_points(history)
    if counts is not None:
        right, rows = float(counts.trace()), float(counts.sum())
        caption = (
            "Held-out rows by true class (down) and predicted class (across); the stronger the colour, the larger the "
            "share of the true class."
        )
        summary = f"{count(right)} of {plural(rows, 'held-out row')} on the diagonal, {_confused(history)}."
        section["picture"] = _picture(
            "confusion", figures.confusion_matrix, history, caption, summary, tables.confusion_table(history)
        )
        section["classes"] = tables.class_table(history)
    elif predicted.size:
        caption = (
            "Predicted against actual values of held-out rows, and how their differences are spread; on the dashed "
            "line a prediction is exact."
        )
        typical = figure(float(abs(actual - predicted).mean()), 3)
        summary = f"{plural(predicted.size, 'held-out row')} drawn; predictions miss by {typical} on average."
        section["picture"] = _picture(
            "residuals", figures.residuals, history, caption, summary, tables.residuals_table(history)
        )
    elif len(sequence(history.start, "classes")) > 30 and history.finish is not None:
        section["why"] = f"A confusion matrix of {count(len(history.start['classes']))} classes would not be readable."
    else:
        section["why"] = "The model was not scored on held-out rows."
    return section


_SCORES = {
    "rows": "rows",
    "accuracy": "accuracy",
    "auc": "area under the ROC curve",
    "macro_f1": "F1, mean of the classes",
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
    found = [(name, _known(words.get(key, figure), holdout.get(key))) for key, name in _SCORES.items()]
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


def _learned(history: History) -> dict[str, Any]:
    weights, only = read_weights(history)
    if not weights:
        return {"picture": None}
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
    return {"picture": _picture("weights", figures.largest_weights, history, caption, summary, table)}


def _data(history: History) -> dict[str, Any]:
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
    return {
        "facts": [(name, value) for name, value in facts if value],
        "columns": tables.columns_table(history),
        "left_out": tables.left_out_table(history),
    }


def _known(words: Callable[[float], str], value: object) -> str:
    return words(number(value)) if math.isfinite(number(value)) else ""


def _settings(history: History) -> dict[str, Any]:
    finish = history.finish or {}
    costs = [
        ("time", answer.duration(history.seconds) if math.isfinite(history.seconds) else ""),
        ("rows a second", _known(count, finish.get("rows_per_second"))),
        ("peak memory", _known(bytes_in_words, finish.get("peak_memory_bytes"))),
        ("seed", _known(count, history.start.get("seed"))),
    ]
    return {
        "command": str(history.start.get("command") or _python_call(history)),
        "facts": [(name, value) for name, value in costs if value],
        "tables": [
            table
            for table in (tables.chosen_table(history), tables.options_table(history), tables.versions_table(history))
            if table
        ],
    }


def _python_call(history: History) -> str:
    """The call from Python that repeats a run which was not started by the command line."""
    left_out = {"target", "out", "force", "progress", "json", "quiet"}
    options = [("target", history.start.get("target")), ("seed", history.start.get("seed"))]
    options += [item for item in mapping(history.start, "options").items() if item[0] not in left_out | {"seed"}]
    given = "".join(f", {name}={value!r}" for name, value in options if value is not None)
    return (
        f"schuss.train({str(mapping(history.start, 'source').get('name') or 'data')!r}{given})" if history.start else ""
    )
