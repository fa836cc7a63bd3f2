"""Drift between held-out rows and those learned from: against SciPy, with a shift that is known."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from scipy import sparse, stats

import schuss
from schuss.data.chunk import Rows, SparseRows
from schuss.data.encoder import Encoder
from schuss.data.moments import Moments, moments_of
from schuss.judging.drift import _quantile
from schuss.judging.drift import drift as drift_of
from schuss.judging.findings import column_spreads
from schuss.training.training import train

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def model() -> schuss.Model:
    rows = 900
    a, b, kind = RNG.normal(5, 2, rows), RNG.normal(0, 1, rows), RNG.choice(["x", "y", "z"], rows)
    table = pa.table({"a": a, "b": b, "kind": kind, "t": 3 * a - b + 4 * (kind == "x")})
    return train(table, target="t", runs=4, seed=1).model


def compressed(rows: np.ndarray) -> SparseRows:
    """The same rows, stored without their zeros."""
    found = sparse.csr_array(rows.astype(np.float32))
    return SparseRows(found.indptr.astype(np.int64), found.indices.astype(np.int32), found.data, rows.shape[1])


def rows_like(model: schuss.Model, many: int, shift: float = 0.0) -> np.ndarray:
    found = RNG.normal(size=(many, model.encoder.width)).astype(np.float32)
    found[:, 0] += shift
    return found


def drift(encoder: Encoder, then: Rows, now: Rows) -> dict[str, Any]:
    """The drift between rows."""
    return drift_of(encoder, moments_of(then), moments_of(now))


def test_moments_are_those_of_scipy_in_however_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = RNG.gamma(2.0, size=(700, 4)).astype(np.float32)
    monkeypatch.setattr("schuss.data.moments.NUMBERS", 100)
    monkeypatch.setattr("schuss.data.moments.FEATURES_AT_ONCE", 3)
    for one in (moments_of(rows), moments_of(rows[:300], rows[300:]), moments_of(compressed(rows))):
        assert one.rows == 700
        assert one.mean == pytest.approx(rows.mean(axis=0, dtype=float), rel=1e-6)
        assert one.variance == pytest.approx(rows.var(axis=0, dtype=float), rel=1e-5)
        assert one.third == pytest.approx(stats.moment(rows.astype(float), 3), rel=1e-5)
    again = Moments.resumed(one.saved())
    assert all(np.array_equal(*pair) for pair in zip(again, one, strict=True))
    assert moments_of(rows, most=50).rows == 50


def test_a_shifted_column_is_found_and_no_other(model: schuss.Model) -> None:
    found = drift(model.encoder, rows_like(model, 5000), rows_like(model, 2000, 0.2))
    assert found["beyond_chance"] == 1
    first = found["columns"][0]
    assert first["name"] == model.encoder.features[0].name
    assert first["beyond_chance"]
    assert first["difference"] == pytest.approx(0.2, abs=0.08)
    assert not any(column["beyond_chance"] for column in found["columns"][1:])


def test_differences_and_their_errors_are_those_of_welch(model: schuss.Model) -> None:
    then, now = rows_like(model, 400), rows_like(model, 300, 0.1)
    found = drift(model.encoder, then, now)
    spread = np.sqrt((then[:, 0].var(dtype=float) + now[:, 0].var(dtype=float)) / 2)
    expected = (now[:, 0].mean(dtype=float) - then[:, 0].mean(dtype=float)) / spread
    (first,) = [one for one in found["columns"] if one["name"] == model.encoder.features[0].name]
    assert first["difference"] == pytest.approx(expected, rel=1e-5)
    welch = stats.ttest_ind(now[:, 0], then[:, 0], equal_var=False)
    limit = stats.norm.isf(0.05 / 2 / found["features"])
    assert first["beyond_chance"] == (abs(welch.statistic) > limit * 1.001)


def test_sparse_rows_drift_as_dense_ones_do(model: schuss.Model) -> None:
    then, now = rows_like(model, 500), rows_like(model, 300, 0.3)
    then[then < 0.5], now[now < 0.5] = 0, 0
    dense = drift(model.encoder, then, now)
    thin = drift(model.encoder, compressed(then), compressed(now))
    assert dense.keys() == thin.keys()
    for one, other in zip(dense["columns"], thin["columns"], strict=True):
        assert one["feature"] == other["feature"]
        assert one["difference"] == pytest.approx(other["difference"], abs=1e-6)


def test_a_feature_of_a_few_rows_is_not_judged(model: schuss.Model) -> None:
    then, now = rows_like(model, 500), rows_like(model, 300)
    then[:, 0], now[:, 0] = 0, 0
    now[:4, 0] = 1
    then[:2, 0] = 1
    assert drift(model.encoder, then, now)["features"] == model.encoder.width - 1
    then[:20, 0] = 1
    assert drift(model.encoder, then, now)["features"] == model.encoder.width


@pytest.mark.parametrize("tail", [0.4, 0.025, 1e-6, 1e-12])
def test_quantile(tail: float) -> None:
    assert _quantile(tail) == pytest.approx(stats.norm.isf(tail), rel=1e-9)


def test_the_spread_of_a_column_is_that_of_what_it_adds(model: schuss.Model) -> None:
    rows = RNG.normal(size=(700, model.encoder.width)).astype(np.float32)
    found = {entry["column"]: entry["spread"] for entry in column_spreads(model, rows)}
    slopes, scale = model.weights[:-1, 0].astype(float), model.encoder.target_scale
    edges = np.cumsum([0] + [len(column.scale.centre) for column in model.encoder.features])
    for column, start, stop in zip(model.encoder.features, edges, edges[1:], strict=False):
        expected = (rows[:, start:stop] @ slopes[start:stop]).std() * scale
        assert found[column.name] == pytest.approx(expected, rel=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_training_writes_both_down() -> None:
    X = RNG.normal(size=(600, 3))
    finish = train((X, X @ [3.0, -1.0, 0.0]), runs=4, seed=2).record[-1]
    assert finish["drift"]["features"] == 3
    assert finish["drift"]["rows"] + finish["drift"]["against"] == 600
    assert [entry["column"] for entry in finish["columns"]] == ["x"]
    assert finish["intervals"]["r2"][0] <= finish["holdout"]["r2"] <= finish["intervals"]["r2"][1]
    alone = np.corrcoef(X[:, 0], X @ [3.0, -1.0, 0.0])[0, 1] ** 2
    assert finish["single_feature"] == {"feature": "x[0]", "r2": pytest.approx(alone, abs=0.2)}
    low, high = finish["intervals"]["gain"]
    assert low <= finish["holdout"]["constant_loss"] - finish["holdout"]["loss"] <= high


@pytest.mark.parametrize("pipe", [False, True])
def test_rows_that_drift_and_do_not_fit_into_memory_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: bool
) -> None:
    """Those read first are what the held-out ones are compared with, from a file and from a pipe."""
    if pipe and not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes")
    monkeypatch.setattr("schuss.training.reading.ROWS_MEMORY", 1 << 16)
    rows, source = 40_000, tmp_path / "rows.csv"
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, rows))
    a[rows // 2 :] += 1.0
    table = pa.table({"a": a, "b": b, "t": a + b})
    if pipe:
        os.mkfifo(source)
    with ThreadPoolExecutor(1) as writer:
        written = writer.submit(csv.write_csv, table, source)
        if not pipe:
            written.result()
        found = train(source, target="t", runs=2, epochs=1, seed=0).record[-1]["drift"]
        written.result()
    assert found["first"]
    assert found["against"] < rows // 4
    assert [column["name"] for column in found["columns"] if column["beyond_chance"]] == ["a"]
