"""Is the advice on the optimizer right? The advised one beside the others, on the PMLB sets.

    python benchmarks/advice.py [SET ...]       a table on standard output
    python benchmarks/advice.py --write         also into RESULTS.md

Five optimizers, each with sixteen runs and the same few epochs and no finish, are judged on the same test rows, one
fifth of the set. The advice comes from a survey of the SGD model, with nothing known of the others. Losses are compared
row by row: an optimizer is better than another when the mean of the differences is above two of its standard errors.
Where two are advised the one that does better on the test rows stands for both, which favours the advice a little.
SCHUSS_DATA names the data.
"""

from __future__ import annotations

import argparse
import datetime
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import regret_sets
import results

import schuss
from schuss.landscape.advice import RAVINE

TITLE = "advice.py: does the advised optimizer win?"
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "adam")
EPOCHS, MOST_ROWS, ERRORS = 3, 5_000, 2.0
RARE_SHARE = 0.25
"""Share of features that fewer than 1 % of the rows touch, from which adaptive rates were advised."""

ADVISED = {"ravine": ("momentum", "nesterov"), "rare": ("adagrad",), "both": ("adam",)}


class Outcome(NamedTuple):
    """A set: what was measured, which rule applies, and the mean loss differences to each optimizer with errors."""

    name: str
    ravine: float
    rare: float
    losses: dict[str, np.ndarray]

    @property
    def rule(self) -> str:
        """The rule that the advice follows."""
        steep, rare = self.ravine >= RAVINE, self.rare >= RARE_SHARE
        return "both" if steep and rare else "ravine" if steep else "rare" if rare else "none"


def row_losses(model: schuss.Model, table: regret_sets.Table) -> np.ndarray:
    """The loss of every test row: squared errors, or what the true class was not given, in nats."""
    if table.is_regression:
        return (model.predict(table.source)["prediction"].to_numpy() - table.target) ** 2
    found = model.predict(table.source, proba=True)
    chances = np.stack([found[f"p_{label}"].to_numpy() for label in model.classes or ()], axis=1)
    places = {str(label): place for place, label in enumerate(model.classes or ())}
    true = np.array([places[str(label)] for label in table.target])
    return -np.log(np.maximum(chances[np.arange(len(true)), true], 1e-15))


def look(name: str, data: Path) -> Outcome:
    """Train with every optimizer, and look at the ground of the first."""
    table = regret_sets.load(data, name)
    order = np.random.default_rng(0).permutation(len(table.target))[:MOST_ROWS]
    split = len(order) * 4 // 5
    train, test = table.take(order[:split]), table.take(order[split:])
    losses, facts = {}, {}
    for optimizer in OPTIMIZERS:
        with tempfile.TemporaryDirectory() as folder:
            done = schuss.train(
                train.source, optimizer=optimizer, epochs=EPOCHS, out=folder, force=True, **train.options
            )
            if optimizer == "sgd":
                found = schuss.survey_run(folder, train.source, rows=1000, resolution=3).events
                facts = {event["event"]: event for event in found}
        losses[optimizer] = row_losses(done.model, test)
    ravine = facts.get("curvature", {}).get("ravine", {}).get("first_to_median") or float("nan")
    return Outcome(name, ravine, facts["touched"]["rare_share"], losses)


def tally(outcomes: list[Outcome], rule: str) -> list[str] | None:
    """How often the best of the advised optimizers beats each other one, and is beaten by it."""
    concerned = [one for one in outcomes if one.rule == rule]
    if not concerned:
        return None
    cells = []
    for other in OPTIMIZERS:
        if other in ADVISED[rule]:
            cells.append("advised")
            continue
        best = [min((one.losses[name] for name in ADVISED[rule]), key=np.mean) for one in concerned]
        scores = [compare(losses, one.losses[other]) for losses, one in zip(best, concerned, strict=True)]
        cells.append(f"{sum(score > 0 for score in scores)} : {sum(score < 0 for score in scores)}")
    return [rule, ", ".join(ADVISED[rule]), str(len(concerned)), *cells]


def compare(advised: np.ndarray, other: np.ndarray) -> int:
    """1 where the advised one is surely better, −1 where it is surely worse, else 0."""
    apart = other - advised
    error = apart.std(ddof=1) / np.sqrt(len(apart))
    return int(np.sign(apart.mean())) if abs(apart.mean()) > ERRORS * error else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", help="names of sets, by default all of PMLB")
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    given = parser.parse_args()
    data = Path(os.environ["SCHUSS_DATA"])
    outcomes = []
    for name in given.sets or regret_sets.names(data, "pmlb"):
        try:
            outcomes.append(look(name, data))
        except schuss.TrainingError as error:
            print(f"{name}: {error}", flush=True)
            continue
        one = outcomes[-1]
        best = min(one.losses, key=lambda optimizer: float(one.losses[optimizer].mean()))
        means = {optimizer: f"{losses.mean():.4g}" for optimizer, losses in one.losses.items()}
        print(f"{name}: {one.rule}, ravine {one.ravine:.3g}, rare {one.rare:.2f}, best {best}, {means}", flush=True)
    head = ["rule", "advised", "sets", *OPTIMIZERS]
    table = ["| " + " | ".join(head) + " |", "|-|-|" + "-:|" * (len(head) - 2)]
    table += ["| " + " | ".join(line) + " |" for rule in ADVISED if (line := tally(outcomes, rule))]
    silent = sum(one.rule == "none" for one in outcomes)
    text = "\n".join([
        f"{datetime.date.today()}, {len(outcomes)} sets of PMLB, {EPOCHS} epochs, at most {MOST_ROWS:,} rows, seed 0. "
        f"A cell counts the sets where the advised optimizer is surely better : surely worse than that one. "
        f"No rule applies to {silent} sets.",
        "", *table,
    ])  # fmt: skip
    print(text)
    if given.write:
        results.write_section(TITLE, text)


if __name__ == "__main__":
    main()
