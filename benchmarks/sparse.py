"""Sparse rows, one at a time: nanoseconds a nonzero of an epoch of SGD and Adagrad, one run, four and sixteen.

Rows of 75 nonzeros whose features follow Zipf's law (probability ~ 1/rank, the ranks scattered over the columns), log
loss with L2. Each round times every contender once, one after the other, the second of two epochs, so that none pays
for what the one before left in the caches; ratios are taken within a round. The limit is a kernel that only fetches
the same lines of weights, sent for ahead, and adds them up, in four sums; for sixteen runs on two threads, a
block of eight on each.

    pip install -e '.[benchmarks]'
    python benchmarks/sparse.py                    a table on standard output
    python benchmarks/sparse.py --rounds 9 --write    also into RESULTS.md
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import results
import scipy.sparse
from liblinear import liblinear, liblinearutil
from sklearn.linear_model import SGDClassifier
from vowpalwabbit import Workspace

from schuss.data.chunk import Chunk, SparseRows, cut
from schuss.descent.losses import LogLoss
from schuss.descent.optimizers import OPTIMIZERS
from schuss.kernels.lanes import store
from schuss.kernels.lines import prefetch_far, spread
from schuss.kernels.options import kernel
from schuss.kernels.sparse import NEAR, far_ahead, score_output
from schuss.population.aligned import aligned
from schuss.population.linear import Linear
from schuss.population.population import Run
from schuss.population.workers import side_by_side

TITLE = "sparse.py: an epoch over sparse rows, one row at a time"
ROWS, NONZEROS = 65_536, 75
BITS = {47_000: 16, 1_000_000: 20, 16_000_000: 24}
"""Features, and the bits that VW needs for them."""

PEER, SHUFFLED_PEER = "scikit-learn SGD, rows in order", "scikit-learn SGD, rows shuffled"

Epoch = Callable[[], object]


class Contender(NamedTuple):
    """What is timed: how it is called, its threads, and a function that runs an epoch."""

    name: str
    threads: int
    epoch: Epoch


def rows_of(features: int) -> Chunk:
    """Make rows that a logistic model with a third of the features explains in part."""
    rng = np.random.default_rng(0)
    ranks = np.exp(rng.random((ROWS, NONZEROS)) * np.log(features - NONZEROS)).astype(np.int64) - 1
    ranks.sort(axis=1)
    for place in range(1, NONZEROS):  # no feature twice in a row: the next rank in its place
        ranks[:, place] = np.maximum(ranks[:, place], ranks[:, place - 1] + 1)
    columns = rng.permutation(features)[ranks]
    columns.sort(axis=1)
    values = (rng.random((ROWS, NONZEROS)) + 0.5).astype(np.float32) / np.float32(np.sqrt(NONZEROS))
    truth = rng.normal(size=features) * (rng.random(features) < 0.3)
    scores = (truth[columns] * values).sum(axis=1)
    targets = (scores + rng.logistic(size=ROWS) > 0).astype(np.int32)
    indptr = np.arange(ROWS + 1, dtype=np.int64) * NONZEROS
    rows = SparseRows(indptr, columns.ravel().astype(np.int32), values.ravel(), features)
    return Chunk(rows, targets, np.ones(ROWS, np.float32))


@kernel()
def gather(like, indptr, indices, values, weights, out):
    """Fetch the lines of all nonzeros and add them up: what any method must do at least."""
    total, first = spread(np.float32(0.0), like), np.uint64(0)
    for r in range(np.uint64(len(indptr) - 1)):
        start, stop = np.uint64(indptr[r]), np.uint64(indptr[r + np.uint64(1)])
        ahead = far_ahead(indices, stop, stop - start)
        if weights.size > NEAR:
            for n in range(start, stop):
                prefetch_far(weights, np.uint64(indices[n + ahead]) * np.uint64(len(like)))
        total = total + score_output(like, indices, values, start, stop, weights, np.uint64(len(like)), first)
    store(out, 0, 0, total)


def limit(rows: Chunk, lanes: int, threads: int = 1) -> Contender:
    """Give the limit for a block of so many runs on each thread."""
    sparse, like = rows.rows, (np.float32(0),) * lanes

    def fetching() -> Epoch:
        weights, out = aligned((sparse.width, lanes)), aligned((1, lanes))
        weights[:] = 1.0  # pages of zeros would all be the same one
        return lambda: gather(like, sparse.indptr, sparse.indices, sparse.values, weights, out)

    jobs = [fetching() for _ in range(threads)]
    blocks = lanes if threads == 1 else f"{threads} × {lanes}"
    return Contender(f"limit: fetching the lines of {blocks}", threads, lambda: side_by_side(jobs, threads))


def schuss(rows: Chunk, name: str, runs: int, threads: int) -> Contender:
    """Give so many runs with different rates."""
    rate = 0.3 if name == "sgd" else 0.1
    population = Linear(OPTIMIZERS[name](), LogLoss(), rows.rows.width, 1, 1, True, threads)
    start = population.start(tuple(Run(i, name, rate * 1.2**-i, 1.0 / ROWS, "linear", 1) for i in range(runs)))
    state = [population.begin_leg(start, 1000 * ROWS)]

    def epoch() -> None:
        for chunk in cut(rows):
            state[0], _ = population.advance(state[0], chunk)

    plural = "run" if runs == 1 else "runs"
    return Contender(f"schuss {name}, {runs} {plural}", threads, epoch)


def scikit_learn(rows: Chunk, shuffle: bool) -> Contender:
    """Give scikit-learn's SGDClassifier; shuffling is its default, the rows of schuss are shuffled by its reader."""
    sparse = rows.rows
    matrix = scipy.sparse.csr_matrix(
        (sparse.values, sparse.indices, sparse.indptr.astype(np.int32)), shape=(ROWS, sparse.width)
    )
    model = SGDClassifier(
        loss="log_loss", penalty="l2", alpha=1.0 / ROWS, learning_rate="constant", eta0=0.1, shuffle=shuffle, tol=None
    )

    def epoch() -> None:
        model.partial_fit(matrix, rows.targets, classes=[0, 1])

    return Contender(SHUFFLED_PEER if shuffle else PEER, 1, epoch)


