"""Does the advice hold? Each rule's promise, tried on the PMLB sets.

    python benchmarks/advice.py [SET ...]       the tables on standard output
    python benchmarks/advice.py --write         also into RESULTS.md
    python benchmarks/advice.py --json FILE     also keep what was found on each set, and go on from there

Optimizers meet in the race's own results: each two of them race alone, sixteen runs each, on the same held-out rows.
One surely beats the other when its best run is ahead by more than two of the standard errors that the race records.
The other rules promise something of another training, which no race holds, so both trainings are compared row by row
on a fifth of the set that neither has seen, again by two standard errors. A rule holds when it is right where it speaks
more often than where it is silent. The share of the gain from which a loss counts as still falling was chosen on the
half of the sets whose names have an even checksum.

A training has about 16,384 rows, 512 mini-batches of 32. Beside the PMLB sets stand four with many rare features, of
which PMLB has none. SCHUSS_DATA names the data.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import regret_sets
import results

import schuss
from schuss.landscape.advice import AT_THE_EDGE, FALLING, facts_of

TITLE = "advice.py: does the advice hold?"
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "adam")
RARE_SETS = ("adult", "a9a", "bank_marketing", "kddcup99")
TRAINING_ROWS, MOST_ROWS, RUNS, ERRORS = 16_384, 5_000, 16, 2.0
HOLDOUT = "0.4"  # half of it chooses, on which the race compares
RAVINES, RARE = (10.0, 100.0), 0.25
LARGER, QUARTER = 4, "quarter"  # batches and epochs that are tried beside the first
LADDER = (1, 4, 16, 64)
FAR, RISING, EVALUATIONS = 8.0, 0.02, 8  # of rules that were dropped
SCHEDULES = ("constant", "linear")
EDGES = (0.0, 0.1, 0.3, 0.6, AT_THE_EDGE, np.inf)
Found = dict[str, Any]


class Case(NamedTuple):
    """A set: rows to learn from, rows to test on, and the epochs of a training."""

    train: regret_sets.Table
    test: regret_sets.Table
    epochs: int


def case(name: str, data: Path) -> Case:
    """Take at most 5,000 rows of a set, a fifth of them to test on."""
    table = regret_sets.load(data, name)
    order = np.random.default_rng(0).permutation(len(table.target))[:MOST_ROWS]
    split = len(order) * 4 // 5
    learned = int(split * (1 - float(HOLDOUT)))
    return Case(table.take(order[:split]), table.take(order[split:]), max(round(TRAINING_ROWS / learned), 1))


def train(of: Case, **options: Any) -> schuss.Result:
    """Train with sixteen runs, unless the options say otherwise."""
    given = {"epochs": of.epochs, "holdout": HOLDOUT, "runs": RUNS, **of.train.options, **options}
    return schuss.train(of.train.source, **given)


def last_losses(record: Iterable[Found]) -> dict[int, tuple[float, float]]:
    """Give each run's last held-out loss, and its standard error as a difference to the best run then."""
    found: dict[int, tuple[float, float]] = {}
    for event in record:
        if event["event"] == "evaluation":
            for run, loss in event["holdout_loss"].items():
                error = event["behind_error"][run]
                found[int(run)] = (np.inf, 0.0) if loss is None or error is None else (loss, error)
    return found


def duel(of: Case, first: str, second: str) -> float:
    """Let two optimizers race; by how many standard errors the first one's best run is ahead of the second's."""
    record = train(of, optimizer=f"{first},{second}", runs=2 * RUNS).record
    losses = last_losses(record)
    (runs,) = (event["runs"] for event in record if event["event"] == "runs")
    names = {run["run"]: run["optimizer"] for run in runs}
    best = {name: min(losses[run] for run in losses if names[run] == name) for name in (first, second)}
    (one, error_one), (other, error_other) = best[first], best[second]
    return float((other - one) / max(error_one, error_other, 1e-300)) if one != other else 0.0


def row_losses(model: schuss.Model, table: regret_sets.Table) -> np.ndarray:
    """The loss of every test row: squared errors, or what the true class was not given, in nats."""
    if table.is_regression:
        return (model.predict(table.source)["prediction"].to_numpy() - table.target) ** 2
    found = model.predict(table.source, proba=True)
    chances = np.stack([found[f"p_{label}"].to_numpy() for label in model.classes or ()], axis=1)
    places = {str(label): place for place, label in enumerate(model.classes or ())}
    true = np.array([places[str(label)] for label in table.target])
    return -np.log(np.maximum(chances[np.arange(len(true)), true], 1e-15))


def ahead(of: Case, one: schuss.Result, other: schuss.Result) -> float:
    """By how many standard errors the first model is better on the test rows."""
    apart = row_losses(other.model, of.test) - row_losses(one.model, of.test)
    error = apart.std(ddof=1) / np.sqrt(len(apart))
    return float(apart.mean() / max(error, 1e-300))


