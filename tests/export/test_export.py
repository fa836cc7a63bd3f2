"""Exported models predict as the model itself: ONNX in onnxruntime, scikit-learn pipelines, JSON in plain Python."""

from __future__ import annotations

import json
import pickle
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest

import schuss
from schuss.cli.main import main
from schuss.data.encoder import Encoder
from schuss.data.schema import infer_schema
from schuss.descent import losses
from schuss.export.terms import LINKS
from schuss.model.model import Model, outputs_of
from schuss.population.architecture import Architecture

ROWS = 300
EXAMPLE = Path(__file__).parents[2] / "examples" / "predict_from_json.py"


def people(rng: np.random.Generator, wild: bool = False) -> pa.Table:
    """Columns of every kind that can be exported; `wild` ones go beyond the range and the categories of the others."""
    age = rng.normal(40.0, 12.0, ROWS) * (9.0 if wild else 1.0)
    job = rng.choice(["clerk", "driver", "surgeon", *(["poet"] if wild else [])], ROWS).astype(object)
    town = rng.choice(["Bern", "Graz", "Łódź"], ROWS).astype(object)
    job[rng.random(ROWS) < 0.2] = None
    if wild:
        town[rng.random(ROWS) < 0.2] = None  # missing where the sample had none
    return pa.table(
        {
            "age": pa.array(age, mask=rng.random(ROWS) < 0.1),
            "since": 1.6e9 + rng.normal(0, 1e5, ROWS),
            "one": np.ones(ROWS) * (7 if wild else 1),
            "children": rng.poisson(1.0, ROWS),
            "owner": rng.random(ROWS) < 0.5,
            "job": job,
            "town": town,
        }
    )


def goal(labels: list[Any] | None) -> Any:
    rng = np.random.default_rng(5)
    return pa.array(rng.gamma(2.0, 500.0, ROWS) if labels is None else [labels[i % len(labels)] for i in range(ROWS)])


def model_of(table: pa.Table, labels: list[Any] | None, loss: str, sparse: bool) -> Model:
    """Give a model with drawn weights, which says more than a trained one whose small weights hide mistakes."""
    table = table.append_column("y", goal(labels))
    schema = infer_schema(table, name="t", target="y", task="regression" if labels is None else "classification")
    encoder = Encoder.fit(table, schema, name="t", sparse=sparse, positive=losses.family_of(loss).positive)
    weights = np.random.default_rng(1).normal(0, 0.5, (encoder.width + 1, outputs_of(encoder.classes)))
    return Model(encoder, loss, weights.astype(np.float32))


WORDS = ["no", "yes", "ümläut"]
CASES = {
    "log_loss": (WORDS[:2], "log_loss"),
    "log_loss of three": (WORDS, "log_loss"),
    "booleans": ([False, True], "log_loss"),
    "integers": ([3, 5, 11], "log_loss"),
    "modified_huber": (WORDS[:2], "modified_huber"),
    "modified_huber of three": (WORDS, "modified_huber"),
    "sigmoid_squared_error": (WORDS[:2], "sigmoid_squared_error"),
    "sigmoid_squared_error of three": (WORDS, "sigmoid_squared_error"),
    "hinge": (WORDS, "hinge:0.5"),
    "squared_error": (None, "squared_error"),
    "huber": (None, "huber:100"),
    "poisson": (None, "poisson"),
}


@pytest.fixture(params=[False, True], ids=["dense", "sparse"])
def sparse(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(params=CASES.values(), ids=CASES)
def model(request: pytest.FixtureRequest, sparse: bool) -> Model:
    return model_of(people(np.random.default_rng(0)), *request.param, sparse)


WILD = people(np.random.default_rng(7), wild=True)


def expected(model: Model, data: Any) -> tuple[list[Any], np.ndarray | None]:
    proba = model.loss in losses.PROBABILISTIC
    table = model.predict(data, proba=proba)
    chances = np.column_stack([table[f"p_{label}"] for label in model.classes or ()]) if proba else None
    return table["prediction"].to_pylist(), chances


def same(found: Any, wanted: list[Any]) -> None:
    if isinstance(wanted[0], float):
        np.testing.assert_allclose(found, wanted, rtol=2e-5)
    else:
        assert list(found) == wanted


def fed(model: Model, table: pa.Table) -> dict[str, np.ndarray]:
    """Give a table as a session takes it."""
    words = {name for name in table.column_names if pa.types.is_string(table.schema.field(name).type)}
    frame = table.select([column.name for column in model.encoder.features]).to_pandas()
    columns = {name: frame[name].fillna("").astype(object) if name in words else frame[name] for name in frame}
    return {name: np.array(c, object if name in words else float).reshape(-1, 1) for name, c in columns.items()}


def session(model: Model) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])


