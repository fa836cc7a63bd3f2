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
from collections.abc import Callable
from pathlib import Path

import numpy as np
from regret_experts import PICKS
from regret_peers import PEERS
from regret_sets import load, names, split
from regret_stats import Regret, Trial, in_other_half, regret_of, summary
from regret_trials import ALONE, ALONE_LONG, case_of, expert_table, trials_of
from threadpoolctl import threadpool_limits

GROUPS = {"peers": list(PEERS), "yardsticks": list(PICKS), "single": [ALONE], "long": [ALONE_LONG]}
"""What stands for several methods, or is shorter to write."""


def page(trials: list[Trial], data: Path) -> str:
    """Write a table of methods for all sets and for parts of them, one of the default's sets, and the failures."""
    methods = dict.fromkeys(one.method for one in trials)
    regrets = {method: regrets_of([one for one in trials if one.method == method]) for method in methods}
    first = next(iter(methods))
    title = f"|method|sets|mean|≤ 95 %|median|90th|worst|behind {first}, median|mean|±|failures|s|"
    title += "\n" + "|-" * (title.count("|") - 1) + "|"
    lines: list[str] = []
    for heading, wanted in parts_of(data).items():
        chosen = {method: [one for one in found if wanted(one.name)] for method, found in regrets.items()}
        if any(chosen.values()):
            mine = {one.name: one for one in chosen[first]}
            found = [method_line(method, chosen[method], mine) for method in methods if chosen[method]]
            lines += ["", f"{heading}:", "", title, *found]
    lines += ["", f"{first}:", "", "|set|splits|constant|expert|loss|regret, %|±|s|", "|-|-|-|-|-|-|-|-|"]
    lines += [set_line(one) for one in sorted(regrets[first], key=lambda one: (not one.sure, -one.regret))]
    failures = [f"{method}: {one.name}" for method, found in regrets.items() for one in found if one.fails]
    return "\n".join([*lines, "", "Failures: " + ("; ".join(failures) or "none") + "."])


def parts_of(data: Path) -> dict[str, Callable[[str], bool]]:
    """Name the parts of the sets that are summarised."""
    middle, large = set(names(data, "middle")), set(names(data, "large"))
    return {
        "All sets": lambda name: True,
        "A fixed half of the sets, by a hash of their names": in_other_half,
        "Below 5,000 rows": lambda name: name not in middle | large,
        "5,000 to 100,000 rows": lambda name: name in middle,
        "Above 100,000 rows": lambda name: name in large,
    }


def regrets_of(trials: list[Trial]) -> list[Regret]:
    """Give the regret of one method on each set."""
    sets = dict.fromkeys(one.name for one in trials)
    return [regret_of([one for one in trials if one.name == name]) for name in sets]


def method_line(method: str, found: list[Regret], first: dict[str, Regret]) -> str:
    """Write the line of a method over sets; failures and seconds are those of every set, also without a sure gain."""
    sure = [one for one in found if one.sure]
    over = summary([one.regret for one in sure])
    behind = 100 * np.array([one.regret - first[one.name].regret for one in sure if one.name in first])
    error = behind.std(ddof=1) / np.sqrt(len(behind)) if len(behind) > 1 else np.nan
    apart = (np.median(behind), behind.mean(), error) if len(behind) else (np.nan,) * 3
    figures = "|".join(f"{value:.2f}" for value in (*over[1:], *apart))
    seconds = np.mean([one.seconds for one in found])
    spent = "" if np.isnan(seconds) else f"{seconds:.2f}"
    return f"|{method}|{over.sets}|{figures}|{sum(one.fails for one in found)}|{spent}|"


def set_line(one: Regret) -> str:
    """Write the line of a set; without a sure gain regret says nothing."""
    regret = f"{100 * one.regret:+.2f}|{100 * one.error:.2f}" if one.sure else "no sure gain|"
    return f"|{one.name}|{one.splits}|{one.constant:.5g}|{one.expert:.5g}|{one.loss:.5g}|{regret}|{one.seconds:.2f}|"


def write(trials: list[Trial], path: Path) -> None:
    """Write every trial."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Trial._fields)
        writer.writerows(trials)


def read(path: Path, against: str) -> list[Trial]:
    """Read the trials of an earlier run, and count them against this expert, whose row losses are not at hand here."""
    experts, trials = expert_table(against), []
    words = ("name", "method", "note")
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            numbers = {name: float(value) for name, value in line.items() if name not in words}
            one = Trial(**{**line, **numbers, "split": int(line["split"])})  # pyright: ignore
            mean = experts[one.name, one.split].means[against]
            same = bool(np.isclose(one.expert, mean, rtol=1e-6))
            trials.append(one if same else one._replace(expert=mean, behind_error=np.nan))
    return trials


def run(arguments: argparse.Namespace, data: Path) -> list[Trial]:
    """Let the methods run on the sets, and write every trial as soon as it is done."""
    what = [one for name in arguments.what or ["default"] for one in GROUPS.get(name, [name])]
    experts, trials = expert_table(arguments.against), []
    for name in dict.fromkeys(name for group in arguments.sets or ["small"] for name in names(data, group)):
        numbers = [number for number in range(arguments.splits) if (name, number) in experts]
        whole = load(data, name) if numbers else None
        for number in numbers:
            with threadpool_limits(1):
                case = case_of(split(whole, name, number), name, number, experts[name, number])
                trials += trials_of(case, what, arguments.seeds)
        print(".", end="", file=sys.stderr, flush=True)
        write(trials, arguments.out)
    return trials


def main() -> None:
    """Run the methods on the sets, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", action="append", help="small (default), middle, large, pmlb, all or a name")
    parser.add_argument("--splits", type=int, default=1, help="at most so many splits of a set")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of the default on each split")
    parser.add_argument(
        "--what", action="append", help="default (default), default:OPTIONS, single, long, peers, a peer, yardsticks"
    )
    parser.add_argument("--against", default="expert", choices=PICKS, help="whom regret is counted against")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "schuss-regret" / "trials.csv")
    parser.add_argument("--read", action="append", type=Path, metavar="FILE", help="show earlier runs, and run nothing")
    arguments = parser.parse_args()
    data = Path(os.environ["SCHUSS_DATA"])
    trials = run(arguments, data) if not arguments.read else []
    for path in arguments.read or ():
        trials += read(path, arguments.against)
    print(page(trials, data))


if __name__ == "__main__":
    main()
