"""Options: every wrong value is refused with a sentence that names the right ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schuss.errors import OptionError
from schuss.training.settings import Settings, machine_memory, parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("task", "classify", ["auto", "classification", "regression", "did you mean 'classification'"]),
        ("loss", "logloss", ["log_loss", "hinge", "squared_error", "did you mean 'log_loss'"]),
        ("optimizer", "adm", ["auto", "sgd", "momentum", "adagrad", "adam", "did you mean 'adam'"]),
        ("optimizer", "sgd,adm", ["not 'adm'"]), ("optimizer", ["sgd", "x"], ["not 'x'"]),
        ("optimizer", "", ["not ''"]),
        ("memory", "9" * 400, ["takes a number with a unit, not '9999"]),
        ("time_limit", "9" * 400, ["takes a number with a unit"]),
        ("network", "9" * 5_000, ["takes the units of hidden layers such as 256,128, or module:FACTORY, not '9999"]),
        ("optimizer", "adam:beta3=0.9", ["adam has no 'beta3'", "beta1, beta2, epsilon"]),
        ("optimizer", "adam:beta1=1", ["of at least 0 and below 1 as its beta1", "not '1'"]),
        ("optimizer", "sgd,adam:beta1=0.9,beta1=0.8", ["its beta1 twice"]),
        ("optimizer", "sgd:momentum=0.9", ["the optimizer sgd takes no number"]),
        ("optimizer", "momentum:0.9,0.1,0.2", ["at most 2 numbers, not '0.9,0.1,0.2'"]),
        ("optimizer", "adam:epsilon=small", ["above 0 as its epsilon, not 'small'"]),
        ("schedule", "linear,cosin", ["did you mean 'cosine'"]), ("schedule", "cosine:start=0.1", ["no 'start'"]),
        ("init", "zero,normal:-1", ["above 0 as its scale, not '-1'"]),
        ("schedule", "cosinus", ["constant", "linear", "inverse_time"]),
        ("order", "random", ["shuffle", "once", "replace", "keep"]),
        ("class_weight", "equal", ["class-weight", "balanced"]),
        ("learning_rate", 0, ["above 0"]), ("learning_rate", -1.0, ["above 0"]),
        ("learning_rate", "fast", ["a number"]),
        ("learning_rate", float("nan"), ["above 0"]), ("learning_rate", float("inf"), ["above 0"]),
        ("l2", -1e-9, ["at least 0"]), ("l2", float("nan"), ["at least 0"]), ("l2", True, ["a number"]),
        ("epochs", 0, ["at least 1"]), ("epochs", 1.5, ["a whole number"]), ("epochs", "many", ["a whole number"]),
        ("batch_size", 0, ["at least 1"]), ("runs", 0, ["at least 1"]), ("runs", "auto", ["a whole number"]),
        ("seed", -1, ["at least 0"]), ("seed", 0.5, ["a whole number"]), ("threads", 0, ["at least 1"]),
        ("time_limit", "soon", ["60s, 10m or 2h"]), ("time_limit", 0, ["above zero"]),
        ("time_limit", "1.2.3s", ["number"]),
        ("time_limit", -5, ["60s"]), ("memory", "lots", ["4GB or 512MiB"]), ("memory", "1..5GB", ["number"]),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_in_one_sentence(option: str, value: Any, words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        Settings(**{option: value})
    message = str(caught.value)
    assert f"'--{option.replace('_', '-')}'" in message
    assert "\n" not in message
    assert not message.endswith(".")
    for word in words:
        assert word in message


def test_fewer_runs_than_optimizers() -> None:
    with pytest.raises(OptionError, match="at least 3, one for each optimizer"):
        Settings(optimizer="sgd,adam,adagrad", runs=2)
    with pytest.raises(OptionError, match="at least 8, one for each pairing of optimizer, schedule and init"):
        Settings(optimizer="sgd,adam", schedule="linear,step:0.5,every=0.1", init="zero,he:0.5", runs=7)


@pytest.mark.parametrize(
    "options",
    [
        {"target": "y", "weight": "y"}, {"numeric": ["a"], "categorical": ["a"]}, {"text": ["a"], "ignore": ["b", "a"]},
        {"target": "a", "ignore": ["a"]}, {"target": "y", "holdout": "group:y"},
    ],
)  # fmt: skip
def test_a_column_cannot_be_two_things(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"column '[ay]' cannot be both --\w+ and --\w+"):
        Settings(**options)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (None, None), (7, 7), ("7", 7), ("4GB", 4 * 10**9), ("4g", 4 * 10**9), ("512MiB", 2**29), ("512 mib", 2**29),
        ("0.5k", 500), ("1TiB", 2**40), ("100B", 100), (4e9, 4 * 10**9),
    ],
)  # fmt: skip
def test_sizes(text: Any, size: int | None) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        (7, 7.0),
        (0.25, 0.25),
        ("60s", 60.0),
        ("1.5m", 90.0),
        ("2min", 120.0),
        ("2H", 7200.0),
        (" 3 s ", 3.0),
    ],
)
def test_times(text: Any, seconds: float | None) -> None:
    assert parse_seconds(text) == seconds


def test_memory_is_a_quarter_of_the_machine() -> None:
    assert Settings().memory_bytes == machine_memory() // 4
    assert machine_memory() > 10**8
    assert Settings(memory="1GB").memory_bytes == 10**9


def test_numpy_numbers_are_numbers() -> None:
    given = {"epochs": np.int64(3), "runs": np.int32(4), "l2": np.float32(0.5), "learning_rate": np.float64(0.1)}
    settings = Settings(**given)
    assert (settings.epochs, settings.runs, settings.l2) == (3, 4, 0.5)


def test_one_column_may_be_named_alone() -> None:
    assert list(Settings(numeric="age").numeric) == ["age"]
    assert list(Settings(ignore="a,b").ignore) == ["a", "b"]


def test_as_given_is_json_and_complete() -> None:
    given = Settings(target="y", out=Path("runs"), optimizer=["sgd", "adam"], progress=print).as_given()
    assert json.loads(json.dumps(given))["out"] == "runs"
    assert {"loss", "optimizer", "seed", "holdout", "l2", "memory"} <= given.keys()
    assert not {"progress", "force"} & given.keys()
