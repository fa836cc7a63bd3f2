"""How much averaging the models of several workers costs: loss on test rows and rows read beside those of one machine.

The workers are simulated: the code is that of a cluster, in one process (`--cluster here`), which gives the same bytes
as Ray does. Every set is written as Parquet in many row groups, a tenth of its rows apart as a test, and trained on
with every setting at its default, by one machine and by 2, 4 and 16 workers, each with several seeds: these choose
which rows are held out to judge, and in which order the others come. Workers are held against one machine with the same
seed, which judges by the same rows: in shares of its loss and of what it gains over the constant prediction, with the
standard error of the mean difference over test rows; "seed to seed" is what one machine differs by from itself. Where a
few rows make up most of the loss, it is told without the dearest ones too: one in 2,500.
"Race alone" is the loss that chose the champion, before full passes finish it; epochs are those that each finalist has
learned from, all workers together.

    SCHUSS_DATA=FOLDER python benchmarks/cluster.py            a table on standard output; half an hour
    SCHUSS_DATA=FOLDER python benchmarks/cluster.py --rounds 4 --rounds 16 --rounds 64    what averaging more often does
    SCHUSS_DATA=FOLDER python benchmarks/cluster.py --write    also into RESULTS.md
"""

from __future__ import annotations

import argparse
import os
import statistics
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
from schuss.model.model import Model

TITLE = "cluster.py: workers whose models are averaged, beside one machine"
NAMES = ("adult", "kddcup99", "nycflights13")
GENERATED_ROWS = 200_000
WORKERS = (2, 4, 16)
GROUPS = 256
"""Row groups of a file, so that sixteen workers have sixteen spans each."""

DEAREST = 2_500
"""One in so many test rows, those of the highest loss, is left out of a second mean."""


class Files(NamedTuple):
    """A set: the rows to learn from, those to test, and the column to predict."""

    train: Path
    test: Path
    target: str


class Row(NamedTuple):
    """A training: of a set, by so many workers (0: one machine), with so many rounds an epoch, from a seed.

    loss, most : means over the test rows, all and without the dearest; constant : the loss of the constant prediction;
    each : the losses of test rows.
    """

    name: str
    workers: int
    rounds: int
    seed: int
    loss: float
    most: float
    race: float
    epochs: float
    passes: int
    constant: float
    each: np.ndarray


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


