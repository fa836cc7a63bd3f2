"""Whether the finish by full passes pays: the race's champion beside what the finish makes of it, on the same rows.

Each training is done once, with every setting at its default; the champion is scored on the test rows as the race
leaves it and as the finish leaves it, and the seconds of both parts are told apart.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import results
from sets import SETS

from schuss import training
from schuss.finish.finish import Finished
from schuss.race.state import Champion

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
    """Test loss and seconds without and with the finish, and what the finish chose."""

    before: float
    after: float
    race_seconds: float
    finish_seconds: float
    passes: int
    constant: float
    zeros_before: float
    zeros_after: float


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """Let the finish tell what it was given and how long it took; training itself stays as it is."""
    finish: Callable[..., Finished] = training.finish
    seen: dict[str, Any] = {}

    def timed(champion: Champion, *given: Any, **named: Any) -> Finished:
        begun = time.perf_counter()
        after = finish(champion, *given, **named)
        seen.update(champion=champion, seconds=time.perf_counter() - begun, passes=after.final.passes)
        return after

    training.finish = timed  # pyright: ignore
    try:
        yield seen
    finally:
        training.finish = finish  # pyright: ignore


def compare(train: Any, test: Any, target: str | None, seed: int, l1: float) -> Outcome:
    """Train once, and score the champion before and after its finish."""
    reading = {"format": "svmlight"} if target is None else {}
    with watched() as seen:
        begun = time.perf_counter()
        result = training.train(train, target=target, seed=seed, l1=l1, **reading)
        seconds = time.perf_counter() - begun
    without = replace(result.model, weights=seen["champion"].state.weights)
    losses = [model.evaluate(test, **reading)["loss"] for model in (without, result.model)]
    constant = result.summary["holdout"]["constant_loss"]
    zeros = [100 * float(np.mean(model.weights[:-1] == 0)) for model in (without, result.model)]
    return Outcome(*losses, seconds - seen["seconds"], seen["seconds"], seen["passes"], constant, *zeros)


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
    before, after, race, finish, passes, constant, *zeros = (
        float(np.mean(column)) for column in zip(*outcomes, strict=True)
    )
    better = sum(outcome.after < outcome.before for outcome in outcomes)
    gain = 100 * (before - after) / (constant - min(before, after))
    figures = f"{before:.5g}|{after:.5g}|{gain:+.2f}|{better} of {len(outcomes)}|{race:.1f}|{finish:.1f}|{passes:.0f}"
    return f"|{name}|{figures}|" + (f"{zeros[0]:.0f}|{zeros[1]:.0f}|" if l1 else "")


def page(rows: list[str], command: str, l1: float) -> str:
    """Write the section of RESULTS.md."""
    versions = results.packages()
    lines = "\n".join(rows)
    return f"""
`SCHUSS_DATA=FOLDER {command}`

{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}; {results.machine()}; {versions}.

|data|test loss without|with finish|gain, %|better|s of the rest|s of the finish|passes|{ZEROS if l1 else ""}
|-|-|-|-|-|-|-|-|{"-|-|" if l1 else ""}
{lines}

Means over seeds 0 to {SEEDS - 1}, which also split the sets of PMLB 70 to 30; {", ".join(ONE_SEED)} with seed 0 alone.
Test losses are nats or squared errors in the target's unit; the gain is in % of what the better of the two gains over
the constant prediction; passes count only where a solution replaced the champion. kddcup99's test rows have drifted.
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
