"""The main job: from a source to a model, a record and a report."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..data.feed import Feed, MemoryFeed
from ..data.saved import Saved, together
from ..descent.losses import Loss, loss_for, unit_of
from ..errors import DataError, OptionError, UnknownClassError
from ..finish.finish import Finished
from ..judging.findings import findings, some_rows
from ..judging.glance import glance
from ..judging.judgement import judge
from ..model.model import Model, outputs_of
from ..model.scorers import slopes_of
from ..population.population import Run
from ..process import interruptible, limited_threads, peak_memory
from ..race.checkpoint import save_finish
from ..race.loop import Champion, Finish, Plan, run_race
from ..race.record import Event, Recorder
from ..race.state import Saving
from ..runs.checkpoints import Checkpointer
from ..runs.folder import MODEL, REPORT
from ..runs.recording import recording, write_out
from .basis import place_of, places_for_workers, save_basis, versions
from .ending import finished_race, has_committee, is_decided_by_passes, is_finished_by_passes
from .lineup import Constant, constant_prediction, line_up
from .networks import learned
from .preparation import Prepared, prepare, svmlight_base
from .reading import rows_of
from .settings import Settings, parse_seconds

__all__ = ["Result", "Task", "end", "task_of", "train"]

SHARE = 0.1
"""Of the time between two checkpoints: after so much of it, one is written when a race is over, since what follows may
take long and writes none."""


@dataclass(frozen=True)
class Result:
    """What a training gives.

    model : the winner.
    record : the events of the training, as in `record.jsonl`.
    report : the path of the report; None without a folder.
    summary : what `schuss train --json` prints.
    """

    model: Model
    record: list[Event]
    report: Path | None
    summary: dict[str, Any]


def train(source: Any, target: str | None = None, **options: Any) -> Result:
    """Train a whole grid of linear models on a source at once, let them race, and give the winner.

    The objective is mean loss + λ₂/2 ‖w‖² + λ₁ ‖w‖₁ over standardised features, the intercept free.

    Parameters
    ----------
    source : a path, a list of paths, a folder, a glob, a URL, "-", or data in memory: a pandas or polars frame, an
        Arrow table, `(X, y)` arrays with X dense or SciPy CSR.
    target : the column to predict; sources that carry their own (svmlight, npz, `(X, y)`) need none.
    options : those of `schuss train`, with underscores; see `Settings` for the names and defaults. `out=None`
        writes nothing to the disk; `progress` is called with every event.

    Raises
    ------
    InputError
        When the data or an option are wrong; a finished run in the folder stays as it is then.
    TrainingError
        When every run diverged.

    Example
    -------
    >>> import numpy as np, schuss
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 3))
    >>> y = X @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=2000)
    >>> result = schuss.train((X, y), runs=8)
    >>> result.summary["holdout"]["r2"] > 0.99
    True
    """
    settings = Settings(target=target, **_known(options))
    started = time.monotonic()
    if settings.workers is not None:
        source = places_for_workers(source)
    with limited_threads(settings.threads), interruptible() as interrupted:
        prepared = prepare(source, settings, all_classes=False)
        try:
            return _recorded(prepared, source, started, interrupted)
        except UnknownClassError as error:
            if prepared.all_classes:
                raise
            begun_anew = f"{error}: training begins anew with all classes"
        prepared = prepare(source, settings)
        return _recorded(prepared._replace(notices=(*prepared.notices, begun_anew)), source, started, interrupted)


def _recorded(prepared: Prepared, source: Any, started: float, interrupted: Callable[[], bool]) -> Result:
    """Train, and write down what happens."""
    with recording(prepared.folder, prepared.settings.progress) as record:
        if prepared.folder is not None:
            prepared.folder.checkpoints.clear()
        record("start", **_start_event(prepared, source))
        with rows_of(prepared, record, interrupted) as feed:
            return _train(prepared, source, feed, record, started, interrupted)


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Refuse options that there are not."""
    for name in options:
        if name not in Settings.__dataclass_fields__:
            valid = ", ".join(Settings.__dataclass_fields__)
            raise OptionError(f"train has no option '{name}'; the options are {valid}")
    return options


