"""Networks of tables: every set of PMLB against scikit-learn's MLPClassifier and MLPRegressor, and Fashion-MNIST.

    SCHUSS_DATA=FOLDER python benchmarks/networks.py pmlb [--only NAME,…] [--seeds 1] [--json FILE] [--write]
    SCHUSS_DATA=FOLDER python benchmarks/networks.py fashion

All settings are at their defaults, but that both have one hidden layer of 100 units, which is scikit-learn's default.
A quarter of the rows is the test. The peer gets standardised features, and in regression standardised targets, which it
does not do by itself. Times are those of the process on one thread: the machine may be busy with other things. They
include the import of PyTorch and the compilation of kernels that are not on the disk. Sets that are in FILE already are
not run again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from results import command, machine, packages, write_section
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import schuss

DATA = Path(os.environ.get("SCHUSS_DATA", "."))
LEVEL = 1e-3
"""Losses that differ by less of the constant prediction's loss are level: both count as half."""


def sets() -> pd.DataFrame:
    """The list of sets."""
    return pd.read_csv(DATA / "pmlb" / "SUMMARY.tsv", sep="\t")


def split(name: str, classes: bool, seed: int) -> list[np.ndarray]:
    """Rows and targets to learn from, and those to be judged by."""
    table = pd.read_csv(DATA / "pmlb" / f"{name}.tsv.gz", sep="\t")
    y = table.pop("target").to_numpy()
    X = table.to_numpy(float)
    few = classes and np.unique(y, return_counts=True)[1].min() < 2
    return train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y if classes and not few else None)


def peer(X: Any, y: Any, T: Any, classes: bool, seed: int) -> np.ndarray:
    """scikit-learn: probabilities or numbers for the rows of the test."""
    if classes:
        model = make_pipeline(StandardScaler(), MLPClassifier(random_state=seed))
        return model.fit(X, y).predict_proba(T)
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), MLPRegressor(random_state=seed)), transformer=StandardScaler()
    )
    return model.fit(X, y).predict(T)


def ours(X: Any, y: Any, T: Any, classes: bool, seed: int, **options: Any) -> np.ndarray:
    """schuss: the same."""
    task = "classification" if classes else "regression"
    model = schuss.train((X, y), network=100, task=task, seed=seed, threads=1, **options).model
    found = model.predict(T, proba=classes)
    if not classes:
        return found["prediction"].to_numpy()
    return np.column_stack([chance.to_numpy() for chance in found.columns[1:]])  # of the classes in sorted order


def judged(found: np.ndarray, y: np.ndarray, labels: Any, classes: bool) -> float:
    """The loss on the test."""
    if not classes:
        return float(mean_squared_error(y, found))
    return float(log_loss(y, np.clip(found, 1e-15, 1 - 1e-15), labels=labels))


def constant(y: np.ndarray, test: np.ndarray, classes: bool) -> float:
    """The loss of the constant prediction."""
    if not classes:
        return float(mean_squared_error(test, np.full(len(test), y.mean())))
    labels, counts = np.unique(y, return_counts=True)
    return float(log_loss(test, np.tile(counts / counts.sum(), (len(test), 1)), labels=labels))


def compare(name: str, classes: bool, seed: int, **options: Any) -> dict[str, Any]:
    """Both on one set."""
    X, T, y, test = split(name, classes, seed)
    row: dict[str, Any] = {"set": name, "rows": len(X), "seed": seed, "constant": constant(y, test, classes)}
    for who, run in (("schuss", ours), ("sklearn", peer)):
        begun, wall = time.process_time(), time.perf_counter()
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = run(X, y, T, classes, seed, **(options if who == "schuss" else {}))
        row |= {f"{who}_cpu": time.process_time() - begun, f"{who}_wall": time.perf_counter() - wall}
        row[who] = judged(found, test, np.unique(y), classes)
    return row


