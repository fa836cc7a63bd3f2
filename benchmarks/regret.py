"""How far a training with every setting at its default ends from an expert's grid search, and what its peers do.

    SCHUSS_DATA=FOLDER python benchmarks/regret.py --sets small --splits 3                  the default alone
    SCHUSS_DATA=FOLDER python benchmarks/regret.py --sets all --what default --what peers   with peers
    ... --what default:l2=0,runs=32        with other options; yardsticks: what other experts of the table reached

Regret is (L − L_expert) / (L_constant − L_expert) on test rows, in percent. The experts are those of
regret_experts.csv; the losses of single rows, for paired errors, come from the folder SCHUSS_REGRET, where
regret_experts.py keeps them. Every trial is written into a CSV file under --out.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from regret_experts import PICKS
from regret_peers import PEERS
from regret_sets import load, names, split
from regret_stats import Regret, Trial, is_untouched, regret_of, summary
from regret_trials import ALONE, case_of, expert_table, trials_of
from threadpoolctl import threadpool_limits

GROUPS = {"peers": list(PEERS), "yardsticks": list(PICKS), "single": [ALONE]}
"""What stands for several methods, or is shorter to write."""


def line_of(one: Regret, width: int) -> str:
    """Write the line of a set."""
    apart = "" if one.sure else "  (no sure gain)"
    failed = "  FAILED" if one.fails else ""
    figures = f"{one.constant:11.5g} {one.expert:11.5g} {one.loss:11.5g} {100 * one.regret:8.2f} {100 * one.error:7.2f}"
    return f"{one.name:{width}} {one.splits:2} {figures} {one.seconds:7.2f}{failed}{apart}"


def page(trials: list[Trial]) -> str:
    """Write a table of sets for every method, and one of all methods."""
    lines: list[str] = []
    methods = list(dict.fromkeys(one.method for one in trials))
    regrets = {method: regrets_of([one for one in trials if one.method == method]) for method in methods}
    for method in methods:
        width = max(len(one.name) for one in regrets[method])
        lines += ["", f"{method}", f"{'set':{width}}  n    constant      expert        loss regret %       ±       s"]
        lines += [line_of(one, width) for one in sorted(regrets[method], key=lambda one: -one.regret)]
    title = f"{'method':28} sets    mean  ≤ 95 %  median    90th   worst  fail      s"
    for heading, wanted in (("all", lambda name: True), ("untouched half", is_untouched)):
        lines += ["", f"{heading}: sets where the expert surely gains", title]
        lines += [method_line(method, [one for one in found if wanted(one.name)]) for method, found in regrets.items()]
    return "\n".join(lines)


def regrets_of(trials: list[Trial]) -> list[Regret]:
    """Give the regret of one method on each set."""
    sets = dict.fromkeys(one.name for one in trials)
    return [regret_of([one for one in trials if one.name == name]) for name in sets]


def method_line(method: str, found: list[Regret]) -> str:
    """Write the line of a method over all sets; failures and seconds are those of every set."""
    over = summary([one.regret for one in found if one.sure])
    figures = "".join(f"{value:8.2f}" for value in over[1:])
    failures, seconds = sum(one.fails for one in found), np.mean([one.seconds for one in found] or [np.nan])
    return f"{method:28} {over.sets:4}{figures} {failures:5} {seconds:6.2f}"


def write(trials: list[Trial], path: Path) -> None:
    """Write every trial."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Trial._fields)
        writer.writerows(trials)


def main() -> None:
    """Run the methods on the sets, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", action="append", help="small (default), middle, large, pmlb, all or a name")
    parser.add_argument("--splits", type=int, default=1, help="at most so many splits of a set")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of the default on each split")
    parser.add_argument(
        "--what", action="append", help="default (default), default:OPTIONS, single, peers, a peer, yardsticks"
    )
    parser.add_argument("--against", default="expert", choices=PICKS, help="whom regret is counted against")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "schuss-regret" / "trials.csv")
    arguments = parser.parse_args()
    what = [one for name in arguments.what or ["default"] for one in GROUPS.get(name, [name])]
    data, experts = Path(os.environ["SCHUSS_DATA"]), expert_table(arguments.against)
    trials: list[Trial] = []
    for name in dict.fromkeys(name for group in arguments.sets or ["small"] for name in names(data, group)):
        numbers = [number for number in range(arguments.splits) if (name, number) in experts]
        whole = load(data, name) if numbers else None
        for number in numbers:
            with threadpool_limits(1):
                case = case_of(split(whole, name, number), name, number, experts[name, number])
                trials += trials_of(case, what, arguments.seeds)
        print(".", end="", file=sys.stderr, flush=True)
        write(trials, arguments.out)
    print(page(trials))
    print(f"\nevery trial: {arguments.out}")


if __name__ == "__main__":
    main()
