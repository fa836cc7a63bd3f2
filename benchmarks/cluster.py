"""How much averaging the models of several workers costs: held-out loss and rows read beside those of one machine.

The workers are simulated: the code is that of a cluster, in one process (`--cluster here`), which gives the same bytes
as Ray does. Every set is written as Parquet in many row groups and trained on with every setting at its default, by one
machine and by 2, 4 and 16 workers, all judged by the same held-out rows; once more by one machine that goes through its
rows in another order tells what chance does. "Race alone" is the loss that chose the champion, before full passes
finish it; epochs are those that each finalist has learned from, all workers together.

    SCHUSS_DATA=FOLDER python benchmarks/cluster.py            a table on standard output; ten minutes
    SCHUSS_DATA=FOLDER python benchmarks/cluster.py --rounds 4 --rounds 16 --rounds 64    what averaging more often does
    SCHUSS_DATA=FOLDER python benchmarks/cluster.py --write    also into RESULTS.md
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import results
import sets

from schuss import train
from schuss.data import cluster_feed
from schuss.training import Result

TITLE = "cluster.py: workers whose models are averaged, beside one machine"
NAMES = ("adult", "kddcup99", "nycflights13")
GENERATED_ROWS = 200_000
WORKERS = (2, 4, 16)
GROUPS = 256
"""Row groups of a file, so that sixteen workers have sixteen spans each."""


class Row(NamedTuple):
    """A training: of a set, by so many workers (0: one machine), with so many rounds an epoch (1: in another order)."""

    name: str
    workers: int
    rounds: int
    loss: float
    race: float
    epochs: float
    passes: int


def generated() -> pa.Table:
    """Make 24 numbers, some of them related, and two columns of words, one with rare ones; a noisy yes or no."""
    rng = np.random.default_rng(0)
    rows = GENERATED_ROWS
    X = rng.normal(size=(rows, 24)) @ (np.eye(24) + 0.3 * rng.normal(size=(24, 24)))
    shop, item = rng.integers(0, 30, rows), np.minimum(rng.zipf(1.5, rows), 500)
    score = X @ rng.normal(size=24) / 6 + rng.normal(size=30)[shop] + rng.normal(size=501)[item]
    y = rng.random(rows) < 1 / (1 + np.exp(-score))
    words = {"shop": [f"s{i}" for i in shop], "item": [f"i{i}" for i in item]}
    return pa.table({f"x{i}": X[:, i] for i in range(24)} | words | {"y": np.where(y, "yes", "no")})


def write_sets(data: Path, folder: Path) -> dict[str, tuple[Path, str]]:
    """Write each set as a Parquet file; give it with its target."""
    found: dict[str, tuple[Path, str]] = {}
    tables = {"generated": (generated(), "y")}
    for one in sets.SETS:
        if one.name in NAMES:
            path = one.prepare(data, folder)[0].train
            tables[one.name] = (
                pq.read_table(path) if path.suffix == ".parquet" else pacsv.read_csv(path),
                one.target or "",
            )
    for name, (table, target) in tables.items():
        shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
        found[name] = folder / f"{name}.rows.parquet", target
        pq.write_table(shuffled, found[name][0], row_group_size=-(-len(table) // GROUPS))
    return found


def learned(result: Result, name: str, workers: int, rounds: int) -> Row:
    """Take what counts out of a result."""
    evaluations = [event for event in result.record if event["event"] == "evaluation"]
    polished = [event for event in result.record if event["event"] == "polish"]
    race = polished[-1]["champion_loss"] if polished else result.summary["holdout"]["select_loss"]
    last = evaluations[-1]
    passes = result.summary["chosen"].get("passes", 0)
    return Row(name, workers, rounds, result.summary["holdout"]["loss"], race, last["epoch"], passes)


def measure(folder: Path, data: Path, rounds: list[int], names: list[str], options: dict[str, Any]) -> list[Row]:
    """Train on every set."""
    rows: list[Row] = []
    for name, (path, target) in write_sets(data, folder).items():
        if names and name not in names:
            continue
        one = learned(train(path, target, **options), name, 0, 0)
        rows += [one, learned(train(path, target, order="once", **options), name, 0, 1)]
        print(*rows[-2:], file=sys.stderr, flush=True)
        for each in rounds:
            cluster_feed.ROUNDS = each
            for workers in WORKERS:
                result = train(path, target, workers=workers, cluster="here", **options)
                rows.append(learned(result, name, workers, each))
                print(
                    rows[-1],
                    f"{rows[-1].loss / one.loss - 1:+.2%} {rows[-1].race / one.race - 1:+.2%}",
                    file=sys.stderr,
                    flush=True,
                )
    return rows


def page(rows: list[Row], command: str) -> str:
    """Write the table."""
    lines = [
        "|data|workers|rounds an epoch|held-out loss|beside one machine|race alone|beside|epochs|passes after|",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    one = {row.name: row for row in rows if row.workers == row.rounds == 0}
    for row in rows:
        base = one[row.name]
        machine = "one machine, in another order" if row.rounds else "one machine"
        who = [machine, "–"] if row.workers == 0 else [str(row.workers), str(row.rounds)]
        figures = [
            f"{row.loss:.5f}",
            f"{row.loss / base.loss - 1:+.2%}",
            f"{row.race:.5f}",
            f"{row.race / base.race - 1:+.2%}",
        ]
        lines.append("|" + "|".join([row.name, *who, *figures, f"{row.epochs:.2f}", str(row.passes)]) + "|")
    packages = ", ".join(f"{name} {number}" for name, number in results.versions().items())
    return f"`{command}`\n{results.machine()}\n{packages}\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, action="append", help="rounds an epoch, several times for several")
    parser.add_argument("--only", action="append", default=[], choices=(*NAMES, "generated"))
    parser.add_argument("--epochs", default="auto")
    parser.add_argument("--optimizer", default="auto")
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    given = parser.parse_args()
    epochs = given.epochs if given.epochs == "auto" else int(given.epochs)
    with tempfile.TemporaryDirectory(prefix="schuss-cluster-") as folder:
        options = {"epochs": epochs, "optimizer": given.optimizer}
        rounds = given.rounds or [cluster_feed.ROUNDS]
        rows = measure(Path(folder), Path(os.environ["SCHUSS_DATA"]), rounds, given.only, options)
    text = page(rows, "python benchmarks/" + " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    print(text)
    if given.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    main()
