"""Training from and predicting for queries: relations of DuckDB and lazy frames of polars, through Arrow's streams."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import schuss

ROWS = 600


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    distance, carrier = rng.normal(800.0, 300.0, ROWS), rng.choice(["AA", "B6", "UA"], ROWS)
    late = rng.normal(size=ROWS) < (distance - 800) / 300 + (carrier == "AA")
    table = pa.table({"distance": distance, "carrier": carrier, "late": late, "flown": rng.random(ROWS) < 0.9})
    pq.write_table(table, path := tmp_path_factory.mktemp("queries") / "flights.parquet")
    return path


def relation(path: Path) -> Any:
    return duckdb.sql(f"SELECT distance / 1000 AS distance, carrier, late FROM '{path}' WHERE flown")


def lazy_frame(path: Path) -> Any:
    return pl.scan_parquet(path).filter("flown").select(pl.col("distance") / 1000, "carrier", "late")


def stream(path: Path) -> Any:
    return pa.RecordBatchReader.from_stream(relation(path))


@pytest.mark.parametrize("query", [relation, lazy_frame, stream])
def test_queries_train_and_predict_like_the_table_they_give(query: Any, flights: Path, tmp_path: Path) -> None:
    table = pa.table(relation(flights))
    asked = schuss.train(query(flights), "late", runs=2, epochs=1, out=tmp_path / "asked")
    given = schuss.train(table, "late", runs=2, epochs=1, out=tmp_path / "given")
    assert asked.summary["rows"] == given.summary["rows"] == len(table)
    if query is not stream:  # what can be read once only is trained on as it comes
        assert np.array_equal(asked.model.weights, given.model.weights)
    predicted = asked.model.predict(query(flights), proba=True)
    assert predicted.equals(asked.model.predict(table, proba=True))
    assert asked.model.evaluate(query(flights))["accuracy"] > 0.6


@pytest.mark.parametrize("name", ["query_duckdb", "lazy_polars"])
def test_the_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path)])
    runpy.run_path(str(Path(__file__).parents[1] / "examples" / f"{name}.py"), run_name="__main__")
    metric, value = capsys.readouterr().out.split()[:2]
    assert metric in ("accuracy", "R2")
    assert float(value) > (0.99 if metric == "R2" else 0.75)