def write_sets(data: Path, folder: Path, names: list[str]) -> dict[str, Files]:
    """Write each set as two Parquet files, in random order."""
    found: dict[str, Files] = {}
    tables = {"generated": (generated(), "y")}
    for one in sets.SETS:
        if one.name in names:
            path = one.prepare(data, folder)[0].train
            table = pq.read_table(path) if path.suffix == ".parquet" else pacsv.read_csv(path)
            tables[one.name] = table, one.target or ""
    for name, (table, target) in tables.items():
        if name in names:
            shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
            parts = {"train": shuffled.slice(len(table) // 10), "test": shuffled.slice(0, len(table) // 10)}
            found[name] = Files(*(folder / f"{name}.{part}.parquet" for part in parts), target)
            for part, rows in parts.items():
                pq.write_table(rows, folder / f"{name}.{part}.parquet", row_group_size=-(-len(rows) // GROUPS))
    return found


def losses_of(model: Model, files: Files) -> np.ndarray:
    """Give the loss of each test row, by what the model predicts."""
    rows = pq.read_table(files.test)
    told, truth = model.predict(str(files.test), proba=model.classes is not None), rows[files.target]
    if model.classes is None:
        known = np.asarray(truth.to_numpy(zero_copy_only=False), np.float64)
        return ((told["prediction"].to_numpy() - known) ** 2)[np.isfinite(known)]
    found = np.zeros(len(rows))
    for name in model.classes:
        here = np.array([str(one) == str(name) for one in truth.to_pylist()])
        found[here] = told[f"p_{name}"].to_numpy()[here]
    return -np.log(np.maximum(found, np.finfo(np.float32).tiny))


def learned(files: Files, name: str, workers: int, rounds: int, seed: int, options: dict[str, Any]) -> Row:
    """Train; take what counts out of the result."""
    how = {"workers": workers, "cluster": "here"} if workers else {}
    result = train(str(files.train), files.target, seed=seed, **how, **options)
    evaluations = [event for event in result.record if event["event"] == "evaluation"]
    polished = [event for event in result.record if event["event"] == "polish"]
    race = polished[-1]["champion_loss"] if polished else result.summary["holdout"]["select_loss"]
    each = losses_of(result.model, files)
    loss, passes = float(each.mean()), result.summary["chosen"].get("passes", 0)
    constant, epoch = result.summary["holdout"]["constant_loss"], evaluations[-1]["epoch"]
    row = Row(name, workers, rounds, seed, loss, without_dearest(each), race, epoch, passes, constant, each)
    print(row[:-1], result.summary["chosen"]["l2"], file=sys.stderr, flush=True)
    return row


def without_dearest(each: np.ndarray) -> float:
    """Give the mean loss without the rows of the highest."""
    return float(np.sort(each)[: len(each) - -(-len(each) // DEAREST)].mean())


def measure(sets_of: dict[str, Files], rounds: list[int], seeds: int, options: dict[str, Any]) -> list[Row]:
    """Train on every set."""
    rows: list[Row] = []
    for name, files in sets_of.items():
        rows += [learned(files, name, 0, 0, seed, options) for seed in range(seeds)]
        for each in rounds:
            cluster_feed.ROUNDS = each
            rows += [learned(files, name, who, each, seed, options) for who in WORKERS for seed in range(seeds)]
    return rows


def beside(own: list[Row], base: list[Row]) -> list[str]:
    """Tell how far workers are from one machine with the same seeds: median, ends, standard error, of the gain."""
    differences = [row.loss / one.loss - 1 for row, one in zip(own, base, strict=True)]
    gains = [(row.loss - one.loss) / (one.constant - one.loss) for row, one in zip(own, base, strict=True)]
    most = [row.most / one.most - 1 for row, one in zip(own, base, strict=True)]
    rows = np.mean([row.each - one.each for row, one in zip(own, base, strict=True)], axis=0)
    error = rows.std() / np.sqrt(len(rows)) / statistics.mean(one.loss for one in base)
    ends = f"{min(differences):+.2%} … {max(differences):+.2%}"
    return [
        f"{statistics.median(differences):+.2%}",
        ends,
        f"{error:.2%}",
        f"{statistics.median(gains):+.3%}",
        f"{statistics.median(most):+.2%}",
    ]


def seed_to_seed(base: list[Row]) -> list[str]:
    """Tell how far one machine is from itself: the ends of its seeds around their median."""
    middle = statistics.median(row.loss for row in base)
    ends = [f"{end / middle - 1:+.2%}" for end in (min(row.loss for row in base), max(row.loss for row in base))]
    return ["seed to seed", " … ".join(ends), "–", "–", "–"]


def page(rows: list[Row], command: str) -> str:
    """Write the table: medians over the seeds, workers beside one machine with the same seed."""
    lines = [
        "|data|workers|rounds an epoch|test loss|beside one machine|seeds|standard error|of the gain"
        "|without the dearest|race alone|epochs|passes after|",
        "|-|-|-|-|-|-|-|-|-|-|-|-|",
    ]
    groups: dict[tuple[str, int, int], list[Row]] = {}
    for row in rows:
        groups.setdefault(row[:3], []).append(row)
    for (name, workers, rounds), group in groups.items():
        who = [str(workers), str(rounds)] if workers else ["one machine", "–"]
        told = beside(group, groups[name, 0, 0]) if workers else seed_to_seed(group)
        loss, race, epochs, passes = (statistics.median(row[place] for row in group) for place in (4, 6, 7, 8))
        cells = [name, *who, f"{loss:.5f}", *told, f"{race:.5f}", f"{epochs:.2f}", f"{passes:.0f}"]
        lines.append("|" + "|".join(cells) + "|")
    packages = results.packages()
    return f"`{command}`\n{results.machine()}\n{packages}\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, action="append", help="rounds an epoch, several times for several")
    parser.add_argument("--only", action="append", default=[], choices=(*NAMES, "generated"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", default="auto")
    parser.add_argument("--optimizer", default="auto")
    parser.add_argument("--l2", default="auto", help="a fixed penalty: then all solve for the optimum of one objective")
    parser.add_argument("--write", action="store_true", help="keep the table in RESULTS.md")
    given = parser.parse_args()
    epochs = given.epochs if given.epochs == "auto" else int(given.epochs)
    with tempfile.TemporaryDirectory(prefix="schuss-cluster-") as folder:
        options = {
            "epochs": epochs,
            "optimizer": given.optimizer,
            "l2": given.l2 if given.l2 == "auto" else float(given.l2),
        }
        files = write_sets(Path(os.environ["SCHUSS_DATA"]), Path(folder), given.only or [*NAMES, "generated"])
        rows = measure(files, given.rounds or [cluster_feed.ROUNDS], given.seeds, options)
    text = page(rows, results.command())
    print(text)
    if given.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    main()