def test_onnx(model: Model) -> None:
    runtime = session(model)
    names = [output.name for output in runtime.get_outputs()]
    found = dict(zip(names, runtime.run(None, fed(model, WILD)), strict=True))
    labels, chances = expected(model, WILD)
    same(found["prediction"].tolist(), labels)
    assert ("probabilities" in found) == (chances is not None)
    if chances is not None:
        np.testing.assert_allclose(found["probabilities"], chances, atol=2e-6)
    assert runtime.get_inputs()[0].shape == ["rows", 1]
    assert runtime.get_modelmeta().custom_metadata_map["loss"] == model.loss


def test_sklearn(model: Model) -> None:
    pipeline = pickle.loads(pickle.dumps(model.to_sklearn()))
    frame = WILD.to_pandas().assign(stranger=1)
    labels, chances = expected(model, WILD)
    same(pipeline.predict(frame).tolist(), labels)
    if chances is not None and model.loss != "sigmoid_squared_error":
        np.testing.assert_allclose(pipeline.predict_proba(frame), chances, atol=2e-6)


def test_json_in_plain_python(model: Model) -> None:
    predict = runpy.run_path(str(EXAMPLE))["predict"]
    told = json.loads(model.to_json())
    labels, chances = expected(model, WILD)
    found = [predict(told, row) for row in WILD.to_pylist()]
    same([prediction for prediction, _ in found], labels)
    if told["link"] in ("sigmoid", "softmax"):
        np.testing.assert_allclose([list(shares.values()) for _, shares in found], chances, atol=2e-6)


NETWORK_CASES = [
    (activation, *CASES["log_loss of three"])
    for activation in ("leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "identity")
] + [("relu", *CASES[name]) for name in ("log_loss", "booleans", "modified_huber of three", "huber", "poisson")]


def network_of(activation: str, labels: list[Any] | None, loss: str) -> Model:
    """Two networks with drawn parameters."""
    linear = model_of(people(np.random.default_rng(0)), labels, loss, False)
    width, outputs = linear.encoder.width, outputs_of(linear.classes)
    architecture = Architecture(width, outputs, (6, 5), activation)
    weights = np.random.default_rng(2).normal(0, 0.5, (2, architecture.size)).astype(np.float32)
    slopes = np.zeros((width + 1, outputs), np.float32)
    return replace(linear, network=architecture, weights=weights, slopes=slopes, reach=slopes[:-1])


@pytest.mark.parametrize(("activation", "labels", "loss"), NETWORK_CASES)
def test_networks(activation: str, labels: list[Any] | None, loss: str) -> None:
    model = network_of(activation, labels, loss)
    runtime = session(model)
    names = [output.name for output in runtime.get_outputs()]
    found = dict(zip(names, runtime.run(None, fed(model, WILD)), strict=True))
    wanted, chances = expected(model, WILD)
    same(found["prediction"].tolist(), wanted)
    if chances is not None:
        np.testing.assert_allclose(found["probabilities"], chances, atol=1e-5)
    if activation in ("relu", "tanh"):
        predict, told = runpy.run_path(str(EXAMPLE))["predict"], json.loads(model.to_json())
        assert told["format"] == "schuss-network-1"
        plain = [predict(told, row) for row in WILD.to_pylist()]
        same([prediction for prediction, _ in plain], wanted)
        if told["link"] in ("sigmoid", "softmax"):
            np.testing.assert_allclose([list(shares.values()) for _, shares in plain], chances, atol=1e-5)
    with pytest.raises(schuss.OptionError, match="a scikit-learn pipeline is of linear models"):
        model.to_sklearn()


def test_vectors() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 5))
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 3] = 0.25
    lists = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel(), from_pandas=True), 5)
    model = model_of(pa.table({"x": lists}), [0, 1, 2], "log_loss", False)
    later = rng.normal(0, 20, size=(50, 5))
    later[:, 1:][rng.random((50, 4)) < 0.3] = np.nan
    labels, chances = expected(model, later)
    prediction, _, probabilities = session(model).run(None, {"x": later})
    assert prediction.tolist() == labels == model.to_sklearn().predict(later).tolist()
    np.testing.assert_allclose(probabilities, chances, atol=2e-6)
    np.testing.assert_allclose(model.to_sklearn().predict_proba(later), chances, atol=2e-6)
    column = json.loads(model.to_json())["columns"][0]
    assert column["kind"] == "vector"
    assert np.shape(column["weights"]) == np.shape(column["missing"]) == (5, 3)


