"""The main job: from a source to a model, a record and a report."""

from __future__ import annotations

import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from . import __version__
from .data.encoder import Encoder
from .data.feed import Feed, MemoryFeed, Reader, open_feed
from .data.holdout import AT_MOST, Holdout, parse_holdout
from .data.open import open_source
from .data.schema import Role, Schema, infer_schema
from .data.source import Source
from .descent.losses import LOSSES, Loss, constant_scores, loss_for, values_and_gradients
from .descent.optimizers import OPTIMIZERS
from .errors import DataError, OptionError, OutputError
from .judgement import judge
from .model import Model, outputs_of
from .population.linear import Linear, state_bytes
from .population.population import Run
from .race.grid import default_runs
from .race.loop import Contender, Finish, Plan, run_race
from .race.record import Event, Recorder
from .settings import Settings, parse_seconds

__all__ = ["Result", "train"]

SAMPLE_ROWS = 262_144
ROWS_MEMORY = 1 << 30
"""Encoded rows are kept for later epochs if they fit into this many bytes; larger data are read anew in every epoch."""

DENSE_BATCH = 32


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
    source : a path, a list of paths, a folder, a glob, a URL, "-", or data in memory: a pandas or polars frame, an Arrow
        table, `(X, y)` arrays with X dense or SciPy CSR.
    target : the column to predict; sources that carry their own (svmlight, npz, `(X, y)`) need none.
    options : those of `schuss train`, with underscores; see `Settings` for the names and defaults. `out=None`
        writes nothing to the disk; `progress` is called with every event.

    Raises
    ------
    InputError
        When the data or an option are wrong; nothing has been written over then.
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
        return _train(source, settings, started, interrupted)


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


def _train(place: Any, settings: Settings, started: float, interrupted: Callable[[], bool]) -> Result:
    """Do the job, one stage after the other."""
    holdout = parse_holdout(str(settings.holdout))
    source = open_source(place, target=settings.target, format=settings.format, header=settings.header, **_forced(settings))
    settings = replace(settings, target=settings.target or source.target)
    folder = _prepare_folder(settings, source)
    sample = _sample(source, settings.scan)
    schema, encoder = _learn_schema(source, sample, settings, holdout)
    settings, encoder, notices = _fit_into_memory(settings, sample, schema, encoder, source)
    rows_known = source.rows if source.rows is not None else (len(sample) if settings.scan else None)
    reader = _reader(source, encoder, holdout, settings, sample, rows_known)
    del sample
    record = Recorder(folder / "record.jsonl" if folder else None, settings.progress)
    try:
        record("start", **_start_event(source, encoder, settings, [*schema.notices, *notices]))
        feed = open_feed(reader, order=settings.order, memory=ROWS_MEMORY)
        _require_rows(feed, source)
        loss = loss_for(_loss_name(settings, encoder), outputs_of(encoder.classes))
        constant = constant_scores(loss, *_goals(feed, encoder))
        constant_loss = _constant_loss(loss, constant, feed)
        contenders = _contenders(settings, encoder, feed, loss)
        record("data", **_data_event(feed, constant_loss, encoder))
        record("runs", runs=[_described(run) for contender in contenders for run in contender.runs])
        plan = Plan(settings.epochs if settings.epochs != "auto" else None, parse_seconds(settings.time_limit))  # pyright: ignore
        finish = run_race(
            feed, contenders, plan, constant_loss=constant_loss, record=record, stop_requested=interrupted, started=started
        )
        return _finish(source, encoder, settings, feed, finish, constant, record, folder, started)
    finally:
        record.close()


def _forced(settings: Settings) -> dict[str, Any]:
    """Tell a source which columns it must read as words or numbers."""
    return {"strings": (*settings.categorical, *settings.text), "numbers": tuple(settings.numeric)}


def _prepare_folder(settings: Settings, source: Source) -> Path | None:
    """Make the folder of the run, refusing one that holds a finished run unless it may be written over."""
    if settings.out is None:
        return None
    name = str(settings.out).replace("{name}", source.name).replace("{target}", str(settings.target))
    folder = Path(name)
    if (folder / "model.safetensors").exists() and not settings.force:
        raise OutputError(f"'{folder}' holds a finished run; --force writes over it, --out names another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write to '{folder}': {(error.strerror or str(error)).lower()}") from None
    return folder


