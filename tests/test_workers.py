"""Trainings by workers: nearly the model of one machine, the same bytes after an interruption, and what is refused."""

from __future__ import annotations

import io
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from tests.training.test_resume import interrupting

from schuss import resume, train
from schuss.cli.main import main
from schuss.cluster import on_ray
from schuss.cluster.on_ray import _connect
from schuss.data.share import read_span
from schuss.errors import ClusterError, DataError, OptionError
from schuss.finish import finish
from schuss.race.record import read_record

ROWS = 12_000


def table() -> pa.Table:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 4)).round(3)
    shop = rng.choice([f"s{i}" for i in range(20)], ROWS)
    y = np.where(X @ [1.0, -2.0, 0.5, 0.0] + (shop < "s15") + rng.normal(size=ROWS) > 0, "yes", "no")
    return pa.table({f"x{i}": X[:, i] for i in range(4)} | {"shop": shop, "y": y})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of twelve row groups."""
    path = tmp_path_factory.mktemp("rows") / "t.parquet"
    pq.write_table(table(), path, row_group_size=1_000)
    return str(path)


def learn(place: Any, **options: Any) -> Any:
    return train(place, "y", **({"workers": 4, "cluster": "here", "runs": 4} | options))


@pytest.mark.parametrize("workers", [1, 3, 12])
@pytest.mark.parametrize("options", [{}, {"epochs": 3}, {"epochs": 2, "optimizer": "adagrad,sgd", "l1": 1e-4}])
def test_the_model_is_that_of_one_machine(place: str, workers: int, options: dict[str, Any]) -> None:
    one = train(place, "y", runs=4, **options)
    many = learn(place, workers=workers, **options)
    assert many.summary["holdout"]["rows"] == one.summary["holdout"]["rows"]
    assert many.summary["holdout"]["loss"] == pytest.approx(one.summary["holdout"]["loss"], rel=0.03)
    counts, rows = many.record[-1]["counts"], many.summary["rows"]
    assert counts["read"] == rows == ROWS
    assert counts == one.record[-1]["counts"]
    assert many.record[0]["options"]["workers"] == workers


@pytest.mark.parametrize("judge", ["folds", "held-out rows"])
def test_full_passes_come_to_the_same_optimum(place: str, monkeypatch: pytest.MonkeyPatch, judge: str) -> None:
    if judge == "held-out rows":
        monkeypatch.setattr(finish, "FOLD_ROWS", 0)
    one, many = train(place, "y", runs=4, l2=1e-3), learn(place, l2=1e-3)
    for each in (one, many):
        [polish] = [event for event in each.record if event["event"] == "polish"]
        assert polish["judge"] == judge
    assert many.summary["holdout"]["loss"] == pytest.approx(one.summary["holdout"]["loss"], rel=1e-3)


def test_networks_are_averaged_too(place: str) -> None:
    one, many = train(place, "y", runs=4, epochs=6, network="8"), learn(place, epochs=6, network="8")
    assert many.summary["holdout"]["loss"] == pytest.approx(one.summary["holdout"]["loss"], rel=0.05)
    assert many.summary["holdout"]["loss"] < 0.6 * many.summary["holdout"]["constant_loss"]


def test_a_training_without_workers_says_nothing_of_them(place: str) -> None:
    one = train(place, "y", runs=2, epochs=1)
    assert "workers" not in one.model.settings
    assert learn(place, epochs=1).model.settings["workers"] == 4


@pytest.mark.parametrize("options", [{}, {"epochs": 3, "optimizer": "momentum"}])
def test_an_interrupted_training_goes_on_to_the_same_bytes(place: str, tmp_path: Path, options: dict[str, Any]) -> None:
    learn(place, out=tmp_path / "whole", **options)
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    heard = [event["event"] for event in read_record(tmp_path / "whole" / "record.jsonl")]
    for moment in (3, len(heard) // 2):
        out = tmp_path / f"run{moment}"
        result = learn(place, out=out, progress=interrupting(moment), **options)
        assert result.summary["outcome"] == "interrupted"
        resume(out)
        assert (out / "model.safetensors").read_bytes() == expected


def test_bad_rows_are_skipped_counted_and_listed_as_on_one_machine(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for number in range(4):
        path = tmp_path / "parts" / f"{number}.csv"
        pacsv.write_csv(table().slice(number * 3_000, 3_000), path)
        lines = path.read_text().splitlines()
        lines[100 + number] = "1,2,3"
        path.write_text("\n".join(lines) + "\n")
    options = {"on_bad_row": "skip", "epochs": 2, "runs": 2}
    one = train(str(tmp_path / "parts"), "y", out=tmp_path / "one", **options)
    many = learn(str(tmp_path / "parts"), out=tmp_path / "many", **options)
    assert many.summary["bad_rows"] == one.summary["bad_rows"] == 4
    listed = [sorted((tmp_path / run / "bad_rows.jsonl").read_text().splitlines()) for run in ("one", "many")]
    assert listed[0] == listed[1]
    with pytest.raises(DataError, match="4 of 12,000 rows cannot be used"):
        learn(str(tmp_path / "parts"), max_bad_rows=0.0001, **options)


REFUSED = {
    "data in memory": ({"place": "memory"}, "needs files that every worker can read, not data in memory"),
    "rows in npz": ({"place": "npz"}, "needs files that can be read in parts, which t is not"),
    "too many": ({"workers": 13}, "at most 12 here, not 13"),
    "none": ({"workers": 0}, "'--workers' takes a whole number of at least 1"),
    "drawn with replacement": ({"order": "replace"}, "'--order replace' draws from all rows"),
    "the last rows held out": ({"holdout": "last:0.1"}, "needs the rows in order, which --workers does not keep"),
    "a cluster of nobody": ({"workers": None}, "'--cluster' says where the workers are: --workers says how many"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, place: str, tmp_path: Path) -> None:
    options, sentence = REFUSED[name]
    np.savez(tmp_path / "t.npz", X=np.ones((100, 2)), y=np.arange(100) % 2)
    data = {"memory": table(), "npz": str(tmp_path / "t.npz")}.get(options.get("place"), place)
    given = {key: value for key, value in options.items() if key != "place"}
    with pytest.raises(OptionError, match=sentence):
        train(data, None if name == "rows in npz" else "y", **({"workers": 4, "cluster": "here"} | given))


def test_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,y\n1,2\n")))
    assert main(["train", "-", "--target", "y", "--workers", "2", "--cluster", "here"]) == 2
    said = capsys.readouterr().err
    assert said == "schuss: option '--workers' needs files that every worker can read, not standard input\n"


def test_without_ray(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match=r"option '--workers' needs Ray: pip install 'schuss\[ray\]'"):
        learn(place, cluster=None)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense:port", "auto"])
def test_a_cluster_that_cannot_be_reached(
    place: str, tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # what "auto" takes, a cluster that is no more
    options = ["--target", "y", "--workers", "2", "--cluster", address, "--out", str(tmp_path / "run"), "--quiet"]
    assert main(["train", place, *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"schuss: there is no Ray cluster at '{address}' to be used: ")
    assert said.count("\n") == 1


def test_a_cluster_of_another_version_of_ray() -> None:
    class Other:
        """Ray, as it is where a cluster has another version."""

        _private = SimpleNamespace(services=SimpleNamespace(canonicalize_bootstrap_address=lambda address: None))

        @staticmethod
        def init(**options: Any) -> None:
            raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.11.7")

    sentence = r"there is no Ray cluster at 'auto' to be used: Version mismatch: .* Ray: 2\.9\.0 Python: 3\.11\.7$"
    with pytest.raises(ClusterError, match=sentence):
        _connect(Other, 2, "auto")


def test_a_cluster_that_this_machine_does_not_belong_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "ANSWER", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        services = SimpleNamespace(canonicalize_bootstrap_address=lambda place: place, find_node_ids=list)
        with pytest.raises(ClusterError, match=rf"at '{address}' .*this machine does not belong to it; 'ray start"):
            _connect(SimpleNamespace(_private=SimpleNamespace(services=services)), 2, address)


def test_shards_whose_columns_differ(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    pq.write_table(table().rename_columns(["x0", "x1", "x2", "x3", "store", "y"]), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet has a column 'store' where a\.parquet has 'shop'"):
        learn(str(tmp_path / "*.parquet"), workers=2)


@pytest.mark.parametrize("seen", [True, False], ids=["by this machine alone", "by nobody any more"])
def test_a_file_that_a_worker_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: bool) -> None:
    for number in range(3):
        pq.write_table(table().slice(number * 4_000, 4_000), tmp_path / f"{number}.parquet")
    gone, aside = tmp_path / "1.parquet", tmp_path / "aside"

    def elsewhere(*arguments: Any) -> Any:
        """Read a span as a worker would who has not this file."""
        gone.rename(aside)
        try:
            return read_span(*arguments)
        finally:
            if seen:
                aside.rename(gone)

    monkeypatch.setattr("schuss.data.cluster_feed.read_span", elsewhere)
    sentence = (
        r"a worker cannot see .*1\.parquet, which this machine does: all machines must find it under the same path"
        if seen
        else r"1\.parquet does not exist any more: it was there when training began"
    )
    with pytest.raises(ClusterError if seen else DataError, match=sentence):
        learn(str(tmp_path / "?.parquet"), workers=2)
