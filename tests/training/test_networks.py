"""Networks from end to end: what they learn, the file, resuming, prediction without PyTorch, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch
from sklearn.datasets import load_digits
from tests.interrupting import at_evaluation

import schuss
from schuss.cli.main import main
from schuss.errors import ModelFileError, OptionError
from schuss.model.model import FILE_NAME, Model
from schuss.sealed import open_sealed, write_sealed
from schuss.training.settings import Settings

FAST: dict[str, Any] = {"network": "16", "runs": 4, "epochs": 8}


def ring(rows: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    """Points within a circle, and beyond it: no line parts them."""
    X = np.random.default_rng(0).uniform(-1, 1, (rows, 2))
    return X, (np.hypot(*X.T) > 0.75).astype(int)


def mixed(rows: int = 900) -> pa.Table:
    """Numbers, many words and a target that needs both at once."""
    rng = np.random.default_rng(1)
    x, city = rng.normal(size=rows), rng.integers(0, 300, rows)
    pay = np.where(city % 2, x, -x) + 0.1 * rng.normal(size=rows)
    return pa.table({"x": x, "city": [f"c{one}" for one in city], "pay": pay})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small network."""
    folder = tmp_path_factory.mktemp("net") / "run"
    X, y = ring(600)
    schuss.train((X, np.array(["in", "out"])[y]), **FAST, activation="tanh", out=folder)
    return folder


def test_a_hidden_layer_learns_what_no_line_parts() -> None:
    data = ring()
    linear, network = (schuss.train(data, network=one, epochs=30, runs=6).summary["holdout"] for one in (None, "32"))
    assert linear["accuracy"] < 0.7
    assert network["accuracy"] > 0.95
    assert network["loss"] < 0.3 * linear["loss"]


def test_few_rows_make_a_committee() -> None:
    data = ring(300)
    result = schuss.train(data, network="16", runs=4)
    chosen, folds = result.summary["chosen"], result.summary["cross_validation"]
    assert (chosen["members"], folds["folds"]) == (5, 4)
    assert folds["rows"] == result.summary["rows"] - result.summary["holdout"]["rows"]
    legs = [event for event in result.record if event["event"] == "committee"]
    assert folds["loss"] == min(min(event["losses"]) for event in legs)
    model, rows = result.model, np.float32(data[0])
    assert model.network is not None
    assert model.weights.shape == (5, model.network.size)
    each = [dataclasses.replace(model, weights=one[None]).scores(rows) for one in model.weights]
    np.testing.assert_allclose(np.mean(each, axis=0), model.scores(rows), atol=1e-6)
    assert model.evaluate(ring(1000))["accuracy"] > 0.9


# Each takes four seconds to compile; the kernel is tested with every loss uncompiled, in tests/kernels/test_layers.py.
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_losses_of_numbers(loss: str) -> None:
    X = np.random.default_rng(0).normal(size=(800, 3))
    y = np.exp(np.abs(X[:, 0]))
    found = schuss.train((X, y), loss=loss, task="regression", network="32", epochs=30, runs=4)
    assert found.summary["holdout"]["r2"] > 0.8


@pytest.mark.parametrize("loss", ["log_loss", "crammer_singer"])
def test_losses_of_classes(loss: str) -> None:
    found = schuss.train(load_digits(return_X_y=True), loss=loss, network="32", epochs=8, runs=4)
    assert found.summary["holdout"]["accuracy"] > 0.9


def test_words_are_embedded_and_rows_stay_sparse() -> None:
    found = schuss.train(mixed(3000), "pay", network="24", epochs=12, runs=6, batch_size=32)
    assert found.model.encoder.sparse
    assert found.model.network is not None
    assert [one.stop - one.start >= 300 for one in found.model.network.embeddings] == [True]
    assert found.summary["holdout"]["r2"] > 0.8


def test_weights_of_classes_count() -> None:
    X, y = ring(900)
    few = np.append(np.flatnonzero(y == 0), np.flatnonzero(y)[:40])
    share = {}
    for weight in (None, "balanced"):
        model = schuss.train((X[few], y[few]), **FAST, class_weight=weight).model
        share[weight] = np.mean(model.predict(X)["prediction"].to_numpy())
    assert share["balanced"] > share[None] + 0.1


