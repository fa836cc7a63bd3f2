"""Wrong input by command line: exit code 2, one sentence that says what and where, nothing written over."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schuss.cli.main import main

ROWS = 400


def table(seed: int = 0) -> pa.Table:
    """Rows with a number, a category and a target that follows from them."""
    random = np.random.default_rng(seed)
    size = random.normal(size=ROWS).round(3)
    colour = random.choice(["red", "green", "blue"], ROWS)
    level = np.where(size + (colour == "red") > 0.3, "high", "low")
    return pa.table({"size": size, "colour": colour, "level": level})


def csv(folder: Path, name: str = "good.csv", **columns: list[object]) -> Path:
    """Write the table as CSV, some of its columns replaced."""
    data = table().to_pydict() | columns
    lines = [",".join(data), *(",".join(map(str, row)) for row in zip(*data.values(), strict=True))]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def change(path: Path, row: int, text: str) -> None:
    """Replace one data row, counted from 1."""
    lines = path.read_text().splitlines()
    lines[row] = text
    path.write_text("\n".join(lines) + "\n")


def no_such_file(folder: Path) -> list[str]:
    csv(folder, "flights.csv")
    return ["train", str(folder / "fligths.csv"), "--target", "level"]


def empty_file(folder: Path) -> list[str]:
    (folder / "empty.csv").touch()
    return ["train", str(folder / "empty.csv"), "--target", "level"]


def header_only(folder: Path) -> list[str]:
    (folder / "header.csv").write_text("size,colour,level\n")
    return ["train", str(folder / "header.csv"), "--target", "level"]


def no_target(folder: Path) -> list[str]:
    return ["train", str(csv(folder))]


def target_missing(folder: Path) -> list[str]:
    return ["train", str(csv(folder)), "--target", "levle"]


def target_constant(folder: Path) -> list[str]:
    return ["train", str(csv(folder, level=["low"] * ROWS)), "--target", "level"]


def target_empty(folder: Path) -> list[str]:
    return ["train", str(csv(folder, level=[""] * ROWS)), "--target", "level"]


def ragged(folder: Path) -> list[str]:
    change(csv(folder, "ragged.csv"), 123, "0.5,red,low,more")
    return ["train", str(folder / "ragged.csv"), "--target", "level"]


def truncated_parquet(folder: Path) -> list[str]:
    path = folder / "cut.parquet"
    pq.write_table(table(), path)
    path.write_bytes(path.read_bytes()[:-100])
    return ["train", str(path), "--target", "level"]


def truncated_gzip(folder: Path) -> list[str]:
    path = folder / "cut.csv.gz"
    path.write_bytes(gzip.compress(csv(folder).read_bytes())[:-500])
    return ["train", str(path), "--target", "level"]


def word_in_a_number_column(folder: Path) -> list[str]:
    change(csv(folder, "word.csv"), 321, "ab:cd,red,low")
    return ["train", str(folder / "word.csv"), "--target", "level", "--numeric", "size"]


def infinite(folder: Path) -> list[str]:
    change(csv(folder, "infinite.csv"), 200, "inf,red,low")
    return ["train", str(folder / "infinite.csv"), "--target", "level"]


def schemas_differ(folder: Path) -> list[str]:
    pq.write_table(table(), folder / "a.parquet")
    pq.write_table(table().rename_columns(["width", "colour", "level"]), folder / "b.parquet")
    return ["train", str(folder / "a.parquet"), str(folder / "b.parquet"), "--target", "level"]


def unknown(option: str, value: str) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        return ["train", str(csv(folder)), "--target", "level", f"--{option}", value]

    return arguments


def ignored_column_missing(folder: Path) -> list[str]:
    return ["train", str(csv(folder)), "--target", "level", "--ignore", "colur"]


def file_in_the_way(folder: Path) -> list[str]:
    (folder / "taken").write_text("mine")
    return ["train", str(csv(folder)), "--target", "level", "--out", str(folder / "taken")]


def folder_below_a_file(folder: Path) -> list[str]:
    (folder / "taken").write_text("mine")
    return ["train", str(csv(folder)), "--target", "level", "--out", str(folder / "taken" / "run")]


def not_a_model(folder: Path) -> list[str]:
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0no json at all ..")
    return ["predict", str(folder / "model.safetensors"), str(csv(folder))]


def no_model(folder: Path) -> list[str]:
    return ["explain", str(folder / "nothing.safetensors")]


def predictions_over_the_data(folder: Path) -> list[str]:
    return ["predict", str(folder / "model"), str(csv(folder)), "--out", str(folder / "good.csv")]


def predictions_in_an_unknown_format(folder: Path) -> list[str]:
    return ["predict", str(folder / "model"), str(csv(folder)), "--out", str(folder / "out.xlsx")]


BAD = {
    "no such file": (no_such_file, ["fligths.csv", "did you mean", "flights.csv"]),
    "empty file": (empty_file, ["empty.csv", "empty"]),
    "header without rows": (header_only, ["header.csv", "no row"]),
    "no target given": (no_target, ["target"]),
    "target missing": (target_missing, ["'levle'", "'level'"]),
    "target constant": (target_constant, ["'level'", "low"]),
    "target all missing": (target_empty, ["'level'", "no value"]),
    "ragged CSV": (ragged, ["ragged.csv", "row 123", "3", "4"]),
    "truncated Parquet": (truncated_parquet, ["cut.parquet"]),
    "truncated gzip": (truncated_gzip, ["cut.csv.gz"]),
    "word in a number column": (word_in_a_number_column, ["word.csv, row 321, column 'size': 'ab:cd' is not a number"]),
    "infinite value": (infinite, ["infinite.csv", "row 200, column 'size'", "inf"]),
    "schemas that differ": (schemas_differ, ["b.parquet", "'size'"]),
    "unknown task": (unknown("task", "clustering"), ["'clustering'", "classification", "regression"]),
    "unknown loss": (unknown("loss", "hinged"), ["'hinged'", "log_loss", "hinge", "squared_error"]),
    "loss of the other task": (unknown("loss", "squared_error"), ["'squared_error'", "regression", "classification"]),
    "unknown optimizer": (unknown("optimizer", "adan"), ["'adan'", "sgd", "momentum", "adagrad", "adam"]),
    "unknown schedule": (unknown("schedule", "zigzag"), ["'zigzag'", "constant", "linear", "inverse_time"]),
    "unknown order": (unknown("order", "sorted"), ["'sorted'", "shuffle", "once", "replace", "keep"]),
    "unknown format": (unknown("format", "xlsx"), ["'xlsx'", "csv", "parquet"]),
    "holdout out of range": (unknown("holdout", "1.5"), ["holdout", "1.5"]),
    "learning rate below zero": (unknown("learning-rate", "-1"), ["learning", "-1"]),
    "no epochs": (unknown("epochs", "0"), ["epochs", "0"]),
    "no mini-batch": (unknown("batch-size", "0"), ["batch", "0"]),
    "unknown class weight": (unknown("class-weight", "fair"), ["'fair'", "balanced"]),
    "time that is none": (unknown("time-limit", "soon"), ["'soon'", "60s"]),
    "memory that is none": (unknown("memory", "much"), ["'much'", "4GB"]),
    "weight column missing": (unknown("weight", "sise"), ["'sise'", "'size'"]),
    "ignored column missing": (ignored_column_missing, ["'colur'", "'colour'"]),
    "output is a file": (file_in_the_way, ["taken"]),
    "output below a file": (folder_below_a_file, ["taken"]),
    "not a model file": (not_a_model, ["model.safetensors"]),
    "predictions over the data": (predictions_over_the_data, ["--out", "good.csv"]),
    "predictions in an unknown format": (predictions_in_an_unknown_format, ["out.xlsx", ".csv", ".parquet"]),
    "no model file": (no_model, ["nothing.safetensors"]),
}


@pytest.mark.parametrize(("arguments", "parts"), BAD.values(), ids=BAD)
def test_one_sentence(
    arguments: Callable[[Path], list[str]],
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*arguments(tmp_path)]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert main(command + ["--quiet"] * (command[0] == "train")) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("schuss: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert not [part for part in parts if part not in err], err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
