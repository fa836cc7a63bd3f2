"""What a round of workers costs: measured on Ray, simulated, and computed for clusters that nobody here has.

A round lasts as long as its slowest worker, and then the driver has work of its own for every worker: to ask, to hear,
to average. The simulator draws rounds from

    latency + max over workers of (learning · slowness, or what a duplicate makes of it, or what a failure adds)
    + workers · (driver's seconds a task + bytes of a state / speed)

Its constants come from three measurements; it is then checked against others: other numbers of workers, other sizes, a
straggler ten times slower with and without a duplicate, and workers that die. The workers only sleep and give their
state back, through the code that trainings use, so that two cores can stand for sixteen workers.

    python benchmarks/cluster_scale.py          tables on standard output; two minutes
    python benchmarks/cluster_scale.py --write  also into RESULTS.md
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import results
from scipy.special import zeta

from schuss.cluster import on_ray
from schuss.cluster.on_ray import LATE, LEAST_SECONDS, OnRay, _imported
from schuss.data.cluster_feed import rows_between
from schuss.data.saved import Saved
from schuss.population.average import average

TITLE = "cluster_scale.py: what a round costs, measured, simulated and computed"
STORE = 1 << 30
RESTART = 1.0
"""Seconds until another process has begun work whose process was lost: checked below."""


class Case(NamedTuple):
    """A round: workers, seconds that each learns, bytes of a state, how many are ten times slower, share that dies."""

    name: str
    workers: int
    learning: float
    size: int = 1_000
    slow: int = 0
    dying: float = 0.0
    duplicates: bool = True


class Costs(NamedTuple):
    """Seconds until one worker is heard, the driver's seconds for each, bytes a second there, back and averaged."""

    latency: float
    task: float
    speed: float


CALIBRATION = [Case("one worker", 1, 0.1), Case("sixteen", 16, 0.1), Case("sixteen, 8 MB", 16, 0.1, 8_000_000)]
CHECKS = [
    Case("four workers", 4, 0.1),
    Case("eight workers, 4 MB", 8, 0.2, 4_000_000),
    Case("sixteen, longer", 16, 0.4, 1_000_000),
    Case("a straggler, waited for", 8, 0.2, slow=1, duplicates=False),
    Case("a straggler, duplicated", 8, 0.2, slow=1),
    Case("one in forty dies", 8, 0.2, dying=0.025),
]


def pretend(saved: Saved, seconds: float, dies: bool, mark: str) -> tuple[None, tuple[Saved, int]]:
    """Take so long, or the tenth of it where somebody else has begun before; die where nobody has."""
    first = not (mark and Path(mark).exists())
    if mark:
        Path(mark).touch()
    time.sleep(seconds if first else seconds / 10)
    if dies and first:
        os.kill(os.getpid(), signal.SIGKILL)
    return None, (Saved(saved.values, {name: array.copy() for name, array in saved.arrays.items()}), 1)


