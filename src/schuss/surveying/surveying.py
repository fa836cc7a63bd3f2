"""The ground of a run: its model and rows looked at with every tool, in a file of its own and in the report."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..data.feed import open_feed
from ..errors import DataError, ResumeError
from ..files import replacing
from ..landscape.advice import advise, facts_of
from ..landscape.survey import survey
from ..model.model import Model
from ..process import limited_threads
from ..race.record import Event, plain, read_record
from ..runs.folder import LANDSCAPE, RECORD
from ..training.preparation import Prepared, prepare
from ..training.settings import Settings
from .grounds import ground_of

__all__ = ["Survey", "survey_run"]

ROWS = 2000
RESOLUTION = 41

ROWS_MEMORY = 192 << 20


@dataclass(frozen=True)
class Survey:
    """What looking at a run gives: the events, and the files that hold them and show them."""

    events: list[Event]
    file: Path
    report: Path


def survey_run(
    run: str | Path, source: Any = None, *, rows: int = ROWS, resolution: int = RESOLUTION, seed: int = 0
) -> Survey:
    """Look at the ground of a finished run, write it to `landscape.jsonl` in its folder, and redraw the report.

    Parameters
    ----------
    run : the folder of the run.
    source : what it learned from, if that was data in memory; files are found where they were.
    rows : training rows that are looked at, drawn at random.
    resolution : points along each side of a surface.
    seed : of the rows and of all that is random.

    Raises
    ------
    DataError, ModelFileError
        When there is no finished run, or its data cannot be found.

    Example
    -------
    >>> import tempfile
    >>> import numpy as np, schuss
    >>> X = np.random.default_rng(0).normal(size=(300, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = schuss.train((X, X[:, 0]), epochs=1, runs=2, out=folder)
    ...     found = schuss.survey_run(folder, (X, X[:, 0]), resolution=5)
    >>> [event["event"] for event in found.events][:2]
    ['landscape', 'surface']
    """
    folder = Path(run)
    model, record = Model.load(folder), _record(folder)
    start = record[0]
    notices: list[str] = []
    with limited_threads(start["options"].get("threads")):
        prepared = _prepared(start, source, model, folder, notices)
        feed = open_feed(prepared.reader, order=prepared.settings.order, memory=ROWS_MEMORY)
        ground = ground_of(model, prepared, feed, record, rows, seed, notices)
        seen = [plain(event) for event in survey(ground, resolution=resolution, seed=seed)]
    head = {
        "event": "landscape",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": ground.objective.pass_rows,
        "resolution": resolution,
        "seed": seed,
        "notices": notices,
    }
    found = [head, *seen]
    found.append({"event": "advice", "rules": plain(advise(facts_of([*record, *found])))})
    return _written(folder, found)


def _record(folder: Path) -> list[Event]:
    """Read the record of a run that has come to its end."""
    path = folder / RECORD
    events = read_record(path) if path.exists() else []
    if not events or events[0]["event"] != "start" or events[-1]["event"] != "finish":
        raise DataError(f"'{folder}' holds no finished run to look at: its {RECORD} is missing or was cut off")
    return events


def _prepared(start: Event, source: Any, model: Model, folder: Path, notices: list[str]) -> Prepared:
    """Find the data again, to be encoded as they were for training."""
    place, name = start.get("data"), start["source"]["name"]
    if place == ["-"] or (place is None and source is None):
        what = "standard input" if place else "data in memory: schuss.survey_run(run, data) in Python looks at it"
        raise ResumeError(f"'{folder}' learned from {what}")
    data = source if place is None else place[0] if len(place) == 1 else place
    settings = Settings(**{**start["options"], "target": start["target"], "out": None})
    prepared = prepare(data, settings)
    if place is not None and _stamps(prepared.source.fingerprint()) != _stamps(start["fingerprint"]):
        notices.append(f"{name} has been changed since this run: these are not the rows that it learned from")
    reader = replace(prepared.reader, encoder=model.encoder)
    return prepared._replace(reader=reader, encoder=model.encoder, loss=model.loss)


def _stamps(fingerprint: list[dict[str, Any]]) -> list[Any]:
    """Give what tells that files have changed, wherever they are called from."""
    return [(stamp.get("size"), stamp.get("mtime_ns")) for stamp in fingerprint]


def _written(folder: Path, found: list[Event]) -> Survey:
    """Write the events, whole or not at all, and draw the report with them."""
    from ..report import redraw

    with replacing(folder / LANDSCAPE) as file:
        file.writelines((json.dumps(event, ensure_ascii=False) + "\n").encode() for event in found)
    return Survey(found, folder / LANDSCAPE, redraw(folder))
