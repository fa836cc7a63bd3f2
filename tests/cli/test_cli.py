"""The command line: what is passed on, what is printed where, and the exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pyarrow as pa
import pytest

from schuss import OptionError, TrainingError, __version__
from schuss.cli import printout
from schuss.cli.main import commands, main
from schuss.data.feed import ORDERS
from schuss.descent.initializers import INITIALIZERS
from schuss.descent.losses import LOSSES
from schuss.descent.optimizers import OPTIMIZERS
from schuss.descent.schedules import SCHEDULES
from schuss.training.settings import OUT, Settings

SUMMARY = {
    "task": "classification",
    "target": "delayed",
    "rows": 336776,
    "features": 108,
    "classes": ["no", "yes"],
    "runs": 16,
    "chosen": {
        "optimizer": "adam",
        "learning_rate": 0.01,
        "schedule": "linear",
        "l2": 1e-5,
        "batch_size": 32,
        "epochs": 4,
    },
    "holdout": {"rows": 16838, "loss": 0.41234, "accuracy": 0.8123, "constant_loss": 0.689},
    "seconds": 75.2,
    "rows_per_second": 17900.4,
    "peak_memory_bytes": 300 * 2**20,
    "model": "runs/flights-delayed/model.safetensors",
    "report": "runs/flights-delayed/report.html",
    "outcome": "converged",
    "skipped_rows": 0,
    "bad_rows": 0,
}
START = {
    "event": "start",
    "task": "classification",
    "target": "delayed",
    "source": {"name": "flights"},
    "notices": [
        "the task is classification since the target 'delayed' holds 2 texts; --task regression overrides this",
        "column 'id' is left out: it identifies the rows",
    ],
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace the training by one that notes how it was called and gives a fixed result."""
    calls: list[dict[str, Any]] = []

    def train(source: object, *, progress: Any = None, **options: Any) -> SimpleNamespace:
        calls.append({"source": source, **options})
        if progress:
            progress(START)
        return SimpleNamespace(summary=SUMMARY, record=[START])

    install(monkeypatch, train)
    return calls


def install(monkeypatch: pytest.MonkeyPatch, train: Any) -> None:
    module = ModuleType("schuss.training.training")
    module.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "schuss.training.training", module)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"schuss {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], *([name, "-h"] for name in commands.commands)])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: schuss")


def test_every_option_is_explained() -> None:
    for command in commands.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert (parameter.help or "").endswith("."), f"{command.name} {parameter.name}"


def test_documentation_shows_every_command() -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert f":commands: {', '.join(commands.commands)}\n" in page


def test_options_are_those_of_train() -> None:
    offered = commands.commands["train"].make_context("train", ["data.csv"]).params
    for name in ("data", "quiet", "as_json"):
        del offered[name]
    known = {each.name: each.default for each in dataclasses.fields(Settings) if each.name != "progress"}
    known |= {"out": OUT, "optimizer": ("auto",)}
    assert offered == known


@pytest.mark.parametrize(
    ("option", "valid"),
    [("loss", LOSSES), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("init", INITIALIZERS), ("order", ORDERS)],
)
def test_help_names_the_valid_values(option: str, valid: Iterable[str]) -> None:
    (parameter,) = (each for each in commands.commands["train"].params if each.name == option)
    assert isinstance(parameter, click.Option)
    assert [name for name in valid if name not in f"{parameter.metavar} {parameter.help}"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trian", "a.csv"], "no such command 'trian'; did you mean 'train'?"),
        (["fly"], f"no such command 'fly'; the commands are {', '.join(commands.commands)}"),
        (["--versoin"], "no such option '--versoin'; did you mean '--version'?"),
        (["train", "a.csv", "--epoch", "3"], "no such option '--epoch'; did you mean '--epochs'?"),
        (["train", "a.csv", "--lr", "3"], "no such option '--lr'; did you mean '--learning-rate'?"),
        (["train", "a.csv", "--qqq", "64"], "no such option '--qqq'"),
        (["train"], "DATA... is missing"),
        (["predict", "model"], "DATA... is missing"),
        (["explain"], "MODEL is missing"),
        (["explain", "model", "more"], "got unexpected extra argument (more)"),
        (["train", "a.csv", "--target"], "option '--target' requires an argument"),
        (["train", "a.csv", "--epochs", "x"], "option '--epochs': 'x' is neither 'auto' nor a whole number"),
        (["train", "a.csv", "--l2", "much"], "option '--l2': 'much' is neither 'auto' nor a number"),
        (["train", "a.csv", "--seed", "-1"], "option '--seed': -1 is not in the range x>=0"),
        (["train", "a.csv", "--runs", "many"], "option '--runs': 'many' is not a valid integer range"),
    ],
)
def test_wrong_options(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"schuss: {sentence}\n")