def test_the_bits_do_not_depend_on_threads() -> None:
    found = [
        schuss.train(ring(), **FAST, dropout=0.2, threads=threads).model.weights.tobytes() for threads in (1, 2, 3)
    ]
    assert found[0] == found[1] == found[2]


def test_the_file_gives_the_same_model_back(run: Path) -> None:
    model, (X, _) = Model.load(run), ring()
    assert model.network is not None
    assert (model.network.hidden, model.network.activation) == ((16,), "tanh")
    again = run / "again.safetensors"
    model.save(again)
    assert again.read_bytes() == (run / FILE_NAME).read_bytes()
    proba = model.predict(X, proba=True)
    layers = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    for own, (weights, bias) in zip((layers[0], layers[2]), model.network.layers(model.weights[0]), strict=True):
        own.load_state_dict({"weight": torch.tensor(weights.T), "bias": torch.tensor(bias)})
    numbers = np.float32((X - model.encoder.features[0].scale.centre) * model.encoder.features[0].scale.factor)
    with torch.no_grad():
        chances = torch.sigmoid(layers(torch.tensor(numbers)))[:, 0].numpy()
    np.testing.assert_allclose(proba["p_out"].to_numpy(), chances, atol=1e-5)


def test_prediction_needs_no_torch(run: Path, tmp_path: Path) -> None:
    X, y = ring(50)
    table = pa.table({"x": pa.FixedSizeListArray.from_arrays(X.ravel(), 2), "y": np.array(["in", "out"])[y]})
    pa.parquet = __import__("pyarrow.parquet").parquet
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    code = """
import sys
sys.modules["torch"] = None
from schuss.cli.main import main
for words in (["evaluate"], ["predict"], ["explain"]):
    assert main([*words, sys.argv[1], *([] if words == ["explain"] else [sys.argv[2]])]) == 0
print(sorted({name.partition(".")[0] for name in sys.modules} & {"scipy", "sklearn", "numba"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(run), str(tmp_path / "t.parquet")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_a_row_consists_of_is_its_score(run: Path) -> None:
    model, table = Model.load(run), mixed(400)
    several = schuss.train(table, "pay", **FAST).model
    told = several.contributions(table)
    np.testing.assert_allclose(told["(score)"].to_numpy(), several.predict(table)["prediction"].to_numpy(), atol=1e-4)
    total = sum(told[name].to_numpy() for name in ("(intercept)", "x", "city"))
    np.testing.assert_allclose(total, told["(score)"].to_numpy(), atol=1e-6)
    assert {entry["feature"] for entry in model.explain()} == {"x[0]", "x[1]", "(intercept)"}


def test_slopes_are_differences(run: Path) -> None:
    model = Model.load(run)
    rows = np.random.default_rng(3).normal(size=(40, 2)).astype(np.float32)
    slopes = model.scorer.row_slopes(rows)  # pyright: ignore[reportAttributeAccessIssue]
    for at in range(2):
        step = np.zeros(2, np.float32)
        step[at] = 1e-2
        difference = (model.scores(rows + step) - model.scores(rows - step)) / 2e-2
        np.testing.assert_allclose(slopes[:, at], difference, atol=2e-3)


def test_a_run_that_is_interrupted_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    data, options = ring(3000), FAST | {"dropout": 0.3}
    whole = schuss.train(data, **options, out=tmp_path / "whole")
    cut = schuss.train(data, **options, out=tmp_path / "cut", progress=at_evaluation(3))
    assert cut.summary["outcome"] == "interrupted"
    schuss.resume(tmp_path / "cut", data)
    assert (tmp_path / "cut" / FILE_NAME).read_bytes() == (tmp_path / "whole" / FILE_NAME).read_bytes()
    assert whole.record[0]["versions"]["torch"]


@pytest.mark.parametrize("leg", [0, 2])
def test_a_committee_that_is_interrupted_goes_on_to_the_same_bytes(tmp_path: Path, leg: int) -> None:
    data, options = ring(200), {"network": "8", "runs": 4}
    schuss.train(data, **options, out=tmp_path / "whole")

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "committee" and event["leg"] == leg:
            os.kill(os.getpid(), signal.SIGINT)

    cut = schuss.train(data, **options, out=tmp_path / "cut", progress=stop)
    assert cut.summary["outcome"] == "interrupted"
    schuss.resume(tmp_path / "cut", data)
    assert (tmp_path / "cut" / FILE_NAME).read_bytes() == (tmp_path / "whole" / FILE_NAME).read_bytes()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"hidden": [17]}, "its weights are not"),
        ({"hidden": []}, "no sizes"),
        ({"hidden": [2.0]}, "no sizes"),
        ({"features": 3}, "not one of its features"),
        ({"activation": "os.system"}, "not one of the activations"),
        ({"dropout": 1.0}, "drops no share"),
        ({"embeddings": [[0, 5, 2]]}, "embeds features that there are not"),
        ({"embeddings": [[0, 1]]}, "missing"),
        ({"depth": 3}, "unexpected"),
    ],
)
def test_a_forged_network_is_refused(run: Path, tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with open_sealed(run / FILE_NAME, "model") as sealed:
        values, arrays = sealed.values, {name: sealed.load(name) for name in sealed.arrays}
    values["network"] |= change
    with (tmp_path / "forged").open("wb") as file:
        write_sealed(file, "model", values, arrays)
    with pytest.raises(ModelFileError, match=sentence):
        Model.load(tmp_path / "forged")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"network": "0"}, "takes the units of hidden layers such as 256,128, or module:FACTORY, not '0'"),
        ({"network": "64,"}, "takes the units"),
        ({"network": "-3"}, "takes the units"),
        ({"network": "wide"}, "takes the units"),
        ({"network": ()}, "takes the units"),
        ({"network": (64, 2.5)}, "takes the units"),
        ({"network": "8", "activation": "rellu"}, "is one of relu, .* did you mean 'relu'"),
        ({"network": "8", "dropout": 1.0}, "takes a share from 0 to below 1, not '1.0'"),
        ({"network": "8", "dropout": "half"}, "takes a share"),
        ({"network": "8", "device": "gpu"}, "is one of auto, cpu, cuda, not 'gpu'"),
        ({"network": "8", "init": "zero"}, "would learn nothing"),
        ({"activation": "tanh"}, "'--activation' needs a network"),
        ({"dropout": 0.5}, "'--dropout' needs a network"),
        ({"device": "cpu"}, "'--device' needs a network"),
    ],
)
def test_a_wrong_option_gets_a_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        Settings(**options)


def test_a_network_is_given_in_several_ways() -> None:
    assert {Settings(network=one).network for one in ("64, 32", (64, 32), [64, 32], np.array([64, 32]))} == {"64,32"}
    assert Settings(network=64).hidden == (64,)
    assert Settings(network=None).hidden is None


def test_what_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "1,u\n2,v\n" * 40)
    words = ["train", str(tmp_path / "t.csv"), "--target", "y", "--network", "8", "--out", str(tmp_path / "run"), "-q"]
    if not torch.cuda.is_available():
        assert main([*words, "--device", "cuda"]) == 2
        assert "PyTorch finds none" in capsys.readouterr().err
    assert main([*words, "--memory", "1kB"]) == 2
    assert "bytes, more than --memory allows" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("schuss.population.network")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(words) == 2
    assert "needs PyTorch: pip install 'schuss[torch]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_rates_too_high_for_all_runs_are_said() -> None:
    X = np.random.default_rng(0).normal(size=(400, 3))
    with pytest.raises(schuss.TrainingError, match="every run diverged"):
        schuss.train((X, X[:, 0]), **FAST, optimizer="sgd", learning_rate=1e30)


def test_the_command_line_tells_what_was_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pa.csv.write_csv(mixed(300), tmp_path / "t.csv")
    out = str(tmp_path / "run")
    words = ["--network", "8,4", "--dropout", "0.1", "--epochs", "2", "--runs", "4", "--out", out, "--json", "-q"]
    assert main(["train", str(tmp_path / "t.csv"), "--target", "pay", *words]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["chosen"]["network"], summary["chosen"]["members"]) == ("8,4", 1)
    assert main(["export", out, "--to", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "schuss-network-1"


def test_linear_models_have_no_part_of_networks(tmp_path: Path) -> None:
    model = schuss.train(ring(300), epochs=1, runs=2, out=tmp_path / "run").model
    assert dataclasses.astuple(model)[-3:] == (None, None, None)
    assert Model.load(tmp_path / "run").network is None