@dataclass(frozen=True)
class Task:
    """A training whose rows are at hand.

    unit : what losses of training are multiplied by where people see them; constant : the prediction to beat;
    checkpointer : None where nothing is written, and for data that can be read only once.
    """

    prepared: Prepared
    feed: Feed
    loss: Loss
    unit: float
    constant: Constant
    record: Recorder
    interrupted: Callable[[], bool]
    checkpointer: Checkpointer | None

    @property
    def plan(self) -> Plan:
        """How long to train."""
        settings = self.prepared.settings
        epochs = None if settings.epochs == "auto" else int(settings.epochs)
        return Plan(epochs, parse_seconds(settings.time_limit), short=self.is_short)

    def is_short(self) -> bool:
        """Whether what comes after the race decides."""
        decided = is_decided_by_passes(self.prepared, self.feed, self.loss)
        return decided or has_committee(self.prepared, self.feed)

    @property
    def saving(self) -> Saving | None:
        """How the race is written down."""
        return None if self.checkpointer is None else Saving(self.checkpointer.due, self.checkpointer.write)


def task_of(
    prepared: Prepared,
    feed: Feed,
    constant: Constant,
    record: Recorder,
    interrupted: Callable[[], bool],
    basis: Callable[[], Saved],
) -> Task:
    """Put a task together; `basis` gives what its checkpoints keep of what does not change."""
    settings, folder = prepared.settings, prepared.folder
    checkpointer = None
    if folder is not None and prepared.source.rereadable:
        checkpointer = Checkpointer(
            folder.checkpoints,
            settings.seconds_between_checkpoints,
            basis,
            record,
            interrupted,
        )
    loss, unit = _goal(prepared)
    return Task(prepared, feed, loss, unit, constant, record, interrupted, checkpointer)


def _goal(prepared: Prepared) -> tuple[Loss, float]:
    """Give the loss, and its unit where people see it."""
    encoder = prepared.encoder
    loss = loss_for(prepared.loss, outputs_of(encoder.classes), encoder.target_scale)
    return loss, unit_of(prepared.loss, encoder.target_scale)


def _train(
    prepared: Prepared, data: Any, feed: Feed, record: Recorder, started: float, interrupted: Callable[[], bool]
) -> Result:
    """Race, and finish."""
    _require_rows(feed, prepared.source.parts[0])
    loss, unit = _goal(prepared)
    constant = constant_prediction(loss, feed, prepared.encoder)
    contenders = line_up(prepared.settings, prepared.encoder, feed, loss, record.say)
    record("data", **_data_event(feed, unit * constant.loss))
    record("runs", runs=[_described(run) for contender in contenders for run in contender.runs])
    task = task_of(prepared, feed, constant, record, interrupted, lambda: save_basis(prepared, data, constant))
    ended = run_race(
        feed,
        contenders,
        task.plan,
        constant_loss=constant.loss,
        record=record,
        unit=unit,
        stop_requested=interrupted,
        started=started,
        saving=task.saving,
    )
    return end(task, ended, started)


def end(task: Task, ended: Finish, started: float) -> Result:
    """Do all that comes after a race; `started` is when its clock stood at zero."""
    plan = task.plan
    finished = Finished(ended.champion, ended.champion)
    cut_short = False

    def stop() -> bool:
        nonlocal cut_short
        cut_short = cut_short or task.interrupted()
        return cut_short or time.monotonic() - started >= (plan.seconds or math.inf)

    if plan.short() or is_finished_by_passes(task.prepared):
        events = len(task.record.events)
        if task.checkpointer is not None and task.checkpointer.due(SHARE):
            _write_end(task, ended, started, events)
        finished = finished_race(
            task.prepared, task.feed, task.loss, ended,
            constant_loss=task.constant.loss, record=task.record, unit=task.unit, stop=stop,
        )  # fmt: skip
        if cut_short and ended.outcome != "interrupted":
            _write_end(task, ended, started, events)
            ended = ended._replace(outcome="interrupted", advice="")
    return _conclude(task, ended, finished, started)


