"""Workers on Ray: the bytes of workers in this process, whoever is killed, late, lost or of another version."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.test_workers import table

from schuss import train
from schuss.cluster import on_ray
from schuss.cluster.on_ray import OnRay
from schuss.errors import ClusterError, DataError

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rows") / "t.parquet"
    pq.write_table(table(), path, row_group_size=1_000)
    return str(path)


def learn(place: str, out: Path, cluster: str | None = None, **options: Any) -> bytes:
    train(place, "y", workers=4, cluster=cluster, out=out, **({"runs": 4, "epochs": 2} | options))
    return (out / "model.safetensors").read_bytes()


def parent_of(process: str) -> int:
    return int(Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[1])


def processes_of_workers() -> list[int]:
    """The processes that do work for this one: Ray names them, and their parents' parent is this process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ours = parent_of(str(parent_of(folder.name))) == os.getpid()
            if ours and (folder / "cmdline").read_bytes().startswith(b"ray::_do"):
                found.append(int(folder.name))
    return found


@contextmanager
def killing(seed: int, every: float) -> Iterator[list[int]]:
    """Kill a worker at random moments, not so often that none can begin."""
    rng, over, killed = random.Random(seed), threading.Event(), []

    def kill() -> None:
        while not over.wait(rng.uniform(0, 2 * every)):
            for process in processes_of_workers()[:1]:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        over.set()
        killer.join()


@pytest.mark.parametrize("options", [{"epochs": "auto"}, {"optimizer": "adagrad,momentum"}])
def test_the_bytes_are_those_of_workers_in_this_process(place: str, tmp_path: Path, options: dict[str, Any]) -> None:
    assert learn(place, tmp_path / "ray", **options) == learn(place, tmp_path / "here", "here", **options)


def test_killed_workers_change_no_byte(place: str, tmp_path: Path) -> None:
    expected = learn(place, tmp_path / "here", "here", epochs=12)
    with killing(0, 1.0) as killed:
        assert learn(place, tmp_path / "ray", epochs=12) == expected
    assert killed


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