def surveyed(of: Case, **options: Any) -> tuple[schuss.Result, Found]:
    """Train and look at the ground; give the facts that rules look at and some more."""
    with tempfile.TemporaryDirectory() as folder:
        done = train(of, out=folder, force=True, **options)
        seen = schuss.survey_run(folder, of.train.source, rows=1000, resolution=3).events
    events = {event["event"]: event for event in seen}
    more = {
        "rare": events["touched"]["rare_share"],
        "top": (events.get("curvature", {}).get("eigenvalues") or [None])[0],
        "noise_at_start": events.get("noise", {}).get("scale_at_start"),
        "noise_scale": events.get("noise", {}).get("scale"),
    }
    return done, facts_of([*done.record, *seen]) | more


def edges(done: schuss.Result, facts: Found) -> list[tuple[float, float]]:
    """Give each run's share of the edge of stability, and by how many standard errors it ends behind the best."""
    if facts["top"] is None:
        return []
    losses = last_losses(done.record)
    rates = {
        run["run"]: run["learning_rate"] for event in done.record if event["event"] == "runs" for run in event["runs"]
    }
    best = min(loss for loss, _ in losses.values())
    return [
        (rates[run] * facts["top"] / 2, (loss - best) / max(error, 1e-300) if loss > best else 0.0)
        for run, (loss, error) in losses.items()
    ]


def ladder(of: Case) -> list[tuple[float | None, float]]:
    """Train ever longer; of each length how much the held-out loss was falling, and how far a longer one is ahead."""
    trained = [train(of, optimizer="sgd", holdout="0.1", epochs=epochs) for epochs in LADDER]
    return [(facts_of(short.record).get("falling"), ahead(of, long, short)) for short, long in pairwise(trained)]


def look(name: str, data: Path) -> Found:
    """Try every rule on a set."""
    of = case(name, data)
    plain, facts = surveyed(of, optimizer="sgd")
    found: Found = {"facts": facts, "ladder": ladder(of)}
    found["duels"] = {f"{one} {other}": duel(of, one, other) for one, other in combinations(OPTIMIZERS, 2)}
    found["edges"] = {
        schedule: edges(*surveyed(of, optimizer="sgd", schedule=schedule, l2=0.0)) for schedule in SCHEDULES
    }
    found["larger batch"] = ahead(of, train(of, optimizer="sgd", batch_size=LARGER * 32), plain)
    long = {"epochs": LARGER * of.epochs}
    large, found["large"] = surveyed(of, optimizer="sgd", batch_size=LARGER * 128, **long)
    found["smaller batch"] = ahead(of, train(of, optimizer="sgd", batch_size=128), large)  # as many steps, fewer rows
    free = train(of, optimizer="adam", schedule="constant", l2=0.0, **long)
    found["rising"] = rising(free.record)
    found["penalty"] = ahead(of, train(of, optimizer="adam", schedule="constant", **long), free)
    found["fewer epochs"] = ahead(of, train(of, optimizer="adam", schedule="constant", l2=0.0), free)
    return found


def tables(found: list[Found]) -> str:
    """Write what was found as tables."""
    said = (
        f"{datetime.date.today()}, {len(found)} sets, at most {MOST_ROWS:,} rows of each, seed 0. A cell `a : b` "
        "counts the sets where the first is surely better and surely worse than the second, by two standard errors.\n"
    )
    return "\n".join([said, *optimizers(found), "", *promises(found), "", *at_the_edge(found)])


