"""The main job: from a source to a model, a record and a report."""

from __future__ import annotations

import math
import platform
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from threadpoolctl import threadpool_limits

from . import __version__
from .data.feed import Feed, MemoryFeed
from .data.reader import Counts
from .descent.losses import loss_for, unit_of
from .errors import DataError, OptionError
from .finish.finish import Finished, finish, run_rows
from .folder import BAD_ROWS, MODEL, RECORD, REPORT, RunFolder
from .judgement import judge
from .lineup import Constant, constant_prediction, line_up
from .model import Model, outputs_of
from .population.population import Run
from .preparation import Prepared, prepare, svmlight_base
from .race.loop import Champion, Finish, Plan, run_race
from .race.record import Event, Recorder
from .reading import rows_of
from .settings import Settings, parse_seconds
from .versions import version_of

__all__ = ["Result", "train"]

WEIGHTS_SHOWN = 40


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

    The objective is mean loss + λ₂/2 ‖w‖² over standardised features, the intercept free.

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
    with _threads(settings.threads), _interruptible() as interrupted:
        prepared = prepare(source, settings)
        with _recorder(prepared.folder, settings.progress) as record:
            record("start", **_start_event(prepared))
            with rows_of(prepared, record) as feed:
                return _train(prepared, feed, record, started, interrupted)


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Refuse options that there are not."""
    for name in options:
        if name not in Settings.__dataclass_fields__:
            valid = ", ".join(Settings.__dataclass_fields__)
            raise OptionError(f"train has no option '{name}'; the options are {valid}")
    return options


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    """Let Arrow use so many threads, and BLAS one: its results change with their number."""
    before = pa.cpu_count(), pa.io_thread_count()
    if threads is not None:
        pa.set_cpu_count(threads)
        pa.set_io_thread_count(max(threads, 2))
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        pa.set_cpu_count(before[0])
        pa.set_io_thread_count(before[1])


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C end training at the next chunk; a second one raises KeyboardInterrupt as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    requested = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def request(number: int, frame: Any) -> None:
        requested.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, request)
    try:
        yield requested.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _recorder(folder: RunFolder | None, listener: Callable[[Event], None] | None) -> Iterator[Recorder]:
    """Give the recorder; what ends training early is recorded, and reported unless a finished run stands there."""
    if folder is not None:
        folder.make()
    record = Recorder(folder.draft(RECORD) if folder else None, listener)
    try:
        yield record
    except BaseException as error:
        # The full disk or the listener may be what failed; the first error is the one to tell.
        with suppress(Exception):
            record("error", message="interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
        record.close()
        if folder is not None:
            with suppress(Exception):
                _leave(folder, record.events)
        raise
    finally:
        record.close()


def _leave(folder: RunFolder, events: list[Event]) -> None:
    """Show in the folder what went wrong, unless it holds a finished run or the race had not begun."""
    if folder.finished or not any(event["event"] == "runs" for event in events):
        folder.discard()
        return
    _write_report(events, folder)
    folder.publish(RECORD, REPORT)


def _write_report(events: list[Event], folder: RunFolder) -> None:
    from .report import write_report

    write_report(events, folder.draft(REPORT))


def _train(prepared: Prepared, feed: Feed, record: Recorder, started: float, interrupted: Callable[[], bool]) -> Result:
    """Race, and finish."""
    settings, encoder = prepared.settings, prepared.encoder
    _require_rows(feed, prepared.source.parts[0])
    loss = loss_for(prepared.loss, outputs_of(encoder.classes), encoder.target_scale)
    unit = unit_of(prepared.loss, encoder.target_scale)
    constant = constant_prediction(loss, feed, encoder)
    contenders = line_up(settings, encoder, feed, loss)
    record("data", **_data_event(feed, unit * constant.loss))
    record("runs", runs=[_described(run) for contender in contenders for run in contender.runs])
    plan = Plan(None if settings.epochs == "auto" else int(settings.epochs), parse_seconds(settings.time_limit))
    ended = run_race(
        feed,
        contenders,
        plan,
        constant_loss=constant.loss,
        record=record,
        unit=unit,
        stop_requested=interrupted,
        started=started,
    )
    finished = Finished(ended.champion, ended.champion)
    if plan.epochs is None:  # whoever asks for epochs gets these and no more
        finished = finish(
            ended.champion,
            feed,
            loss,
            l2=None if settings.l2 == "auto" else float(settings.l2),
            constant_loss=constant.loss,
            spent_rows=run_rows(record, ended.rows),
            record=record,
            holdout=prepared.reader.holdout.kind,
            seed=settings.seed,
            unit=unit,
            stop=lambda: interrupted() or time.monotonic() - started >= (plan.seconds or math.inf),
        )
    return _conclude(prepared, feed, ended, finished, constant, unit, record, started)


def _require_rows(feed: Feed, name: str) -> None:
    """Refuse data that leave nothing to learn from."""
    if feed.training_rows == 0:
        raise DataError(f"{name} has no row with a target to learn from")
    held_out = feed.select
    if not feed.counts.goals.any() or (held_out is not None and not held_out.weights.any()):
        raise DataError(f"{name} has no row with a weight above zero to learn from or to judge by")


def _start_event(prepared: Prepared) -> dict[str, Any]:
    """Describe what is trained on what."""
    source, encoder, settings = prepared.source, prepared.encoder, prepared.settings
    called_as_command = Path(sys.argv[0]).name in ("schuss", "__main__.py")
    return {
        "schuss": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["schuss", *sys.argv[1:]]) if called_as_command else None,
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
        "versions": _versions(),
        "notices": prepared.notices,
    }


@cache
def _versions() -> dict[str, str]:
    """Give the versions that the bits of a model depend on."""
    libraries = {name: version_of(name) for name in ("numpy", "numba", "scipy", "pyarrow")}
    return {"schuss": __version__, "python": platform.python_version(), **libraries, "machine": platform.machine()}


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


def _where_rows_went(counts: Counts) -> dict[str, int]:
    """Say what became of the rows of one pass, as far as it went; the bad ones are among those skipped."""
    went = {"trained": counts.training, "held_out": counts.select + counts.score, "skipped": counts.skipped}
    return {"read": sum(went.values()), **went, "bad": counts.bad}


def _described(run: Run) -> dict[str, Any]:
    return {"run": run.number, **{name: value for name, value in run._asdict().items() if name != "number"}}


def _conclude(
    prepared: Prepared,
    feed: Feed,
    ended: Finish,
    finished: Finished,
    constant: Constant,
    unit: float,
    record: Recorder,
    started: float,
) -> Result:
    """Make the model of the champion, score it on rows nobody has chosen by, and write everything down."""
    champion, run = finished.final, finished.final.run
    chosen = {
        "optimizer": run.optimizer,
        "learning_rate": run.learning_rate,
        "schedule": run.schedule,
        "l2": run.l2,
        "batch_size": run.batch_size,
        "epochs": round(champion.rows / max(feed.training_rows, 1), 2),
    }
    if champion.passes:
        chosen |= {"finish": "full-batch", "passes": champion.passes}
    model = _model(prepared, champion, chosen)
    judged: dict[str, Any] = {"holdout": None}
    if feed.score is not None:
        judged = judge(_model(prepared, finished.scored, chosen), feed.score, constant.scores)
        judged["holdout"]["select_loss"] = unit * champion.loss
    if finished.validation is not None:
        judged["cross_validation"] = finished.validation._asdict()
    seconds = time.monotonic() - started
    record(
        "finish",
        outcome=ended.outcome,
        advice=ended.advice,
        winner=run.number,
        chosen=chosen,
        **judged,
        weights=model.explain(top=WEIGHTS_SHOWN),
        counts=_where_rows_went(feed.counts),
        rows=ended.rows,
        seconds=seconds,
        rows_per_second=ended.rows / max(seconds, 1e-9),
        peak_memory_bytes=_peak_memory(),
    )
    folder = prepared.folder
    if folder is not None:
        _publish(folder, model, record)
    report = None if folder is None else folder.path / REPORT
    return Result(model, record.events, report, _summary(prepared, feed, record.events))


def _model(prepared: Prepared, champion: Champion, chosen: dict[str, Any]) -> Model:
    """Make the model of a champion."""
    settings, state = prepared.settings, champion.state
    return Model(
        prepared.encoder,
        prepared.loss,
        state.weights,
        settings={**settings.as_given(), "target": settings.target, "chosen": chosen},
        state={**state.slots, "carry": state.carry},
        versions=_versions(),
        svmlight_base=svmlight_base(prepared.source),
    )


def _publish(folder: RunFolder, model: Model, record: Recorder) -> None:
    """Write model and report, and only then let all files of the run take their places, the model last."""
    model.save(folder.draft(MODEL))
    _write_report(record.events, folder)
    record.close()
    if not folder.draft(BAD_ROWS).exists():  # an older run may have left a list
        (folder.path / BAD_ROWS).unlink(missing_ok=True)
        folder.publish(RECORD, REPORT, MODEL)
        return
    folder.publish(BAD_ROWS, RECORD, REPORT, MODEL)


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
    }


def _peak_memory() -> int | None:
    """Give the most memory this process has had, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
