"""Modules of the user's own on tables: the same race, record, resume and model file, and whose code runs when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.interrupting import at_evaluation

import schuss
from schuss.cli.main import main
from schuss.descent.losses import loss_for
from schuss.descent.optimizers import rule_named
from schuss.errors import ModelFileError, OptionError, ResumeError
from schuss.model.model import FILE_NAME
from schuss.population.network import tables
from schuss.population.network.copies import Copies

CODE = """
import random
import torch
from torch import nn

RAN = []

class Residual(nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(features, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, outputs))
        self.line = nn.Linear(features, outputs)
        self.fixed = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x):
        return self.line(x) + self.fixed * self.inner(x)

class Counting(Residual):
    calls = 0
    def forward(self, x):
        self.calls += 1
        return super().forward(x)

class Drawing(Residual):
    def forward(self, x):
        return super().forward(x) * random.random()

class Infinite(Residual):
    def forward(self, x):
        return super().forward(x) / 0.0

def make(features, outputs):
    return Residual(features, outputs)

def plain(features, outputs):
    return nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, outputs))

def wide(features, outputs):
    return nn.Linear(features, outputs + 1)

def flat(features, outputs):
    return nn.Sequential(nn.Linear(features, 1), nn.Flatten(0))

def double(features, outputs):
    return nn.Linear(features, outputs).double()

def other(features, outputs):
    return nn.Linear(features + 1, outputs)

def fails(features, outputs):
    raise RuntimeError("not today")

def number(features, outputs):
    return 3
