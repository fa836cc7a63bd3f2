"""Results as text for a person: aligned, plain, nothing computed but units."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report.comparison import ladder_table
from ..report.words import bytes_in_words, count, duration, no_better, plural, shorten
from .command import on_one_line

_WIDEST = 200
"""Characters of a cell: a feature may be a value of any length, and `--json` gives it whole."""


def training(summary: Mapping[str, Any], record: Iterable[Mapping[str, Any]]) -> str:
    """Say what was trained on what, how good it is, and what to type next.

    Parameters
    ----------
    summary : what `train --json` prints.
    record : the events of the run; its first one holds the notices, among them the columns left out.
    """
    events = list(record)
    start = next(event for event in events if event["event"] == "start")
    notices = [*start["notices"], *(event["message"] for event in events if event["event"] == "notice")]
    listed = f", listed in {Path(summary['model']).with_name('bad_rows.jsonl')}" if summary["model"] else ""
    lines = [
        ("trained", f"{summary['task']} of '{summary['target']}' from {start['source']['name']}: {_size(summary)}"),
        *(("notice", notice) for notice in notices),
        ("skipped", _missed(summary, listed)),
        ("held out", _holdout(summary["holdout"])),
        ("notice", _no_gain(summary["holdout"], start.get("options", {}).get("learning_rate"))),
        ("folds", _folds(summary.get("cross_validation"))),
        ("winner", _chosen(summary["chosen"])),
        ("race", _race(summary)),
        ("outcome", summary["outcome"]),
        ("model", summary["model"]),
        ("report", summary["report"]),
        ("next", f"schuss predict {Path(summary['model']).parent} DATA" if summary["model"] else None),
    ]
    return _labelled((label, text) for label, text in lines if text)


def scores(scores: Mapping[str, Any]) -> str:
    """List the metrics of an evaluation, one a line."""
    return _labelled((name.replace("_", " "), number(value)) for name, value in scores.items())


def update(summary: Mapping[str, Any]) -> str:
    """Say how the rows of an update were answered, each before it was learned from, and where the model is."""
    told = [name for name in ("accuracy", "macro_f1", "auc", "r2", "rmse", "mae") if name in summary]
    seen = ", ".join(f"{number(count)} of '{name}'" for name, count in summary["unseen"].items())
    facts = [number(summary["learned"]), f"{count(summary['rows_per_second'])} rows/s"]
    lines = [
        ("learned", f"{facts[0]} of {plural(summary['rows'], 'row')} in {duration(summary['seconds'])}, {facts[1]}"),
        ("skipped", _missed(summary)),
        ("new values", f"{seen} that training had not seen" if seen else None),
        ("loss", f"{number(summary['loss'])}, of the last thousand rows {number(summary['recent_loss'])}"),
        *((name.replace("_", " "), number(summary[name])) for name in told),
        ("ever", f"{plural(summary['position'], 'row')} since training, loss {number(summary['loss_ever'])}"),
        ("model", summary["model"]),
    ]
    return _labelled((label, text) for label, text in lines if text)


def _missed(summary: Mapping[str, Any], listed: str = "") -> str | None:
    """Say how many rows were not learned from, and why; `listed` says where those are listed that cannot be used."""
    bad = summary["bad_rows"]
    without = summary["skipped_rows"] - bad
    told = [f"{plural(bad, 'row')} that could not be used{listed}"] if bad else []
    told += [f"{plural(without, 'row')} without a target"] if without else []
    return ", ".join(told) or None


def weights(weights: Sequence[Mapping[str, Any]]) -> str:
    """List weights with their features in the given order, one a line."""
    names = {"feature": "feature", "output": "output", "weight": "weight"}
    names |= {"importance": "importance", "in_data_units": "in data units", "unit": ""}
    rows = [[number(row[name]) for name in names] for row in weights]
    return _table(list(names.values()), rows, last=True)


def comparison(summary: Mapping[str, Any]) -> str:
    """Show a comparison as a table, the best in bold on a terminal, and where its page is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    content = ladder_table(summary)
    shown = Table(box=box.SIMPLE_HEAD, caption=content.caption, caption_justify="left")
    for place, name in enumerate(content.head):
        shown.add_column(name, justify="left" if place in content.texts else "right", no_wrap=True)
    for cells, state in zip(content.rows, content.states, strict=True):
        shown.add_row(*cells, style="bold" if state == "won" else None)
    console = Console(width=max(120, shutil.get_terminal_size().columns), highlight=False, emoji=False, markup=False)
    with console.capture() as written:
        console.print(shown)
    page = f"\npage  {summary['page']}" if summary["page"] else ""
    return "\n".join(line.rstrip() for line in written.get().splitlines()).strip("\n") + page