def shown(row: dict[str, Any]) -> str:
    unit = row["constant"]
    return (
        f"{row['set'][:34]:34} {row['rows']:7,} {row['schuss'] / unit:8.4f} {row['sklearn'] / unit:8.4f} "
        f"{row['schuss_cpu']:7.1f} {row['sklearn_cpu']:7.1f}"
    )


def pmlb(only: str | None, seeds: int, file: str | None, write: bool, **options: Any) -> None:
    """Every set, or some; losses are shown as shares of the constant prediction's."""
    rows = json.loads(Path(file).read_text()) if file and Path(file).exists() else []
    done = {(row["set"], row["seed"]) for row in rows}
    print(f"{'set':34} {'rows':>7} {'schuss':>8} {'sklearn':>8} {'s':>7} {'s':>7}")
    for each in sets().itertuples():
        if only and each.name not in only.split(","):
            continue
        for seed in range(seeds):
            if (each.name, seed) not in done:
                rows.append(compare(each.name, each.classification, seed, **options))
                print(shown(rows[-1]), flush=True)
            if file:
                Path(file).write_text(json.dumps(rows))
    table = pd.DataFrame(rows).groupby("set").mean(numeric_only=True)
    print(summary(table))
    if write:
        write_section("networks.py pmlb: every set of PMLB against scikit-learn's MLP", written(table))


def summary(table: pd.DataFrame) -> str:
    """Say on how many sets the loss is lower, and what they took."""
    gap = (table.schuss - table.sklearn) / table.constant
    won = (gap < -LEVEL).sum() + 0.5 * (gap.abs() <= LEVEL).sum()
    return (
        f"Lower loss on {won:g} of {len(table)} sets ({won / len(table):.0%}; losses within {LEVEL} count half), "
        f"strictly on {(gap < 0).sum()}, in {table.schuss_cpu.sum():.0f} s of the process against "
        f"{table.sklearn_cpu.sum():.0f} s."
    )


def written(table: pd.DataFrame) -> str:
    """Give what RESULTS.md says."""
    day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    lines = [
        f"`{command()}`",
        "",
        f"{day}, {machine()}, one thread each; {packages()}, PyTorch {version('torch')}.",
        "",
        summary(table),
        "Losses are shares of the constant prediction's. One hidden layer of 100 units each, a quarter of the rows as",
        "the test, standardised features and targets for the peer.",
        "",
        "|set|training rows|schuss|scikit-learn|schuss, s|scikit-learn, s|",
        "|-|-:|-:|-:|-:|-:|",
    ]
    for name, row in table.iterrows():
        own, theirs = row.schuss / row.constant, row.sklearn / row.constant
        losses = f"**{own:.4f}**|{theirs:.4f}" if own < theirs else f"{own:.4f}|**{theirs:.4f}**"
        lines.append(f"|{name}|{row.rows:,.0f}|{losses}|{row.schuss_cpu:.1f}|{row.sklearn_cpu:.1f}|")
    return "\n".join(lines)


def fashion(**options: Any) -> None:
    """`--network 256,128` on the official split."""
    from sets import read_idx

    folder = DATA / "fashion_mnist"
    parts = {}
    for part in ("train", "t10k"):
        images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
        parts[part] = images.astype(np.float32), read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 8).astype(int)
    begun, wall = time.process_time(), time.perf_counter()
    result = schuss.train(parts["train"], network="256,128", **options)
    seconds = time.perf_counter() - wall
    scores = result.model.evaluate(parts["t10k"])
    print(f"accuracy {scores['accuracy']:.4f}, log loss {scores['loss']:.4f}, {seconds:.0f} s, "
          f"of the process {time.process_time() - begun:.0f} s; {result.summary['chosen']}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["pmlb", "fashion"])
    parser.add_argument("--only")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json")
    parser.add_argument("--write", action="store_true", help="write the section of RESULTS.md")
    given = parser.parse_args()
    if given.what == "fashion":
        fashion()
    else:
        pmlb(given.only, given.seeds, given.json, given.write)
