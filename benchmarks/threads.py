"""What two threads gain over one for two blocks of sixteen runs, beside what two processes gain on the same machine.

Each round times the same 32 runs on one thread and on two, then 16 runs in one process alone and in two processes at
the same time: what these lose against one alone is the machine's own limit (memory, cache, clock), which no threads
can beat. The weights of one thread and of two are compared bit by bit.

    python benchmarks/threads.py                    a table on standard output
    python benchmarks/threads.py --rounds 15 --write    also into RESULTS.md
    python benchmarks/threads.py --only 1 --only 4      two of its lines
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import results

from schuss.data.chunk import Chunk, SparseRows, cut, long_chunk, size_of
from schuss.descent.losses import LogLoss, Softmax
from schuss.descent.optimizers import OPTIMIZERS
from schuss.population.linear import Linear
from schuss.population.population import Run

TITLE = "threads.py: two blocks of sixteen runs on two threads"
RUNS = 16
SEED = 0


class Case(NamedTuple):
    """What is trained on what; nonzeros 0 for dense rows."""

    name: str
    optimizer: str
    rows: int
    features: int
    classes: int
    batch: int
    nonzeros: int = 0


CASES = (
    Case("28 dense features, 2 classes, batch 32", "adam", 1_048_576, 28, 2, 32),
    Case("784 dense features, 2 classes, batch 32", "adam", 16_384, 784, 2, 32),
    Case("784 dense features, 10 classes, batch 32", "adam", 8_192, 784, 10, 32),
    Case("47,000 sparse features, 75 nonzeros, batch 1", "sgd", 262_144, 47_000, 2, 1, 75),
    Case("47,000 sparse features, 75 nonzeros, batch 1", "adagrad", 262_144, 47_000, 2, 1, 75),
)


def chunks_of(case: Case) -> list[Chunk]:
    """Make rows at random, in chunks as long as trainings on arrays cut them."""
    rng = np.random.default_rng(SEED)
    targets = rng.integers(0, case.classes, case.rows).astype(np.int32)
    rows: Any = rng.normal(size=(case.rows, case.features if not case.nonzeros else 1)).astype(np.float32)
    if case.nonzeros:
        columns = (case.features ** rng.random((case.rows, case.nonzeros))).astype(np.int32) - 1
        indptr = np.arange(case.rows + 1, dtype=np.int64) * case.nonzeros
        rows = SparseRows(indptr, np.sort(columns, axis=1).ravel(), np.ones(columns.size, np.float32), case.features)
    whole = Chunk(rows, targets, np.ones(case.rows, np.float32))
    return list(cut(whole, 0, long_chunk(case.rows, size_of(whole))))


def trainer(case: Case, runs: int, threads: int) -> tuple[Callable[[], float], Callable[[], Any]]:
    """Give what trains through the rows once more and says how long that took, and what gives the weights."""
    outputs = 1 if case.classes == 2 else case.classes
    loss = LogLoss() if outputs == 1 else Softmax()
    rule = OPTIMIZERS[case.optimizer]()
    population = Linear(rule, loss, case.features, outputs, case.batch, bool(case.nonzeros), threads)
    chunks = chunks_of(case)
    settings = [Run(i, case.optimizer, 1e-4 * (i + 1), 1e-6, "linear", case.batch) for i in range(runs)]
    state = population.begin_leg(population.start(tuple(settings)), 10**9)

    def epoch() -> float:
        nonlocal state
        begun = time.perf_counter()
        for chunk in chunks:
            state, _ = population.advance(state, chunk)
        return time.perf_counter() - begun

    return epoch, lambda: [block.weights for block in population.up_to_date(state).blocks]


def serve(case: Case, link: Connection) -> None:
    """Be a process of its own that trains through the rows whenever it is told to."""
    epoch, _ = trainer(case, RUNS, 1)
    epoch()
    link.send(0.0)
    while link.recv():
        link.send(epoch())


def measure(case: Case, rounds: int) -> list[list[float]]:
    """Time in each round: 32 runs on one thread, on two, 16 runs in one process, in two (the slower one)."""
    one, weights = trainer(case, 2 * RUNS, 1)
    two, other_weights = trainer(case, 2 * RUNS, 2)
    context = multiprocessing.get_context("spawn")
    links = []
    for _ in range(2):
        link, far_end = context.Pipe()
        context.Process(target=serve, args=(case, far_end), daemon=True).start()
        link.recv()
        links.append(link)
    one(), two()
    found = []
    for _ in range(rounds):
        took = [one(), two()]
        for asked in (links[:1], links):
            for link in asked:
                link.send(True)
            took.append(max(link.recv() for link in asked))
        found.append(took)
    for link in links:
        link.send(False)
    for a, b in zip(weights(), other_weights(), strict=True):
        if a.tobytes() != b.tobytes():
            raise AssertionError(f"{case.name}: one thread and two give different weights")
    return found


def table(cases: list[Case], rounds: int) -> str:
    """Measure cases and write a table."""
    lines = [
        "|rows|optimizer|ns a row, one thread|two threads|gain|least to most|gain of two processes|least to most|",
        "|-|-|-|-|-|-|-|-|",
    ]
    for case in cases:
        one, two, alone, together = np.array(measure(case, rounds)).T
        threads, processes = one / two, 2 * alone / together
        nanoseconds = [f"{np.median(took) / case.rows * 1e9:,.0f}" for took in (one, two)]
        gains = [
            cell
            for gain in (threads, processes)
            for cell in (f"{np.median(gain):.2f}", f"{gain.min():.2f} to {gain.max():.2f}")
        ]
        lines.append("|".join(["", case.name, case.optimizer, *nanoseconds, *gains, ""]))
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", type=int, choices=range(1, len(CASES) + 1), action="append", help="a line")
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    options = parser.parse_args()
    found = table([CASES[line - 1] for line in options.only or range(1, len(CASES) + 1)], options.rounds)
    versions = results.packages()
    body = (
        f"`python benchmarks/threads.py --rounds {options.rounds}`\n\n"
        f"{datetime.date.today()}; {results.machine()}; {versions}.\n\n{found}\n\n"
        "32 runs in two blocks of 16, one block a thread: medians of the rounds' ratios. The gain of two processes is\n"
        "what two independent trainings of 16 runs gain over one after the other. The weights on one thread and on\n"
        "two are the same, bit by bit.\n"
    )
    print(body)
    if options.write:
        results.write_section(TITLE, body)


if __name__ == "__main__":
    main()
