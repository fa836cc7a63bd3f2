"""The numbers behind the figures, as tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.intervals import wilson

from .figures.reliability import reliability_bins
from .figures.results import class_names, confusion_counts, residual_points
from .figures.weights import read_weights, signed
from .history import History, Run, evenly, mapping, number, sequence
from .runs import fate_in_words, race_loss
from .words import amount, count, figure, percent, plural, setting, shorten

__all__ = [
    "Table",
    "class_table",
    "columns_table",
    "confusion_table",
    "curves_table",
    "importance_table",
    "options_table",
    "reliability_table",
    "residuals_table",
    "runs_table",
    "thresholds_table",
    "weights_table",
]

_BEHIND = (
    "Losses are those of the last evaluation, of the winner that of the model. How far a run was behind the best one "
    "then is the mean difference on the same held-out rows, with its standard error."
)
_CURVE_ROWS = 60
_CURVE_RUNS = 24
_COLUMNS = 200
_PAIRS = 100


@dataclass(frozen=True)
class Table:
    """A table: its caption, its head, its rows of text, and which of its columns hold text instead of numbers.

    `runs` names, where the rows stand for runs, the run of each; `rest` says what is not shown.
    """

    caption: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    texts: frozenset[int] = frozenset({0})
    runs: tuple[int, ...] = ()
    rest: str = ""
    states: tuple[str, ...] = ()


def runs_table(history: History) -> Table:
    """Every run, the winner first, then by how long it stayed and how well it did."""
    alike = _shared(history)
    keys = dict.fromkeys(["optimizer", "learning_rate", *(key for run in history.runs for key in run.settings)])
    shown = [key for key in keys if key == "learning_rate" or key not in (*alike, "run")]
    ordered, best = sorted(history.runs, key=lambda run: _order(run, history)), _best_losses(history)
    compared = any(np.isfinite(run.error).any() for run in ordered)
    rows = []
    for run in ordered:
        settings = (setting(run.settings.get(key)) for key in shown)
        won = run is history.winner
        loss = history.model_at[1] if won else run.final_loss
        behind = ("" if won else _behind(run, best),) if compared else ()
        rows.append((str(run.number), *settings, figure(loss), *behind, fate_in_words(run, history)))
    behind = ("behind the best",) if compared else ()
    head = ("run", *map(_setting_name, shown), "loss", *behind, "fate")
    texts = {1 + i for i, key in enumerate(shown) if any(isinstance(run.settings.get(key), str) for run in ordered)}
    states = tuple("dropped" if run.drop else "won" if run is history.winner else "racing" for run in ordered)
    numbers = tuple(run.number for run in ordered)
    return Table(
        f"Every run of the race, by {race_loss(history)}",
        head,
        rows,
        frozenset({*texts, len(head) - 1}),
        runs=numbers,
        states=states,
        rest=_BEHIND if compared else "",
    )


def _best_losses(history: History) -> dict[float, float]:
    """The lowest loss of any run at each evaluation, by its rows."""
    found: dict[float, float] = {}
    for run in history.runs:
        for rows, loss in zip(run.rows.tolist(), run.holdout.tolist(), strict=True):
            found[rows] = min(found.get(rows, math.inf), loss) if math.isfinite(loss) else found.get(rows, math.inf)
    return found


def _behind(run: Run, best: Mapping[float, float]) -> str:
    """How far a run was behind the best one when it was judged last, with the standard error of that."""
    if not run.rows.size or not (math.isfinite(run.holdout[-1]) and math.isfinite(run.error[-1])):
        return figure(math.nan)
    behind = float(run.holdout[-1]) - best[float(run.rows[-1])]
    return f"{figure(behind, 2)} ± {figure(float(run.error[-1]), 2)}" if behind > 0 else figure(0.0, 1)


def _order(run: Run, history: History) -> tuple[bool, bool, float, float]:
    loss = run.final_loss if math.isfinite(run.final_loss) else math.inf
    return run is not history.winner, run.drop is not None, -run.drop.rows if run.drop else 0.0, loss


def _shared(history: History) -> dict[str, Any]:
    """The settings that all runs have in common."""
    first = history.runs[0].settings if history.runs else {}
    return {
        key: value
        for key, value in first.items()
        if key != "run" and all(repr(run.settings.get(key)) == repr(value) for run in history.runs)
    }


def _setting_name(key: str) -> str:
    return {"l1": "L1", "l2": "L2"}.get(key, key.replace("_", " "))


def shared_settings(history: History) -> str:
    """The settings that all runs have in common, in words."""
    shared = {key: value for key, value in _shared(history).items() if value is not None}
    return ", ".join(f"{_setting_name(key)} {setting(value)}" for key, value in shared.items())


def curves_table(history: History) -> Table:
    """The held-out losses of the runs at their evaluations, thinned to what a reader can take in."""
    runs = sorted((run for run in history.runs if run.rows.size), key=lambda run: _order(run, history))[:_CURVE_RUNS]
    moments = np.array(sorted({moment for run in runs for moment in run.rows.tolist()}))
    kept = moments[evenly(moments.size, _CURVE_ROWS)]
    losses = [dict(zip(run.rows.tolist(), run.holdout.tolist(), strict=True)) for run in runs]
    rows = [
        (count(moment), *(figure(loss[moment]) if moment in loss else "" for loss in losses))
        for moment in kept.tolist()
    ]
    head = ("rows seen", *(f"run {run.number}" for run in runs))
    rest = (
        ""
        if len(kept) == len(moments) and len(runs) == sum(run.rows.size > 0 for run in history.runs)
        else ("Some evaluations or runs are left out here; record.jsonl has them all.")
    )
    return Table(f"{race_loss(history).capitalize()} of each run", head, rows, frozenset(), rest=rest)


def confusion_table(history: History) -> Table | None:
    """The confusion matrix in numbers."""
    counts = confusion_counts(history)
    if counts is None:
        return None
    names = class_names(history, len(counts))
    rows = [
        (shorten(name, 40), *(count(value) for value in row)) for name, row in zip(names, counts.tolist(), strict=True)
    ]
    head = ("true class", *(shorten(name, 40) for name in names))
    return Table("Held-out rows by true class (down) and predicted class (across)", head, rows)


def class_table(history: History) -> Table | None:
    """How well each class is found: its rows, precision, recall and F1."""
    counts = confusion_counts(history)
    if counts is None:
        return None
    rows = []
    for at, name in enumerate(class_names(history, len(counts))):
        right, true, predicted = counts[at, at], counts[at].sum(), counts[:, at].sum()
        f1 = 2 * right / (true + predicted) if true + predicted else math.nan
        shares = (part for whole in (predicted, true) for part in _share(float(right), float(whole)))
        rows.append((shorten(name, 60), count(true), *shares, figure(f1, 3)))
    head = ("class", "rows", "precision", "95% interval", "recall", "95% interval", "F1")
    return Table("Each class on held-out rows (intervals after Wilson)", head, rows)


def _share(part: float, whole: float) -> tuple[str, str]:
    """A share with its interval."""
    if not whole:
        return percent(math.nan), ""
    return percent(part / whole), " to ".join(map(percent, wilson(part / whole, whole)))


def thresholds_table(points: NDArray[np.float64]) -> Table:
    """Some of the thresholds: what is found, what is found by mistake, how many of those named are right."""
    kept = evenly(len(points), 40)
    rows = [(percent(false), percent(recall), percent(right)) for false, recall, right in points[kept].tolist()]
    head = ("false positive rate", "recall", "precision")
    return Table("Thresholds, from the highest on", head, rows, frozenset())


def reliability_table(history: History) -> Table | None:
    """The bins of the reliability curve in numbers."""
    bins = reliability_bins(history)
    if not len(bins):
        return None
    rows = [(percent(told, 1), percent(so, 1), count(size)) for told, so, size in bins.tolist()]
    return Table("Held-out rows by probability", ("predicted", "was so", "rows"), rows, frozenset())


def residuals_table(history: History) -> Table | None:
    """Some of the held-out rows: predicted, actual, residual."""
    predicted, actual = residual_points(history)
    if not predicted.size:
        return None
    kept = evenly(predicted.size, _PAIRS)
    rows = [(figure(p), figure(a), figure(a - p)) for p, a in zip(predicted[kept], actual[kept], strict=True)]
    rest = f"{count(len(rows))} of the {count(predicted.size)} recorded rows." if len(rows) < predicted.size else ""
    return Table("Held-out rows", ("predicted", "actual", "residual"), rows, frozenset(), rest=rest)


def weights_table(history: History) -> Table | None:
    """The largest weights in numbers."""
    weights, only = read_weights(history)
    if not weights:
        return None
    several = [] if only or not any(weight.output for weight in weights) else ["output"]
    rows = [
        (
            shorten(weight.feature, 80),
            *([shorten(weight.output, 40)] if several else []),
            signed(weight.moved),
            signed(weight.weight),
            signed(weight.in_data_units),
            shorten(weight.unit, 100) if weight.unit else "",
        )
        for weight in weights
    ]
    head = ("feature", *several, "moved by a standard deviation", "as trained", "in data units", "unit")
    return Table("The largest weights", head, rows, frozenset({0, len(head) - 1} | ({1} if several else set())))


def importance_table(columns: Sequence[tuple[str, float]]) -> Table:
    """How much each column moves the scores."""
    rows = [(shorten(name, 80), figure(spread, 3)) for name, spread in columns]
    return Table("What each column adds to the score", ("column", "standard deviation"), rows)


def columns_table(history: History) -> Table | None:
    """The columns that features were made of: role, missing share, features, what is known of the values."""
    used = [column for column in _columns(history) if not _left_out(column)]
    if not used:
        return None
    rows = [
        (
            shorten(column.get("name"), 60),
            str(column.get("role") or ""),
            percent(number(column.get("missing"))),
            count(number(column.get("features"))),
            _values(column),
        )
        for column in used[:_COLUMNS]
    ]
    rest = f"… and {plural(len(used) - len(rows), 'more column')}." if len(used) > len(rows) else ""
    return Table(
        "The columns", ("column", "role", "missing", "features", "values"), rows, frozenset({0, 1, 4}), rest=rest
    )


def left_out_table(history: History) -> Table | None:
    """The columns that were left out, and why."""
    columns = [column for column in _columns(history) if _left_out(column)]
    if not columns:
        return None
    rows = [(shorten(c.get("name"), 60), str(c.get("note") or "left out on request")) for c in columns[:_COLUMNS]]
    rest = f"… and {plural(len(columns) - len(rows), 'more column')}." if len(columns) > len(rows) else ""
    return Table("Columns left out", ("column", "why"), rows, frozenset({0, 1}), rest=rest)


def _columns(history: History) -> list[Mapping[str, Any]]:
    return [column for column in sequence(history.start, "columns") if isinstance(column, Mapping)]


def _left_out(column: Mapping[str, Any]) -> bool:
    return column.get("role") == "ignored"


def _values(column: Mapping[str, Any]) -> str:
    """What the sample showed of a column's values, in words."""
    facts = {key: number(value) for key, value in column.items()}
    known = {key: value for key, value in facts.items() if math.isfinite(value)}
    said = []
    if {"mean", "deviation"} <= known.keys():
        said.append(f"{amount(known['mean'])} ± {figure(known['deviation'], 3)}")
    if {"least", "most"} <= known.keys():
        said.append(f"from {amount(known['least'])} to {amount(known['most'])}")
    if column.get("logarithm") is True:
        said.append("in logarithms")
    said += [f"{count(known[key])} {key}" for key in ("categories", "terms", "components") if key in known]
    said += [f"{figure(known[key], 3)} a row" for key in ("terms_per_row", "pairs_per_row") if key in known]
    if known.get("constant"):
        said.append(f"{count(known['constant'])} of them constant")
    said.append(", ".join(str(part) for part in sequence(column, "parts")))
    said.append(str(column.get("note") or ""))
    return ", ".join(filter(None, said))


def options_table(history: History) -> Table | None:
    """Every option the training ran with."""
    return _pairs("Options", ("option", "value"), mapping(history.start, "options").items())


def chosen_table(history: History) -> Table | None:
    """What the race chose."""
    return _pairs("Chosen by the race", ("setting", "value"), mapping(history.finish, "chosen").items())


def versions_table(history: History) -> Table | None:
    """The versions of schuss and of what it stands on."""
    versions = {"schuss": history.start.get("schuss"), **mapping(history.start, "versions")}
    return _pairs("Versions", ("package", "version"), versions.items())


def _pairs(caption: str, head: tuple[str, str], pairs: Iterable[tuple[str, Any]]) -> Table | None:
    rows = [(_setting_name(str(key)), _plain(value)) for key, value in pairs if value is not None]
    return Table(caption, head, rows, frozenset({0, 1})) if rows else None


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return shorten(", ".join(_plain(item) for item in value), 200) if value else "none"
    if isinstance(value, Mapping):
        return shorten(json.dumps(value, ensure_ascii=False, default=str), 200)
    return shorten(setting(value), 200)
