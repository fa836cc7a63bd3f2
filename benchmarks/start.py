"""From typing to a result on 1,000 rows of 10 columns: the very first time, and every time after that.

Each command is a process of its own; a round runs every command once, and ratios are taken within a round, so that a
machine that is busier for a while is busier for all of them. The very first time has no compiled kernels and no
compiled Python files of any package, neither schuss's nor its peers'; the processes after it find both.

    python benchmarks/start.py                    a table on standard output
    python benchmarks/start.py --rounds 25 --write    also into RESULTS.md
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import results

TITLE = "start.py: from typing to a result on 1,000 rows"
BASE = "`import numba, pyarrow`"
WARM, COLD = 2.0, 15.0
"""The targets: a training afterwards in so many times the base, the very first one in so many seconds."""

PEER = """
import sys
import pandas as pd
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

table = pd.read_csv(sys.argv[1])
train, test = train_test_split(table, test_size=0.1, random_state=0)
model = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0))
model.fit(train.drop(columns="y"), train["y"])
print(model.score(test.drop(columns="y"), test["y"]))
"""


class Command(NamedTuple):
    """What is timed: its name in the table, and the arguments of Python."""

    name: str
    arguments: tuple[str, ...]


def commands(folder: Path) -> list[Command]:
    """Give the commands, with the files that they need; predictions follow a training."""
    table, peer, run = folder / "small.csv", folder / "peer.py", folder / "run"
    write_table(table)
    peer.write_text(PEER, encoding="utf-8")
    # What the console script does, through which `schuss` is called.
    schuss = ("-c", "import sys; from schuss.cli.main import main; sys.exit(main())")
    training = ("train", str(table), "--target", "y", "--out", str(run), "--force", "--quiet")
    return [
        Command(BASE, ("-c", "import numba, pyarrow")),
        Command("`import sklearn.linear_model`", ("-c", "import sklearn.linear_model")),
        Command("scikit-learn: read, scale, SGDClassifier, score", (str(peer), str(table))),
        Command("`schuss --help`", (*schuss, "--help")),
        Command("**`schuss train`**, 16 runs, with its report", (*schuss, *training)),
        Command("`schuss predict`", (*schuss, "predict", str(run), str(table), "--out", str(folder / "out.csv"))),
    ]


def write_table(path: Path) -> None:
    """Write two classes that overlap."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 10))
    target = rows @ rng.normal(size=10) + 2.0 * rng.logistic(size=1000) > 0
    head = ",".join([*(f"c{i}" for i in range(10)), "y"])
    np.savetxt(path, np.c_[rows, target], delimiter=",", header=head, comments="", fmt=["%.10g"] * 10 + ["%d"])


def seconds(command: Command, environment: dict[str, str]) -> float:
    """Time a process from its start to its end."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *command.arguments], env=environment, capture_output=True, check=False)
    took = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"{command.name} failed:\n{done.stderr.decode()}")
    return took


def fresh(folder: Path) -> dict[str, str]:
    """Give the environment of processes that find no compiled kernels and no compiled Python files."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"SCHUSS_CACHE": str(folder / "kernels"), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def measure(rounds: int, first: int) -> tuple[list[Command], np.ndarray, np.ndarray]:
    """Give the commands, the seconds of their first times `(first, commands)`, and of later ones `(rounds, …)`."""
    cold, warm = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed = commands(folder)
        for attempt in range(first):
            cold.append([])
            for place, command in enumerate(listed):
                # A folder of its own for each: what one compiles would serve the next. Predictions follow a training.
                own = folder / f"first{attempt}-{place if 'predict' not in command.name else place - 1}"
                cold[-1].append(seconds(command, fresh(own)))
        environment = fresh(folder / "warm")
        for turn in range(rounds + 1):
            took = [seconds(command, environment) for command in listed]
            if turn:  # the first turn leaves what the others find
                warm.append(took)
    return listed, np.array(cold), np.array(warm)


def page(listed: list[Command], cold: np.ndarray, warm: np.ndarray, command: str) -> str:
    """Write the section of RESULTS.md."""
    ratios = warm / warm[:, :1]
    lines = []
    for place, one in enumerate(listed):
        own = warm[:, place]
        low, high = np.quantile(own, [0.1, 0.9])
        parts = [
            one.name, f"{np.median(cold[:, place]):.2f}", f"{np.median(own):.3f}", f"{own.min():.3f}",
            f"{low:.3f} to {high:.3f}", f"{np.median(ratios[:, place]):.2f}",
        ]  # fmt: skip
        lines.append(f"|{'|'.join(parts)}|")
    versions = results.packages()
    table = "\n".join(lines)
    training = next(place for place, one in enumerate(listed) if "train" in one.name)
    ratio, begun = float(np.median(ratios[:, training])), float(np.median(cold[:, training]))
    return f"""
`{command}`

{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}; {results.machine()}; {versions};
each command with the threads that it takes by itself.

|a process of its own|very first time, s|afterwards: median, s|least|four fifths between|times {BASE}|
|-|-|-|-|-|-|
{table}

Medians of {len(warm)} rounds in which each command runs once; ratios are taken within a round. The very first time
(median of {len(cold)}) finds neither compiled kernels nor compiled Python files of any package; there `schuss predict`
follows a training. Targets: a training afterwards in at most {WARM:g} × {BASE}
({verdict(ratio, WARM)}: {ratio:.2f}), the very first one in at most {COLD:g} s ({verdict(begun, COLD)}: {begun:.1f} s).
"""


def verdict(value: float, most: float) -> str:
    """Say whether a target is met."""
    return "met" if value <= most else "missed"


def main() -> None:
    """Measure, print, and keep it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each command is timed afterwards")
    parser.add_argument("--first", type=int, default=1, help="how often each command is timed for the very first time")
    parser.add_argument("--write", action="store_true", help="replace the section in RESULTS.md")
    arguments = parser.parse_args()
    measured = measure(arguments.rounds, arguments.first)
    text = page(*measured, f"python benchmarks/start.py --rounds {arguments.rounds} --first {arguments.first}")
    print(text)
    if arguments.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    main()