def _write_end(task: Task, ended: Finish, started: float, events: int) -> None:
    """Write down how the race ended, with so many events: what follows is done again."""
    rows = task.feed.pause(over=True)
    if task.checkpointer is not None and rows is not None and ended.outcome != "interrupted":
        seconds = time.monotonic() - started
        task.checkpointer.write(together({}, ended=save_finish(ended, seconds), feed=rows), events)


def _require_rows(feed: Feed, name: str) -> None:
    """Refuse data that leave nothing to learn from."""
    if feed.training_rows == 0:
        raise DataError(f"{name} has no row with a target to learn from")
    held_out = feed.select
    if not feed.counts.goals.any() or (held_out is not None and not held_out.weights.any()):
        raise DataError(f"{name} has no row with a weight above zero to learn from or to judge by")


def _start_event(prepared: Prepared, data: Any) -> dict[str, Any]:
    """Describe what is trained on what."""
    source, encoder, settings = prepared.source, prepared.encoder, prepared.settings
    called_as_command = Path(sys.argv[0]).name in ("schuss", "__main__.py")
    return {
        "schuss": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["schuss", *sys.argv[1:]]) if called_as_command else None,
        "data": place_of(data),
        "source": {"name": source.name, "parts": list(source.parts), "rows": source.rows, "bytes": source.nbytes},
        "fingerprint": source.fingerprint(),
        "task": encoder.schema.task,
        "target": encoder.schema.target,
        "classes": encoder.classes,
        "loss": prepared.loss,
        "sparse": encoder.sparse,
        "features": encoder.width,
        "columns": encoder.describe(),
        "options": settings.as_given(),
        "seed": settings.seed,
        "versions": versions(settings.network is not None),
        "notices": prepared.notices,
    }


def _data_event(feed: Feed, constant_loss: float) -> dict[str, Any]:
    """Describe where the rows went."""
    counts = feed.counts
    return {
        "read_rows": counts.read,
        "training_rows": feed.training_rows,
        "select_rows": counts.select,
        "score_rows": counts.score,
        "skipped_rows": counts.skipped,
        "bad_rows": counts.bad,
        "unseen": counts.unseen,
        "twins": feed.twins() if isinstance(feed, MemoryFeed) else None,
        "constant_loss": constant_loss,
    }


def _described(run: Run) -> dict[str, Any]:
    return {"run": run.number, **{name: value for name, value in run._asdict().items() if name != "number"}}


def _conclude(task: Task, ended: Finish, finished: Finished, started: float) -> Result:
    """Make the model of the champion, score it on rows nobody has chosen by, and write everything down."""
    prepared, feed, record, unit = task.prepared, task.feed, task.record, task.unit
    champion, run = finished.final, finished.final.run
    chosen = {
        "optimizer": run.optimizer,
        "learning_rate": run.learning_rate,
        "schedule": run.schedule,
        **({"init": run.init} if run.init != "zero" else {}),
        "l2": run.l2,
        **({"l1": run.l1} if run.l1 else {}),
        "batch_size": run.batch_size,
        "epochs": round(champion.rows / max(feed.training_rows, 1), 2),
    }
    settings = prepared.settings
    if settings.network is not None:
        own = ("network", "activation", "dropout") if settings.factory is None else ("network",)
        chosen |= {name: getattr(settings, name) for name in own}
        chosen |= {"members": champion.state.weights.shape[0] if champion.state.weights.ndim > 1 else 1}
    if champion.passes:
        chosen |= {"finish": "full-batch", "passes": champion.passes}
    model = _model(task, champion, chosen)
    judged: dict[str, Any] = {"holdout": None}
    if feed.score is not None:
        judged = judge(_model(task, finished.scored, chosen), feed.score, task.constant.scores)
        judged["holdout"]["select_loss"] = unit * champion.loss
    if finished.validation is not None:
        judged["cross_validation"] = finished.validation._asdict()
    if ended.outcome != "interrupted" and settings.network is None:
        _look_around(task, ended, finished, chosen)
    seconds = time.monotonic() - started
    record(
        "finish",
        outcome=ended.outcome,
        advice=ended.advice,
        winner=run.number,
        chosen=chosen,
        **judged,
        **findings(model, feed),
        counts=feed.counts.went(),
        rows=ended.rows,
        learned=_learned(feed, finished),
        seconds=seconds,
        rows_per_second=ended.rows / max(seconds, 1e-9),
        peak_memory_bytes=peak_memory(),
    )
    folder = prepared.folder
    if folder is not None:
        write_out(folder, record, model.save)
    report = None if folder is None else folder.path / REPORT
    return Result(model, record.events, report, _summary(prepared, feed, record.events))


