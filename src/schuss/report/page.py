"""The page: words, figures and tables put together, and written whole or not at all."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from schuss.files import replacing

from . import answer, figures, layout, sections
from .figures.beside import read_reached
from .history import History, RecordLike, as_history
from .markup import Markup, element
from .sections.parts import picture

__all__ = ["render", "write_report"]


def write_report(record: RecordLike, path: Path | str) -> Path:
    """Write the report of a record as one self-contained HTML file, which appears whole or not at all.

    Parameters
    ----------
    record
        The events of a record, the path of a `record.jsonl`, or the folder of a run.
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
        The events of a record, the path of a `record.jsonl`, or the folder of a run.

    Raises
    ------
    DataError
        When `record` is a path and holds no record.
    """
    history = as_history(record)
    version = str(history.start.get("schuss") or "")
    written = [_answer(history), *(write(history) for write in sections.SECTIONS)]
    return layout.document(answer.heading(history), version, _time(history), written)


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
    return layout.section("answer", answer.heading(history), lead, stats, ended, known, _beside(history))


def _beside(history: History) -> Markup:
    """Show the model beside the constant prediction and the best single feature."""
    reached = read_reached(history)
    if len(reached) < 2:
        return Markup()
    alone = any(one.name.endswith(" alone") for one in reached)
    caption = "The model beside what needs none"
    caption += ": always the same prediction, and the one feature that tells most." if alone else "."
    caption += " The bracket is the 95% interval." if reached[-1].ends else ""
    return picture("beside", figures.model_beside_baselines, history, caption, "", None)
