"""A kill, a full disk or a failing disk at every single file operation: no good file is ever lost."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schuss import Model, train
from schuss.data.saved import Saved
from schuss.errors import OutputError
from schuss.files import replacing
from schuss.race.record import read_record
from schuss.runs.checkpoints import Checkpoints
from schuss.runs.folder import MODEL, NEW, RECORD, REPORT, RunFolder
from schuss.runs.recording import recording, write_out

OPERATIONS = ("open", "fsync", "chmod", "replace", "unlink", "mkdir", "close")


class Count:
    """Counts file operations, and does something at one of them."""

    def __init__(self, at: int, fault: Callable[[], None]) -> None:
        self.at, self.fault, self.seen = at, fault, 0

    def __call__(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.fault()


class Watched:
    """A file whose writes count; a fault leaves half of what was to be written."""

    def __init__(self, file: Any, count: Count) -> None:
        self._file, self._count = file, count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: Any) -> int:
        half = memoryview(data).cast("B")
        if self._count.seen + 1 == self._count.at:
            self._file.write(half[: len(half) // 2])
            self._file.flush()
        self._count()
        return self._file.write(data)


@contextmanager
def faulty(count: Count) -> Iterator[None]:
    """Count every operation on files."""
    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            real = getattr(os, name)

            def operation(*args: Any, _real: Any = real, **options: Any) -> Any:
                count()
                return _real(*args, **options)

            patch.setattr(os, name, operation)
        fdopen = os.fdopen
        patch.setattr(os, "fdopen", lambda *args, **options: Watched(fdopen(*args, **options), count))
        yield


def raising(number: int) -> Callable[[], None]:
    def fault() -> None:
        raise OSError(number, os.strerror(number))

    return fault


def every_operation(work: Callable[[], None]) -> int:
    """How many operations there are."""
    count = Count(0, lambda: None)
    with faulty(count):
        work()
    return count.seen


def under(work: Callable[[], None], at: int, fault: str) -> None:
    """Do something with a fault at one of its operations."""
    if fault != "kill":
        with faulty(Count(at, raising(getattr(errno, fault)))), pytest.raises(OutputError):
            work()
        return
    process = os.fork()
    if not process:
        try:
            with faulty(Count(at, lambda: os.kill(os.getpid(), signal.SIGKILL))):
                work()
        finally:
            os._exit(0)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


FAULTS = [
    pytest.param("kill", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")),
    "ENOSPC",
    "EIO",
]


def state(number: int) -> Saved:
    return Saved({"number": number}, {"weights": np.full(5_000, number, np.float32)})


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_checkpoints(tmp_path: Path, fault: str, before: int) -> None:
    def prepared(name: str) -> Checkpoints:
        checkpoints = Checkpoints(tmp_path / name)
        (tmp_path / name).mkdir()
        for number in range(1, before + 1):
            checkpoints.write(state(number))
        return checkpoints

    whole = prepared("whole")
    count = every_operation(lambda: whole.write(state(before + 1)))
    assert count > 6
    survived = 0
    for at in range(1, count + 1):
        checkpoints = prepared(f"{at}")
        try:
            under(lambda checkpoints=checkpoints: checkpoints.write(state(before + 1)), at, fault)
        except pytest.fail.Exception:
            assert fault != "kill", "only what cleans up behind may fail and be forgotten"
        damaged: list[str] = []
        found = checkpoints.newest(damaged.append)
        assert not damaged
        if found is None:
            assert before == 0
        else:
            number = found.values["number"]
            assert number in (before, before + 1)
            np.testing.assert_array_equal(found.arrays["weights"], np.full(5_000, number, np.float32))
        checkpoints.write(state(9))
        files = sorted(path.name for path in checkpoints.folder.iterdir())
        assert 1 <= len(files) <= 2, files
        assert all(name.endswith(".safetensors") and name[0] == "0" for name in files), "nothing is left behind"
        survived += 1
    assert survived == count


@pytest.fixture(scope="module")
def models() -> list[Model]:
    """Two models that differ."""
    X = np.random.default_rng(0).normal(size=(300, 3))
    return [train((X, X[:, 0] > place), epochs=1, runs=2).model for place in (0, 1)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_models(tmp_path: Path, models: list[Model], fault: str) -> None:
    path = tmp_path / MODEL
    old, new = models
    new.save(path)
    renewed = path.read_bytes()
    count = every_operation(lambda: new.save(path))
    assert count > 6
    for at in range(1, count + 1):
        old.save(path)
        kept = path.read_bytes()
        try:
            under(lambda: new.save(path), at, fault)
        except pytest.fail.Exception:
            assert fault != "kill"
        assert path.read_bytes() in (kept, renewed)
        Model.load(path)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_publishing(tmp_path: Path, fault: str) -> None:
    """Record, report and model take their places one after the other: in the end all are old, or all are new."""

    def prepared(name: str) -> RunFolder:
        folder = RunFolder(tmp_path / name, force=True)
        folder.make()
        for each in (RECORD, REPORT, MODEL):
            (folder.path / each).write_text("old")
            folder.draft(each).write_text("new")
        return folder

    whole = prepared("whole")
    count = every_operation(lambda: whole.publish(RECORD, REPORT, MODEL))
    assert count > 4
    for at in range(1, count + 1):
        folder = prepared(f"{at}")
        under(lambda folder=folder: folder.publish(RECORD, REPORT, MODEL), at, fault)
        again = RunFolder(folder.path, force=True)
        found = {each: (again.path / each).read_text() for each in (RECORD, REPORT, MODEL)}
        assert len(set(found.values())) == 1, (at, found)


def write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


def ended(folder: RunFolder, name: str) -> None:
    """All that a training does with its folder, but for checkpoints."""
    with recording(folder, None) as record:
        record("runs", runs=[])
        record("finish", outcome="converged", name=name)
        write_out(folder, record, lambda path: write(path, name))


def ended_as(folder: Path) -> dict[str, str]:
    """What each file of a run was written by, as whoever opens the folder next finds it."""
    RunFolder(folder, force=True)
    texts = {each: (folder / each).read_text() for each in (MODEL, REPORT) if (folder / each).exists()}
    return texts | {RECORD: read_record(folder / RECORD)[-1]["name"]}


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("older", [True, False])
def test_the_end_of_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, older: bool) -> None:
    """A finished run stays whole until another one is; a model whose report alone fails is kept, here or within."""
    monkeypatch.setattr("schuss.report.write_report", lambda events, path: write(path, events[-1].get("name", "")))

    def prepared(name: str) -> RunFolder:
        folder = RunFolder(tmp_path / name, force=True)
        if older:
            ended(folder, "old")
        return folder

    whole = prepared("whole")
    count = every_operation(lambda: ended(whole, "new"))
    assert count > 20
    old, new = [dict.fromkeys((MODEL, REPORT, RECORD), name) for name in ("old", "new")]
    unreported = {name: "new" for name in new if name != REPORT}
    seen = []
    for at in range(1, count + 1):
        folder = prepared(f"{at}")
        try:
            under(lambda folder=folder: ended(folder, "new"), at, fault)
        except pytest.fail.Exception:
            assert fault != "kill", "only what cleans up behind may fail and be forgotten"
        if not older and not RunFolder(folder.path, force=True).finished:  # the model itself could not be written
            continue
        found = ended_as(folder.path)
        if (folder.path / NEW).exists():
            seen.append("within")
            assert found == old
            assert ended_as(folder.path / NEW) == unreported
        elif not older and found == unreported:
            seen.append("here")
        else:
            assert found in ([old, new] if older else [new]), at
    if fault != "kill":
        assert len(seen) > 4
