"""Whether the finish by full passes pays: a race alone beside the default, which finishes a short one.

Each training is done twice: once by a race that goes on as long as it gains, whose champion is the model, and once
with every setting at its default.

    SCHUSS_DATA=FOLDER python benchmarks/finish.py                     every set, a table on standard output
    SCHUSS_DATA=FOLDER python benchmarks/finish.py --only adult --write    also into RESULTS.md
    SCHUSS_DATA=FOLDER python benchmarks/finish.py --l1 0.001          with λ₁, and the shares of weights that are zero

benchmarks/fetch.py says where the data come from; sets of PMLB are split 70 to 30.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
import results
from sets import SETS

from schuss.finish.finish import Finished
from schuss.race.state import Champion
from schuss.training import ending, training
from schuss.training.training import Result

TITLE = "finish.py: with and without the finish by full passes"
TITLE_L1 = "finish.py --l1: the same beside λ₁"
REAL = ("digits", "adult", "a9a", "fashion_mnist", "nycflights13", "kddcup99")
PMLB = (
    "1028_SWD", "197_cpu_act", "225_puma8NH", "574_house_16H", "analcatdata_authorship", "churn", "cmc", "dna",
    "mfeat_zernike", "page_blocks", "phoneme", "wine_quality_white",
)  # fmt: skip
UNTOUCHED = (
    "218_house_8L", "522_pm10", "562_cpu_small", "593_fri_c1_1000_10", "balance_scale", "breast_w", "hypothyroid",
    "solar_flare_2", "waveform_21", "wine_quality_red",
)  # fmt: skip
"""Sets that had no part in the choice of the finish's thresholds and penalties."""

ZEROS = "weights at zero without, %|with finish, %|"

SEEDS = 3
ONE_SEED = ("fashion_mnist", "nycflights13")


class Outcome(NamedTuple):
    """Test loss and seconds without and with the finish, and the passes of the finish."""

    before: float
    after: float
    seconds_before: float
    seconds_after: float
    passes: int
    constant: float
    zeros_before: float
    zeros_after: float


def unfinished(champion: Champion, *given: Any, **named: Any) -> Finished:
    """Give the race's champion as it is."""
    return Finished(champion, champion)


def trained(train: Any, target: str | None, seed: int, l1: float) -> tuple[Result, float]:
    """Train, and tell the seconds of the processor."""
    begun = time.process_time()
    reading = {"format": "svmlight"} if target is None else {}
    result = training.train(train, target=target, seed=seed, l1=l1, **reading)
    return result, time.process_time() - begun


def compare(train: Any, test: Any, target: str | None, seed: int, l1: float) -> Outcome:
    """Train by a race alone, as long as it gains, and by default; score both on the test rows."""
    with patch.object(ending, "finish", unfinished), patch.object(ending, "has_passes", lambda *given: False):
        without, seconds = trained(train, target, seed, l1)
    result, with_finish = trained(train, target, seed, l1)
    reading = {"format": "svmlight"} if target is None else {}
    losses = [one.model.evaluate(test, **reading)["loss"] for one in (without, result)]
    zeros = [100 * float(np.mean(one.model.weights[:-1] == 0)) for one in (without, result)]
    passes, constant = result.summary["chosen"].get("passes", 0), result.summary["holdout"]["constant_loss"]
    return Outcome(*losses, seconds, with_finish, passes, constant, *zeros)


def splits(name: str, data: Path, folder: Path, seed: int) -> Iterator[tuple[Any, Any, str | None]]:
    """Give the training and test rows of a set, and its target; sets of PMLB are split anew with every seed."""
    for dataset in SETS:
        if dataset.name == name:
            for split in dataset.prepare(data, folder)[:1]:
                yield split.train, split.test, dataset.target
            return
    table = pd.read_csv(data / "pmlb" / f"{name}.tsv.gz", sep="\t")
    order = np.random.default_rng(seed).permutation(len(table))
    train, test = np.split(order, [len(table) * 7 // 10])
    yield (*(table.iloc[part].reset_index(drop=True) for part in (train, test)), "target")


def row(name: str, outcomes: list[Outcome], l1: float) -> str:
    """Write the row of a set: means over its seeds."""
    before, after, slow, fast, passes, constant, *zeros = (
        float(np.mean(column)) for column in zip(*outcomes, strict=True)
    )
    better = sum(outcome.after < outcome.before for outcome in outcomes)
    gain = 100 * (before - after) / (constant - min(before, after))
    figures = f"{before:.5g}|{after:.5g}|{gain:+.2f}|{better} of {len(outcomes)}|{slow:.1f}|{fast:.1f}|{passes:.0f}"
    return f"|{name}|{figures}|" + (f"{zeros[0]:.0f}|{zeros[1]:.0f}|" if l1 else "")


def page(rows: list[str], command: str, l1: float) -> str:
    """Write the section of RESULTS.md."""
    versions = results.packages()
    lines = "\n".join(rows)
    return f"""
`SCHUSS_DATA=FOLDER {command}`

{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}; {results.machine()}; {versions}.

|data|test loss without|with finish|gain, %|better|s without|s with|passes|{ZEROS if l1 else ""}
|-|-|-|-|-|-|-|-|{"-|-|" if l1 else ""}
{lines}

Means over seeds 0 to {SEEDS - 1}, which also split the sets of PMLB 70 to 30; {", ".join(ONE_SEED)} with seed 0 alone.
Test losses are nats or squared errors in the target's unit; the gain is in % of what the better of the two gains over
the constant prediction; passes count only where a solution replaced the champion; seconds are those of the processors.
Without the finish the race goes on as long as it gains. kddcup99's test rows have drifted.
The thresholds and penalties of the finish were chosen with the sets above 218_house_8L in view; those from it on had no
part in that.
"""


def main() -> None:
    """Run the sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", choices=(*REAL, *PMLB, *UNTOUCHED))
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    parser.add_argument("--l1", type=float, default=0.0, metavar="X", help="λ₁ of all trainings")
    arguments = parser.parse_args()
    l1 = arguments.l1
    if "SCHUSS_DATA" not in os.environ:
        parser.error("SCHUSS_DATA must name the folder of the data sets; benchmarks/fetch.py says where to get them")
    data, rows = Path(os.environ["SCHUSS_DATA"]), []
    for name in arguments.only or (*REAL, *PMLB, *UNTOUCHED):
        seeds = range(1 if name in ONE_SEED else SEEDS)
        with tempfile.TemporaryDirectory(prefix="schuss-finish-") as folder:
            outcomes = [compare(*split, seed, l1) for seed in seeds for split in splits(name, data, Path(folder), seed)]
        rows.append(row(name, outcomes, l1))
        print(rows[-1], file=sys.stderr, flush=True)
    only = "".join(f" --only {name}" for name in arguments.only or ())
    stated = f" --l1 {l1:g}" if l1 else ""
    text = page(rows, f"python benchmarks/finish.py{only}{stated}", l1)
    print(text)
    if arguments.write:
        results.write_section(TITLE_L1 if l1 else TITLE, text)


if __name__ == "__main__":
    main()
