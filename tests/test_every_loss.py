"""Every loss by the command line: trained, predicted with, evaluated, reported."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from tests.cases import LOSSES_BY_NAME

from schuss.cli.main import main
from schuss.descent.losses import LOSSES, PROBABILISTIC, predicted_numbers
from schuss.model.model import Model

ROWS = 160

# The loss that `evaluate` gives, of predictions in the data's units.
NUMBERS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "squared_error": metrics.mean_squared_error,
    "absolute_error": metrics.mean_absolute_error,
    "huber": lambda y, p: _huber(y, p, 0.5 * _spread(y)),
    "huber:3": lambda y, p: _huber(y, p, 3.0),
    "epsilon_insensitive": lambda y, p: np.maximum(np.abs(y - p) - 0.1 * _spread(y), 0).mean(),
    "epsilon_insensitive:2": lambda y, p: np.maximum(np.abs(y - p) - 2, 0).mean(),
    "squared_epsilon_insensitive:2": lambda y, p: (np.maximum(np.abs(y - p) - 2, 0) ** 2).mean(),
    "quantile": lambda y, p: metrics.mean_pinball_loss(y, p, alpha=0.5),
    "quantile:0.9": lambda y, p: metrics.mean_pinball_loss(y, p, alpha=0.9),
    "poisson": metrics.mean_poisson_deviance,
}
CLASSES = ["log_loss", "hinge", "hinge:2.5", "crammer_singer", "squared_hinge", "squared_hinge:1.5", "modified_huber",
           "perceptron", "sigmoid_squared_error"]  # fmt: skip


def _huber(y: np.ndarray, p: np.ndarray, delta: float) -> float:
    return float(torch.nn.functional.huber_loss(torch.tensor(p), torch.tensor(y), delta=delta))


def _spread(y: np.ndarray) -> float:
    return float(y.std())


pytestmark = pytest.mark.usefixtures("uncompiled_kernels")


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, size=(ROWS, 3))


def write(path: Path, rows: np.ndarray, targets: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "y"])
        writer.writerows([*row, target] for row, target in zip(rows, targets, strict=True))
    return path


def use(capsys: pytest.CaptureFixture[str], data: Path, *options: str) -> tuple[dict[str, Any], dict[str, Any], Model]:
    """Train and evaluate; give the summary, the evaluation and the model."""
    out = str(data.parent / "run")
    train = ["train", str(data), "--target", "y", "--out", out, "--epochs", "8", "--runs", "4", "--json", "--quiet"]
    assert main([*train, *options]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert main(["evaluate", out, str(data), "--json"]) == 0
    return summary, json.loads(capsys.readouterr().out), Model.load(out)


def predictions(capsys: pytest.CaptureFixture[str], data: Path, *options: str) -> list[dict[str, str]]:
    assert main(["predict", str(data.parent / "run"), str(data), *options]) == 0
    return list(csv.DictReader(capsys.readouterr().out.splitlines()))


def scores_of(model: Model, rows: np.ndarray) -> np.ndarray:
    folded = model.encoder.in_data_units(model.weights.astype(np.float64))
    return rows @ folded[:-1] + folded[-1]


@pytest.mark.parametrize("loss", NUMBERS)
def test_numbers(loss: str, rows: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    truth = 20 * (1 + rows[:, 0] - 0.5 * rows[:, 1]) + rng.normal(size=ROWS)
    if loss == "poisson":
        truth = rng.poisson(np.exp(1 + rows[:, 0] - 0.5 * rows[:, 1]))
    data = write(tmp_path / "data.csv", rows, truth)
    summary, evaluation, model = use(capsys, data, "--loss", loss)
    assert summary["task"] == "regression"
    assert 0 <= summary["holdout"]["loss"] < 0.9 * summary["holdout"]["constant_loss"]
    assert summary["holdout"]["r2"] > 0.3
    predicted = np.array([float(row["prediction"]) for row in predictions(capsys, data)])
    y = truth.astype(float)
    assert evaluation["loss"] == pytest.approx(NUMBERS[loss](y, predicted), rel=1e-5)
    assert evaluation["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, predicted), rel=1e-5)
    scores = scores_of(model, rows)[:, 0]
    np.testing.assert_allclose(predicted, np.exp(scores) if loss == "poisson" else scores, rtol=1e-4, atol=1e-4)
    assert main(["predict", str(tmp_path / "run"), str(data), "--proba"]) == 2
    assert "probabilities need a model trained with one of log_loss" in capsys.readouterr().err
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("loss", CLASSES)
def test_classes(loss: str, classes: int, rows: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = 0.1 * np.random.default_rng(2).normal(size=(ROWS, 3))
    labels = (rows + noise)[:, :classes].argmax(axis=1)
    data = write(tmp_path / "data.csv", rows, [f"class {label}" for label in labels])
    summary, evaluation, model = use(capsys, data, "--loss", loss)
    assert summary["task"] == "classification"
    assert summary["holdout"]["loss"] < 0.7 * summary["holdout"]["constant_loss"]
    assert evaluation["accuracy"] > 0.8
    scores = scores_of(model, rows)
    predicted = (scores[:, 0] > 0).astype(int) if classes == 2 else scores.argmax(axis=1)
    told = predictions(capsys, data)
    assert [row["prediction"] for row in told] == [f"class {label}" for label in predicted]
    assert evaluation["loss"] == pytest.approx(expected_loss(loss, scores, labels), rel=1e-4)
    chances = ["predict", str(tmp_path / "run"), str(data), "--proba"]
    assert main(chances) == (0 if loss in PROBABILISTIC else 2)
    out, err = capsys.readouterr()
    if loss in PROBABILISTIC:
        shares = np.array(
            [[float(row[f"p_class {j}"]) for j in range(classes)] for row in csv.DictReader(out.splitlines())]
        )
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-9)
        assert (shares.argmax(axis=1) == predicted).mean() > 0.97
    else:
        assert f"got one of {loss}\n" in err


FORMS = {"log_loss": ("log_loss", "softmax"), "crammer_singer": ("hinge", "crammer_singer")}


def expected_loss(loss: str, scores: np.ndarray, labels: np.ndarray) -> float:
    """What other people's implementations give for these scores."""
    name, _, number = loss.partition(":")
    if name == "perceptron":
        predicted = (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)
        return float((predicted != labels).mean())
    case = LOSSES_BY_NAME[FORMS.get(name, (name, f"multiclass_{name}"))[scores.shape[1] > 1]]
    scale = float(number or 1)  # a margin Δ: the loss of scores in units of Δ, times Δ, squared hinges Δ²
    at = float(getattr(case.loss, "margin", 1.0)) / scale
    power = 2 if name == "squared_hinge" else 1
    values = case.torch_values(torch.tensor(scores * at), torch.tensor(labels))
    whole = 2 if name == "sigmoid_squared_error" else 1
    return whole * float(values.mean()) / at**power


