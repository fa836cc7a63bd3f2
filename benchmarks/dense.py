"""Mini-batch descent on dense float32 rows in memory: 1, 4 and 16 runs at once against others' single fits.

A contender learns once from the same rows, each row once; a round runs all of them one after the other, and ratios are
taken within a round, so that a machine that is busier for a while is busier for all. Rows of 28 and of 784 features, 2
and 10 classes, log loss with an L2 penalty.

scikit-learn's SGDClassifier steps after every row, whatever the batch, and fits one model a class; the loops of PyTorch
(torch.optim) and of NumPy with BLAS fit one softmax model, of one output for two classes. Two limits: the two matrix
products of sixteen runs by BLAS and nothing else, and reading the rows once.

    python benchmarks/dense.py                        tables on standard output
    python benchmarks/dense.py --rounds 11 --write    also into RESULTS.md
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
import results
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import SGDClassifier
from threadpoolctl import threadpool_limits

from schuss.data.chunk import Chunk, cut
from schuss.descent.losses import loss_for
from schuss.descent.optimizers import OPTIMIZERS
from schuss.population.linear import Linear
from schuss.population.population import Run

TITLE = "dense.py: dense rows in memory"
SHAPES = ((28, 2), (28, 10), (784, 2), (784, 10))
BATCHES = (1, 32, 256)
RUNS = (1, 4, 16)
RATE, L2 = 0.001, 1e-4
PEER = "scikit-learn SGDClassifier, one fit, batch 1"
SLOW_ROWS = 1024
"""Rows for loops of Python at batch 1, which take 10 to 100 µs a step."""

Task = Callable[[], int]
"""Learn from rows; give how many there were."""


class Problem(NamedTuple):
    """Rows `(n, features)` float32, their classes, and how many classes there are."""

    rows: NDArray[np.float32]
    targets: NDArray[np.int32]
    classes: int

    @property
    def outputs(self) -> int:
        """Scores a run gives for a row."""
        return 1 if self.classes == 2 else self.classes


def problem(features: int, classes: int) -> Problem:
    """Draw normal rows whose classes depend on them; 7 to 26 MB."""
    rng = np.random.default_rng(0)
    count = 65_536 if features < 100 else 8_192
    rows = rng.normal(size=(count, features)).astype(np.float32)
    scores = rows @ rng.normal(size=(features, classes)) + rng.gumbel(size=(count, classes)) * np.sqrt(features)
    return Problem(rows, scores.argmax(axis=1).astype(np.int32), classes)


def ours(data: Problem, optimizer: str, batch: int, runs: int, threads: int) -> Task:
    """Train a population by chunks of 8,192 rows, as `schuss train` does."""
    loss = loss_for("log_loss", data.outputs)
    population = Linear(OPTIMIZERS[optimizer](), loss, data.rows.shape[1], data.outputs, batch, False, threads)
    rates = RATE * np.geomspace(0.3, 3, runs)
    start = tuple(Run(i, optimizer, float(rate), L2, "linear", batch) for i, rate in enumerate(rates))
    chunks = list(cut(Chunk(data.rows, data.targets, np.ones(len(data.targets), np.float32))))

    def learn() -> int:
        state = population.begin_leg(population.start(start), len(data.rows))
        for chunk in chunks:
            state, _ = population.advance(state, chunk)
        return len(data.rows)

    return learn


def scikit_learn(data: Problem) -> Task:
    """Fit one linear model a class with one pass over float32 rows."""
    settings = {"loss": "log_loss", "alpha": L2, "max_iter": 1, "tol": None, "shuffle": False}

    def learn() -> int:
        SGDClassifier(**settings, learning_rate="constant", eta0=RATE).fit(data.rows, data.targets)
        return len(data.rows)

    return learn


def pytorch(data: Problem, optimizer: str, batch: int) -> Task:
    """Train one linear layer by the usual loop."""
    count = SLOW_ROWS if batch == 1 else len(data.rows)
    rows, goals = torch.from_numpy(data.rows[:count]), torch.from_numpy(data.targets[:count])
    one = data.outputs == 1
    goals = goals.float()[:, None] if one else goals.long()
    score = torch.nn.functional.binary_cross_entropy_with_logits if one else torch.nn.functional.cross_entropy

    def learn() -> int:
        layer = torch.nn.Linear(data.rows.shape[1], data.outputs)
        rule = {"sgd": torch.optim.SGD, "adam": torch.optim.AdamW}[optimizer]
        steps = rule(layer.parameters(), lr=RATE, weight_decay=L2)
        for start in range(0, count, batch):
            steps.zero_grad()
            score(layer(rows[start : start + batch]), goals[start : start + batch]).backward()
            steps.step()
        return count

    return learn


def numpy_loop(data: Problem, batch: int) -> Task:
    """Train one model with the four lines of NumPy that every course shows."""
    count = SLOW_ROWS if batch == 1 else len(data.rows)
    goals = data.targets[:, None].astype(np.float32) if data.outputs == 1 else np.eye(data.outputs, dtype=np.float32)
    goals = goals if data.outputs == 1 else goals[data.targets]
    probabilities = expit if data.outputs == 1 else lambda scores: softmax(scores, axis=1)

    def learn() -> int:
        weights = np.zeros((data.rows.shape[1], data.outputs), np.float32)
        intercepts = np.zeros(data.outputs, np.float32)
        for start in range(0, count, batch):
            x = data.rows[start : start + batch]
            slopes = (probabilities(x @ weights + intercepts) - goals[start : start + batch]) / np.float32(len(x))
            weights -= np.float32(RATE) * (x.T @ slopes + np.float32(L2) * weights)
            intercepts -= np.float32(RATE) * slopes.sum(axis=0)
        return count

    return learn


def products(data: Problem, batch: int) -> Task:
    """Multiply as sixteen runs must, by BLAS, and do nothing else."""
    columns = 16 * data.outputs
    weights = np.ones((data.rows.shape[1], columns), np.float32)
    gradient = np.empty_like(weights)
    scores = np.empty((batch, columns), np.float32)
    count = SLOW_ROWS if batch == 1 else len(data.rows)

    def multiply() -> int:
        for start in range(0, count, batch):
            x = data.rows[start : start + batch]
            np.dot(x, weights, scores)
            np.dot(x.T, scores, gradient)
        return count

    return multiply


def reading(data: Problem) -> Task:
    """Read the rows once: the sum of their squares."""
    flat = data.rows.ravel()

    def read() -> int:
        np.dot(flat, flat)
        return len(data.rows)

    return read


def contenders(data: Problem, batch: int) -> dict[str, Task]:
    """Name what runs, scikit-learn first."""
    tasks = {PEER: scikit_learn(data)}
    for optimizer, name in (("sgd", "SGD"), ("adam", "Adam")):
        for runs in RUNS:
            label = f"**schuss**, {name}, {runs} run{'s' if runs > 1 else ''}"
            tasks[label] = ours(data, optimizer, batch, runs, 1)
        if data.outputs > 1:  # of one output, sixteen runs are one block
            tasks[f"**schuss**, {name}, 16 runs, two threads"] = ours(data, optimizer, batch, 16, 2)
        tasks[f"PyTorch, {name}, one fit"] = pytorch(data, optimizer, batch)
    tasks["NumPy with BLAS, SGD, one fit"] = numpy_loop(data, batch)
    tasks["limit: both products of 16 runs by BLAS"] = products(data, batch)
    tasks["limit: reading the rows"] = reading(data)
    return tasks


def measure(data: Problem, batch: int, rounds: int) -> dict[str, NDArray[np.float64]]:
    """Give the nanoseconds a row of every contender in every round."""
    tasks = contenders(data, batch)
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            begun = time.perf_counter()
            count = task()
            if turn:  # the first turn compiles, and brings rows and code into memory
                taken[name].append((time.perf_counter() - begun) / count * 1e9)
    return {name: np.array(values) for name, values in taken.items()}


def operations(name: str, data: Problem) -> float:
    """Count the floating-point operations a row of both products."""
    words = name.replace(",", "").split()
    runs = 16 if "16" in words else 4 if "4" in words else 1
    return 4.0 * data.rows.shape[1] * data.outputs * runs


def table(data: Problem, measured: dict[int, dict[str, NDArray[np.float64]]]) -> str:
    """Write the table of a shape: medians, ratios to scikit-learn's fit, and how many operations a second that is."""
    head = [f"|{data.rows.shape[1]} features, {data.classes} classes; ns a row"]
    head += [f"batch {batch}|× scikit-learn|GFLOP/s" for batch in measured]
    lines = ["|".join(head) + "|", "|-" * (1 + 3 * len(measured)) + "|"]
    for name in next(iter(measured.values())):
        cells = [name]
        for of_batch in measured.values():
            own, ratios = of_batch[name], of_batch[name] / of_batch[PEER]
            low, high = np.quantile(ratios, [0.1, 0.9])
            speed = "" if name.endswith("rows") else f"{operations(name, data) / np.median(own):.1f}"
            cells += [f"{np.median(own):,.3g}", f"{np.median(ratios):.2f} ({low:.2f}–{high:.2f})", speed]
        lines.append(f"|{'|'.join(cells)}|")
    return "\n".join(lines)