def _sample(source: Source, scan: bool) -> pa.Table:
    """Take the rows from which roles and statistics come: a sample, or all of them."""
    if scan and not source.rereadable:
        raise OptionError("option '--scan' reads the data twice, which standard input and streams do not allow")
    batches = [batch.table for batch in (source.batches() if scan else source.sample(SAMPLE_ROWS))]
    return pa.Table.from_batches(batches, schema=batches[0].schema if batches else source.schema)


def _learn_schema(source: Source, sample: pa.Table, settings: Settings, holdout: Holdout) -> tuple[Schema, Encoder]:
    """Find the roles of the columns and take the statistics of the sample."""
    asked = (
        (settings.numeric, Role.NUMBER), (settings.categorical, Role.CATEGORY),
        (settings.text, Role.TEXT), (settings.ignore, Role.IGNORED),
    )  # fmt: skip
    overrides = {column: role for columns, role in asked for column in columns}
    weight = settings.weight or getattr(source, "weight", None)
    schema = infer_schema(
        sample, name=source.parts[0], target=settings.target, task=settings.task, weight=weight,
        group=holdout.column, overrides=overrides,
    )  # fmt: skip
    if settings.loss is not None:
        wanted = "classification" if LOSSES[settings.loss][0].classification else "regression"
        if wanted != schema.task:
            raise OptionError(f"loss '{settings.loss}' is for {wanted}, and the task is {schema.task}")
    return schema, Encoder.fit(sample, schema, name=source.parts[0], rows_expected=_rows(source, sample))


def _rows(source: Source, sample: pa.Table) -> int:
    """Give the rows of a source, estimated from its bytes where they are not known: Arrow takes about what text takes."""
    if source.rows is not None:
        return source.rows
    if source.nbytes is None or len(sample) == 0 or len(sample) < SAMPLE_ROWS:
        return len(sample)
    return max(int(source.nbytes / (sample.nbytes / len(sample))), len(sample))


def _optimizers(settings: Settings, encoder: Encoder) -> list[str]:
    """Choose the optimizers: adaptive ones need no scale; on sparse rows only those whose untouched weights can rest."""
    names = [("adagrad" if encoder.sparse else "adam") if name == "auto" else name for name in settings.optimizers]
    return list(dict.fromkeys(names))