def _learned(feed: Feed, finished: Finished) -> dict[str, int]:
    """Count the different rows that the model which is scored has learned from, and the one that is kept."""
    counts = feed.counts
    scored = feed.training_rows + (counts.select if finished.validation else 0)
    kept = feed.training_rows + counts.select + counts.score
    return {"scored": scored, "kept": scored if finished.final is finished.scored else kept}


def _look_around(task: Task, ended: Finish, finished: Finished, chosen: dict[str, Any]) -> None:
    """Record what the ground around the model looks like, where that takes no time to speak of."""
    seen = glance(
        finished,
        ended.champion.state.weights,
        task.feed,
        task.loss,
        unit=task.unit,
        unit_name="nats" if task.prepared.loss == "log_loss" else "",
        record=task.record.events,
        chosen=chosen,
        seed=task.prepared.settings.seed,
    )
    for name, content in seen:
        task.record(name, **content)


def _model(task: Task, champion: Champion, chosen: dict[str, Any]) -> Model:
    """Make the model of a champion."""
    prepared, state = task.prepared, champion.state
    settings, weights, own = prepared.settings, state.weights, {}
    if settings.network is not None:
        network, weights = learned(settings, prepared.encoder, state)
        slopes, reach = slopes_of(network, weights, some_rows(task.feed))
        own = {"network": network, "slopes": slopes, "reach": reach}
    return Model(
        prepared.encoder,
        prepared.loss,
        weights,
        settings={**settings.of_model(), "chosen": chosen, "trained": _trained(prepared, champion)},
        state={**state.slots, "carry": state.carry},
        versions=versions(settings.network is not None),
        svmlight_base=svmlight_base(prepared.source),
        **own,
    )


def _trained(prepared: Prepared, champion: Champion) -> dict[str, Any]:
    """Say what going on with a model needs: the rows its optimizer has learned from, and how these were weighted."""
    classes, mean = prepared.reader.class_weights, prepared.reader.mean_weight
    weights = {"mean_weight": mean} | ({} if classes is None else {"class_weights": classes.tolist()})
    return {"rows": champion.rows, **weights}


def _summary(prepared: Prepared, feed: Feed, events: list[Event]) -> dict[str, Any]:
    """Give what `--json` prints."""
    finish, encoder, folder = events[-1], prepared.encoder, prepared.folder
    told = ("chosen", "holdout", "outcome", "advice", "seconds", "rows_per_second", "peak_memory_bytes")
    return {
        "task": encoder.schema.task,
        "target": encoder.schema.target,
        "rows": feed.counts.read,
        "features": encoder.width,
        "classes": encoder.classes,
        "runs": sum(len(event["runs"]) for event in events if event["event"] == "runs"),
        **{name: finish[name] for name in told},
        "cross_validation": finish.get("cross_validation"),
        "skipped_rows": feed.counts.skipped,
        "bad_rows": feed.counts.bad,
        "model": str(folder.path / MODEL) if folder else None,
        "report": str(folder.path / REPORT) if folder else None,
        "resume": str(folder.path) if folder and folder.checkpoints.files else None,
    }
