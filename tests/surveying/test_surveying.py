"""The survey of a run: every kind of model, what its events say, and what is said where there is nothing to look at."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import schuss
from schuss import DataError, ModelFileError, ResumeError
from schuss.cli.main import main
from schuss.runs.folder import LANDSCAPE, RECORD

SMOOTH = ("curvature", "spectrum", "sharpness")


def rows(kind: str):
    """Data of a kind, and options for it."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 5)) * [1, 1, 1, 1, 0.1]
    scores = values @ rng.normal(size=(5, 3)) + 0.3 * rng.normal(size=(400, 3))
    if kind == "numbers":
        return (values, scores[:, 0]), {}
    if kind == "two features":
        return (values[:, :2], scores[:, 0] > 0), {}
    if kind == "sparse":
        return (scipy.sparse.random_array((400, 300), density=0.02, format="csr", rng=rng), scores.argmax(axis=1)), {}
    return (values, scores.argmax(axis=1)), {"loss": {"hinge": "hinge", "classes": "log_loss"}[kind]}


@pytest.mark.parametrize("kind", ["classes", "hinge", "numbers", "two features", "sparse"])
@pytest.mark.usefixtures("uncompiled_kernels")
def test_every_kind_of_model_can_be_looked_at(tmp_path: Path, kind: str) -> None:
    data, options = rows(kind)
    schuss.train(data, epochs=2, runs=3, seed=1, out=tmp_path, **options)
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    found = schuss.survey_run(tmp_path, data, rows=150, resolution=9)
    kinds = [event["event"] for event in found.events]
    assert set(kinds) >= {"landscape", "surface", "slice", "step_sizes", "noise", "touched", "advice"}
    assert all((name in kinds) == (kind != "hinge") for name in SMOOTH)
    assert ("boundary" in kinds) == (kind in ("classes", "two features", "hinge"))
    assert found.file.read_text(encoding="utf-8") == "".join(
        json.dumps(event, ensure_ascii=False) + "\n" for event in found.events
    )
    if kind in ("classes", "sparse"):
        assert schuss.survey_run(tmp_path, data, rows=150, resolution=9).events[1:] == found.events[1:]
    assert len((tmp_path / "report.html").read_text(encoding="utf-8")) > len(report)


def test_what_the_events_say(tmp_path: Path) -> None:
    data, _ = rows("classes")
    trained = schuss.train(data, epochs=2, runs=3, holdout="none", out=tmp_path)
    found = {event["event"]: event for event in schuss.survey_run(tmp_path, data, rows=400, resolution=9).events[::-1]}
    assert found["landscape"]["rows"] == 400
    loss = trained.model.evaluate(data)["loss"]
    penalty = trained.record[-1]["chosen"]["l2"] / 2 * float((trained.model.weights[:-1].astype(float) ** 2).sum())
    surface = found["surface"]
    assert surface["center_loss"] == pytest.approx(loss + penalty, rel=1e-5)
    assert len(surface["losses"]) == len(surface["b"]) == len(surface["losses"][0]) == 9
    assert surface["path"][0][:2] == pytest.approx([-1, 0], abs=1e-6)
    assert surface["path"][0][2:] == [pytest.approx(np.log(3), rel=1e-3), "start"]
    assert surface["path"][-1] == [0, 0, surface["center_loss"], "model"]
    walls = [surface["losses"][0][5], surface["losses"][-1][5]]
    assert max(walls) > surface["path"][0][2] * 0.8
    assert found["curvature"]["exact"]
    assert found["curvature"]["trace"] == pytest.approx(found["curvature"]["trace"], rel=1e-9)
    assert found["step_sizes"]["edge"] > 0
    rates, losses = (np.array(found["step_sizes"][name]) for name in ("rates", "losses"))
    assert (losses[rates < 0.5 * found["step_sizes"]["edge"]] < found["step_sizes"]["before"]).all()
    assert found["slice"]["holdout_losses"] is None
    assert found["boundary"]["names"] == ["0", "1", "2"]