def test_options_reach_the_training(calls: list[dict[str, Any]]) -> None:
    arguments = "--target y --optimizer sgd,adam --ignore a --learning-rate 0.1 --epochs 2 --no-header --quiet"
    assert main(["train", "a.csv", "b.csv", *arguments.split()]) == 0
    (call,) = calls
    assert call["source"] == ["a.csv", "b.csv"]
    given = {name: call[name] for name in ("target", "optimizer", "ignore", "learning_rate", "epochs", "header")}
    assert given == {
        "target": "y",
        "optimizer": ("sgd", "adam"),
        "ignore": ("a",),
        "learning_rate": 0.1,
        "epochs": 2,
        "header": False,
    }


def test_names_with_commas(calls: list[dict[str, Any]]) -> None:
    main(["train", "a.csv", "--ignore", '"a,b",c d'])
    assert calls[0]["ignore"] == ("a,b", "c d")


def test_summary_for_a_person(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "flights.csv"]) == 0
    out, err = capsys.readouterr()
    assert (
        out.splitlines()[0]
        == "trained   classification of 'delayed' from flights: 336,776 rows, 108 features, 2 classes"
    )
    for part in (
        "notice    column 'id' is left out: it identifies the rows",
        "--task regression overrides this",
        "loss 0.4123 where the constant prediction has 0.689, accuracy 0.8123 (16,838 rows)",
        "optimizer adam, learning rate 0.01, schedule linear, l2 1e-05, batch size 32, epochs 4",
        "16 runs in 1 min 15 s, 17,900 rows/s, 300 MiB at most",
        "runs/flights-delayed/report.html",
        "next      schuss predict runs/flights-delayed DATA",
    ):
        assert part in out
    assert "schuss: classification of 'delayed' from flights" in err


@pytest.mark.parametrize(
    ("loss", "rate", "told"),
    [
        (0.5, 1e10, None),
        (2e13, 1e10, "the learning rate 1e10 was asked for, --learning-rate auto races over many"),
        (0.689, "auto", "nothing useful was learned from these columns"),
    ],
)
def test_a_model_no_better_than_a_constant_is_told_of(loss: float, rate: object, told: str | None) -> None:
    summary = SUMMARY | {"holdout": {"rows": 100, "loss": loss, "constant_loss": 0.689}}
    text = printout.training(summary, [START | {"options": {"learning_rate": rate}}])
    assert ("no better than a constant" in text) == (told is not None)
    assert told is None or f"notice    the model is no better than a constant: {told}" in text


@pytest.mark.parametrize(
    ("skipped", "bad", "told"),
    [
        (0, 0, None),
        (300, 0, "300 rows without a target"),
        (2, 2, "2 rows that could not be used, listed in runs/flights-delayed/bad_rows.jsonl"),
        (3, 2, "listed in runs/flights-delayed/bad_rows.jsonl, 1 row without a target"),
    ],
)
def test_rows_that_teach_nothing_are_told_of(skipped: int, bad: int, told: str | None) -> None:
    text = printout.training(SUMMARY | {"skipped_rows": skipped, "bad_rows": bad}, [START])
    assert ("skipped " in text) == (told is not None)
    assert told is None or told in text


def test_one_row_and_one_feature_stand_in_the_singular() -> None:
    text = printout.training(SUMMARY | {"rows": 1, "features": 1}, [START])
    assert "1 row, 1 feature, 2 classes" in text


def test_a_line_break_in_a_category_breaks_no_line() -> None:
    row = {"output": "yes", "weight": 1.0, "importance": 0.5, "in_data_units": 1.0, "unit": "when so"}
    text = printout.weights([row | {"feature": "note = two\nlines"}, row | {"feature": "\x1b[31mred"}])
    assert text.splitlines()[1].split() == ["note", "=", "two\\nlines", "yes", "1", "0.5", "1", "when", "so"]
    assert len(text.splitlines()) == 3
    assert "\x1b" not in text


