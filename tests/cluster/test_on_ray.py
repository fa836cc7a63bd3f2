"""Workers on Ray: the bytes of workers in this process, whoever is killed, late, lost or of another version."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import torch
from tests.cluster.faults import STORE, killing
from tests.cluster.ports import descendants, is_local, listening
from tests.test_workers import table
from torch import nn

from schuss import resume, train
from schuss.cluster import on_ray
from schuss.cluster.on_ray import OnRay
from schuss.errors import ClusterError, DataError, OptionError
from schuss.population import cluster
from schuss.population.cluster import learn as learn_shares
from schuss.torch import race

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rows") / "t.parquet"
    pq.write_table(table(), path, row_group_size=1_000)
    return str(path)


def learn(place: str, out: Path, cluster: str | None = None, **options: Any) -> bytes:
    train(place, "y", cluster=cluster, out=out, **({"workers": 4, "runs": 4, "epochs": 2} | options))
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
    options = ["--epochs", "9", "--runs", "2", "--workers", "2", "--json", "--out", str(tmp_path / "run"), "--quiet"]
    command = [sys.executable, "-W", "error", "-m", "schuss", "train", place, "--target", "y", *options]
    found: set[Any] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        while driver.poll() is None:
            found |= {*listening(descendants(driver.pid))}
            time.sleep(0.2)
        assert driver.stdout is not None
        assert driver.stderr is not None
        assert json.loads(driver.stdout.read())["outcome"] == "epochs done"
        assert not driver.stderr.read()
    assert {"gcs_server", "raylet"} <= {name for _, _, name in found}
    assert [one for one in found if not is_local(one[0])] == [], "nothing can be reached from elsewhere"


def test_a_cluster_of_a_process_that_has_imported_ray_before() -> None:
    environment = {name: value for name, value in os.environ.items() if name != on_ray.SEVERAL_MACHINES}
    command = [sys.executable, "-m", "tests.cluster.ports"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "gcs_server" in done.stdout
    assert all(line.startswith("this machine") for line in done.stdout.splitlines())


@pytest.mark.parametrize("answers", [0, 3])
def test_an_end_does_not_wait_for_workers_that_never_answer(answers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers, however slowly, is waited for."""
    monkeypatch.setattr(on_ray, "GRACE", 0.2)
    left = answers

    def wait(tries: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        nonlocal left
        assert timeout <= on_ray.LOOK
        time.sleep(0.15)
        told = tries[:num_returns] if left else []
        left -= len(told)
        return told, tries[len(told) :]

    workers = OnRay(3, lambda: True)
    workers._ray = SimpleNamespace(wait=wait, get=lambda told: told)
    workers._do = SimpleNamespace(remote=lambda *_: (object(), object()))
    begun = [workers.begin(lambda: (None, None)) for _ in range(3)]
    if answers == len(begun):
        assert len(workers.end(begun)) == answers
    else:
        with pytest.raises(KeyboardInterrupt, match="no worker has answered"):
            workers.end(begun)


def test_one_file_of_text_by_workers(tmp_path: Path) -> None:
    """Rows of a CSV file of its own, of which the driver has begun to read a sample."""
    rows = table()
    text = tmp_path / "t.csv"
    pacsv.write_csv(pa.concat_tables([rows] * 8), text, pacsv.WriteOptions(quoting_style="none"))
    assert text.stat().st_size > 2 << 20
    assert learn(str(text), tmp_path / "ray", workers=2) == learn(str(text), tmp_path / "here", "here", workers=2)


def test_networks_that_drop_units(place: str, tmp_path: Path) -> None:
    options = {"network": "8", "dropout": 0.3}
    assert learn(place, tmp_path / "ray", **options) == learn(place, tmp_path / "here", "here", **options)


def test_a_straggler_in_a_training_is_answered_by_a_duplicate(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = learn(place, tmp_path / "here", "here")
    mark = tmp_path / "slow"
    begun: list[int] = []

    def noted(workers: OnRay, job: Any) -> None:
        if job.tries:
            begun.append(mark.exists())
        kept(workers, job)

    kept = OnRay._try
    monkeypatch.setattr(OnRay, "_try", noted)
    monkeypatch.setattr(on_ray, "LEAST_SECONDS", 0.2)
    monkeypatch.setattr(cluster, "learn", partial(slow_once, str(mark), 25.0))
    began = time.monotonic()
    assert learn(place, tmp_path / "ray") == expected
    mark.with_suffix(".over").touch()
    assert begun, "a second try"
    assert time.monotonic() - began < 25.0, "nobody has waited for the first"


def slow_once(mark: str, seconds: float, population: Any, base: Any, news: Any, share: int, *rest: Any) -> Any:
    """Learn, but the eighth time that the first share is learned from, take long."""
    if share == 0:
        with Path(mark).open("a") as file:
            file.write(".")
            count = file.tell()
        end = time.monotonic() + (seconds if count == 8 else 0.0)
        while time.monotonic() < end and not Path(mark).with_suffix(".over").exists():
            time.sleep(0.05)
    return learn_shares(population, base, news, share, *rest)


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


def module() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def test_a_race_of_modules_has_the_bits_of_workers_in_this_process() -> None:
    x = torch.randn(900, 6, generator=torch.Generator().manual_seed(0))
    data = x, (x[:, :3] * x[:, 3:]).argmax(1)
    options: dict[str, Any] = {"runs": 3, "epochs": 3, "workers": 2}
    races = [
        race(module, nn.functional.cross_entropy, data, cluster=where, **options) for where in (None, None, "here")
    ]
    first, *others = [one.module.state_dict() for one in races]
    for other in others:
        assert all(torch.equal(tensor, first[name]) for name, tensor in other.items())


def test_a_loss_that_cannot_be_sent() -> None:
    lock = threading.Lock()

    def loss(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with lock:
            return nn.functional.cross_entropy(output, targets)

    data = torch.randn(200, 6), torch.zeros(200, dtype=torch.long)
    with pytest.raises(OptionError, match=r"what workers need cannot be sent to other processes: .*lock"):
        race(module, loss, data, epochs=1, runs=2, workers=2)


def test_a_cluster_that_somebody_else_has_started(place: str, tmp_path: Path) -> None:
    """A cluster by `ray start`, whose head is another process, used by its address and left as it was."""
    expected = learn(place, tmp_path / "here", "here", workers=2)
    port = free_port()
    folder = tempfile.mkdtemp(prefix="ray")  # a short name: sockets lie in it
    code = f"""
import os, sys
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
from ray.scripts.scripts import main
sys.argv = ["ray", "start", "--head", "--block", "--port={port}", "--num-cpus=2", "--include-dashboard=false",
    "--disable-usage-stats", "--object-store-memory={STORE}", "--node-ip-address=127.0.0.1", "--temp-dir={folder}"]
main()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as head:
        try:
            wait_for(port)
            options = ["--epochs", "2", "--runs", "4", "--workers", "2", "--quiet"]
            command = [sys.executable, "-m", "schuss", "train", place, "--target", "y", *options]
            environment = os.environ | {"RAY_ADDRESS": f"127.0.0.1:{port}"}
            for name in (f"127.0.0.1:{port}", "auto"):
                out = tmp_path / name.replace(":", "-")
                called = [*command, "--cluster", name, "--out", str(out)]
                done = subprocess.run(called, env=environment, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
                assert (out / "model.safetensors").read_bytes() == expected
        finally:
            processes = descendants(head.pid)
            head.terminate()
            for process in processes - {head.pid}:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        time.sleep(0.2)
    raise TimeoutError(port)
