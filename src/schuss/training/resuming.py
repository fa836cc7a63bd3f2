"""Going on with a run that was interrupted, or whose process or machine was lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..data.feed import Feed
from ..data.saved import Saved, understood
from ..descent.optimizers import own_name
from ..errors import ResumeError, UnknownClassError
from ..files import nearest
from ..named import only
from ..population.population import Population, Run
from ..process import interruptible, limited_threads
from ..race.checkpoint import load_finish, load_race
from ..race.loop import go_on
from ..race.record import Event, Recorder, read_record
from ..race.state import Finish, Race
from ..runs.folder import RECORD, RunFolder
from ..runs.recording import recording
from .basis import load_constant, load_prepared, require_same_versions
from .lineup import population_of
from .preparation import Prepared
from .reading import rows_again
from .settings import Settings
from .training import Result, Task, end, task_of, train

__all__ = ["is_finished", "resume"]

Listener = Callable[[Event], None]


def resume(
    path: str | Path,
    source: Any = None,
    *,
    network: Any = None,
    optimizer: Any = "auto",
    progress: Listener | None = None,
) -> Result:
    """Go on with the run in a folder from its newest checkpoint, to the very model it would have come to.

    Where a run has no checkpoint yet, it begins anew.

    Parameters
    ----------
    path : the folder of the run.
    source : what the run learns from, if that is data in memory; files are found where they were.
    network : of a run with a module of the user's own, the name of its factory again: code that a run's files name is
        not run for that alone.
    optimizer : of a run with optimizers of the user's own, their names or classes again.
    progress : called with every event from here on.

    Raises
    ------
    ResumeError
        When the run is finished, or the data or the versions are not those that it began with.
    ModelFileError
        When the checkpoint is not one of schuss.

    Example
    -------
    >>> import tempfile
    >>> import numpy as np, schuss
    >>> X = np.random.default_rng(0).normal(size=(300, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = schuss.train((X, X[:, 0]), epochs=1, runs=2, out=folder)
    ...     schuss.resume(folder)
    Traceback (most recent call last):
    schuss.errors.ResumeError: '...' holds a finished run: nothing is left to do
    """
    folder = RunFolder(Path(path), force=True)
    if is_finished(folder.path):
        raise ResumeError(f"'{path}' holds a finished run: nothing is left to do")
    notices: list[str] = []
    named = Settings(network=network, optimizer=optimizer)
    with only(name for name in (named.factory, *map(own_name, named.optimizers)) if name is not None):
        return _go_on_or_anew(folder, source, network, progress, notices)


def _go_on_or_anew(
    folder: RunFolder, source: Any, network: Any, progress: Listener | None, notices: list[str]
) -> Result:
    """Go on, or begin anew where a class comes up that was not known."""
    try:
        return _go_on(folder, source, network, progress, notices)
    except UnknownClassError as error:  # the run would have begun anew here
        saved = folder.checkpoints.newest(notices.append)
        assert saved is not None
        start = Recorder(before=_lines(saved)).events[0]
        return _begin_anew(folder, start, source, progress, [f"{error}: training begins anew with all classes"])


def _go_on(folder: RunFolder, source: Any, network: Any, progress: Listener | None, notices: list[str]) -> Result:
    """Go on from the newest checkpoint, or begin anew where there is none."""
    saved = folder.checkpoints.newest(notices.append)
    if saved is None:
        notices.append(f"'{folder.path}' has no checkpoint to go on from: training begins anew")
        start = _start(folder)
        _require_named(start["options"].get("network"), network)
        return _begin_anew(folder, start, source, progress, notices)
    with understood():
        _require_named(saved.part("basis").values["settings"]["network"], network)
    with interruptible() as interrupted, limited_threads(_threads(saved)):
        prepared = _prepared(saved, source, folder, progress)
        with recording(folder, progress, _lines(saved)) as record:
            record("resume", time=datetime.now(UTC).isoformat(timespec="seconds"))
            for notice in notices:
                record.say(notice)
            with rows_again(prepared, saved.part("feed"), interrupted) as feed:
                task, race = _restored(saved, prepared, feed, record, interrupted)
                del saved  # its arrays are in use by now, or in the way
                if isinstance(race, Race):
                    return end(task, go_on(race), race.started)
                return end(task, *race)


def _require_named(trained: Any, named: Any) -> None:
    """Raise ResumeError unless the user has named the code that a run needs, and no other."""
    needed = Settings(network=trained).factory
    if Settings(network=named).factory != needed:
        if needed is None:
            raise ResumeError("this run has no module of your own: it goes on without --network")
        shown = needed[:80]
        raise ResumeError(f"this run needs code that its files only name: --network {shown} lets it run")


def _lines(saved: Saved) -> bytes:
    """Give the record of a run up to its checkpoint."""
    with understood():
        return saved.part("record").arrays["lines"].tobytes()


def is_finished(path: str | Path) -> bool:
    """Whether a folder holds a run of which nothing is left to do."""
    folder = RunFolder(Path(path), force=True)
    if not folder.finished or folder.checkpoints.files or folder.draft(RECORD).exists():
        return False
    return not folder.was_interrupted


def _threads(saved: Saved) -> int:
    """Give the threads of Arrow: how a file is cut into batches depends on them."""
    with understood():
        require_same_versions(saved.part("basis"))
        return int(saved.values["basis"]["threads"]["arrow"])


def _prepared(saved: Saved, source: Any, folder: RunFolder, progress: Listener | None) -> Prepared:
    with understood():
        return load_prepared(saved.part("basis"), source, folder, progress)


def _restored(
    saved: Saved, prepared: Prepared, feed: Feed, record: Recorder, interrupted: Callable[[], bool]
) -> tuple[Task, Race | tuple[Finish, float]]:
    """Give the task, and the race or its end with the time when its clock stood at zero."""
    with understood():
        basis = saved.part("basis").loaded()
        task = task_of(prepared, feed, load_constant(basis), record, interrupted, lambda: basis)
        if "ended" in saved.values:
            ended = saved.part("ended")
            return task, (load_finish(ended), time.monotonic() - ended.values["seconds"])

        def population(run: Run) -> Population:
            basis = run.optimizer, prepared.settings, prepared.encoder, feed, task.loss, run.batch_size
            return population_of(*basis, record.say)

        saving = task.saving
        return task, load_race(saved.part("race"), population, feed, task.plan, record, interrupted, saving)


def _begin_anew(folder: RunFolder, start: Event, source: Any, progress: Listener | None, notices: list[str]) -> Result:
    """Do the training from its beginning that a record's first event tells of."""
    place, options = start.get("data"), {**start["options"], "target": start["target"], "out": str(folder.path)}
    if place == ["-"] or (place is None and source is None):
        what = "standard input, which is gone" if place else "data in memory: schuss.resume(run, data) in Python"
        raise ResumeError(f"'{folder.path}' has no checkpoint to go on from, and began with {what}")
    if progress is not None:
        for notice in notices:
            progress({"event": "notice", "message": notice})
    data = source if place is None else place[0] if len(place) == 1 else place
    return train(data, force=True, progress=progress, **options)


def _start(folder: RunFolder) -> Event:
    """Read what the run in a folder began with."""
    for record in (folder.draft(RECORD), folder.path / RECORD):
        if record.exists():
            events = read_record(record)
            if events and events[0]["event"] == "start":
                return events[0]
    raise ResumeError(f"there is no run in '{folder.path}' to go on with{nearest(folder.path)}")
