"""Workers on Ray: the bytes of workers in this process, whoever is killed, late, lost or of another version."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.cluster.faults import killing
from tests.test_workers import table

from schuss import resume, train
from schuss.cluster import on_ray
from schuss.cluster.on_ray import OnRay
from schuss.errors import ClusterError, DataError

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rows") / "t.parquet"
    pq.write_table(table(), path, row_group_size=1_000)
    return str(path)


def learn(place: str, out: Path, cluster: str | None = None, **options: Any) -> bytes:
    train(place, "y", workers=4, cluster=cluster, out=out, **({"runs": 4, "epochs": 2} | options))
    return (out / "model.safetensors").read_bytes()


@pytest.mark.parametrize("options", [{"epochs": "auto"}, {"optimizer": "adagrad,momentum"}])
def test_the_bytes_are_those_of_workers_in_this_process(place: str, tmp_path: Path, options: dict[str, Any]) -> None:
    assert learn(place, tmp_path / "ray", **options) == learn(place, tmp_path / "here", "here", **options)


def test_killed_workers_change_no_byte(place: str, tmp_path: Path) -> None:
    expected = learn(place, tmp_path / "here", "here", epochs=12)
    with killing(0, most=3, within=0.3) as (killed, listen):
        assert learn(place, tmp_path / "ray", epochs=12, progress=listen) == expected
    assert killed


def test_a_node_lost_and_one_added_change_no_byte(place: str, tmp_path: Path) -> None:
    expected = learn(place, tmp_path / "here", "here", epochs=4)
    command = [sys.executable, "-m", "tests.cluster.faults", place, str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(r"lost after \d+ rows; added after \d+ rows; 2 nodes in the end", done.stdout)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == expected


def test_a_training_whose_driver_is_killed_goes_on_to_the_same_bytes(place: str, tmp_path: Path) -> None:
    expected = learn(place, tmp_path / "here", "here", epochs=40)
    run = tmp_path / "run"
    options = ["--epochs", "40", "--runs", "4", "--workers", "4", "--checkpoint-every", "0.01s", "--out", str(run)]
    command = [sys.executable, "-m", "schuss", "train", place, "--target", "y", *options, "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        while driver.poll() is None and not [*(run / "checkpoint").glob("[0-9]*.safetensors")]:
            time.sleep(0.01)
        driver.kill()
    assert driver.returncode == -signal.SIGKILL
    assert not (run / "model.safetensors").exists()
    resume(run)
    assert (run / "model.safetensors").read_bytes() == expected


def test_a_cluster_of_its_own_for_a_command(place: str, tmp_path: Path) -> None:
    options = ["--epochs", "1", "--runs", "2", "--workers", "2", "--json", "--out", str(tmp_path / "run"), "--quiet"]
    command = [sys.executable, "-W", "error", "-m", "schuss", "train", place, "--target", "y", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["outcome"] == "epochs done"
    assert not done.stderr


def late(mark: str, seconds: float) -> tuple[None, str]:
    """Take long the first time."""
    path = Path(mark)
    first = not path.exists()
    path.touch()
    time.sleep(seconds if first else 0.01)
    return None, "the first one" if first else "its duplicate"


def quick(number: int) -> tuple[int, int]:
    return number, number


def test_work_that_is_late_is_done_twice(tmp_path: Path) -> None:
    workers = OnRay(2)
    for number in range(3):
        assert workers.end([workers.begin(late, str(tmp_path / "quick"), 0.01)])[0][1]
        del number
    began = time.monotonic()
    [(_, told)] = workers.end([workers.begin(late, str(tmp_path / "slow"), 20.0)])
    assert told == "its duplicate"
    assert time.monotonic() - began < 20.0


def test_what_stays_is_given_on(tmp_path: Path) -> None:
    workers = OnRay(2)
    [(kept, told)] = workers.end([workers.begin(quick, 3)])
    assert told == 3
    assert workers.end([workers.begin(quick, kept), workers.begin(quick, workers.put(4))])[0][1] == 3


def failing(error: Callable[[], Exception]) -> tuple[None, None]:
    raise error()


def dying() -> tuple[None, None]:
    os.kill(os.getpid(), signal.SIGKILL)
    return None, None


def test_what_a_worker_raises_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = OnRay(1)
    with pytest.raises(DataError, match=r"^t\.csv is damaged$"):
        workers.end([workers.begin(failing, lambda: DataError("t.csv is damaged"))])
    with pytest.raises(ZeroDivisionError):
        workers.end([workers.begin(failing, ZeroDivisionError)])
    monkeypatch.setattr(on_ray, "RETRIES", 1)
    workers = OnRay(1)
    with pytest.raises(ClusterError, match="the workers are lost, or 2 of them at the same rows"):
        workers.end([workers.begin(dying)])


def test_workers_of_another_version(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "_versions", lambda: {"python": "3.99.0", "schuss": "0.0.1"})
    sentence = r"a worker on .* has python 3\.\d+\.\d+ where 3\.99\.0 asks, .*: all machines need the same versions"
    with pytest.raises(ClusterError, match=sentence):
        learn(place, tmp_path / "run")