def measured(case: Case, rounds: int, rng: np.random.Generator, folder: Path) -> float:
    """Run rounds on Ray; give the seconds of one."""
    workers = OnRay(case.workers)
    kept = on_ray.LATE
    on_ray.LATE = LATE if case.duplicates else float("inf")
    state = Saved({}, {"w": np.zeros(case.size // 4, np.float32)})
    taken = []
    for number in range(rounds + 2):
        began = time.perf_counter()
        put, jobs = workers.put(state), []
        for place in range(case.workers):
            slow, dies = place < case.slow, bool(rng.random() < case.dying)
            mark = str(folder / f"{case.name} {number} {place}") if slow or dies else ""
            jobs.append(workers.begin(pretend, put, case.learning * (10 if slow else 1), dies, mark))
        told = [told for _, told in workers.end(jobs)]
        state = average([one for one, _ in told], [count for _, count in told])
        taken.append(time.perf_counter() - began)
    on_ray.LATE = kept
    return (statistics.mean if case.dying else statistics.median)(taken[2:])


def warm(workers: int, folder: Path) -> None:
    """Have as many processes started as there will be workers."""
    case = Case("warm", workers, 0.3)
    while measured(case, 3, np.random.default_rng(0), folder) > 2 * case.learning:
        pass


def simulated(case: Case, costs: Costs, rounds: int, rng: np.random.Generator) -> float:
    """Draw rounds; give the seconds of one."""
    alone = costs.latency + case.learning
    late = max(LATE * alone, LEAST_SECONDS)
    ends = np.full((rounds, case.workers), alone)
    ends[:, : case.slow] = costs.latency + 10 * case.learning
    if case.duplicates:
        ends[:, : case.slow] = np.minimum(ends[:, : case.slow], late + alone)
    # Work that is done again takes a tenth, as `pretend` does.
    ends += np.where(rng.random(ends.shape) < case.dying, RESTART + case.learning / 10, 0.0)
    return float(ends.max(axis=1).mean()) + case.workers * (costs.task + case.size / costs.speed)


def calibrated(rounds: int, rng: np.random.Generator, folder: Path) -> tuple[Costs, list[float]]:
    """Find the costs by three measurements."""
    one, sixteen, large = found = [measured(case, rounds, rng, folder) for case in CALIBRATION]
    task = max(sixteen - one, 1e-3) / 15
    speed = 16 * CALIBRATION[2].size / max(large - sixteen, 1e-3)
    return Costs(max(one - task - 0.1, 0.0), task, speed), found


class Job(NamedTuple):
    """A training of one epoch: rows, values of the state of one run, seconds a row for all runs of a core.

    words : of a row, each of which touches one of 2²⁰ features; 0 where each row touches all.
    """

    name: str
    rows: float
    values: float
    row: float
    words: int = 0


JOBS = [
    Job("10⁹ × 28 numbers", 1e9, 29 * 3, 300e-9),
    Job("10¹¹ × 28 numbers", 1e11, 29 * 3, 300e-9),
    Job("10¹² × 28 numbers", 1e12, 29 * 3, 300e-9),
    Job("10⁹ × 40 words of 2²⁰", 1e9, 2**20 * 2, 5e-6, 40),
    Job("10¹¹ × 40 words of 2²⁰", 1e11, 2**20 * 2, 5e-6, 40),
]
LATENCY, TASK, WIRE, AVERAGED = 0.01, 1e-3, 1.25e9, 1e9
"""A driver at 10 Gbit/s, which averages a gigabyte a second."""


def touched(rows: float, words: int) -> float:
    """Give the share of 2²⁰ features that rows of words touch, as often as words are in `cluster_bytes.py`."""
    if not words:
        return 1.0
    known = np.arange(1, 1 << 22, dtype=np.uint64)
    often = known.astype(np.float64) ** -1.2 / zeta(1.2)
    places = (known * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(44)
    each = np.bincount(places.astype(np.int64), often, 1 << 20) + (1 - often.sum()) / (1 << 20)
    return float((1 - np.exp(-words * rows * each)).mean())


def computed() -> list[list[str]]:
    """Give, for jobs of sixteen runs and of the three that are left in the end, what an epoch takes."""
    lines = []
    for job in JOBS:
        for workers in (1, 16, 64, 256):
            between = rows_between(int(job.rows), workers)
            rounds = job.rows / (workers * between)
            share, all_shares = touched(between, job.words), touched(workers * between, job.words)
            told = share + (all_shares if all_shares < 0.5 else 1.0)
            times = []
            for runs in (16, 3):
                size = job.values * 4 * runs
                driver = LATENCY + workers * (TASK + size * (told / WIRE + share / AVERAGED))
                times.append(rounds * (between * job.row + (driver if workers > 1 else 0)))
            alone = job.rows * job.row
            shown = [f"{alone / one:.0f}" if workers > 1 else "1" for one in times]
            sizes = [f"{job.values * 4 * 16 / 1e6:.3g}", f"{share:.0%}"]
            lines.append([job.name, str(workers), f"{between:,}", *sizes, *(hours(one) for one in times), *shown])
    return lines


def hours(seconds: float) -> str:
    """Say how long that is."""
    return (
        f"{seconds:.0f} s"
        if seconds < 600
        else f"{seconds / 60:.0f} min"
        if seconds < 36_000
        else f"{seconds / 3600:.0f} h"
    )


def page(command: str, rounds: int, folder: Path) -> str:
    """Measure, simulate, compute."""
    rng = np.random.default_rng(0)
    warm(16, folder)
    costs, found = calibrated(rounds, rng, folder)
    lines = ["|round|measured, s|simulated, s|simulated / measured|", "|-|-|-|-|"]
    for case, seconds in zip(CALIBRATION, found, strict=True):
        lines.append(f"|{case.name} (calibration)|{seconds:.3f}|||")
    for case in CHECKS:
        real, drawn = measured(case, rounds, rng, folder), simulated(case, costs, 20_000, rng)
        lines.append(f"|{case.name}|{real:.3f}|{drawn:.3f}|{drawn / real:.2f}|")
        print(lines[-1], file=sys.stderr, flush=True)
    said = (
        f"Latency {1e3 * costs.latency:.0f} ms, {1e3 * costs.task:.1f} ms of the driver for each worker, "
        f"{costs.speed / 1e9:.2f} GB/s there, back and averaged (by shared memory)."
    )
    header = [
        "an epoch of",
        "workers",
        "rows between",
        "MB a state, 16 runs",
        "of it from each worker",
        "16 runs",
        "3 runs",
        "times faster",
        "with 3",
    ]
    table = ["|" + "|".join(header) + "|", "|-" * len(header) + "|"]
    table += ["|" + "|".join(line) + "|" for line in computed()]
    packages = results.packages()
    top = f"`{command}`\n{results.machine()}\n{packages}\n\n"
    return top + "\n".join(lines) + f"\n\n{said}\n\nComputed, a driver at 10 Gbit/s:\n\n" + "\n".join(table) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="keep the tables in RESULTS.md")
    given = parser.parse_args()
    ray = _imported(None)
    quiet = {"log_to_driver": False, "configure_logging": False, "include_dashboard": False}
    ray.init(address="local", num_cpus=20, object_store_memory=STORE, **quiet)
    with tempfile.TemporaryDirectory() as folder:
        text = page(results.command(), given.rounds, Path(folder))
    ray.shutdown()
    print(text)
    if given.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    main()
