"""Learning from a stream: schuss beside River and Vowpal Wabbit, everything at its default, every row scored first.

    SCHUSS_DATA=FOLDER python benchmarks/online.py [--write] [--seeds 5] [SET ...]

Every learner sees the same rows in the same order: first those to train on, then those to adapt to, which are learned
but not scored, then the others, each scored before it is learned from. schuss trains on the first (`schuss train`) and
goes on with the rest (`schuss update`); the others, which have no training of another kind, learn them all row by row.

elec2: half-hourly prices, up or down, as ordered; a tenth to train on. kddcup99: the official training file, then the
drifted test file, whose first tenth is to adapt to. flights: minutes of delay of nycflights13, by date; late: whether
more than 15, from what is known before departure. by age, by wealth: adult and bank, sorted.

The constants of `schuss update` were looked at on elec2, bank, adult and the generated streams (abrupt, gradual,
steady), before kddcup99 was run. That copies revert to zero was found looking at kddcup99, elec2 and abrupt, and then
tried on the others as it was.

River: LogisticRegression (LinearRegression for numbers) with StandardScaler, words as OneHotEncoder makes them.
VW: --loss_function logistic (squared), from text. Neither draws random numbers; schuss is run with several seeds.
Rows a second are those of the second part alone: for schuss and VW from text, for River from dictionaries in memory.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import results
import sets

TITLE = "online.py: learning from a stream, beside River and VW"
BANK = "age,job,marital,education,default,balance,housing,loan,contact,day,month,duration,campaign,pdays,previous"


class Stream(NamedTuple):
    """Rows to train on, rows that come after, how many of these are not scored, and the target."""

    train: pd.DataFrame
    rest: pd.DataFrame
    unscored: int
    target: str

    @property
    def numbers(self) -> bool:
        """Whether numbers are predicted."""
        return self.train[self.target].dtype.kind == "f"


def tenth(table: pd.DataFrame, target: str) -> Stream:
    """Train on the first tenth."""
    first = len(table) // 10
    return Stream(table[:first].reset_index(drop=True), table[first:].reset_index(drop=True), 0, target)


GENERATED = ("abrupt", "gradual", "steady", "wandering", "moving", "blurred")


def generated(kind: str) -> Stream:
    """Ten numbers and a class of which these are the chances, by a linear model.

    abrupt, gradual, steady: the truth turns round every 8,000 rows, slowly, or never. wandering: each weight takes a
    step of 1/60 a row. moving: the rows wander, and the truth is not linear. blurred: the classes of the rows to train
    on can be told apart nearly always, those of the others not.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, 10))
    one, other = rng.normal(size=(2, 10))
    place = np.arange(len(X))
    share = {"abrupt": place // 8000 % 2, "gradual": place / len(X)}.get(kind, 0 * place)[:, None]
    truth = (1 - share) * one + share * other
    if kind == "wandering":
        truth = truth + np.cumsum(rng.normal(size=X.shape), axis=0) / 60
    if kind == "blurred":
        truth = truth * np.where(place < len(X) // 10, 20.0, 1.0)[:, None]
    if kind == "moving":
        X += np.cumsum(rng.normal(size=X.shape), axis=0) / 100
    bent = 0.3 * (X**2 - 1) @ other if kind == "moving" else 0.0
    chances = 1 / (1 + np.exp(-((X * truth).sum(axis=1) + bent)))
    table = pd.DataFrame(X, columns=[f"x{place}" for place in range(10)])
    return tenth(table.assign(y=np.where(rng.random(len(X)) < chances, "b", "a")), "y")


def stream(name: str, data: Path) -> Stream:
    """Read a stream."""
    if name == "elec2":
        with zipfile.ZipFile(data / "elec2" / "electricity.zip") as archive, archive.open("electricity.csv") as file:
            return tenth(pd.read_csv(file), "class")
    if name == "kddcup99":
        with tempfile.TemporaryDirectory() as folder:
            train, test = (pd.read_csv(path) for path in sets.prepare_kddcup99(data, Path(folder))[0])
        return Stream(train, test, len(test) // 10, "label")
    if name == "bank":
        table = pd.read_csv(data / "bank_marketing" / "bank-full.csv", names=[*BANK.split(","), "poutcome", "y"])
        return tenth(table.drop(columns="duration"), "y")
    if name == "adult":
        with tempfile.TemporaryDirectory() as folder:
            return tenth(pd.read_csv(sets.prepare_adult(data, Path(folder))[0].train, skipinitialspace=True), "income")
    if name == "flights":
        table = pd.read_csv(data / "nycflights13" / "flights.csv.gz").drop(columns=["arr_time", "year", "air_time"])
        return tenth(table.drop(columns="tailnum").dropna().sort_values(["month", "day"], kind="stable"), "arr_delay")
    if name == "late":
        flights = stream("flights", data)
        table = pd.concat([flights.train, flights.rest]).drop(columns=["dep_time", "dep_delay"])
        late = np.where(table.pop("arr_delay") > 15, "yes", "no")
        return tenth(table.assign(late=late), "late")
    if name in ("by age", "by wealth"):
        whole, column = ("adult", "age") if name == "by age" else ("bank", "balance")
        people = stream(whole, data)
        table = pd.concat([people.train, people.rest]).sort_values(column, kind="stable")
        return tenth(table, people.target)
    return generated(name)


SETS = ("elec2", "kddcup99", "bank", "flights", "late", "adult", "by age", "by wealth", *GENERATED)


def score(said: np.ndarray, true: np.ndarray, numbers: bool) -> dict[str, float]:
    """Score margins of the class that is true (or errors): accuracy and log loss, or the mean squared error."""
    if numbers:
        return {"mse": float(np.mean((said - true) ** 2))}
    margins = np.where(true, said, -said)
    return {"accuracy": float((margins > 0).mean()), "log_loss": float(np.logaddexp(0, -margins).mean())}


def with_schuss(data: Stream, seed: int) -> dict[str, float]:
    """Run `schuss train` and `schuss update`, the latter once more to find what the first rows add to the scores."""
    import schuss

    with tempfile.TemporaryDirectory() as folder:
        rest = Path(folder, "rest.csv")
        data.rest.to_csv(rest, index=False)
        model = schuss.train(data.train, data.target, seed=seed).model
        adapted = schuss.update(model, data.rest[: data.unscored]).model if data.unscored else model
        schuss.update(model, data.rest[:100])  # compiled
        after = rest
        if data.unscored:
            after = Path(folder, "after.csv")
            data.rest[data.unscored :].to_csv(after, index=False)
        begun = time.perf_counter()
        told = schuss.update(adapted, str(after)).summary
        seconds = time.perf_counter() - begun
    scores = {"mse": told["loss"]} if data.numbers else {"accuracy": told["accuracy"], "log_loss": told["loss"]}
    return {**scores, "rows_per_second": told["rows"] / seconds, "mebibytes": told["peak_memory_bytes"] / 2**20}


def with_river(data: Stream) -> dict[str, float]:
    """Learn all rows in turn with River, from dictionaries."""
    from river import compose, linear_model, preprocessing

    words = [name for name in data.train if data.train[name].dtype.kind not in "bif" and name != data.target]
    plain = [name for name in data.train if name not in (*words, data.target)]
    columns = compose.Select(*plain) | preprocessing.StandardScaler()
    if words:
        columns += compose.Select(*words) | preprocessing.OneHotEncoder()
    model: Any = columns | (linear_model.LinearRegression() if data.numbers else linear_model.LogisticRegression())
    last = data.train[data.target].max()
    said, seconds = [], 0.0
    for part in (data.train, data.rest):
        goals = (part[data.target] if data.numbers else part[data.target] == last).tolist()
        rows = part.drop(columns=data.target).to_dict("records")
        begun = time.perf_counter()
        said = []
        for row, goal in zip(rows, goals, strict=True):
            said.append(model.predict_one(row) if data.numbers else model.predict_proba_one(row).get(True, 0.0))
            model.learn_one(row, goal)
        seconds = time.perf_counter() - begun
    chances = np.array(said, float)
    if not data.numbers:
        with np.errstate(divide="ignore"):
            chances = np.clip(np.log(chances) - np.log1p(-chances), -35, 35)
    scores = score(chances[data.unscored :], np.array(goals)[data.unscored :], data.numbers)
    return {**scores, "rows_per_second": len(said) / seconds, "mebibytes": memory()}


def vw_text(part: pd.DataFrame, target: str, numbers: bool, last: Any) -> str:
    """Write rows as VW reads them."""
    out = io.StringIO()
    words = [part[name].dtype.kind not in "bif" for name in part.columns]
    place = list(part.columns).index(target)
    names = [name.replace(" ", "_").replace(":", "_") for name in part.columns]
    for row in part.itertuples(index=False):
        goal = row[place] if numbers else (1 if row[place] == last else -1)
        features = " ".join(
            f"{name}={str(value).replace(' ', '_').replace(':', '_')}" if word else f"{name}:{value}"
            for at, (name, value, word) in enumerate(zip(names, row, words, strict=True))
            if at != place and (word or value != 0)
        )
        out.write(f"{goal} | {features}\n")
    return out.getvalue()


def with_vw(data: Stream) -> dict[str, float]:
    """Learn all rows in turn with VW, from text; it writes what it said before it learned."""
    from vowpalwabbit import Workspace

    last = data.train[data.target].max()
    loss = "squared" if data.numbers else "logistic"
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for place, parts in enumerate(((data.train,), (data.train, data.rest))):
            path, said = Path(folder, "rows.txt"), Path(folder, "said.txt")
            path.write_text("".join(vw_text(part, data.target, data.numbers, last) for part in parts))
            begun = time.perf_counter()
            Workspace(f"--quiet --loss_function {loss} -d {path} -p {said}").finish()
            seconds.append(time.perf_counter() - begun)
            del place
        found = np.loadtxt(said)[len(data.train) :]
    true = data.rest[data.target].to_numpy() if data.numbers else (data.rest[data.target] == last).to_numpy()
    scores = score(found[data.unscored :], true[data.unscored :], data.numbers)
    return {**scores, "rows_per_second": len(found) / (seconds[1] - seconds[0]), "mebibytes": memory()}


def memory() -> float:
    """Give the most memory of this process in MiB, the rows and pandas included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def one(learner: str, name: str, seed: int) -> dict[str, float]:
    """Run a learner in this process."""
    data = stream(name, Path(os.environ["SCHUSS_DATA"]))
    return with_schuss(data, seed) if learner == "schuss" else {"river": with_river, "vw": with_vw}[learner](data)


def run(learner: str, name: str, seed: int) -> dict[str, float]:
    """Run a learner in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", learner, name, str(seed)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def table(found: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Make the table: medians, and the range over seeds."""
    lines = ["|stream|learner|accuracy|log loss (mse)|over the seeds|rows/s|MiB|", "|-|-|-|-|-|-|-|"]
    for name, learners in found.items():
        for learner, runs in learners.items():
            middle = {key: float(np.median([one[key] for one in runs])) for key in runs[0]}
            loss = "mse" if "mse" in middle else "log_loss"
            counted = "accuracy" if name == "elec2" else loss
            spread = [one[counted] for one in runs]
            lines.append(
                f"|{name}|{learner}|{middle['accuracy']:.4f}" if "accuracy" in middle else f"|{name}|{learner}|–"
            )
            lines[-1] += f"|{middle[loss]:.5g}|{min(spread):.5g} to {max(spread):.5g} ({counted.replace('_', ' ')})"
            lines[-1] += f"|{middle['rows_per_second']:,.0f}|{middle['mebibytes']:.0f}|"
    return "\n".join(lines)


def main() -> None:
    """Run every learner on every stream, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write into RESULTS.md")
    parser.add_argument("--one", nargs=3, metavar=("LEARNER", "SET", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one[0], given.one[1], int(given.one[2]))))
        return
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for name in given.sets or SETS:
        found[name] = {
            "schuss": [run("schuss", name, seed) for seed in range(given.seeds)],
            "river": [run("river", name, 0)],
            "vw": [run("vw", name, 0)],
        }
        print(json.dumps({name: found[name]}), flush=True)
    body = table(found)
    print(body)
    if given.write:
        told = results.packages()
        when = datetime.date.today().isoformat()
        results.write_section(TITLE, f"{results.machine()}; {told}; {when}\n\n{body}\n")


if __name__ == "__main__":
    main()