def rising(record: Iterable[Found]) -> float | None:
    """Give the share of what a run of its own had gained that it lost again in the end."""
    events = list(record)
    (constant,) = (event["constant_loss"] for event in events if event["event"] == "data")
    winner = str(events[-1]["winner"])
    losses = [event["holdout_loss"].get(winner) for event in events if event["event"] == "evaluation"]
    curve = [loss for loss in losses if loss is not None]
    gained = constant - min(curve, default=constant)
    return (curve[-1] - min(curve)) / gained if len(curve) >= EVALUATIONS and gained > 0 else None


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Write a table whose first column holds words."""
    lines = [head, ["-", *["-:"] * (len(head) - 1)], *rows]
    return ["|" + "|".join(map(str, line)) + "|" for line in lines]


def score(ahead: Iterable[float]) -> str:
    """Count what is surely better and surely worse."""
    values = list(ahead)
    return f"{sum(value > ERRORS for value in values)} : {sum(value < -ERRORS for value in values)}"


def optimizers(found: list[Found]) -> list[str]:
    """Tell how the optimizers do in races against each other, by what the ground is like."""

    def between(low: float, high: float) -> list[Found]:
        return [one for one in found if low <= (one["facts"].get("ravine") or 0.0) < high]

    few, many = RAVINES
    groups = {
        f"ravine, λ₁ / median at least {many:g}": between(many, np.inf),
        f"{few:g} to {many:g}": between(few, many),
        f"below {few:g}": between(0.0, few),
        f"rare features, at least {RARE:.0%}": [one for one in found if one["facts"]["rare"] >= RARE],
        "rare features and a ravine": [one for one in between(many, np.inf) if one["facts"]["rare"] >= RARE],
    }
    rows = []
    for name, sets in groups.items():
        for first in OPTIMIZERS[1:] if sets else ():
            cells = [
                "" if other == first else score(one["duels"].get(f"{first} {other}") or -one["duels"].get(
                    f"{other} {first}", 0.0) for one in sets)
                for other in OPTIMIZERS
            ]  # fmt: skip
            rows.append((name, len(sets), first, *cells))
    return table(("ground", "sets", "optimizer", *(f"against {name}" for name in OPTIMIZERS)), rows)


def promises(found: list[Found]) -> list[str]:
    """Tell how often what a rule advises is better, where it speaks and where it is silent."""
    small = [(one["facts"].get("noise_at_start"), one["larger batch"]) for one in found]
    small_end = [(one["facts"].get("noise_scale"), one["larger batch"]) for one in found]
    large = [(one["large"].get("noise_at_start"), one["smaller batch"]) for one in found]
    penalty = [(one["rising"], one["penalty"]) for one in found]
    shorter = [(one["rising"], one["fewer epochs"]) for one in found]
    chosen_by, others = (
        [(fall, ahead) for one in found if zlib.crc32(one["set"].encode()) % 2 == half for fall, ahead in one["ladder"]]
        for half in (0, 1)
    )
    tried = {
        f"still falling: {LARGER} times the epochs; sets that the share was chosen by": (
            chosen_by, lambda fall: fall >= FALLING),
        "the same, the other sets": (others, lambda fall: fall >= FALLING),
        "held-out loss rises: a penalty": (penalty, lambda rise: rise >= RISING),
        f"held-out loss rises: a {QUARTER} of the epochs": (shorter, lambda rise: rise >= RISING),
        f"noise scale at the start far above the batch: {LARGER} times the batch, a {QUARTER} of the steps": (
            small, lambda scale: scale >= 32 * FAR),
        "the same by the noise scale at the end": (small_end, lambda scale: scale >= 32 * FAR),
        f"noise scale at the start far below the batch: a {QUARTER} of the batch, as many steps": (
            large, lambda scale: scale * FAR <= 512),
    }  # fmt: skip
    rows = []
    for name, (pairs, speaks) in tried.items():
        known = [(fact, ahead) for fact, ahead in pairs if fact is not None]
        sides = [[ahead for fact, ahead in known if speaks(fact) == side] for side in (True, False)]
        rows.append((name, *(f"{score(side)} of {len(side)}" for side in sides)))
    return table(("rule, and what was tried", "where it speaks", "where it is silent"), rows)


def at_the_edge(found: list[Found]) -> list[str]:
    """Tell how many runs end surely behind the best one of their race, by their share of the edge of stability."""
    rows = []
    for schedule in SCHEDULES:
        runs = [tuple(run) for one in found for run in one["edges"][schedule]]
        sides = [[behind for share, behind in runs if low <= share < high] for low, high in pairwise(EDGES)]
        rows.append((f"{schedule} rate", *(f"{sum(b > ERRORS for b in side)} of {len(side)}" for side in sides)))
    return table(("runs surely behind, by η λ₁ / 2", *(f"{low:g} to {high:g}" for low, high in pairwise(EDGES))), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", help="names of sets, by default all of PMLB and the four with rare features")
    parser.add_argument("--write", action="store_true", help="write the tables into RESULTS.md")
    parser.add_argument("--json", type=Path, help="keep what was found here, a line for each set, and go on from there")
    given = parser.parse_args()
    data = Path(os.environ["SCHUSS_DATA"])
    found: dict[str, Found] = {}
    if given.json and given.json.exists():
        found = {line["set"]: line for line in map(json.loads, given.json.read_text().splitlines())}
    for name in given.sets or [*regret_sets.names(data, "pmlb"), *RARE_SETS]:
        if name not in found:
            try:
                found[name] = {"set": name, **look(name, data)}
            except schuss.TrainingError as error:
                print(f"{name}: {error}", flush=True)
                continue
            print(name, found[name]["facts"], flush=True)
            if given.json:
                with given.json.open("a") as file:
                    file.write(json.dumps(found[name]) + "\n")
    text = tables(list(found.values()))
    print(text)
    if given.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    main()