def test_every_loss_is_here() -> None:
    names = {loss.partition(":")[0] for loss in (*NUMBERS, *CLASSES)}
    assert names == set(LOSSES)


def test_negative_counts_are_named(rows: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = np.random.default_rng(3).poisson(2.0, ROWS)
    counts[16] = -3
    data = write(tmp_path / "data.csv", rows, counts)
    assert main(["train", str(data), "--target", "y", "--loss", "poisson", "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert err.endswith("data.csv, row 17, column 'y': -3 is negative, and this loss takes targets of at least 0\n")


def test_the_unit_of_the_target_changes_nothing(
    rows: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A δ of 3 metres is one of 3,000 millimetres."""
    y = 20 * (1 + rows[:, 0]) + np.random.default_rng(1).standard_t(2, size=ROWS)
    found = []
    for unit, loss in ((1, "huber:3"), (1000, "huber:3000")):
        folder = tmp_path / str(unit)
        folder.mkdir()
        summary, _, model = use(capsys, write(folder / "data.csv", rows, unit * y), "--loss", loss)
        found.append((summary["holdout"]["loss"] / unit**2, model.weights))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-5)


def test_predicted_numbers_of_poisson_are_positive() -> None:
    assert (predicted_numbers(LOSSES["poisson"].forms[0](), np.array([[-50.0], [3.0]])) > 0).all()