def pass_of_liblinear(rows: Chunk) -> float:
    """Time a pass of LIBLINEAR's dual coordinate descent, its own format made beforehand."""
    sparse = rows.rows
    matrix = scipy.sparse.csr_matrix(
        (sparse.values.astype(np.float64), sparse.indices, sparse.indptr), shape=(ROWS, sparse.width)
    )
    problem = liblinear.problem(rows.targets.astype(np.float64), matrix)
    words: list[bytes] = []
    parameter = liblinear.parameter("-s 7 -c 1 -e 0.01")
    parameter.print_func = liblinear.PRINT_STRING_FUN(words.append)
    begun = time.perf_counter()
    liblinearutil.train(problem, parameter)
    took = time.perf_counter() - begun
    passes = int(b"".join(words).split(b"#iter =")[1].split()[0])
    return took / passes


def pass_of_vw(rows: Chunk, folder: Path, more: str, passes: int = 5) -> float:
    """Time a pass of Vowpal Wabbit over its cache: reading and learning."""
    sparse, text = rows.rows, folder / f"{rows.rows.width}.vw"
    if not text.exists():
        with text.open("w", encoding="utf-8") as file:
            for r in range(ROWS):
                own = slice(sparse.indptr[r], sparse.indptr[r + 1])
                pairs = " ".join(f"{i}:{x:.6g}" for i, x in zip(sparse.indices[own], sparse.values[own], strict=True))
                file.write(f"{2 * rows.targets[r] - 1} | {pairs}\n")
    fixed = f"-d {text} --cache_file {text}.cache --holdout_off --quiet --loss_function logistic --l2 {1.0 / ROWS} "
    fixed += f"-b {BITS[sparse.width]} --noconstant {more}"
    seconds = []
    for count in (1, 1, 1 + passes):  # the first one makes the cache
        begun = time.perf_counter()
        Workspace(f"{fixed} --passes {count}").finish()
        seconds.append(time.perf_counter() - begun)
    return (seconds[2] - seconds[1]) / passes


