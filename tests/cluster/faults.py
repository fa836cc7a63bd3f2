"""Faults of a Ray cluster, made on purpose: workers killed, a node lost and another one added.

python -m tests.cluster.faults TABLE.parquet OUT    trains on a cluster of two nodes, of which one is lost on the way
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from schuss import train
from schuss.cluster.on_ray import _imported

STORE = 100 << 20


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
def killing(seed: int, most: int, within: float = 1.0) -> Iterator[tuple[list[int], Callable[[Any], None]]]:
    """Kill workers at random moments, each within so many seconds of a sign of life: so often that some work gets done.

    Gives what has been killed, and the listener of a training that is to be disturbed.
    """
    rng, alive, over, killed = random.Random(seed), threading.Event(), threading.Event(), []

    def kill() -> None:
        while len(killed) < most and not over.is_set():
            if alive.wait(0.1):
                over.wait(rng.uniform(0, within))
                for process in rng.sample(working, 1) if (working := processes_of_workers()) else []:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                        killed.append(process)
                alive.clear()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed, lambda event: alive.set()
    finally:
        over.set()
        killer.join()


def lose_a_node(place: str, out: str) -> list[str]:
    """Train on two nodes, lose the one where this process is not, add another; tell what happened when."""
    ray = _imported(None)
    from ray.cluster_utils import Cluster

    # Ray gives a node up after so many questions without an answer; by default that takes some twenty seconds.
    health = {"health_check_period_ms": 500, "health_check_failure_threshold": 3, "health_check_timeout_ms": 1000}
    each = {"num_cpus": 1, "object_store_memory": STORE}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "object_store_memory": STORE,
            "include_dashboard": False,
            "_system_config": health,
        },
    )
    nodes = [cluster.add_node(**each)]
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    happened: list[str] = []
    evaluations = 0

    def listen(event: dict[str, Any]) -> None:
        nonlocal evaluations
        evaluations += event["event"] == "evaluation"
        if evaluations == 2 and nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            happened.append(f"lost after {event['rows']} rows")
        elif evaluations == 5 and len(happened) == 1:
            cluster.add_node(**each)
            happened.append(f"added after {event['rows']} rows")

    train(place, "y", workers=4, runs=4, epochs=4, out=out, progress=listen)
    patience = time.monotonic() + 60.0  # a short training may be over before Ray has given the lost node up
    while (alive := sum(node["Alive"] for node in ray.nodes())) != 2 and time.monotonic() < patience:
        time.sleep(0.1)
    ray.shutdown()
    cluster.shutdown()
    return [*happened, f"{alive} nodes in the end"]


if __name__ == "__main__":
    began = time.monotonic()
    print(*lose_a_node(*sys.argv[1:]), f"{time.monotonic() - began:.0f} s", sep="; ")
