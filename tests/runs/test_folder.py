"""The folder of a run: whatever happens in between, a finished run is whole and nothing else hinders the next one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schuss import Model
from schuss.errors import OutputError, TrainingError
from schuss.race.record import read_record
from schuss.report import redraw
from schuss.runs.folder import MODEL, NEW, RECORD, REPORT, RunFolder
from schuss.training.resuming import is_finished
from schuss.training.training import train

KILLED = """
import os, signal, sys, numpy as np
from schuss.training.training import train
def kill(event):
    if event["event"] == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
X = np.random.default_rng(0).normal(size=(300, 3))
train((X, (X[:, 0] > 0).astype(int)), epochs=2, runs=2, seed=9, out=sys.argv[1], force=True, progress=kill)
"""


def quick(out: Path, **options: Any) -> Any:
    X = np.random.default_rng(0).normal(size=(300, 3))
    return train((X, (X[:, 0] > 0).astype(int)), out=out, **({"epochs": 2, "runs": 2} | options))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def raising(error: BaseException, at: str) -> Any:
    """Give a listener that raises at an event."""

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == at:
            raise error

    return listen


def test_a_finished_run_is_three_files(tmp_path: Path) -> None:
    quick(tmp_path / "run")
    assert set(contents(tmp_path / "run")) == {MODEL, RECORD, REPORT}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows cannot kill like that")
@pytest.mark.parametrize("at", ["start", "evaluation", "finish"])
def test_a_kill_leaves_the_finished_run_whole(tmp_path: Path, at: str) -> None:
    out = tmp_path / "run"
    quick(out)
    before = contents(out)
    done = subprocess.run([sys.executable, "-c", KILLED, str(out), at], timeout=200, check=False)
    assert done.returncode == -signal.SIGKILL
    after = contents(out)
    assert {name: after[name] for name in before} == before
    again = quick(out, force=True, seed=9)
    assert set(contents(out)) == {MODEL, RECORD, REPORT}
    assert read_record(out / RECORD) == again.record


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows cannot kill like that")
def test_what_a_kill_leaves_hinders_nobody(tmp_path: Path) -> None:
    out = tmp_path / "run"
    subprocess.run([sys.executable, "-c", KILLED, str(out), "evaluation"], timeout=200, check=False)
    assert set(contents(out)) == {RECORD + ".part"}
    assert read_record(out / (RECORD + ".part"))[-1]["event"] == "evaluation"
    quick(out)
    assert set(contents(out)) == {MODEL, RECORD, REPORT}


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), TrainingError("every run diverged"), ZeroDivisionError("x / 0")]
)
def test_what_ends_a_training_early_is_recorded_and_reported(tmp_path: Path, error: BaseException) -> None:
    out = tmp_path / "run"
    with pytest.raises(type(error)):
        quick(out, progress=raising(error, "evaluation"))
    assert set(contents(out)) == {RECORD, REPORT}
    last = read_record(out / RECORD)[-1]
    assert last == {"event": "error", "message": str(error) or "interrupted"}
    assert last["message"] in (out / REPORT).read_text()
    quick(out)


def test_a_failed_training_leaves_the_finished_run_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "run"
    quick(out)
    before = contents(out)
    X = np.random.default_rng(0).normal(size=(300, 3))
    with pytest.raises(TrainingError, match="diverged"):
        train((X, X[:, 0]), optimizer="sgd", learning_rate=1e9, epochs=9, runs=2, out=out, force=True)
    assert contents(out) == before


def failing(error: Exception) -> Any:
    def fail(*_: Any) -> None:
        raise error

    return fail


def test_a_model_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    quick(out)
    before = contents(out)
    monkeypatch.setattr("schuss.model.model.Model.save", failing(OutputError("the disk is full")))
    with pytest.raises(OutputError, match="the disk is full"):
        quick(out, force=True, seed=9)
    assert contents(out) == before


FULL = OutputError("the disk is full")


def test_a_report_that_cannot_be_written_costs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    wanted = quick(tmp_path / "undisturbed").model
    with monkeypatch.context() as patch:
        patch.setattr("schuss.report.write_report", failing(FULL))
        with pytest.raises(OutputError, match=r"the disk is full; the model is kept in .*run, and schuss report .*run"):
            quick(out, checkpoint_every="0.000001s")  # a checkpoint at every chance
    assert set(contents(out)) == {MODEL, RECORD}
    np.testing.assert_array_equal(Model.load(out).weights, wanted.weights)
    assert read_record(out / RECORD)[-1]["event"] == "finish"
    assert is_finished(out)
    redraw(out)
    assert set(contents(out)) == {MODEL, RECORD, REPORT}


def test_a_finished_run_stays_where_the_report_of_another_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    quick(out)
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr("schuss.report.write_report", failing(FULL))
        for seed in (9, 10):  # the second one finds what the first has left
            with pytest.raises(OutputError, match=r"kept in .*new, and schuss report .*new draws its report; the run"):
                quick(out, force=True, seed=seed)
    after = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert after == before
    assert set(contents(out / NEW)) == {MODEL, RECORD}
    assert Model.load(out / NEW).settings["seed"] == 10
    redraw(out / NEW)


def test_the_best_model_so_far_is_no_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    quick(out)
    lines = (out / RECORD).read_text().splitlines()
    finish = json.loads(lines[-1]) | {"outcome": "interrupted"}
    (out / RECORD).write_text("\n".join([*lines[:-1], json.dumps(finish)]) + "\n")
    monkeypatch.setattr("schuss.report.write_report", failing(FULL))
    with pytest.raises(OutputError, match="the disk is full"):
        quick(out, force=True, seed=9)
    assert set(contents(out)) == {MODEL, RECORD}, "the older report does not stand beside the newer model"
    assert Model.load(out).settings["seed"] == 9


@pytest.mark.parametrize("error", [ZeroDivisionError("x / 0"), MemoryError()])
def test_a_report_that_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr("schuss.report.write_report", failing(error))
    out = tmp_path / "run"
    with pytest.raises((ZeroDivisionError, OutputError)) as raised:
        quick(out)
    assert f"the model is kept in {out}" in "".join(traceback.format_exception_only(raised.value))
    Model.load(out)


@pytest.mark.parametrize("name", [RECORD, REPORT, MODEL])
def test_a_folder_in_the_place_of_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "run" / name).mkdir(parents=True)
    with pytest.raises(OutputError, match=rf"{name}' is a folder, where a file is to be written"):
        quick(tmp_path / "run", force=True)


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot write to"):
        RunFolder(tmp_path / "run", force=False).make()


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write to '.*run'"):
        quick(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "a file"