def test_every_loss_with_a_link_has_one_in_exports() -> None:
    linked = {name for name, family in losses.LOSSES.items() if hasattr(family.forms[0], "inverse_link")}
    assert linked == set(LINKS)


REFUSED = {
    "text": (
        pa.array([f"word{i} and so on {i % 7}" for i in range(ROWS)]),
        "'bad' holds text: a model trained with --ignore",
    ),
    "dates": (pa.array(pd.date_range("2020-01-01", periods=ROWS)), "'bad' holds dates or times"),
    "hashed": (pa.array([f"c{i // 2}" for i in range(ROWS)]), "150 categories, of which those beyond 10 are hashed"),
}


@pytest.mark.parametrize(("column", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(column: pa.Array, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schuss.data.columns.categories.KNOWN_AT_MOST", 10)
    model = model_of(pa.table({"good": np.arange(ROWS) % 7.0, "bad": column}), [0, 1], "log_loss", False)
    for export in (model.to_onnx, model.to_json, model.to_sklearn):
        with pytest.raises(schuss.OptionError, match=sentence):
            export()


def test_what_only_some_formats_refuse() -> None:
    lists = pa.FixedSizeListArray.from_arrays(np.arange(2.0 * ROWS), 2)
    beside = model_of(pa.table({"v": lists, "a": np.arange(ROWS)}), [0, 1], "log_loss", False)
    with pytest.raises(schuss.OptionError, match="no columns of vectors like 'v' beside other columns"):
        beside.to_sklearn()
    empty = model_of(pa.table({"a": ["", None, "b"] * (ROWS // 3)}), [0, 1], "log_loss", False)
    with pytest.raises(schuss.OptionError, match="in the column 'a' it is a category"):
        empty.to_onnx()
    named = model_of(pa.table({"scores": np.arange(ROWS)}), [0, 1], "log_loss", False)
    with pytest.raises(schuss.OptionError, match="cannot be called 'scores'"):
        named.to_onnx()
    assert json.loads(named.to_json())["columns"][0]["name"] == "scores"


def test_command_line(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    model = model_of(people(np.random.default_rng(0)), WORDS, "log_loss", False)
    model.save(place := tmp_path / "model.safetensors")
    assert main(["export", str(place), "--to", "json"]) == 0
    assert json.loads(capsysbinary.readouterr().out) == json.loads(model.to_json())
    assert main(["export", str(tmp_path), "--to", "onnx", "--out", str(tmp_path / "model.onnx")]) == 0
    assert (tmp_path / "model.onnx").read_bytes() == model.to_onnx().SerializeToString()
    before = place.read_bytes()
    assert main(["export", str(tmp_path), "--to", "json", "--out", str(place)]) == 2
    assert place.read_bytes() == before
    assert main(["export", str(tmp_path), "--to", "tree"]) == 2
    assert capsysbinary.readouterr().err.count(b"\n") == 2


def test_without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    model = model_of(people(np.random.default_rng(0)), WORDS, "log_loss", False)
    with pytest.raises(schuss.OptionError, match=r"pip install 'schuss\[onnx\]'"):
        model.to_onnx()