def _fit_into_memory(
    settings: Settings, sample: pa.Table, schema: Schema, encoder: Encoder, source: Source
) -> tuple[Settings, Encoder, list[str]]:
    """Keep the weights within --memory by fewer runs, then by fewer hashed features, and say so."""
    notices: list[str] = []
    while _weights_bytes(settings, encoder) > settings.memory_bytes:
        if settings.runs > 4:
            settings = replace(settings, runs=max(settings.runs // 2, 4))
            notice = f"only {settings.runs} runs race, so that the weights fit into --memory"
        elif encoder.hash_bits > 10:
            bits = encoder.hash_bits - 1
            narrower = Encoder.fit(
                sample, schema, name=source.parts[0], rows_expected=_rows(source, sample), hash_bits=bits
            )
            notice = f"hashed features are limited to {1 << bits:,} a column, so that the weights fit into --memory"
            encoder = narrower
        else:
            size = _weights_bytes(settings, encoder)
            raise OptionError(f"the weights of {settings.runs} runs take {size:,} bytes, more than --memory allows")
        notices = [line for line in notices if line.split()[0] != notice.split()[0]] + [notice]
    return settings, encoder, notices


def _weights_bytes(settings: Settings, encoder: Encoder) -> int:
    names = _optimizers(settings, encoder)
    share = -(-settings.runs // len(names))
    return sum(state_bytes(encoder.width, outputs_of(encoder.classes), share, name) for name in names)


def _loss_name(settings: Settings, encoder: Encoder) -> str:
    return settings.loss or ("squared_error" if encoder.classes is None else "log_loss")


def _reader(
    source: Source, encoder: Encoder, holdout: Holdout, settings: Settings, sample: pa.Table, rows_known: int | None
) -> Reader:
    """Put together what reads the rows; the held-out share is lowered where it would be more than is of use."""
    expected = rows_known or _rows(source, sample)
    if holdout.kind == "last" and rows_known is None:
        if not source.rereadable:
            raise OptionError("option '--holdout last:…' needs the number of rows, which a stream does not tell")
        rows_known = sum(batch.table.num_rows for batch in source.batches(columns=[encoder.columns[-1]]))
    if holdout.share * expected > AT_MOST:
        holdout = replace(holdout, share=AT_MOST / expected)
    weights = _class_weights(encoder, sample) if settings.class_weight else None
    return Reader(source, encoder, holdout, settings.seed, weights, rows_known, expected)


def _class_weights(encoder: Encoder, sample: pa.Table) -> NDArray[np.float32]:
    """Weigh classes so that each counts the same: N / (classes · rows of the class)."""
    if encoder.classes is None:
        raise OptionError("option '--class-weight' is for classification")
    counts = np.zeros(len(encoder.classes))
    for batch in sample.to_batches(max_chunksize=65_536):
        targets = encoder.encode(batch, where="sample", first_row=0).targets
        counts += np.bincount(targets, minlength=len(counts))
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def _require_rows(feed: Feed, source: Source) -> None:
    """Refuse data that leave nothing to learn from."""
    if feed.training_rows == 0:
        raise DataError(f"{source.parts[0]} has no row with a target to learn from")
    held_out = feed.select
    if not feed.counts.goals.any() or (held_out is not None and not held_out.weights.any()):
        raise DataError(f"{source.parts[0]} has no row with a weight above zero to learn from or to judge by")


def _goals(feed: Feed, encoder: Encoder) -> tuple[NDArray[np.float64] | None, float]:
    """Give the weight of each class over the training rows, or the mean target."""
    goals = feed.counts.goals
    return (goals, 0.0) if encoder.classes is not None else (None, float(goals[1] / max(goals[0], 1e-300)))


def _constant_loss(loss: Loss, constant: NDArray[np.float64], feed: Feed) -> float:
    """Give the loss of the constant prediction on the held-out rows, without such on the training rows."""
    rows = feed.select
    if rows is None:
        return _constant_training_loss(loss, constant, feed)
    scores = np.repeat(constant[None, :], len(rows.targets), axis=0)
    return float(np.average(values_and_gradients(loss, scores, rows.targets)[0], weights=rows.weights))


def _constant_training_loss(loss: Loss, constant: NDArray[np.float64], feed: Feed) -> float:
    """Give it from the weights of the classes; standardised targets have a variance of about one."""
    if not loss.classification:
        return 0.5
    goals = feed.counts.goals
    scores = np.repeat(constant[None, :], len(goals), axis=0)
    return float(np.average(values_and_gradients(loss, scores, np.arange(len(goals)))[0], weights=goals))


def _contenders(settings: Settings, encoder: Encoder, feed: Feed, loss: Loss) -> list[Contender]:
    """Line up the runs, one population for each optimizer."""
    names = _optimizers(settings, encoder)
    runs = default_runs(
        settings.runs, optimizers=names,
        learning_rate=None if settings.learning_rate == "auto" else float(settings.learning_rate),
        l2=None if settings.l2 == "auto" else float(settings.l2),
        schedule=settings.schedule, batch_size=1, rows=feed.training_rows,
        squared_norm=feed.counts.squared_norm / max(feed.counts.training, 1),
    )  # fmt: skip
    return [_contender(name, [run for run in runs if run.optimizer == name], settings, encoder, loss) for name in names]


def _contender(name: str, runs: list[Run], settings: Settings, encoder: Encoder, loss: Loss) -> Contender:
    """Make the population of one optimizer; on sparse rows one row at a time is the natural step where weights can rest."""
    rule = OPTIMIZERS[name]()
    natural = 1 if encoder.sparse and rule.lazy else DENSE_BATCH
    batch = natural if settings.batch_size == "auto" else int(settings.batch_size)
    population = Linear(rule, loss, encoder.width, outputs_of(encoder.classes), batch, encoder.sparse)
    return Contender(population, population.start(tuple(run._replace(batch_size=batch) for run in runs)))


def _start_event(source: Source, encoder: Encoder, settings: Settings, notices: list[str]) -> dict[str, Any]:
    """Describe what is trained on what."""
    command = " ".join(_quoted(word) for word in ["schuss", *sys.argv[1:]])
    return {
        "schuss": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command if Path(sys.argv[0]).name in ("schuss", "__main__.py") else None,
        "source": {"name": source.name, "parts": list(source.parts), "rows": source.rows, "bytes": source.nbytes},
        "fingerprint": source.fingerprint(),
        "task": encoder.schema.task,
        "target": encoder.schema.target,
        "classes": encoder.classes,
        "loss": _loss_name(settings, encoder),
        "sparse": encoder.sparse,
        "features": encoder.width,
        "columns": encoder.describe(),
        "options": settings.as_given(),
        "seed": settings.seed,
        "versions": _versions(),
        "notices": notices,
    }


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)


def _versions() -> dict[str, str]:
    import numba
    import scipy

    return {
        "schuss": __version__, "python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__,
        "scipy": scipy.__version__, "pyarrow": pa.__version__, "machine": platform.machine(),
    }  # fmt: skip


def _data_event(feed: Feed, constant_loss: float, encoder: Encoder) -> dict[str, Any]:
    """Describe where the rows went."""
    counts = feed.counts
    return {
        "read_rows": counts.read, "training_rows": feed.training_rows, "select_rows": counts.select,
        "score_rows": counts.score, "skipped_rows": counts.skipped, "unseen": counts.unseen,
        "twins": feed.twins() if isinstance(feed, MemoryFeed) else None, "constant_loss": constant_loss,
    }  # fmt: skip


def _described(run: Run) -> dict[str, Any]:
    return {"run": run.number, **{name: value for name, value in run._asdict().items() if name != "number"}}


def _finish(
    source: Source, encoder: Encoder, settings: Settings, feed: Feed, finish: Finish, constant: NDArray[np.float64],
    record: Recorder, folder: Path | None, started: float,
) -> Result:  # fmt: skip
    """Make the model of the champion, score it on rows nobody has chosen by, and write everything down."""
    champion = finish.champion
    run = champion.run
    chosen = {
        "optimizer": run.optimizer, "learning_rate": run.learning_rate, "schedule": run.schedule, "l2": run.l2,
        "batch_size": run.batch_size, "epochs": round(champion.rows / max(feed.training_rows, 1), 2),
    }  # fmt: skip
    loss = _loss_name(settings, encoder)
    model = Model(
        encoder, loss, champion.state.weights,
        settings={**settings.as_given(), "target": settings.target, "chosen": chosen},
        state={**champion.state.slots, "carry": champion.state.carry},
        versions=_versions(), svmlight_base=_svmlight_base(source),
    )  # fmt: skip
    judged: dict[str, Any] = {"holdout": None}
    if feed.score is not None:
        judged = judge(model, feed.score, constant)
        judged["holdout"]["select_loss"] = champion.loss
    seconds = time.monotonic() - started
    closing = {
        "outcome": finish.outcome, "advice": finish.advice, "winner": run.number, "chosen": chosen, **judged,
        "weights": model.explain(top=40), "rows": finish.rows, "seconds": seconds,
        "rows_per_second": finish.rows / max(seconds, 1e-9), "peak_memory_bytes": _peak_memory(),
    }  # fmt: skip
    report = None
    if folder is not None:
        model.save(folder / "model.safetensors")
    record("finish", **closing)
    if folder is not None:
        from .report import write_report

        report = write_report(record.events, folder / "report.html")
    summary = _summary(record.events, closing, encoder, feed, folder, report)
    return Result(model, record.events, report, summary)


def _svmlight_base(source: Source) -> int | None:
    base = (source.schema.metadata or {}).get(b"schuss.svmlight_base")
    return None if base is None else int(base)


def _summary(
    events: list[Event], closing: dict[str, Any], encoder: Encoder, feed: Feed, folder: Path | None, report: Path | None
) -> dict[str, Any]:
    """Give what `--json` prints."""
    finish = events[-1]
    return {
        "task": encoder.schema.task,
        "target": encoder.schema.target,
        "rows": feed.counts.read,
        "features": encoder.width,
        "classes": encoder.classes,
        "runs": sum(len(event["runs"]) for event in events if event["event"] == "runs"),
        **{name: finish[name] for name in ("chosen", "holdout", "outcome", "advice")},
        **{name: closing[name] for name in ("seconds", "rows_per_second", "peak_memory_bytes")},
        "skipped_rows": feed.counts.skipped,
        "model": str(folder / "model.safetensors") if folder else None,
        "report": str(report) if report else None,
    }


def _peak_memory() -> int | None:
    """Give the most memory this process has had, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
