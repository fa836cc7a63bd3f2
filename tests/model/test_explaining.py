"""How much features matter, and what the scores of rows consist of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from schuss.cli.main import main
from schuss.data.chunk import as_matrix
from schuss.data.encoder import Encoder
from schuss.data.memory import memory_source
from schuss.data.schema import infer_schema
from schuss.descent import losses
from schuss.model.explaining import deviations
from schuss.model.model import Model, outputs_of

ROWS = 400


def table() -> pa.Table:
    rng = np.random.default_rng(3)
    numbers = pa.array(rng.normal(50, 9, ROWS), mask=rng.random(ROWS) < 0.2)
    job = rng.choice(["clerk", "driver", None], ROWS, p=[0.6, 0.3, 0.1])
    days = np.datetime64("2024-01-01") + rng.integers(0, 300, ROWS)
    switch, counts = rng.random(ROWS) < 0.1, rng.poisson(0.3, ROWS)
    return pa.table({"age": numbers, "job": job.astype(object), "day": days, "switch": switch, "count": counts})


def model_of(features: pa.Table, goals: Any, loss: str, sparse: bool) -> Model:
    whole = features.append_column("y", pa.array(goals))
    task = losses.family_of(loss).task
    schema = infer_schema(whole, name="t", target="y", task=task)
    encoder = Encoder.fit(whole, schema, name="t", sparse=sparse, positive=losses.family_of(loss).positive)
    weights = np.random.default_rng(1).normal(0, 0.5, (encoder.width + 1, outputs_of(encoder.classes)))
    return Model(encoder, loss, weights.astype(np.float32))


GOALS = {
    "two": ("log_loss", np.arange(ROWS) % 2 == 1),
    "three": ("log_loss", np.array(["a", "b", "c"])[np.arange(ROWS) % 3]),
    "number": ("squared_error", 100.0 + 7 * np.arange(ROWS)),
    "counts": ("poisson", np.arange(ROWS) % 5),
}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("loss", "goals"), GOALS.values(), ids=GOALS)
def test_contributions_add_up_to_the_score_exactly(loss: str, goals: Any, sparse: bool) -> None:
    model = model_of(table(), goals, loss, sparse)
    found = model.contributions(table())
    assert found.column_names == ["(output)", "(score)", "(intercept)", *table().column_names]
    total = found["(intercept)"].to_numpy().copy()
    for name in table().column_names:
        total += found[name].to_numpy()
    assert np.array_equal(total, found["(score)"].to_numpy())
    predicted = model.predict(table())["prediction"].to_pylist()
    if loss == "squared_error":
        np.testing.assert_allclose(total, predicted, rtol=1e-4)
    elif loss == "poisson":
        np.testing.assert_allclose(np.exp(total), predicted, rtol=1e-5)
    elif len(model.classes or ()) == 2:
        assert (total > 0).tolist() == predicted
        assert set(found["(output)"].to_pylist()) == {"True"}
    else:
        assert found["(output)"].to_pylist() == predicted


def test_contributions_are_relative_to_the_average_row() -> None:
    model = model_of(table(), *reversed(GOALS["two"]), sparse=False)
    found = model.contributions(table())
    for name in ("job", "switch", "age"):
        assert np.mean(found[name].to_numpy()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_deviations_are_those_of_the_rows(sparse: bool) -> None:
    model = model_of(table(), *reversed(GOALS["two"]), sparse=sparse)
    prepared = model.encoder.prepare(table().combine_chunks().to_batches()[0], where="t", first_row=0, target=False)
    rows: Any = model.encoder.rows(prepared)
    if sparse:
        rows = as_matrix(rows).toarray()
    np.testing.assert_allclose(deviations(model.encoder), rows.std(axis=0, dtype=np.float64), rtol=2e-3, atol=1e-6)


def test_deviations_of_sparse_rows_and_words() -> None:
    matrix = sp.random_array((ROWS, 12), density=0.3, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
    batch = next(memory_source((matrix, np.arange(ROWS) % 2)).batches()).table
    whole = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    encoder = Encoder.fit(whole, infer_schema(whole, name="t", target="y"), name="t", sparse=False)
    raw = deviations(encoder) / encoder.features[0].scale.factor
    np.testing.assert_allclose(raw[:12], matrix.toarray().std(axis=0), rtol=1e-4)
    words = pa.table({"said": [f"all say w{i % 4} then x{i} y{i} z{i}" for i in range(ROWS)], "y": np.arange(ROWS) % 2})
    encoder = Encoder.fit(words, infer_schema(words, name="t", target="y"), name="t", sparse=True)
    found = dict(zip(encoder.feature_names, deviations(encoder), strict=True))
    assert max(found.values()) <= 0.51
    assert found["said: 'w1'"] == pytest.approx((0.25 * 0.75) ** 0.5, rel=0.02)


def test_importance_is_the_weight_of_a_standard_deviation() -> None:
    model = model_of(table(), *reversed(GOALS["number"]), sparse=False)
    entries = {entry["feature"]: entry for entry in model.explain(100)}
    spread = np.std(table()["count"].to_numpy())
    assert entries["count"]["importance"] == pytest.approx(abs(entries["count"]["in_data_units"]) * spread, rel=1e-4)
    share = np.mean(table()["switch"].to_numpy())
    moved = abs(entries["switch"]["in_data_units"]) * (share * (1 - share)) ** 0.5
    assert entries["switch"]["importance"] == pytest.approx(moved, rel=1e-4)
    assert entries["(intercept)"]["importance"] is None


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_of(table(), *reversed(GOALS["three"]), sparse=False)
    model.save(place := tmp_path / "model.safetensors")
    pq.write_table(table(), data := tmp_path / "rows.parquet")
    assert main(["explain", str(place), "--json", "--top", "2"]) == 0
    assert len(json.loads(capsys.readouterr().out)["weights"]) == 5
    assert main(["explain", str(place), "--rows", str(data), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows == model.contributions(table()).to_pylist()
    assert main(["explain", str(place), "--rows", str(data), "--out", str(tmp_path / "why.csv")]) == 0
    assert pyarrow.csv.read_csv(tmp_path / "why.csv")["(score)"].to_pylist() == [row["(score)"] for row in rows]
    assert main(["explain", str(place), "--out", str(tmp_path / "why.csv")]) == 2
    assert main(["explain", str(place), "--rows", str(data), "--json", "--out", str(tmp_path / "why.csv")]) == 2
    assert capsys.readouterr().err.count("\n") == 2