def gradient_check(summary: Mapping[str, Any]) -> str:
    """List the blocks of a gradient check, one a line."""
    header = ["block", "gradient", "numbers", "checked", "forward error", "centred error", "kinks"]
    rows = [
        [
            block["name"],
            "right" if block["right"] else "wrong",
            *map(number, (block["size"], block["checked"])),
            *(f"{block[name]:.1e}" for name in ("forward", "centred")),
            number(block["kinks"]),
        ]
        for block in summary["blocks"]
    ]
    return _table(header, rows, left=2)


def wrong_gradient(block: str, worst: Any) -> str:
    """Say in one sentence where a gradient is wrong; `worst` is its worst coordinate."""
    place = f"{block}[{', '.join(map(str, worst.place))}]" if worst.place else block
    beside = " at a kink" if worst.kink else ""
    return f"the gradient is wrong: at {place} it is {worst.gradient:.6g}, and the slope{beside} is {worst.centred:.6g}"


def landscape(events: Iterable[Mapping[str, Any]], report: Path) -> str:
    """Say how the ground of a run lies, and what follows."""
    last = {event["event"]: event for event in events}
    curvature, sharpness, noise = (last.get(name, {}) for name in ("curvature", "sharpness", "noise"))
    ravine, bits = curvature.get("ravine", {}), sharpness.get("bits", {})

    def at(key: str) -> str:
        return number(noise.get(key))

    eigenvalues = zip(curvature.get("eigenvalues", ())[:5], curvature.get("residuals", ()), strict=False)
    lines = [
        ("looked at", f"{number(last['landscape']['rows'])} training rows"),
        *(("notice", notice) for notice in last["landscape"]["notices"]),
        ("curvature", ", ".join(f"{value:.4g} ± {residual:.0e}" for value, residual in eigenvalues)),
        ("trace", f"{number(curvature['trace'])}{_spread(curvature['trace_error'])}" if curvature else ""),
        ("ravine", f"first / median eigenvalue {number(ravine.get('first_to_median'))}" if ravine else ""),
        ("sharpness", f"{number(sharpness['keskar'])} % (Keskar, ε {sharpness['epsilon']:g})" if sharpness else ""),
        ("bits", f"weights need {number(bits['needed'])} bits each" if bits else ""),
        (
            "noise scale",
            f"{at('scale_at_start')} rows at the start, {at('scale')} at the end; a batch has {at('batch_size')}",
        ),
        *(("advice", rule["sentence"]) for rule in last["advice"]["rules"]),
        ("report", str(report)),
    ]
    return _labelled((label, text) for label, text in lines if text)


def _spread(error: float | None) -> str:
    """Write the error of an estimate; what was added up exactly has none."""
    return f" ± {error:.1g}" if error else ""


def number(value: object) -> str:
    """Write a number with four significant digits or thousands separators, anything else as it is.

    >>> number(0.123456), number(1234567), number(None), number("age")
    ('0.1235', '1,234,567', '–', 'age')
    """
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _size(summary: Mapping[str, Any]) -> str:
    size = f"{plural(summary['rows'], 'row')}, {plural(summary['features'], 'feature')}"
    return f"{size}, {len(summary['classes'])} classes" if summary["classes"] else size


def _holdout(holdout: Mapping[str, Any] | None) -> str:
    if not holdout:
        return "nothing"
    text = f"loss {number(holdout['loss'])} where the constant prediction has {number(holdout['constant_loss'])}"
    for name, title in (("accuracy", "accuracy"), ("r2", "R²")):
        if name in holdout:
            text += f", {title} {number(holdout[name])}"
    return f"{text} ({number(holdout['rows'])} rows)"


def _no_gain(holdout: Mapping[str, Any] | None, learning_rate: object) -> str | None:
    return no_better(learning_rate) if holdout and not holdout["loss"] < holdout["constant_loss"] else None


def _folds(validation: Mapping[str, Any] | None) -> str | None:
    if not validation:
        return None
    loss = number(validation["loss"])
    return f"loss {loss} in cross-validation ({number(validation['rows'])} rows in {validation['folds']} folds)"


def _chosen(chosen: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in chosen.items())


def _race(summary: Mapping[str, Any]) -> str:
    facts = [f"{plural(summary['runs'], 'run')} in {duration(summary['seconds'])}"]
    facts.append(f"{count(summary['rows_per_second'])} rows/s")
    if summary["peak_memory_bytes"] is not None:
        facts.append(f"{bytes_in_words(summary['peak_memory_bytes'])} at most")
    return ", ".join(facts)


def _labelled(lines: Iterable[tuple[str, str]]) -> str:
    """Put the texts into one column beside their labels."""
    lines = list(lines)
    width = max((len(label) for label, _ in lines), default=0)
    return "\n".join(f"{label:<{width}}  {on_one_line(text)}" for label, text in lines)


def _table(header: list[str], rows: list[list[str]], *, left: int = 2, last: bool = False) -> str:
    """Align columns: the first ones, and the last if said so, to the left, numbers to the right; long cells are cut."""
    rows = [[cell and shorten(on_one_line(cell), _WIDEST) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    numeric = [place >= left and not (last and place == len(header) - 1) for place in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in [header, *rows]
    )
