"""How far a training with every setting at its default ends from an expert's grid search, and what its peers do.

    SCHUSS_DATA=FOLDER python benchmarks/regret.py --sets small --splits 3                  the default alone
    SCHUSS_DATA=FOLDER python benchmarks/regret.py --sets all --what default --what peers   with peers
    ... --what default:l2=0,runs=32        with other options; --what second, lbfgs, oracle: yardsticks from the table

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
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from regret_experts import PICKS, TABLE, kept
from regret_peers import PEERS, Task
from regret_rows import Encoded, encode, encoded_rows
from regret_sets import Split, load, names, split, splits_of
from regret_stats import Regret, Trial, is_untouched, regret_of, row_error, summary
from threadpoolctl import threadpool_limits

import schuss
from schuss.descent.losses import loss_for, values_and_gradients


class Expert(NamedTuple):
    """What the experts said of one split: mean losses, and those of the test rows where they are at hand.

    against : the expert whom regret is counted against.
    """

    against: str
    means: dict[str, float]
    gain_error: float
    rows: dict[str, np.ndarray]


class Outcome(NamedTuple):
    """Row losses of a method on the test rows, the processor seconds of its training, and what it chose."""

    losses: np.ndarray
    seconds: float
    note: str


def expert_table(against: str) -> dict[tuple[str, int], Expert]:
    """Read the committed table, and the row losses that are at hand."""
    answer = {}
    with TABLE.open(newline="") as file:
        for line in csv.DictReader(file):
            key = line["set"], int(line["split"])
            means = {pick: float(line[pick]) for pick in (*PICKS, "constant")}
            answer[key] = Expert(against, means, float(line["gain_error"]), {})
    return answer


def rows_at_hand(expert: Expert, name: str, number: int, test: int) -> Expert:
    """Add the row losses that are at hand and are of these rows."""
    path = kept(name, number).with_suffix(".npz")
    if not path.exists():
        return expert
    with np.load(path) as file:
        rows = {pick: file[pick] for pick in (*PICKS, "constant") if pick in file}
    fits = len(rows["constant"]) == test and np.isclose(rows["constant"].mean(), expert.means["constant"], rtol=1e-5)
    return expert._replace(rows=rows) if fits else expert


def default_losses(parts: Split, seed: int, options: dict[str, Any]) -> Outcome:
    """Train schuss on the rows given, and score the test rows."""
    begun = time.process_time()
    result = schuss.train(
        parts.given.source, **{**parts.given.options, "out": None, "threads": 1, "seed": seed, **options}
    )
    seconds = time.process_time() - begun
    model = result.model
    test = encoded_rows(model.encoder, parts.test, densify=False)
    loss = loss_for(model.loss, model.weights.shape[1])
    unit = 2 * model.encoder.target_scale**2 if model.classes is None else 1.0
    losses = unit * values_and_gradients(loss, model.scores(test.rows).astype(np.float64), test.targets)[0]
    chosen = result.summary["chosen"]
    note = " ".join(
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in chosen.items()
    )
    return Outcome(losses, seconds, note)


def options_of(what: str) -> dict[str, Any]:
    """Read the options behind `default:`."""
    pairs = [pair.split("=") for pair in what.partition(":")[2].split(",") if pair]
    return {key: int(value) if value.isdigit() else value for key, value in pairs}


def trial(
    method: str, run: Callable[[], Outcome], name: str, number: int, expert: Expert, constant: np.ndarray
) -> Trial:
    """Let a method run, and compare its row losses with those of the constant prediction and the expert."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            losses, seconds, note = run()
        behind = row_error(losses - expert.rows[expert.against]) if expert.against in expert.rows else np.nan
        loss, error = float(losses.mean()), row_error(losses - constant)
    except Exception as problem:  # a peer that raises has failed, and the benchmark goes on
        loss, error, behind, seconds, note = np.nan, 0.0, np.nan, np.nan, f"{type(problem).__name__}: {problem}"[:200]
    means = expert.means
    return Trial(
        name,
        number,
        method,
        loss,
        means[expert.against],
        means["constant"],
        error,
        behind,
        expert.gain_error,
        seconds,
        note,
    )