"""


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(CODE)


def rings(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).uniform(-1, 1, (rows, 2)).astype(np.float32)
    return X, np.where(np.hypot(*X.T) < 0.7, "in", "out")


def csv(name: str = "rings.csv") -> str:
    X, y = rings()
    lines = ["a,b,y", *(f"{a},{b},{label}" for (a, b), label in zip(X.tolist(), y, strict=True))]
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def trained(name: str = "nets.py:make", **options: Any) -> schuss.Result:
    return schuss.train(rings(), network=name, **{"epochs": 60, "runs": 4, **options})


@pytest.mark.parametrize("name", ["nets.py:make", "nets.py:plain"])
def test_a_module_learns_a_table(name: str) -> None:
    result = trained(name)
    X, y = rings()
    assert (np.array(result.model.predict(X)["prediction"]) == y).mean() > 0.9
    assert result.summary["chosen"]["network"] == name
    assert result.summary["holdout"]["accuracy"] > 0.85


def test_numbers_and_losses_of_tables() -> None:
    X = rings()[0]
    y = 100 + 50 * X[:, 0] ** 2
    for loss in ("squared_error", "huber:1.0"):
        model = schuss.train((X, y), network="nets.py:plain", loss=loss, epochs=60, runs=4).model
        assert model.evaluate((X, y))["r2"] > 0.9
    with pytest.raises(OptionError, match="the loss Perceptron is not offered for modules of your own"):
        trained(loss="perceptron")


def test_the_code_of_a_file_runs_only_when_it_is_named(tmp_path: Path) -> None:
    X, _ = rings()
    model = trained(out="run").model
    Path("nets.py").rename("gone.py")
    loaded = schuss.Model.load("run")
    assert len(loaded.explain()) == 3  # needs no code
    with pytest.raises(OptionError, match=r"code that its file only names, 'nets.py:make': --network nets.py:make"):
        loaded.predict(X)
    with pytest.raises(OptionError, match="there is no such file"):
        schuss.Model.load("run", "nets.py:make")
    named = schuss.Model.load("run", "gone.py:make")
    assert named.predict(X, proba=True).equals(model.predict(X, proba=True))
    with pytest.raises(OptionError, match="does not make the module that this model was trained with"):
        schuss.Model.load("run", "gone.py:plain").predict(X)
    linear = schuss.train(rings(), epochs=1, runs=2).model
    linear.save("linear.safetensors")
    with pytest.raises(OptionError, match="this model needs none"):
        schuss.Model.load("linear.safetensors", "gone.py:make")


def test_slopes_and_contributions_are_those_of_the_module() -> None:
    model = trained().model
    X, _ = rings(50)
    table = model.contributions(X)
    parts = [table["(intercept)"].to_numpy(), *(column.to_numpy() for column in table.columns[3:])]
    np.testing.assert_allclose(sum(parts), table["(score)"].to_numpy(), rtol=1e-9)
    assert model.network is not None
    layers = model.network.layers(model.weights[0])
    rows = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    slopes = model.network.row_slopes(layers, rows)
    for feature in range(2):
        step = np.zeros(2, np.float32)
        step[feature] = 0.01
        around = [model.network.scores(layers, rows + sign * step) for sign in (1, -1)]
        np.testing.assert_allclose(slopes[:, feature], (around[0] - around[1]) / 0.02, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nets.py:wide", r"gives \(32, 2\) for 32 rows, not scores of shape \(32, 1\)"),
        ("nets.py:flat", r"gives \(32,\) for 32 rows"),
        ("nets.py:double", "has a parameter 'weight' that is not float32"),
        ("nets.py:other", "does not take rows"),
        ("nets.py:fails", "failed at features=2, outputs=1: RuntimeError: not today"),
        ("nets.py:number", "gave something of type int, not a torch.nn.Module"),
        ("nets.py:nothing", "has no 'nothing'"),
        ("nets.py:RAN", "is no factory but of type list"),
        ("nets.py:Infinite", "before any step"),
        ("absent:make", "which cannot be imported"),
    ],
)
def test_what_cannot_be_gets_one_sentence(name: str, said: str) -> None:
    with pytest.raises(OptionError, match=said) as found:
        trained(name)
    assert "\n" not in str(found.value)
    assert main(["train", csv(), "--target", "y", "--network", name, "--out", "run"]) == 2
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nets.py:Counting", "it keeps state in 'calls', which is neither a parameter nor a buffer"),
        ("nets.py:Drawing", "its loss depends on randomness that is not PyTorch's"),
    ],
)
def test_hidden_state_and_randomness_are_said(name: str, why: str) -> None:
    result = trained(name, epochs=1)
    assert any(f"the copies go through the module in turn: {why}" in one for one in result.record[0]["notices"])


@pytest.mark.parametrize("option", [{"activation": "tanh"}, {"dropout": 0.5}, {"init": "he"}])
def test_options_of_layers_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="is for networks of --network 256,128: a module has its own"):
        trained(**option)


def test_memory_that_runs_out_is_told_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    usual = Copies._learn_some

    def learned(self: Copies, stack: Any, some: slice, batch: Any) -> torch.Tensor:
        if some.stop - some.start > 2:
            raise torch.OutOfMemoryError("no more")
        return usual(self, stack, some, batch)

    monkeypatch.setattr(Copies, "_learn_some", learned)
    wanted = "memory ran out: from now on 2 of the 4 copies go together"
    result = trained(epochs=1)
    assert [event["message"] for event in result.record if event["event"] == "notice"] == [wanted]
    command = ["train", csv(), "--target", "y", "--network", "nets.py:make", "--runs", "4", "--epochs", "1"]
    assert main(command) == 0
    assert wanted in capsys.readouterr().err


def test_modules_learn_where_they_are_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = loss_for("log_loss", 1)
    made = tables.tried(lambda inputs, outputs: torch.nn.Linear(inputs, outputs), "own", 2, 1, loss, 2, 0)
    own = tables.population(made, rule_named("adam"), loss, 32, 0, l1=False, device="meta", say=print)
    assert own.module.weight.device.type == "meta"
    assert made.module.weight.device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="option '--device cuda' needs a CUDA device"):
        trained(device="cuda")


def test_an_interrupted_run_goes_on_to_the_same_bytes_once_its_code_is_named() -> None:
    data, options = csv(), {"target": "y", "network": "nets.py:make", "epochs": 20, "runs": 4}
    schuss.train(data, out="whole", **options)
    cut = schuss.train(data, out="cut", progress=at_evaluation(3), **options)
    assert cut.summary["outcome"] == "interrupted"
    for named in (None, "nets.py:plain"):
        with pytest.raises(ResumeError, match=r"needs code that its files only name: --network nets\.py:make"):
            schuss.resume("cut", network=named)
    schuss.resume("cut", network="nets.py:make")
    assert Path("cut", FILE_NAME).read_bytes() == Path("whole", FILE_NAME).read_bytes()


def test_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    data, options = csv(), "--target y --network nets.py:make --epochs 60 --runs 4 --out run --quiet"
    assert main(["train", data, *options.split()]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", data, "--network", "nets.py:make", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.85
    assert main(["predict", "run", data]) == 2
    assert "code that its file only names, 'nets.py:make'" in capsys.readouterr().err
    assert main(["predict", "run", data, "--network", "nets.py:make"]) == 0
    assert capsys.readouterr().out.count("\n") == 401
    assert main(["explain", "run"]) == 0


def test_a_file_with_impossible_sizes_is_refused() -> None:
    model = trained(epochs=1).model
    assert model.network is not None
    told = model.network.to_values()
    for name, value in [("shapes", [["a", [-1]]]), ("features", "2"), ("factory", 3)]:
        with pytest.raises(ValueError, match="its network has no"):
            type(model.network).from_values({**told, name: value})
    model.save("model.safetensors")
    data = Path("model.safetensors").read_bytes()
    Path("model.safetensors").write_bytes(data.replace(b"nets.py:make", b"nets.py:evil"))
    with pytest.raises(ModelFileError):
        schuss.Model.load("model.safetensors")


def test_torch_draws_as_before_after_a_training() -> None:
    before = torch.get_rng_state()
    trained(epochs=1)
    assert torch.equal(before, torch.get_rng_state())
