"""What may be relied on: bad files are answered, no socket is opened, pipes end quietly, the same bytes come out."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import schuss
from schuss.race.record import Recorder, read_record

ROOT = Path(__file__).parent.parent


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_bad_file_is_answered_as_the_page_of_errors_says() -> None:
    bad_inputs = load(ROOT / "tests" / "bad_inputs.py")
    page = bad_inputs.page()
    assert "defect" not in page
    assert page == (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), (
        "run: python tests/bad_inputs.py docs/errors.md"
    )


def write_table(path: Path, rows: int = 3000) -> Path:
    random = np.random.default_rng(1)
    size = random.normal(size=rows).round(3)
    lines = [f"{value},{'rgb'[place % 3]},{'high' if value > 0.1 else 'low'}" for place, value in enumerate(size)]
    path.write_text("\n".join(["size,colour,level", *lines, ""]))
    return path


OPTIONS: dict[str, Any] = {"runs": 4, "epochs": 2}


def test_no_socket_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    path = write_table(tmp_path / "t.csv")
    result = schuss.train(path, "level", out=tmp_path / "run", **OPTIONS)
    result.model.predict(path)
    assert "http://" not in (tmp_path / "run" / "report.html").read_text().replace("http://www.w3.org/", "")


def test_the_same_bytes_however_the_rows_come(tmp_path: Path) -> None:
    """From a file, packed, in two files, from a pipe, on one thread."""
    path = write_table(tmp_path / "t.csv", 60_000)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    code = """
import sys, schuss
options = {"runs": 4, "epochs": 2, "threads": int(sys.argv[2])}
sys.stdout.buffer.write(schuss.train(sys.argv[1], "level", **options).model.weights.tobytes())
"""
    found = set()
    for source, threads in ((path, "2"), (path, "1"), (tmp_path / "t.csv.gz", "2"), ("-", "2")):
        with path.open("rb") as stdin:
            command = [sys.executable, "-c", code, str(source), threads]
            found.add(subprocess.run(command, stdin=stdin, capture_output=True, check=True).stdout)
    assert len(found) == 1


def test_the_record_says_how_to_repeat_the_run(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv")
    result = schuss.train(path, "level", out=tmp_path / "run", seed=7, **OPTIONS)
    start = result.record[0]
    assert (start["seed"], start["options"]["runs"], start["target"]) == (7, 4, "level")
    assert {"schuss", "python", "numpy", "pyarrow", "numba", "scipy", "machine"} <= start["versions"].keys()
    assert start["fingerprint"][0].keys() == {"path", "size", "mtime_ns"}
    given = {name: start["options"][name] for name in ("runs", "epochs", "seed")}
    again = schuss.train(path, start["target"], **given)
    assert again.model.weights.tobytes() == result.model.weights.tobytes()


def test_a_reader_that_goes_away_ends_quietly(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", 100_000)
    schuss.train(path, "level", out=tmp_path / "run", **OPTIONS)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    command = f"gzip -dc t.csv.gz | {sys.executable} -m schuss predict run - | head -3"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}; echo ${{PIPESTATUS[1]}}"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1], done.stderr) == ("prediction", "0", "")


def test_names_from_the_data_are_only_text(tmp_path: Path) -> None:
    """In the report, and in what is said on standard error."""
    hostile = "<script>alert(1)</script>"
    data = pa.table({hostile: np.arange(300.0) % 7, "y": [hostile, "b\x1b[31m"] * 150})
    schuss.train(data, "y", out=tmp_path / "run", **OPTIONS)
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert hostile not in report
    assert "&lt;script&gt;alert(1)" in report
    (tmp_path / "t.csv").write_text("a\x1b[31m,y\n" + "1,u\n2,v\n" * 20 + "x,u\n")
    done = subprocess.run(
        [sys.executable, "-m", "schuss", "train", "t.csv", "--target", "y", "--numeric", "a\x1b[31m", "-q"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert "t.csv, row 41, column 'a\\x1b[31m': 'x' is not a number" in done.stderr


def test_a_record_takes_names_that_are_no_text(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "record.jsonl")
    recorder("start", name="flights\udcff.csv")
    recorder.close()
    assert read_record(tmp_path / "record.jsonl") == [{"event": "start", "name": "flights\udcff.csv"}]


def test_ten_trainings_give_the_same_bytes(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv")
    command = [sys.executable, "-m", "schuss", "train", str(path), "--target", "level", "--quiet", "--runs", "2"]
    running = [
        subprocess.Popen([*command, "--out", f"run{number}"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        for number in range(10)
    ]
    assert [process.wait() for process in running] == [0] * 10
    models = [schuss.Model.load(tmp_path / f"run{number}") for number in range(10)]
    assert len({hashlib.sha256(model.weights.tobytes()).hexdigest() for model in models}) == 1
    start = json.loads((tmp_path / "run0" / "record.jsonl").read_text().splitlines()[0])
    assert start["command"].startswith("schuss train")