def test_held_out_rows_are_drawn_where_the_model_has_not_learned_from_them(tmp_path: Path) -> None:
    data, _ = rows("classes")
    for epochs, shown in ((1, True), ("auto", False)):
        schuss.train(data, epochs=epochs, runs=2, out=tmp_path, force=True)
        found = next(one for one in schuss.survey_run(tmp_path, data, resolution=3).events if one["event"] == "slice")
        assert (found["holdout_losses"] is not None) == shown


@pytest.mark.usefixtures("uncompiled_kernels")
def test_the_kinks_of_a_hinge_are_listed_for_few_rows(tmp_path: Path) -> None:
    data, options = rows("hinge")
    schuss.train(data, epochs=1, runs=2, out=tmp_path, **options)
    slices = [one for one in schuss.survey_run(tmp_path, data, resolution=3).events if one["event"] == "slice"]
    listed = {one["rows"]: len(one["kinks"]) for one in slices if one["kinks"] is not None}
    assert list(listed) == [1, 3, 100]
    assert listed[1] <= listed[3] < listed[100]


def test_the_landscape_of_an_older_training_is_gone(tmp_path: Path) -> None:
    data, _ = rows("numbers")
    schuss.train(data, epochs=1, runs=2, out=tmp_path)
    assert schuss.survey_run(tmp_path, data, resolution=3).file == tmp_path / LANDSCAPE
    schuss.train(data, epochs=1, runs=2, out=tmp_path, force=True)
    assert not (tmp_path / LANDSCAPE).exists()


