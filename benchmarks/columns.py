"""Whether time depends on the cells of a table, not on how many of them stand in a row.

Tables of as many cells with 10 to 20,000 columns of numbers, as CSV and Parquet: `schuss train` (16 runs, one epoch)
and `schuss predict`, each a process of its own, beside pandas that reads the same file for scikit-learn's
SGDClassifier to learn from it for one epoch. They take turns; seconds are medians of whole processes.

    python benchmarks/columns.py                             five million cells, three rounds
    python benchmarks/columns.py --cells 1e6 --rounds 1      a quick look
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import results

COLUMNS = (10, 100, 1000, 5000, 20_000)
FORMATS = ("csv", "parquet")
PEER = """
import sys, pandas
from sklearn.linear_model import SGDClassifier
path = sys.argv[1]
table = pandas.read_csv(path) if path.endswith("csv") else pandas.read_parquet(path)
y = table.pop("y").to_numpy()
SGDClassifier(loss="log_loss", max_iter=1, tol=None, random_state=0).fit(table.to_numpy("f4"), y)
"""


def write(path: Path, cells: int, columns: int) -> None:
    """Make a table of two classes, which differ in the sum of two columns."""
    X = np.random.default_rng(0).normal(size=(cells // columns, columns)).astype(np.float32).round(3)
    table = pa.table({**{f"c{at}": X[:, at] for at in range(columns)}, "y": (X[:, 0] + X[:, 1] > 0).astype(int)})
    if path.suffix == ".csv":
        pacsv.write_csv(table, path)
    else:
        pq.write_table(table, path)


def commands(path: Path) -> dict[str, list[str]]:
    """Give what is timed, by name."""
    schuss, run = [sys.executable, "-m", "schuss"], str(path.with_suffix(".run"))
    train = ["train", str(path), "--target", "y", "--epochs", "1", "--out", run, "--force", "--quiet"]
    return {
        "schuss train, 16 runs": [*schuss, *train],
        "schuss predict": [*schuss, "predict", run, str(path), "--out", f"{run}.csv"],
        "pandas and scikit-learn": [sys.executable, "-W", "ignore", "-c", PEER, str(path)],
    }


def seconds(command: list[str]) -> float:
    """Run a command to its end."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def measure(path: Path, rounds: int) -> dict[str, float]:
    """Time everything in turns, after a first round that may compile."""
    taken = [{name: seconds(command) for name, command in commands(path).items()} for _ in range(rounds + 1)]
    return {name: median(one[name] for one in taken[1:]) for name in taken[0]}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="time against the number of columns")
    parser.add_argument("--cells", type=float, default=5e6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--columns", type=int, nargs="+", default=COLUMNS)
    options = parser.parse_args()
    print(f"`{results.command()}`\n{results.machine()}\n{results.packages()}\n")
    for place, columns in enumerate(options.columns):
        for form in FORMATS:
            with tempfile.TemporaryDirectory(prefix="schuss-columns-") as folder:
                path = Path(folder, f"t.{form}")
                write(path, int(options.cells), columns)
                found = measure(path, options.rounds)
            if place == 0 and form == FORMATS[0]:
                print("|columns|rows|format|" + "|".join(f"{name}, s" for name in found) + "|")
                print("|-|-|-|" + "-|" * len(found))
            row = [
                f"{columns:,}",
                f"{int(options.cells) // columns:,}",
                form,
                *(f"{one:.2f}" for one in found.values()),
            ]
            print("|" + "|".join(row) + "|", flush=True)


if __name__ == "__main__":
    main()