def page(tables: list[str], rounds: int, command: str) -> str:
    """Write the section of RESULTS.md."""
    versions = {**results.versions(), "torch": version("torch")}
    shown = "\n\n".join(tables)
    return f"""
`{command}`

{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}; {results.machine()};
{", ".join(f"{package} {number}" for package, number in versions.items())}; one thread, where not said otherwise.

{shown}

Medians of {rounds} rounds in which each contender runs once; ratios to scikit-learn's single fit are taken within a
round, in brackets what four fifths of the rounds lie between. GFLOP/s count the operations of the two products alone;
of fused multiply-adds in registers and nothing else, one core of this processor does 115. Rows are in the processor's
third cache at most ({", ".join(f"{f} features: {size}" for f, size in ((28, "7 MB"), (784, "26 MB")))}).
"""


def main() -> None:
    """Measure, print, and keep it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how often each contender is timed")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables = []
    with threadpool_limits(1):
        for features, classes in SHAPES:
            data = problem(features, classes)
            tables.append(table(data, {batch: measure(data, batch, arguments.rounds) for batch in BATCHES}))
            print(tables[-1], flush=True)
    if arguments.write:
        results.write_section(
            TITLE, page(tables, arguments.rounds, f"python benchmarks/dense.py --rounds {arguments.rounds}")
        )


if __name__ == "__main__":
    main()
