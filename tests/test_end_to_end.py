"""The main job by command line: train, predict, evaluate, explain; pipes, interruption, folders in use."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_diabetes, load_iris

import schuss
from schuss.cli.main import main

SCHUSS = [sys.executable, "-m", "schuss"]
posix = pytest.mark.skipif(os.name == "nt", reason="signals and pipes of POSIX")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tables, one with classes and one with numbers to predict, and a trained run for each."""
    place = tmp_path_factory.mktemp("tables")
    iris = load_iris(as_frame=True)
    iris.frame.assign(target=iris.target_names[iris.target]).rename(columns={"target": "species"}).to_csv(
        place / "iris.csv", index=False
    )
    load_diabetes(as_frame=True, scaled=False).frame.to_parquet(place / "diabetes.parquet")
    for table, target in (("iris.csv", "species"), ("diabetes.parquet", "target")):
        run = ["train", str(place / table), "--target", target, "--out", str(place / target), "--quiet", "--json"]
        assert main(run) == 0
    return place


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_json_summary(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["train", str(place / "diabetes.parquet"), "--target", "target", "--out", str(tmp_path / "run"), "--json"]
    assert main([*run, "--epochs", "2"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert {
        *("task", "target", "rows", "features", "classes", "runs", "chosen", "holdout", "seconds"),
        *("rows_per_second", "peak_memory_bytes", "model", "report"),
    } <= summary.keys()
    assert {"optimizer", "learning_rate", "schedule", "l2", "batch_size", "epochs"} <= summary["chosen"].keys()
    assert {"rows", "loss", "r2"} <= summary["holdout"].keys()
    assert (summary["task"], summary["target"], summary["rows"], summary["features"]) == (
        *("regression", "target"),
        *(442, 10),
    )
    assert summary["classes"] is None
    assert summary["chosen"]["epochs"] == 2


def test_run_folder(place: Path) -> None:
    for target in ("species", "target"):
        assert {"model.safetensors", "record.jsonl", "report.html"} <= {
            path.name for path in (place / target).iterdir()
        }
        for line in (place / target / "record.jsonl").read_text().splitlines():
            json.loads(line, parse_constant=lambda text: pytest.fail(f"{text} in the record"))


def test_summary_names_the_next_command(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(place / "iris.csv"), "--target", "species", "--out", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert "classification of 'species'" in out
    assert "--task regression" in out + err
    following = next(line.removeprefix("next").split() for line in out.splitlines() if line.startswith("next"))
    assert main([*following[1:-1], str(place / "iris.csv")]) == 0


def test_default_folder(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(place / "iris.csv"), "--target", "species", "--epochs", "1", "--quiet"]) == 0
    assert (tmp_path / "runs" / "iris-species" / "model.safetensors").exists()


def test_predictions_are_in_order(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(place / "species"), str(place / "iris.csv"), "--proba"]) == 0
    predicted = rows(capsys.readouterr().out)
    truth = [row["species"] for row in rows((place / "iris.csv").read_text())]
    classes = ["setosa", "versicolor", "virginica"]
    assert list(predicted[0]) == ["prediction", *(f"p_{name}" for name in classes)]
    assert np.mean([row["prediction"] == label for row, label in zip(predicted, truth, strict=True)]) > 0.9
    for row in predicted:
        shares = [float(row[f"p_{name}"]) for name in classes]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == classes[int(np.argmax(shares))]


@pytest.mark.parametrize(("table", "target"), [("iris.csv", "species"), ("diabetes.parquet", "target")])
def test_same_predictions_in_every_format(
    place: Path, table: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = ["predict", str(place / target / "model.safetensors"), str(place / table)]
    for out in ([], ["--out", str(tmp_path / "p.csv")], ["--out", str(tmp_path / "p.parquet")]):
        assert main(predict + out) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "p.csv").read_text() == printed
    kept = pq.read_table(tmp_path / "p.parquet")["prediction"].to_pylist()
    assert [str(value) if target == "species" else pytest.approx(float(value)) for value in kept] == [
        row["prediction"] if target == "species" else float(row["prediction"]) for row in rows(printed)
    ]


def test_evaluate_agrees_with_the_predictions(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["predict", str(place / "target"), str(place / "diabetes.parquet")])
    predicted = np.array([float(row["prediction"]) for row in rows(capsys.readouterr().out)])
    truth = pq.read_table(place / "diabetes.parquet")["target"].to_numpy()
    assert main(["evaluate", str(place / "target"), str(place / "diabetes.parquet"), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["rows"] == 442
    assert scores["loss"] == pytest.approx(np.mean((predicted - truth) ** 2), rel=1e-5)
    assert scores["r2"] == pytest.approx(1 - np.mean((predicted - truth) ** 2) / np.var(truth), rel=1e-5)
    assert main(["evaluate", str(place / "target"), str(place / "diabetes.parquet")]) == 0
    assert "loss" in capsys.readouterr().out


def test_explain(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(place / "target"), "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert (names[0], names[-1], len(names)) == ("feature", "(intercept)", 5)
    assert "s5" in names[1:3]
    assert set(names[1:3]) <= {"bmi", "s1", "s5"}  # s1 and s2 are nearly one column, and share a weight by the penalty


def test_finished_run_is_not_written_over(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = {path: path.read_bytes() for path in (place / "species").iterdir() if path.is_file()}
    again = ["train", str(place / "iris.csv"), "--target", "species", "--out", str(place / "species"), "--quiet"]
    assert main(again) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "--force" in err
    assert {path: path.read_bytes() for path in (place / "species").iterdir() if path.is_file()} == kept


def test_force(place: Path, tmp_path: Path) -> None:
    train = ["train", str(place / "iris.csv"), "--target", "species", "--out", str(tmp_path / "run"), "--quiet"]
    assert main([*train, "--epochs", "1"]) == 0
    assert main([*train, "--epochs", "1", "--force"]) == 0


def test_standard_input_and_output(place: Path) -> None:
    text = (place / "iris.csv").read_bytes()
    done = subprocess.run([*SCHUSS, "predict", place / "species", "-"], input=text, capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == 151


def test_files_without_a_header(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (place / "iris.csv").read_text().splitlines(keepends=True)[1:]
    (tmp_path / "bare.csv").write_text("".join(lines))
    train = ["train", str(tmp_path / "bare.csv"), "--no-header", "--target", "column_5", "--epochs", "1", "--quiet"]
    assert main([*train, "--out", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 150
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "bare.csv")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 151


def test_console_without_greek_letters(tmp_path: Path) -> None:
    (tmp_path / "greek.csv").write_text("λ,y\n" + "0.5,a\n1.5,b\n" * 50, encoding="utf-8")
    main(["train", str(tmp_path / "greek.csv"), "--target", "y", "--epochs", "1", "--out", str(tmp_path / "run"), "-q"])
    explain = [*SCHUSS, "explain", tmp_path / "run"]
    done = subprocess.run(explain, capture_output=True, check=True, env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert rb"\u03bb" in done.stdout


LEARN_AGAIN = """
import hashlib, sys
import numpy as np, schuss
from schuss.data.chunk import Chunk
from schuss.descent.losses import loss_for
from schuss.descent.optimizers import rule_named
from schuss.population.linear import Linear
from schuss.population.population import Run
X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
runs = Linear(rule_named("sgd"), loss_for("squared_error", 1), 3, 1, 8, False)
state = runs.begin_leg(runs.start((Run(0, "sgd", 0.1, 0.0, "constant", 8),)), 200)
state, _ = runs.advance(state, Chunk(X, X @ np.float32([1, 2, 3]), np.ones(200, np.float32)))
weights = runs.take(state, 0).weights
print(schuss.__file__, hashlib.sha256(weights.tobytes()).hexdigest(), "numba" in sys.modules)
"""
"""The one kernel of a training that steps: a whole training compiles seven more."""


def test_an_edited_formula_never_meets_its_old_kernels(tmp_path: Path) -> None:
    package = tmp_path / "schuss"
    shutil.copytree(Path(schuss.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    formulas = package / "descent" / "losses" / "regression.py"
    text = formulas.read_text(encoding="utf-8")
    edited = text.replace("difference * difference, difference", "difference * difference, difference + difference")
    assert edited != text
    environment = os.environ | {"SCHUSS_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}
    models, compiled = [], []
    for version in (text, edited, text):
        formulas.write_text(version, encoding="utf-8")
        command = [sys.executable, "-B", "-c", LEARN_AGAIN]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        place, model, needed_numba = done.stdout.split()
        assert Path(place).parent == package
        models.append(model)
        compiled.append(needed_numba == "True")
    assert models[0] == models[2] != models[1]
    assert compiled == [True, True, False]


@posix
def test_reader_that_goes_away(place: Path, tmp_path: Path) -> None:
    header, *lines = (place / "iris.csv").read_text().splitlines()
    (tmp_path / "long.csv").write_text("\n".join([header, *(lines * 200), ""]))
    command = f"'{sys.executable}' -m schuss predict '{place / 'species'}' '{tmp_path / 'long.csv'}' | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "prediction\n", "")


@posix
def test_interrupted_training_keeps_the_best_model(place: Path, tmp_path: Path) -> None:
    train = [
        *SCHUSS,
        "train",
        place / "iris.csv",
        "--target",
        "species",
        "--epochs",
        "1000000",
        "--out",
        tmp_path / "run",
    ]
    process = subprocess.Popen(train, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while '"leg"' not in record(tmp_path / "run") and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in out
    assert "saved in" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert main(["evaluate", str(tmp_path / "run"), str(place / "iris.csv")]) == 0


def record(run: Path) -> str:
    path = run / "record.jsonl.part"  # its name while the run lasts
    return path.read_text() if path.exists() else ""