def pick_trial(pick: str, name: str, number: int, expert: Expert) -> Trial:
    """Turn a yardstick of the table into a trial."""
    rows, means = expert.rows, expert.means
    error = row_error(rows[pick] - rows["constant"]) if pick in rows else expert.gain_error
    behind = row_error(rows[pick] - rows[expert.against]) if {pick, expert.against} <= rows.keys() else np.nan
    return Trial(
        name,
        number,
        pick,
        means[pick],
        means[expert.against],
        means["constant"],
        error,
        behind,
        expert.gain_error,
        np.nan,
        "",
    )


def trials_of_split(what: list[str], parts: Split, name: str, number: int, seeds: int, expert: Expert) -> list[Trial]:
    """Let every method run on one split; peers have the encoded rows, and the first default's seconds as their time."""
    expert = rows_at_hand(expert, name, number, len(parts.test.target))
    found: list[Trial] = []
    encoded = encode(parts.given, parts.test)
    constant = encoded.constant_losses(encoded.others[0])
    for method in what:
        if method.startswith("default"):
            for seed in range(seeds):
                run = _default_run(parts, 1000 * number + seed, options_of(method))
                title = method if seed == 0 else f"{method} seed {seed}"
                found.append(trial(title, run, name, number, expert, constant))
        elif method in PICKS:
            found.append(pick_trial(method, name, number, expert))
        else:
            time_limit = next((one.seconds for one in found if one.method.startswith("default")), 1.0)
            run = _peer_run(method, encoded, number, time_limit)
            if run is not None:
                found.append(trial(method, run, name, number, expert, constant))
    return found


def _default_run(parts: Split, seed: int, options: dict[str, Any]) -> Callable[[], Outcome]:
    return lambda: default_losses(parts, seed, options)


def _peer_run(method: str, encoded: Encoded, seed: int, seconds: float) -> Callable[[], Outcome] | None:
    """Give what runs a peer, None if it is not for this kind of data."""
    task, fit = Task(encoded, seed, seconds), PEERS[method]
    if not fit.suits(task):
        return None

    def run() -> Outcome:
        begun = time.process_time()
        score = fit.train(task)
        spent = time.process_time() - begun
        return Outcome(encoded.losses(score(encoded.others[0]), encoded.others[0]), spent, "")

    return run


def line_of(one: Regret, width: int) -> str:
    """Write the line of a set."""
    apart = "" if one.sure else "  (no sure gain)"
    failed = "  FAILED" if one.fails else ""
    figures = f"{one.constant:11.5g} {one.expert:11.5g} {one.loss:11.5g} {100 * one.regret:8.2f} {100 * one.error:7.2f}"
    return f"{one.name:{width}} {one.splits:2} {figures} {one.seconds:7.2f}{failed}{apart}"


def page(trials: list[Trial], *, each: bool) -> str:
    """Write a table of sets for every method, and one of all methods."""
    lines: list[str] = []
    methods = list(dict.fromkeys(one.method for one in trials))
    regrets = {method: regrets_of([one for one in trials if one.method == method]) for method in methods}
    for method in methods if each else ():
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


def expanded(what: list[str]) -> list[str]:
    """Give the methods in order: `peers` and `yardsticks` stand for several."""
    groups = {"peers": list(PEERS), "yardsticks": list(PICKS)}
    return [one for name in what for one in groups.get(name, [name])]


def main() -> None:
    """Run the methods on the sets, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", action="append", help="small (default), middle, large, pmlb, all or a name")
    parser.add_argument("--splits", type=int, default=1, help="at most so many splits of a set")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of the default on each split")
    parser.add_argument("--what", action="append", help="default (default), default:OPTIONS, peers, yardsticks, a peer")
    parser.add_argument("--against", default="expert", choices=PICKS, help="whom regret is counted against")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "schuss-regret" / "trials.csv")
    arguments = parser.parse_args()
    data, experts = Path(os.environ["SCHUSS_DATA"]), expert_table(arguments.against)
    trials: list[Trial] = []
    for name in dict.fromkeys(name for group in arguments.sets or ["small"] for name in names(data, group)):
        whole = load(data, name)
        for number in range(min(arguments.splits, splits_of(len(whole.target)))):
            if (name, number) in experts:
                parts = split(whole, name, number)
                what = expanded(arguments.what or ["default"])
                with threadpool_limits(1):
                    trials += trials_of_split(what, parts, name, number, arguments.seeds, experts[name, number])
        print(".", end="", file=sys.stderr, flush=True)
        write(trials, arguments.out)
    print(page(trials, each=True))
    print(f"\nevery trial: {arguments.out}")


if __name__ == "__main__":
    main()
