"""The ground of a run: its model and rows looked at with every tool, in a file of its own and in the report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.chunk import Chunk, SparseRows, join, take
from .data.feed import Feed, MemoryFeed, open_feed
from .descent.losses import unit_of
from .errors import DataError, ResumeError
from .files import replacing
from .folder import LANDSCAPE, RECORD
from .ladder import pieces
from .landscape.advice import advise, facts_of
from .landscape.survey import Ground, survey
from .lineup import line_up
from .model import Model
from .objective import LinearObjective, in_float64
from .preparation import Prepared, prepare
from .process import limited_threads
from .race.record import Event, plain, read_record
from .settings import Settings

__all__ = ["Survey", "survey_run"]

Array = NDArray[np.float64]

ROWS = 2000
RESOLUTION = 41

ROWS_MEMORY = 192 << 20
CHUNKS_READ = 8
"""Of rows that do not fit into memory the first so many chunks are looked at, shuffled as in training."""

NUMBERS = 1 << 24
"""Numbers that the sample of rows holds at most, 128 MB of them in float64."""

RETRACED_ROWS = 131_072
"""How far the winner is followed again at most, to see its path."""


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
        When there is no finished run of linear models, or its data cannot be found.

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
    if model.network is not None:
        raise DataError(f"'{folder}' holds networks; the landscape of a run is that of linear models")
    start = record[0]
    notices: list[str] = []
    with limited_threads(start["options"].get("threads")):
        prepared = _prepared(start, source, model, folder, notices)
        feed = open_feed(prepared.reader, order=prepared.settings.order, memory=ROWS_MEMORY)
        ground = _ground(model, prepared, feed, record, rows, seed)
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


def _ground(model: Model, prepared: Prepared, feed: Feed, record: list[Event], rows: int, seed: int) -> Ground:
    """Draw the rows, and follow the winner again."""
    chosen = record[-1]["chosen"]
    training = _training_rows(feed)
    sample = in_float64(_drawn(training, rows, seed))
    held = [chunk for chunk in (feed.select, feed.score) if chunk is not None]
    learned_from_them = "finish" in chosen and prepared.reader.holdout.kind != "file"
    held_out = None
    if held and not learned_from_them:
        held_out = LinearObjective(in_float64(_drawn(join(held), rows, seed)), model.formula, 0.0)
    weights = model.weights.astype(np.float64)
    path = [*_retraced(model, prepared, feed, record), (weights, "model")]
    return Ground(
        objective=LinearObjective(sample, model.formula, float(chosen["l2"])),
        weights=weights,
        start=path[0][0],
        unit=unit_of(model.loss, model.encoder.target_scale),
        unit_name="nats" if model.loss == "log_loss" else "",
        held_out=held_out,
        path=tuple(path),
        smooth=model.formula.smooth,
        batch_size=chosen["batch_size"],
        blocks=[slice(None, -1), slice(-1, None)],
        classes=[str(name) for name in model.classes or ()],
        features=[model.encoder.feature(index)[0] for index in range(model.encoder.width)][:2],
    )


def _training_rows(feed: Feed) -> Chunk:
    """Give the training rows in memory, or as many as are read for a look."""
    if isinstance(feed, MemoryFeed):
        return feed.training
    return join([chunk for chunk, _ in zip(feed.chunks(0), range(CHUNKS_READ), strict=False)])


def _drawn(chunk: Chunk, rows: int, seed: int) -> Chunk:
    """Draw rows at random, in their order; fewer where they are very long."""
    length = len(chunk.targets)
    stored = len(chunk.rows.values) if isinstance(chunk.rows, SparseRows) else chunk.rows.size
    many = min(rows, length, max(int(NUMBERS // max(stored / max(length, 1), 1)), 1))
    return take(chunk, np.sort(np.random.default_rng(seed).choice(length, many, replace=False)))


def _retraced(model: Model, prepared: Prepared, feed: Feed, record: list[Event]) -> Iterator[tuple[Array, str]]:
    """Run the winner's first leg again, and give where it was after 32 rows, twice as many, and so on.

    The record tells its settings and how long that leg was, and the feed gives its rows in the same order.
    """
    chosen = record[-1]["chosen"]
    known = {name: chosen[name] for name in ("optimizer", "learning_rate", "schedule", "l2", "batch_size")}
    settings = replace(prepared.settings, runs=1, **{**known, "optimizer": (known["optimizer"],)})
    contender = line_up(settings, prepared.encoder, feed, model.formula)[0]
    population, (run,) = contender.population, contender.runs
    planned = min(next(event["planned_rows"] for event in record if event["event"] == "leg"), RETRACED_ROWS)
    state, rows = population.begin_leg(contender.state, planned), 0
    yield population.take(state, run.number).weights.astype(np.float64), "start"
    due = 0
    for chunk in chain.from_iterable(map(feed.chunks, count())):
        for piece in pieces(chunk) if rows == 0 else (chunk,):
            state, tallies = population.advance(state, piece)
            rows += tallies.rows
            if rows >= due or rows >= planned:
                due = 2 * rows
                state = population.up_to_date(state)
                yield population.take(state, run.number).weights.astype(np.float64), f"{rows:,} rows"
        if rows >= planned:
            return


def _written(folder: Path, found: list[Event]) -> Survey:
    """Write the events, whole or not at all, and draw the report with them."""
    from .report import redraw

    with replacing(folder / LANDSCAPE) as file:
        file.writelines((json.dumps(event, ensure_ascii=False) + "\n").encode() for event in found)
    return Survey(found, folder / LANDSCAPE, redraw(folder))