def contenders(rows: Chunk) -> list[Contender]:
    """Give what is timed in every round."""
    several = [(1, 1), (4, 1), (16, 1)]
    if rows.rows.width < 100_000:
        several += [(32, 1), (32, 2)]
    return [
        scikit_learn(rows, False),
        scikit_learn(rows, True),
        *[limit(rows, *one) for one in ((1, 1), (16, 1), (8, 2))],
        *[schuss(rows, "sgd", *one) for one in several],
        *[schuss(rows, "adagrad", *one) for one in several],
    ]


def measure(rows: Chunk, rounds: int, clock: Callable[[], float]) -> tuple[list[Contender], np.ndarray]:
    """Give the contenders and their nanoseconds a nonzero `(rounds, contenders)`, after a round that warms up."""
    listed = contenders(rows)
    took = np.zeros((rounds + 1, len(listed)))
    for turn in range(rounds + 1):
        for place, one in enumerate(listed):
            one.epoch()
            begun = clock()
            one.epoch()
            took[turn, place] = clock() - begun
    return listed, took[1:] / (ROWS * NONZEROS) * 1e9


def table(features: int, listed: list[Contender], took: np.ndarray, others: dict[str, float]) -> str:
    """Write the table for a number of features."""
    names = [one.name for one in listed]
    base, shuffled = took[:, names.index(PEER)], took[:, names.index(SHUFFLED_PEER)]
    lines = [
        f"|{features:,} features|threads|ns a nonzero|least to most|× scikit-learn, rows in order|least to most"
        "|× scikit-learn, rows shuffled|",
        "|-|-|-|-|-|-|-|",
    ]
    for place, one in enumerate(listed):
        own, ratio = took[:, place], took[:, place] / base
        lines.append(
            f"|{one.name}|{one.threads}|{np.median(own):.2f}|{own.min():.2f} to {own.max():.2f}|{np.median(ratio):.2f}"
            f"|{ratio.min():.2f} to {ratio.max():.2f}|{np.median(took[:, place] / shuffled):.2f}|"
        )
    for name, value in others.items():
        lines.append(f"|{name}|1|{value:.2f}|–|{value / np.median(base):.2f}|–|{value / np.median(shuffled):.2f}|")
    return "\n".join(lines)


def others_of(rows: Chunk, folder: Path) -> dict[str, float]:
    """Give nanoseconds a nonzero and pass of programs that are only timed once."""
    unit = 1e9 / (ROWS * NONZEROS)
    return {
        "LIBLINEAR, dual coordinate descent (-s 7), a pass": pass_of_liblinear(rows) * unit,
        "VW --sgd, a pass over its cache": pass_of_vw(rows, folder, "--sgd") * unit,
        "VW, its adaptive default, a pass over its cache": pass_of_vw(rows, folder, "") * unit,
    }


def main() -> None:
    """Measure, print, and keep it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender is timed")
    parser.add_argument("--features", type=int, nargs="*", default=list(BITS), help="numbers of features")
    parser.add_argument("--processor", action="store_true", help="time by what all threads take of the processors")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.processor else time.perf_counter
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for features in arguments.features:
            rows = rows_of(features)
            tables.append(table(features, *measure(rows, arguments.rounds, clock), others_of(rows, Path(folder))))
            print(tables[-1], flush=True)
    numbers = {**results.versions(), **{name: version(name) for name in ("liblinear-official", "vowpalwabbit")}}
    body = (
        f"`python benchmarks/sparse.py --rounds {arguments.rounds}`\n\n"
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}; {results.machine()}; "
        + ", ".join(f"{name} {number}" for name, number in numbers.items())
        + f".\n\n{ROWS:,} rows of {NONZEROS} nonzeros, float32, int32 indices; log loss, L2 of 1/rows, batch 1.\n\n"
        + "\n\n".join(tables)
        + "\n\nMedians over the rounds. schuss's rows come in order, as its reader hands them over (they are shuffled "
        "there, at 1.7 ns\na nonzero); 32 runs on two threads are two blocks of 16. LIBLINEAR's own "
        "format is made before the clock\nstarts; VW's pass is the difference between six passes and one."
    )
    if arguments.write:
        results.write_section(TITLE, body)


if __name__ == "__main__":
    main()
