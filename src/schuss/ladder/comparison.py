"""The ladder on one data set: baselines, optimizers and the race, each for the same number of seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from ..data.feed import MemoryFeed, open_feed
from ..descent.losses import loss_for, unit_of
from ..errors import DataError, OptionError, OutputError
from ..files import replacing
from ..judging.judgement import judge
from ..model.model import Model, outputs_of
from ..race.record import Event, plain
from ..report import render_comparison
from ..training.lineup import constant_prediction
from ..training.preparation import Prepared, prepare
from ..training.settings import Settings, parse_seconds
from .ladder import Rung, Task, rungs

__all__ = ["OPTIMIZERS", "PAGE", "Comparison", "compare"]

PAGE = "compare.html"

OPTIMIZERS = ("momentum", "adagrad", "adam")
"""Those that climb unless others are asked for."""

ROWS_MEMORY = 256 << 20
"""Encoded rows are compared on if they take at most so many bytes; baselines have a second copy, in float64."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison gives.

    rungs : the methods, from the bottom to the top, with their trajectories.
    page : the path of the page; None without a folder.
    summary : what `schuss compare --json` prints.
    """

    rungs: tuple[Rung, ...]
    page: Path | None
    summary: dict[str, Any]


def compare(source: Any, target: str | None = None, *, seconds: float | str = 2.0, **options: Any) -> Comparison:
    """Run the ladder on a source: search, descent by all rows, by samples, and the race, for equal seconds each.

    All start from zero weights and minimise mean loss + λ₂/2 ‖w‖² over the same encoded training rows, in memory; λ₂ is
    1/N unless `l2` says otherwise, and the race chooses its own. Every method is judged on the same held-out rows: one
    half draws the curves, and the other, which nobody chose by, is scored at the end. Judging and compiling are off the
    clock.

    Parameters
    ----------
    source, target : as for `schuss.train`.
    seconds : that each method has: a number, or a time such as "10s".
    options : those of `schuss.train` that say how data are read and what is minimised; `optimizer` names those that
        climb as single runs, each with the rate in the middle of what the race would try, unless `learning_rate` is
        given; `threads` is 1 for every method unless said otherwise; `out` is a folder for the page `compare.html`.

    Raises
    ------
    InputError
        When the data or an option are wrong, or the encoded rows take more than 256 MiB.

    Example
    -------
    >>> import numpy as np, schuss
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 3))
    >>> done = schuss.compare((X, X @ [1.0, -2.0, 0.5]), seconds=0.05, optimizer="adam")
    >>> [rung["name"] for rung in done.summary["rungs"]][-3:]
    ['mini-batch', 'adam', 'race']
    """
    optimizers = options.pop("optimizer", OPTIMIZERS)
    progress = options.pop("progress", None)
    settings = Settings(target=target, optimizer=optimizers, **{"threads": 1, **_known(options)})
    prepared = prepare(source, replace(settings, force=True))  # a finished run in the folder is left alone
    page = _page(prepared, settings.force)
    tell: Callable[[Event], None] = progress or (lambda event: None)
    for notice in prepared.notices:
        tell({"event": "notice", "message": notice})
    with threadpool_limits(prepared.settings.threads, user_api="blas"):
        task = _task(prepared, _seconds(seconds))
        climbed = tuple(rungs(task, settings.optimizers, tell))
        summary = _summary(task, climbed, page)
    if page is not None:
        with replacing(page) as file:
            file.write(render_comparison(summary).encode("utf-8"))
    return Comparison(climbed, page, summary)


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Refuse options that there are not."""
    refused = ("epochs", "time_limit", "schedule", "cache", "network", "activation", "dropout", "device")
    for name in options:
        if name not in Settings.__dataclass_fields__ or name in refused:
            valid = ", ".join(name for name in Settings.__dataclass_fields__ if name not in refused)
            raise OptionError(f"compare has no option '{name}'; the options are seconds, {valid}")
    return options


def _seconds(given: float | str) -> float:
    seconds = parse_seconds(str(given), "seconds")
    assert seconds is not None
    return seconds


def _page(prepared: Prepared, force: bool) -> Path | None:
    """Name the page, in a folder that there is; refuse to write over one."""
    if prepared.folder is None:
        return None
    page = prepared.folder.path / PAGE
    if page.exists() and not force:
        raise OutputError(f"'{page}' is there already; --force writes over it, --out names another folder")
    prepared.folder.make()
    return page


def _task(prepared: Prepared, seconds: float) -> Task:
    """Read the rows, and settle what all rungs share."""
    name = prepared.source.parts[0]
    feed = open_feed(prepared.reader, order=prepared.settings.order, memory=ROWS_MEMORY)
    if not isinstance(feed, MemoryFeed):
        raise DataError(
            f"compare keeps the encoded rows in memory, at most {ROWS_MEMORY >> 20} MiB, and those of {name} take more"
        )
    if feed.training_rows == 0 or not feed.counts.goals.any():
        raise DataError(f"{name} has no row with a target to learn from")
    if feed.select is None or feed.score is None:
        raise OptionError("compare judges by held-out rows, and there are none; see option '--holdout'")
    loss = loss_for(prepared.loss, outputs_of(prepared.encoder.classes), prepared.encoder.target_scale)
    unit = unit_of(prepared.loss, prepared.encoder.target_scale)
    l2 = 1.0 / feed.training_rows if prepared.settings.l2 == "auto" else float(prepared.settings.l2)
    return Task(prepared, feed, loss, constant_prediction(loss, feed, prepared.encoder), unit, l2, seconds)


def _summary(task: Task, climbed: tuple[Rung, ...], page: Path | None) -> dict[str, Any]:
    """Give what `--json` prints."""
    encoder = task.prepared.encoder
    judged = [_described(task, rung) for rung in climbed]
    holdout = judged[-1]["holdout"]
    return plain({
        "task": encoder.schema.task,
        "target": encoder.schema.target,
        "source": task.prepared.source.name,
        "loss": task.prepared.loss,
        "rows": task.feed.counts.read,
        "training_rows": task.feed.training_rows,
        "features": encoder.width,
        "classes": encoder.classes,
        "l2": task.l2,
        "seconds": task.seconds,
        "holdout": {"rows": holdout["rows"], "constant_loss": holdout["constant_loss"]},
        "select_constant_loss": task.unit * task.constant.loss,
        "rungs": judged,
        "page": None if page is None else str(page),
    })  # fmt: skip


def _described(task: Task, rung: Rung) -> dict[str, Any]:
    """Score the end of a rung on rows that nobody chose by."""
    assert task.feed.score is not None
    model = Model(task.prepared.encoder, task.prepared.loss, rung.trajectory.weights.astype("float32"))
    points = rung.trajectory.points
    return {
        "name": rung.name,
        "kind": rung.kind,
        "setting": rung.setting,
        "outcome": rung.trajectory.outcome,
        "seconds": points[-1].seconds,
        "rows": points[-1].rows,
        "holdout": judge(model, task.feed.score, task.constant.scores)["holdout"],
        "points": points,
    }
