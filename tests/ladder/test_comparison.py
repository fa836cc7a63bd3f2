"""The ladder: every rung in its order, judged by the same rows, on a page that needs nothing else."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import schuss
from schuss.cli.main import main
from schuss.errors import DataError, OptionError, OutputError
from schuss.ladder import comparison
from schuss.ladder.ladder import rungs
from schuss.training.preparation import prepare
from schuss.training.settings import Settings

BASELINES = ["random search", "random local search", "simulated annealing", "numerical gradient", "gradient descent",
             "backtracking", "Newton", "L-BFGS", "one row at a time", "mini-batch"]  # fmt: skip


def classes(rows: int = 600, features: int = 4):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, features))
    return X, (X @ np.linspace(-1, 1, features) + 0.5 * rng.normal(size=rows) > 0).astype(int)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> schuss.Comparison:
    out = tmp_path_factory.mktemp("ladder")
    return schuss.compare(classes(), seconds=0.15, optimizer="adam", runs=8, out=out)


def test_rungs_from_the_bottom_to_the_race(compared: schuss.Comparison) -> None:
    rungs = compared.summary["rungs"]
    assert [rung["name"] for rung in rungs] == [*BASELINES, "adam", "race"]
    for rung in rungs:
        points = np.array(rung["points"])
        assert (np.diff(points[:, :2], axis=0) >= 0).all(), rung["name"]
        assert rung["seconds"] == points[-1, 0] < 0.15 + 1.0
        assert rung["rows"] == points[-1, 1] > 0


def test_good_methods_reach_the_same_and_search_does_not(compared: schuss.Comparison) -> None:
    losses = {rung["name"]: rung["holdout"]["loss"] for rung in compared.summary["rungs"]}
    assert losses["L-BFGS"] == pytest.approx(losses["Newton"], abs=1e-4)
    assert losses["race"] < losses["L-BFGS"] + 0.03
    assert losses["L-BFGS"] < losses["random search"] < compared.summary["holdout"]["constant_loss"]


def test_curves_are_held_out_losses(compared: schuss.Comparison) -> None:
    newton = next(rung for rung in compared.rungs if rung.name == "Newton")
    assert newton.trajectory.points[0].loss == pytest.approx(np.log(2), abs=1e-9)
    assert newton.trajectory.outcome == "converged"


def test_the_page_holds_every_method_and_asks_for_nothing(compared: schuss.Comparison) -> None:
    assert compared.page is not None
    html = compared.page.read_text(encoding="utf-8")
    assert len(re.findall("<svg", html)) == 4  # two pictures, for desk and phone
    for name in BASELINES:
        assert html.count(f"{name.replace(chr(39), '&#39;')}</text>") == 4
    assert not re.search(r"(src|href)=\"(?!#|data:)", html)


def test_a_page_is_not_written_over(compared: schuss.Comparison) -> None:
    assert compared.page is not None
    with pytest.raises(OutputError, match="is there already; --force"):
        schuss.compare(classes(), seconds=0.01, out=compared.page.parent)


def first_rungs(source, many: int, **options):
    """The rungs that need no compiled kernel."""
    task = comparison._task(prepare(source, Settings(**options)), 0.05)
    return list(itertools.islice(rungs(task, ()), many)), task


def test_regression_on_sparse_rows_in_the_units_of_the_data() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(2000, 300)) * (rng.random((2000, 300)) < 0.03)
    y = 100 * (X @ rng.normal(size=300)) + rng.normal(size=2000)
    climbed, task = first_rungs((scipy.sparse.csr_array(X), y), 8)
    assert task.prepared.encoder.sparse
    for rung in climbed:
        assert rung.trajectory.points[0].loss == pytest.approx(y.var(), rel=0.4)
    assert climbed[-1].trajectory.points[-1].loss < 1000
    assert comparison._described(task, climbed[-1])["holdout"]["r2"] > 0.9


def test_a_loss_with_kinks_has_no_newton() -> None:
    climbed, _ = first_rungs(classes(200), 7, loss="hinge")
    assert [rung.name for rung in climbed] == [name for name in BASELINES[:8] if name != "Newton"]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"epochs": 3}, OptionError, "compare has no option 'epochs'"),
        ({"holdout": "none"}, OptionError, "judges by held-out rows"),
        ({"seconds": "soon"}, OptionError, "'--seconds' takes a time"),
        ({"seconds": 0}, OptionError, "above zero"),
        ({"optimizer": "adamm"}, OptionError, "did you mean 'adam'"),
    ],
)
def test_what_cannot_be_compared_is_said(options, error, said: str) -> None:
    with pytest.raises(error, match=said):
        schuss.compare(classes(50), **options)


def test_rows_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ROWS_MEMORY", 1 << 10)
    with pytest.raises(DataError, match="keeps the encoded rows in memory"):
        schuss.compare(classes())


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = classes(300)
    table = tmp_path / "table.csv"
    np.savetxt(table, np.column_stack([X, y]), delimiter=",", header="a,b,c,d,y", comments="", fmt="%.6g")
    call = ["compare", str(table), "--target", "y", "--seconds", "0.02", "--optimizer", "adam", "--runs", "4", "-q"]
    assert main([*call, "--out", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[2:4]] == ["constant", "random"]
    assert shown[-1] == f"page  {tmp_path / 'run' / 'compare.html'}"
    assert main([*call, "--out", str(tmp_path / "run"), "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rungs"][-1]["name"] == "race"
    assert main([*call, "--out", str(tmp_path / "run")]) == 2
    assert "is there already" in capsys.readouterr().err
