"""How many bytes a round of workers sends, where of wide states only what was touched is sent.

Rows of 40 words, as often as words are (Zipf), hashed to 2²⁰ features, are learned from by four workers, for a few
rounds of so many rows each; the states and what workers tell of them are counted as they go through the code of a
cluster, in one process. The models are compared with those of whole states sent: their bits are the same.

    python benchmarks/cluster_bytes.py          a table on standard output; five minutes, 3 GB of memory
    python benchmarks/cluster_bytes.py --write  also into RESULTS.md
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import results

from schuss.cluster.workers import Here
from schuss.data.chunk import Chunk, SparseRows
from schuss.data.cluster_feed import Piece, Round
from schuss.data.saved import Saved
from schuss.descent.losses import loss_for
from schuss.descent.optimizers import rule_named
from schuss.population import cluster
from schuss.population.changes import Changes, size_of
from schuss.population.cluster import on_workers
from schuss.population.linear import Linear
from schuss.population.population import Run

TITLE = "cluster_bytes.py: bytes that a round of workers sends"
FEATURES, WORDS, WORKERS, ROUNDS = 1 << 20, 40, 4, 3
CASES = [
    (optimizer, l2, runs, rows)
    for optimizer in ("sgd", "adagrad")
    for l2, runs, rows in ((0.0, 16, 16_384), (0.0, 16, 131_072), (0.0, 3, 131_072), (1e-6, 3, 131_072))
]


class Counting(Here):
    """Workers in this process, of whom is counted what goes to them and what comes back, in bytes."""

    def __init__(self) -> None:
        super().__init__(WORKERS)
        self.there: list[int] = []
        self.back: list[float] = []

    def put(self, value: Any) -> Any:
        """Count a state, or its changes."""
        if isinstance(value, Saved):
            self.there.append(sum(array.nbytes for array in value.arrays.values()))
        elif isinstance(value, Changes):
            self.there.append(size_of(value))
        return value

    def end(self, begun: Any) -> Any:
        """Count what is told."""
        ended = super().end(begun)
        self.back.append(sum(size_of(told[0]) for _, told in ended) / WORKERS)
        return ended


def rows_of(rng: np.random.Generator, rows: int) -> Chunk:
    """Draw rows of words; where each word lies among the features is drawn by a hash."""
    words = np.minimum(rng.zipf(1.2, rows * WORDS), 1 << 40).astype(np.uint64)
    places = (words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(44)
    indices = np.sort(places.astype(np.int32).reshape(rows, WORDS), axis=1).ravel()
    indptr = np.arange(0, rows * WORDS + 1, WORDS)
    sparse = SparseRows(indptr, indices, np.ones(rows * WORDS, np.float32) / 6, FEATURES)
    return Chunk(sparse, rng.integers(0, 2, rows).astype(np.int32), np.ones(rows, np.float32))


def learned(optimizer: str, l2: float, runs: int, rows: int, narrow: int) -> tuple[Counting, Any]:
    """Learn for some rounds; states of up to `narrow` bytes are sent whole."""
    cluster.NARROW = narrow
    own = Linear(rule_named(optimizer), loss_for("log_loss", 1), FEATURES, 1, 1, True)
    workers = Counting()
    many = on_workers(own, workers)
    rates = np.geomspace(0.01, 1.0, runs)
    state = many.start(tuple(Run(i, optimizer, float(rate), l2, "linear", 1) for i, rate in enumerate(rates)))
    state = many.begin_leg(state, 10 * WORKERS * rows)
    rng = np.random.default_rng(0)
    for _ in range(ROUNDS):
        shares: Any = [rows_of(rng, rows) for _ in range(WORKERS)]
        pieces = [[Piece(place, 0, rows, None)] for place in range(WORKERS)]
        state, _ = many.advance(state, Round(pieces, [[share] for share in shares]))
    return workers, own.saved(state).arrays


def main() -> int:
    """Measure, print, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    given = parser.parse_args()
    lines = [
        "|optimizer|l2|runs|rows of a worker|MB to each worker|MB from each|MB of the state|same bits|",
        "|-|-|-|-|-|-|-|-|",
    ]
    differ = 0
    for optimizer, l2, runs, rows in CASES:
        touched, mine = learned(optimizer, l2, runs, rows, 1 << 20)
        whole, theirs = learned(optimizer, l2, runs, rows, 1 << 60)
        same = all(mine[name].tobytes() == theirs[name].tobytes() for name in theirs)
        differ += not same
        there, back = np.mean(touched.there[1:]) / 1e6, np.mean(touched.back[1:]) / 1e6
        state = np.mean(whole.there[1:]) / 1e6
        figures = [f"{there:.1f}", f"{back:.1f}", f"{state:.1f}", "yes" if same else "NO"]
        lines.append("|" + "|".join([optimizer, f"{l2:g}", str(runs), f"{rows:,}", *figures]) + "|")
        print(lines[-1], file=sys.stderr, flush=True)
    packages = results.packages()
    command = results.command()
    text = f"`{command}`\n{results.machine()}\n{packages}\n\n" + "\n".join(lines) + "\n"
    print(text)
    if given.write:
        results.write_section(TITLE, text)
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
