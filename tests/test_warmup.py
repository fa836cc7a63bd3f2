"""Compiling ahead of time: a training with default settings finds all its kernels, whatever its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import dump_svmlight_file

from schuss import Model, train
from schuss.cli.main import main
from schuss.kernels import store
from schuss.warmup import LONG

ROWS = 400


@pytest.fixture(scope="module")
def warm() -> set[Any]:
    """The kernels that there are after a warmup in a process that had none."""
    patch = pytest.MonkeyPatch()
    patch.setattr(store, "_ready", {})
    assert main(["warmup"]) == 0
    known = set(store._ready)
    patch.undo()
    return known


def goals(kind: str) -> np.ndarray:
    """Targets: two classes, some more, or numbers."""
    numbers = np.random.default_rng(1).normal(size=ROWS)
    if kind == "numbers":
        return numbers
    return np.array([f"class {place}" for place in np.argsort(np.argsort(numbers)) % int(kind)])


def frame() -> pd.DataFrame:
    """A dense table with columns of every kind."""
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "number": rng.normal(size=ROWS),
            "whole": rng.integers(0, 1000, ROWS),
            "gaps": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(size=ROWS)).astype(np.float32),
            "yes": rng.random(ROWS) < 0.5,
            "colour": np.array(["red", "green", "blue"])[rng.integers(0, 3, ROWS)],
            "time": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**8, ROWS), "s"),
        }
    )


def place_of(form: str, folder: Path, y: np.ndarray) -> Any:
    """The same rows in a file, or in memory."""
    table = frame().assign(y=y)
    if form == "text":
        table["words"] = [" ".join(f"word{i * j % 97}" for j in range(9)) for i in range(ROWS)]
        return table
    if form == "csr":
        return scipy.sparse.random(ROWS, 500, 0.02, format="csr", random_state=0), y
    if form == "svmlight":
        matrix = scipy.sparse.random(ROWS, 20, 0.5, format="csr", random_state=0)
        labels = np.unique(y, return_inverse=True)[1] if y.dtype.kind == "U" else y
        dump_svmlight_file(matrix, labels, str(folder / "table"))
        return folder / "table"
    if form == "long arrays":  # gone through span by span
        return np.random.default_rng(3).normal(size=(LONG, 2)), np.resize(y, LONG)
    if form.endswith("arrays"):  # wide ones have enough values to be turned for full passes
        columns = 90 if form.startswith("wide") else 5
        return np.asfortranarray(np.random.default_rng(3).normal(size=(ROWS, columns))), y
    write = {"csv": table.to_csv, "parquet": table.to_parquet, "stream of a file": table.to_csv}[form]
    write(folder / "table", index=False)
    return folder / "table"


@pytest.mark.parametrize("kind", ["2", "3", "12", "numbers"])
@pytest.mark.parametrize(
    "form", ["csv", "parquet", "stream of a file", "text", "svmlight", "csr", "arrays", "wide arrays", "long arrays"]
)
def test_nothing_is_left_to_compile(
    warm: set[Any], form: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_ready", {})
    monkeypatch.setattr("schuss.population.linear.NARROWING_PAYS", 0.0)  # as in a long training
    if form.startswith("stream"):
        monkeypatch.setattr("schuss.training.reading.ROWS_MEMORY", 1)
    data = place_of(form, tmp_path, goals(kind))
    options: dict[str, Any] = {} if isinstance(data, tuple) or form == "svmlight" else {"target": "y"}
    if form.startswith("stream"):
        options["epochs"] = 2  # the second one comes from the cache
    formats = {"csv": "csv", "stream of a file": "csv", "parquet": "parquet", "svmlight": "svmlight"}
    if form in formats:
        options["format"] = formats[form]
    train(data, out=tmp_path / "run", **options)
    again = data[0] if isinstance(data, tuple) else data
    Model.load(tmp_path / "run").predict(again)
    assert store._ready
    assert set(store._ready) - warm == set()