def test_by_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (values, targets), _ = rows("classes")
    table = tmp_path / "table.csv"
    lines = [
        ",".join(map(str, [*row, f"c{target}"]))
        for row, target in zip(np.round(np.asarray(values), 3), targets, strict=True)
    ]
    table.write_text("a,b,c,d,e,y\n" + "\n".join(lines) + "\n", encoding="utf-8")
    run = str(tmp_path / "run")
    assert main(["train", str(table), "--target", "y", "--epochs", "1", "--runs", "2", "--out", run, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["landscape", run, "--resolution", "5"]) == 0
    out, err = capsys.readouterr()
    assert "curvature" in out
    assert "noise scale" in out
    assert "has been changed" not in out
    assert err == ""
    assert main(["landscape", run, "--resolution", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"][0]["event"] == "landscape"
    table.write_text(table.read_text(encoding="utf-8") + lines[0] + "\n", encoding="utf-8")
    assert main(["landscape", run, "--resolution", "5"]) == 0
    assert "table has been changed since this run" in capsys.readouterr().out
    table.unlink()
    assert main(["landscape", run]) == 2
    assert "table.csv" in capsys.readouterr().err


def test_where_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="nowhere"):
        schuss.survey_run(tmp_path / "nowhere")
    data, _ = rows("numbers")
    schuss.train(data, epochs=1, runs=2, out=tmp_path)
    with pytest.raises(ResumeError, match=r"data in memory: schuss.survey_run\(run, data\)"):
        schuss.survey_run(tmp_path)
    record = (tmp_path / RECORD).read_bytes()
    (tmp_path / RECORD).write_bytes(record[: len(record) // 2])
    with pytest.raises(DataError, match="was cut off"):
        schuss.survey_run(tmp_path, data)


@pytest.mark.parametrize("kind", ["one network", "committee", "sparse", "numbers", "hinge"])
def test_networks_can_be_looked_at(tmp_path: Path, kind: str) -> None:
    data, options = rows(kind if kind in ("sparse", "numbers", "hinge") else "classes")
    epochs = "auto" if kind == "committee" else 3
    trained = schuss.train(data, network="6", epochs=epochs, runs=2, seed=1, out=tmp_path, activation="tanh", **options)
    found = schuss.survey_run(tmp_path, data, rows=150, resolution=5)
    kinds = [event["event"] for event in found.events]
    assert set(kinds) >= {"landscape", "surface", "slice", "step_sizes", "noise", "touched", "advice"}
    assert all((name in kinds) == (kind != "hinge") for name in SMOOTH)
    assert ("boundary" in kinds) == (kind in ("one network", "committee", "hinge"))
    surface = next(event for event in found.events if event["event"] == "surface")
    assert surface["path"][0][0] == pytest.approx(-1, abs=1e-6)
    assert [label for *_, label in surface["path"]][:: len(surface["path"]) - 1] == ["start", "model"]
    assert len(surface["path"]) > 3
    assert surface["path"][-1][2] == surface["center_loss"] < surface["path"][0][2]
    many = len(trained.model.weights)
    assert ("from the model to another network" in [one.get("direction") for one in found.events]) == (many > 1)
    assert any(f"mean of {many} networks" in notice for notice in found.events[0]["notices"]) == (many > 1)
    assert not any("another place" in notice for notice in found.events[0]["notices"])
    if kind in ("committee", "sparse"):
        assert schuss.survey_run(tmp_path, data, rows=150, resolution=5).events[1:] == found.events[1:]


def test_the_ground_under_a_network_is_its_loss(tmp_path: Path) -> None:
    data, _ = rows("classes")
    trained = schuss.train(data, network="6,4", epochs=3, runs=2, holdout="none", out=tmp_path)
    found = {event["event"]: event for event in schuss.survey_run(tmp_path, data, rows=400, resolution=5).events[::-1]}
    model = trained.model
    assert model.network is not None
    parts = model.network.parts(model.weights[0].astype(float))
    penalty = trained.record[-1]["chosen"]["l2"] / 2 * sum((one**2).sum() for one in parts.values() if one.ndim > 1)
    assert found["surface"]["center_loss"] == pytest.approx(model.evaluate(data)["loss"] + penalty, rel=1e-5)
    assert found["curvature"]["parameters"] == model.network.size
    assert found["curvature"]["exact"]


def test_a_network_that_is_too_large_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = rows("classes")
    schuss.train(data, network="6", dropout=0.1, epochs=1, runs=2, out=tmp_path)
    monkeypatch.setattr("schuss.surveying.grounds.CURVED", 50)
    monkeypatch.setattr("schuss.surveying.grounds.WORK", 1000)
    found = schuss.survey_run(tmp_path, data, resolution=3)
    kinds = {event["event"] for event in found.events}
    assert not kinds & set(SMOOTH)
    assert kinds >= {"surface", "slice", "noise"}
    said = " ".join(found.events[0]["notices"])
    assert "the curvature of 57 parameters is not looked at" in said
    assert "no more than 128 rows" in said
    assert "no units are dropped" in said


def test_a_way_that_leads_elsewhere_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (values, targets), _ = rows("classes")
    data = values[:100], targets[:100]
    schuss.train(data, network="6", runs=2, out=tmp_path)
    monkeypatch.setattr("schuss.finish.committee.LEGS", (250, 250, 500, 1000, 2000))
    found = schuss.survey_run(tmp_path, data, resolution=3)
    assert any("comes to another place" in notice for notice in found.events[0]["notices"])
    surface = next(event for event in found.events if event["event"] == "surface")
    assert [label for *_, label in surface["path"]] == ["start", "model"]


def test_the_ground_of_wide_sparse_rows_is_that_of_the_features_they_have(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = scipy.sparse.random_array((400, 5000), density=0.002, format="csr", rng=rng)
    y = X.toarray()[:, :50].sum(axis=1) > 0
    schuss.train((X, y), epochs=2, runs=2, holdout="none", l2=0.0, out=tmp_path)
    found = {one["event"]: one for one in schuss.survey_run(tmp_path, (X, y), rows=100, resolution=3).events[::-1]}
    (notice,) = found["landscape"]["notices"]
    kept = int(notice.split(" these rows have ")[1].split(":")[0].replace(",", ""))
    assert notice.startswith("of 5,000 features")
    assert 500 < kept < 1100
    assert found["curvature"]["parameters"] == kept + 1
    assert found["touched"]["features"] == 5000
    model = schuss.Model.load(tmp_path)
    whole = {one["event"]: one for one in schuss.survey_run(tmp_path, (X, y), rows=400, resolution=3).events[::-1]}
    assert whole["surface"]["center_loss"] == pytest.approx(model.evaluate((X, y))["loss"], rel=1e-5)
