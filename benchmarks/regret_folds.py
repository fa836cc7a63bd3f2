"""How a penalty is best chosen on few rows: folds, held-out rows or no choice at all, each learned again from all rows.

    SCHUSS_DATA=FOLDER python benchmarks/regret_folds.py --splits 2

Solutions are those of L-BFGS in float64; regret is counted against the steady expert of regret_experts.csv.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from regret_experts import Setting, solve
from regret_rows import Encoded, encode
from regret_sets import load, names, split
from regret_stats import summary
from regret_trials import expert_table
from threadpoolctl import threadpool_limits

from schuss.data.chunk import take

FOLDS = 5
LEVELS = (1e4, 1e3, 316.0, 100.0, 31.6, 10.0, 3.16, 1.0, 0.316, 0.1, 0.01, 0.001, 0.0)
"""Penalties times rows, from the strongest."""

SIGNAL = 0.08
"""Sets whose expert gains less of the constant's loss have no signal to speak of."""


class Solved(NamedTuple):
    """Losses of the penalties, `(rows, levels)` when a row's fold is held out, and `(levels,)` on the test rows.

    first : the rows of the first fold.
    """

    held_out: np.ndarray
    first: np.ndarray
    test: np.ndarray


def solved(encoded: Encoded, seed: int) -> Solved:
    """Solve for every penalty, from all rows and without each fold; classes are dealt evenly to the folds."""
    wanted, given = [Setting("lbfgs", 0.0, "", level) for level in LEVELS], encoded.given
    order = np.random.default_rng(seed).permutation(len(given.targets))
    folds = np.empty(len(order), int)
    folds[order[np.argsort(given.targets[order], kind="stable")]] = np.arange(len(order)) % FOLDS
    held_out = np.empty((len(order), len(LEVELS)))
    for fold in range(FOLDS):
        rows = take(given, folds == fold)
        weights = solve(wanted, encoded._replace(given=take(given, folds != fold)))
        held_out[folds == fold] = np.stack([encoded.losses(encoded.scores(one, rows), rows) for one in weights], axis=1)
    test = encoded.others[0]
    losses = [encoded.losses(encoded.scores(one, test), test).mean() for one in solve(wanted, encoded)]
    return Solved(held_out, np.flatnonzero(folds == 0), np.array(losses))


def choices(found: Solved) -> dict[str, float]:
    """Give the test loss by each way to choose."""
    means = found.held_out.mean(axis=0)
    best = int(np.argmin(means))
    narrow = [level for level in LEVELS if 0.01 <= level <= 100 and np.log10(level).is_integer()]
    answer = {
        "five folds": best,
        "five folds, λN = 100 … 0.01": min((LEVELS.index(level) for level in narrow), key=lambda place: means[place]),
    }
    behind = found.held_out - found.held_out[:, [best]]
    errors = behind.std(axis=0) / np.sqrt(len(behind))
    for share in (0.5, 1.0):
        level = behind.mean(axis=0) <= share * errors
        answer[f"five folds, the strongest within {share} standard errors"] = int(np.argmax(level))
    for share in (0.2, 0.1, 0.05):
        rows = found.first[: max(2, round(len(found.first) * share * FOLDS))]
        answer[f"{100 * share:.0f} % held out"] = int(np.argmin(found.held_out[rows].mean(axis=0)))
    answer |= {f"none: λN = {level:g}": LEVELS.index(level) for level in (10.0, 1.0, 0.1, 0.0)}
    answer["the best by test"] = int(np.argmin(found.test))
    return {name: float(found.test[place]) for name, place in answer.items()}


def main() -> None:
    """Print the regret of each way to choose, and where there is no signal the excess over the constant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", action="append", help="small (default), or names")
    parser.add_argument("--splits", type=int, default=1)
    arguments = parser.parse_args()
    data, experts = Path(os.environ["SCHUSS_DATA"]), expert_table("steady")
    regrets: defaultdict[str, list[float]] = defaultdict(list)
    excesses: defaultdict[str, list[float]] = defaultdict(list)
    for name in [name for group in arguments.sets or ["small"] for name in names(data, group)]:
        whole, losses = load(data, name), defaultdict(list)
        means = [experts[name, number].means for number in range(arguments.splits)]
        for number in range(arguments.splits):
            parts = split(whole, name, number)
            with threadpool_limits(1), np.errstate(all="ignore"):
                for choice, loss in choices(solved(encode(parts.given, parts.test), number)).items():
                    losses[choice].append(loss)
        steady, constant = (float(np.mean([one[pick] for one in means])) for pick in ("steady", "constant"))
        for choice, found in losses.items():
            if constant - steady > SIGNAL * constant:
                regrets[choice].append((float(np.mean(found)) - steady) / (constant - steady))
            else:
                excesses[choice].append(100 * (float(np.mean(found)) / constant - 1))
        print(".", end="", file=sys.stderr, flush=True)
    print("|choice of the penalty|sets|mean|median|90th|worst|without signal, worst|\n|-|-|-|-|-|-|-|")
    for choice, found in regrets.items():
        over, excess = summary(found), max(excesses[choice], default=np.nan)
        figures = f"{over.mean:+.1f}|{over.median:+.1f}|{over.ninetieth:+.1f}|{over.worst:+.1f}|{excess:+.2f}"
        print(f"|{choice}|{over.sets}|{figures}|")


if __name__ == "__main__":
    main()
