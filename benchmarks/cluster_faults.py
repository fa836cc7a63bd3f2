"""Whether a training on a Ray cluster comes to the same bytes whatever dies: workers, a node, or its driver.

A table is trained on once by workers in this process, undisturbed; then on a local Ray cluster again and again, while
workers are killed by SIGKILL at random moments, each within a second of a sign of life; then on a cluster of two nodes,
of which one is lost and another one added; then by a command that is killed at a random moment and resumed. Every model
must be the same to the last byte, and no round may fail.

    python benchmarks/cluster_faults.py --kills 200 --nodes 5 --drivers 10 --write    into RESULTS.md; half an hour
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import results

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.cluster.faults import STORE, killing  # noqa: E402
from tests.test_workers import table  # noqa: E402

from schuss import train  # noqa: E402
from schuss.cluster.on_ray import _imported  # noqa: E402

TITLE = "cluster_faults.py: workers, nodes and drivers killed, models compared"
OPTIONS: dict[str, Any] = {"workers": 4, "runs": 4, "epochs": 40}


def model(out: Path) -> bytes:
    """Give the bytes of the model of a run, which is removed."""
    found = (out / "model.safetensors").read_bytes()
    shutil.rmtree(out)
    return found


def learned(
    place: Path, out: Path, cluster: str | None, progress: Callable[[Any], None] | None, **options: Any
) -> bytes:
    """Train; give the bytes of the model."""
    train(str(place), "y", cluster=cluster, out=out, progress=progress, **(OPTIONS | options))
    return model(out)


def workers_killed(place: Path, out: Path, kills: int, seed: int) -> list[str]:
    """Kill so many workers of a local cluster."""
    expected = learned(place, out, "here", None)
    ray = _imported(None)
    quiet = {"log_to_driver": False, "configure_logging": False, "include_dashboard": False}
    ray.init(address="local", num_cpus=2, object_store_memory=STORE, **quiet)
    killed, trainings, differ, began = 0, 0, 0, time.monotonic()
    while killed < kills:
        with killing(seed + trainings, most=kills - killed) as (dead, listen):
            differ += learned(place, out, None, listen) != expected
        killed, trainings = killed + len(dead), trainings + 1
        print(f"{killed} kills, {trainings} trainings, {differ} differ", file=sys.stderr, flush=True)
    ray.shutdown()
    return ["workers killed", str(killed), str(trainings), str(differ), f"{time.monotonic() - began:.0f}"]


def nodes_lost(place: Path, out: Path, nodes: int) -> list[str]:
    """Lose a node of two, and add one, so many times."""
    expected, differ, began = learned(place, out, "here", None, epochs=4), 0, time.monotonic()
    for _ in range(nodes):
        command = [sys.executable, "-m", "tests.cluster.faults", str(place), str(out)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        print(done.stdout.strip(), file=sys.stderr, flush=True)
        differ += model(out) != expected
    return ["nodes lost and added", str(nodes), str(nodes), str(differ), f"{time.monotonic() - began:.0f}"]


def drivers_killed(place: Path, out: Path, drivers: int, seed: int) -> list[str]:
    """Kill the process that was called at random moments, and resume until it ends."""
    expected, rng = learned(place, out, "here", None), random.Random(seed)
    killed, trainings, differ, began = 0, 0, 0, time.monotonic()
    given = [f"--{name}={value}" for name, value in OPTIONS.items()]
    beginning = ["train", str(place), "--target", "y", *given, "--checkpoint-every", "0.05s", "--out", str(out)]
    while killed < drivers:
        while True:
            command = ["resume", str(out)] if (out / "checkpoint").exists() else [*beginning, "--force"]
            with subprocess.Popen(
                [sys.executable, "-m", "schuss", *command, "--quiet"], stdout=subprocess.DEVNULL
            ) as driver:
                try:
                    code = driver.wait(rng.uniform(0, 25))
                    break
                except subprocess.TimeoutExpired:
                    driver.kill()
                    killed += 1
        if code:
            raise SystemExit(f"exit code {code}")
        trainings, differ = trainings + 1, differ + (model(out) != expected)
        print(f"{killed} drivers killed, {trainings} trainings, {differ} differ", file=sys.stderr, flush=True)
    return ["drivers killed, resumed", str(killed), str(trainings), str(differ), f"{time.monotonic() - began:.0f}"]


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("kills", 200), ("nodes", 5), ("drivers", 10), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(prefix="schuss-faults-") as folder:
        place, out = Path(folder, "t.parquet"), Path(folder, "run")
        pq.write_table(table(), place, row_group_size=1_000)
        rows = [
            workers_killed(place, out, given.kills, given.seed),
            nodes_lost(place, out, given.nodes),
            drivers_killed(place, out, given.drivers, given.seed),
        ]
    lines = ["|fault|how often|trainings ended|models that differ|seconds|", "|-|-|-|-|-|"]
    lines += ["|" + "|".join(row) + "|" for row in rows]
    packages = results.packages()
    command = results.command()
    text = f"`{command}`\n{results.machine()}\n{packages}\n\n" + "\n".join(lines) + "\n"
    print(text)
    if given.write:
        results.write_section(TITLE, text)
    return int(any(row[3] != "0" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
