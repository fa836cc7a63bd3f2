"""Every optimizer from the command line, and optimizers that a user writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import schuss
from schuss.descent.optimizers import OPTIMIZERS, Adam, Averaged, rule_named
from schuss.errors import OptionError
from schuss.training.settings import Settings

OWN = '''
from typing import Any, NamedTuple

class SignSGD(NamedTuple):
    """Bernstein et al. 2018, with a floor under |g|."""

    floor: Any = 1e-6

    scalar_names = ("rate", "floor")
    slot_names = ()
    rate_range = (1e-4, 0.1)

    def scalars(self, carry, rate):
        return carry, (rate, self.floor)

    def move(self, s, w, g, slots):
        own_rate = FACTOR * s[0] / ops.maximum(ops.absolute(g), s[1])
        return own_rate * g, own_rate, slots
'''


def own(folder: Path, factor: str) -> Path:
    file = folder / "own.py"
    file.write_text("from schuss.descent import ops\n" + OWN.replace("FACTOR", factor), encoding="utf-8")
    return file


def command(folder: Path, *arguments: str, compiled: bool = True) -> dict[str, Any]:
    """Run the command line in a process of its own, in a folder; give what it prints."""
    environment = os.environ | ({} if compiled else {"NUMBA_DISABLE_JIT": "1"})
    done = subprocess.run(
        [sys.executable, "-m", "schuss", *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=200)
    lines = [",".join(f"{value:.4f}" for value in (*row, goal)) for row, goal in zip(x, y, strict=True)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,c,y", *lines]) + "\n", encoding="utf-8")
    rows = [
        f"{goal:.4f} " + " ".join(f"{j + 1}:{v:.3f}" for j, v in enumerate(row)) for row, goal in zip(x, y, strict=True)
    ]
    (tmp_path / "table.svm").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


EVERY = [*OPTIMIZERS, "averaged_sgd", "own:SignSGD"]


@pytest.mark.parametrize("file", ["table.csv", "table.svm"])
@pytest.mark.parametrize("penalty", [[], ["--l1", "0.01"]], ids=["l2", "l1"])
def test_every_optimizer_races(table: Path, file: str, penalty: list[str]) -> None:
    own(table, "1.0")
    target = ["--target", "y"] if file.endswith("csv") else []
    options = ["--optimizer", ",".join(EVERY), "--runs", str(len(EVERY)), "--epochs", "1", "--batch-size", "8"]
    quiet = ["--quiet", "--json", "--out", "run", "--force", *penalty]
    summary = command(table, "train", file, *target, *options, *quiet, compiled=False)
    events = [json.loads(line) for line in (table / "run" / "record.jsonl").read_text(encoding="utf-8").splitlines()]
    runs = next(event["runs"] for event in events if event["event"] == "runs")
    assert [run["optimizer"] for run in runs] == EVERY
    assert summary["holdout"]["r2"] > 0.5
    assert ("l1" in summary["chosen"]) == bool(penalty)


def test_hyperparameters_race_and_are_told(table: Path) -> None:
    own(table, "1.0")
    specs = ["momentum:momentum=0.5,dampening=0.1", "momentum:0.8", "momentum", "own:SignSGD"]
    options = ["--optimizer", ",".join(specs), "--runs", "16", "--epochs", "1", "--init", "normal:0.1,normal:1"]
    summary = command(table, "train", "table.csv", "--target", "y", *options, "--json", "--quiet", compiled=False)
    folder = Path(summary["model"]).parent
    events = [json.loads(line) for line in (table / folder / "record.jsonl").read_text(encoding="utf-8").splitlines()]
    runs = next(event["runs"] for event in events if event["event"] == "runs")
    assert [run["optimizer"] for run in runs] == [spec for spec in specs for _ in range(4)]
    assert [run["init"] for run in runs] == ["normal:0.1", "normal:0.1", "normal:1", "normal:1"] * 4
    assert summary["chosen"]["optimizer"] in specs
    assert summary["chosen"]["init"] in ("normal:0.1", "normal:1")
    report = (table / folder / "report.html").read_text(encoding="utf-8")
    assert "momentum:momentum=0.5,dampening=0.1" in report
    assert "normal:0.1" in report


def test_an_own_optimizer_in_the_command_line_and_its_edits(table: Path) -> None:
    def train() -> dict[str, Any]:
        options = ["--optimizer", "own:SignSGD", "--runs", "1", "--epochs", "2", "--learning-rate", "0.02", "--l2", "0"]
        return command(table, "train", "table.csv", "--target", "y", *options, "--json", "--quiet", "--force")

    own(table, "1.0")
    first = train()
    assert first["chosen"]["optimizer"] == "own:SignSGD"
    assert train()["holdout"] == first["holdout"]
    own(table, "0.25")  # a literal in a formula: an edit of it must not meet the kernel of the first
    assert train()["holdout"]["loss"] > 1.01 * first["holdout"]["loss"]


def test_a_formula_that_does_not_compile_is_told_in_a_sentence(table: Path) -> None:
    own(table, "eval('1.0')")
    options = ["--optimizer", "own:SignSGD", "--runs", "1", "--epochs", "1", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "schuss", "train", "table.csv", "--target", "y", *options],
        cwd=table, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the formula of SignSGD does not compile" in done.stderr


def test_an_own_optimizer_in_python(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(table, "1.0")
    monkeypatch.syspath_prepend(str(table))
    import own as module  # pyright: ignore

    settings = Settings(optimizer=[module.SignSGD, "adam", Adam])
    assert settings.optimizers == ("own:SignSGD", "adam", "schuss.descent.optimizers.adam:Adam")
    assert rule_named("own:SignSGD") == module.SignSGD()
    assert rule_named("averaged_own:SignSGD") == Averaged(module.SignSGD())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("Rule = 3", "it has no scalar_names and no slot_names and no scalars and no move"),
        ("class Rule: scalar_names = slot_names = scalars = move = ()", "it is no named tuple"),
        ("class Rule:\n    def __init__(self, a): pass", "needs a default for each of its hyperparameters"),
        ("from schuss.descent.optimizers import SGD\nclass Rule(SGD): sparse = 'lazy'", "sparse = 'lazy'"),
    ],
)
def test_what_is_no_rule_is_refused(tmp_path: Path, code: str, words: str) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(code + "\n", encoding="utf-8")
    with pytest.raises(OptionError, match=words):
        Settings(optimizer=f"{file}:Rule")
    rule_named.cache_clear()
    assert schuss.OptionError is OptionError