def test_features_of_any_length_make_lines_that_end() -> None:
    row = {"output": "yes", "weight": 0.5, "importance": 0.5, "in_data_units": 0.5, "unit": ""}
    long = row | {"feature": "note = " + "long " * 100_000 + "end"}
    lines = printout.weights([long, row | {"feature": "a"}]).splitlines()
    assert [line.split()[0] for line in lines] == ["feature", "note", "a"]
    assert "\N{HORIZONTAL ELLIPSIS}" in lines[1]
    assert "long end " in lines[1]
    assert max(map(len, lines)) < 300


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_a_full_disk_under_standard_output_is_told_of(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "schuss", *arguments]
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == "schuss: cannot write to standard output: no space left on device\n"


def test_json_and_quiet(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "flights.csv", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == SUMMARY
    assert out.count("\n") == 1
    assert err == ""


@pytest.mark.parametrize("kept", ["runs/f", None])
def test_interrupted_training_says_what_is_saved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: str | None
) -> None:
    summary = SUMMARY | {"outcome": "interrupted", "resume": kept}
    install(monkeypatch, lambda *_, **__: SimpleNamespace(summary=summary, record=[START]))
    assert main(["train", "flights.csv"]) == 130
    out, err = capsys.readouterr()
    assert "outcome   interrupted" in out
    goes_on = "schuss resume runs/f goes on; " if kept else ""
    assert err == f"schuss: interrupted; {goes_on}the best model so far is saved in {summary['model']}\n"


@pytest.mark.parametrize(
    ("error", "code", "last_line"),
    [
        (
            OptionError("option 'loss': 'x' is none of log_loss, hinge"),
            2,
            "option 'loss': 'x' is none of log_loss, hinge",
        ),
        (TrainingError("all 16 runs diverged"), 2, "all 16 runs diverged"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyboardInterrupt("no worker has answered for 30 s"), 130, "interrupted: no worker has answered for 30 s"),
        (MemoryError("Unable to allocate 6 TiB"), 2, "there is not enough memory: Unable to allocate 6 TiB"),
        (ZeroDivisionError("1/0"), 1, "this is a defect of schuss; please report it with the lines above"),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    last_line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(*_: object, **__: object) -> None:
        raise error

    install(monkeypatch, train)
    assert main(["train", "flights.csv"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == f"schuss: {last_line}"
    assert ("Traceback" in err) == (code == 1)
    assert (len(err.splitlines()) == 1) == (code != 1)


def test_gradcheck(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = str(Path(__file__).parents[2] / "examples" / "gradient_check.py")
    assert main(["gradcheck", f"{example}:ridge"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["w", "right", "3", "3"]
    assert main(["gradcheck", f"{example}:lasso", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["blocks"][0]["kinks"] == 1
    assert main(["gradcheck", f"{example}:slip"]) == 2
    said = capsys.readouterr().err
    assert said == "schuss: the gradient is wrong: at w[0] it is -1.60183, and the slope is -1.57183\n"
    (tmp_path / "broken_objective.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, sentence in [
        ("nothing", "takes MODULE:NAME or FILE.py:NAME"),
        ("nothing.py:f", "there is no such file"),
        ("broken_objective:f", "cannot be imported: ZeroDivisionError"),
        ("math:tau", "takes a function or an object"),
        ("math:taau", "has no 'taau'"),
    ]:
        assert main(["gradcheck", name]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1


@pytest.mark.skipif("jemalloc" not in pa.supported_memory_backends(), reason="Arrow was built without it")
@pytest.mark.parametrize(("asked", "given"), [(None, "jemalloc"), ("system", "system")])
def test_training_in_a_process_of_its_own_has_a_memory_pool_that_gives_back(asked: str | None, given: str) -> None:
    script = "import sys; from schuss.cli.main import main; sys.argv = ['schuss', 'train', 'none.csv']; main()"
    script += "; import pyarrow as pa; print(pa.default_memory_pool().backend_name)"
    surroundings = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    surroundings |= {} if asked is None else {"ARROW_DEFAULT_MEMORY_POOL": asked}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=surroundings, check=True)
    assert done.stdout.strip() == given
