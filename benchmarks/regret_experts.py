"""The experts of the regret benchmark: the best of 385 settings by validation, learned again from all rows given.

    SCHUSS_DATA=FOLDER python benchmarks/regret_experts.py --sets small --splits 3
    SCHUSS_DATA=FOLDER python benchmarks/regret_experts.py --collect      write what is done into regret_experts.csv

Each of {SGD, Adagrad, Adam} x 9 rates x 2 schedules x 7 penalties is trained for 300,000 rows or 30 epochs, whichever
is more; L-BFGS in float64 solves for the same penalties. A split once done is kept in a folder of temporary files.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from regret_rows import Encoded, encode, matrix
from regret_sets import Split, load, names, reshuffled, split, splits_of
from regret_stats import row_error
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from schuss.data.chunk import Chunk, SparseRows, cut, take
from schuss.descent.losses import values_and_gradients
from schuss.descent.optimizers import OPTIMIZERS
from schuss.population.linear import Linear
from schuss.population.population import Run

TABLE = Path(__file__).with_name("regret_experts.csv")
CACHE = Path(os.environ.get("SCHUSS_REGRET", Path(tempfile.gettempdir()) / "schuss-regret"))

LEVELS = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01, 0.0)
"""Penalties times rows: λ₂ N."""

RATES = {
    "sgd": tuple(4.0**k for k in range(-6, 3)),
    "adagrad": tuple(10.0 ** (k / 2 - 3) for k in range(9)),
    "adam": tuple(10.0 ** (k / 2 - 4) for k in range(9)),
}
"""Learning rates; those of SGD in units of 1/E‖x‖²."""

SCHEDULES = ("constant", "linear")
BATCH = 32
ROWS, EPOCHS, MOST, PRODUCTS = 300_000, 30, 12_000_000, 4e9
"""A run learns from so many rows, or epochs if that is more, but from MOST rows and PRODUCTS with weights at most."""

PASSES, SOLVED = 1000, 2e9
"""L-BFGS may take so many passes, or on large data 200 or so many products with weights."""

ONE_EXPERT, PICKS_ALONE = 1e6, 1e7
"""Products of a pass from which on nobody is asked twice, and only what is picked is learned again from all rows."""

PIECE = 8_192
PICKS = ("expert", "second", "steady", "lbfgs", "oracle")
"""Best by validation; by other validation rows; among settings that end at rest; among L-BFGS's; best by test.

The last iterate of a constant rate moves from training to training: chosen because it was lucky on the validation rows,
it is not met again when all rows are learned from.
"""


class Setting(NamedTuple):
    """What an expert chooses."""

    method: str
    rate: float
    schedule: str
    level: float


def settings(sparse: bool) -> list[Setting]:
    """Give all settings, those of L-BFGS last; on sparse rows none of Adam, whose steps touch every weight."""
    runs = [
        Setting(method, rate, schedule, level)
        for method, rates in RATES.items()
        if not (sparse and method == "adam")
        for rate, schedule, level in product(rates, SCHEDULES, LEVELS)
    ]
    return runs + [Setting("lbfgs", 0.0, "", level) for level in LEVELS]


def learn(wanted: Sequence[Setting], encoded: Encoded, seed: int) -> dict[Setting, np.ndarray]:
    """Give the weights of every setting wanted, learned from the rows given."""
    solved = [one for one in wanted if one.method == "lbfgs"]
    weights = dict(zip(solved, solve(solved, encoded), strict=True))
    for method in RATES:
        runs = [one for one in wanted if one.method == method]
        if runs:
            weights |= dict(zip(runs, descend(runs, encoded, seed), strict=True))
    return {one: weights[one] for one in wanted}


def products(encoded: Encoded) -> int:
    """Give the products of rows and weights in a pass."""
    rows = encoded.given.rows
    return (len(rows.values) if isinstance(rows, SparseRows) else rows.size) * encoded.outputs


def epochs_for(encoded: Encoded) -> int:
    """Give the epochs of a run: long, whatever the number of rows."""
    rows = len(encoded.given.targets)
    most = min(MOST / rows, PRODUCTS / products(encoded))
    return int(np.ceil(max(min(max(EPOCHS, ROWS / rows), most), 3)))


def descend(runs: Sequence[Setting], encoded: Encoded, seed: int) -> list[np.ndarray]:
    """Train runs of one optimizer, as a population in which no run knows of another."""
    chunk, method = encoded.given, runs[0].method
    rows = len(chunk.targets)
    unit = 1.0 / mean_square(chunk) if method == "sgd" else 1.0
    members = tuple(
        Run(number, method, one.rate * unit, one.level / rows, one.schedule, BATCH) for number, one in enumerate(runs)
    )
    population = Linear(
        OPTIMIZERS[method](), encoded.loss, encoded.encoder.width, encoded.outputs, BATCH,
        isinstance(chunk.rows, SparseRows), 1,
    )  # fmt: skip
    epochs = epochs_for(encoded)
    state = population.begin_leg(population.start(members), epochs * rows)
    for piece in shuffled(chunk, epochs, np.random.default_rng(seed)):
        state, _ = population.advance(state, piece)
    state = population.up_to_date(state)
    return [population.take(state, member.number).weights for member in members]


def shuffled(chunk: Chunk, epochs: int, rng: np.random.Generator) -> Iterator[Chunk]:
    """Give epoch after epoch in an order of its own; short ones are joined, a piece costs more than its few rows."""
    rows = len(chunk.targets)
    together = max(1, PIECE // rows)
    for begun in range(0, epochs, together):
        orders = [rng.permutation(rows) for _ in range(min(together, epochs - begun))]
        yield from cut(take(chunk, np.concatenate(orders)))


def mean_square(chunk: Chunk) -> float:
    """Give E‖x‖²."""
    values = matrix(chunk)
    total = values.power(2).sum() if isinstance(chunk.rows, SparseRows) else np.einsum("ij,ij->", values, values)
    return float(total) / len(chunk.targets)


def solve(wanted: Sequence[Setting], encoded: Encoded) -> list[np.ndarray]:
    """Solve for penalties by SciPy's L-BFGS in float64, each from where the one before ended."""
    if not wanted:
        return []
    rows, targets = matrix(encoded.given).astype(np.float64), encoded.given.targets
    shape = (encoded.encoder.width + 1, encoded.outputs)
    passes = int(np.clip(SOLVED / products(encoded), 200, PASSES))
    weights, solutions = np.zeros(shape), []
    for one in wanted:
        penalty = one.level / len(targets)

        def objective(flat: np.ndarray, penalty: float = penalty) -> tuple[float, np.ndarray]:
            now = flat.reshape(shape)
            losses, slopes = values_and_gradients(encoded.loss, rows @ now[:-1] + now[-1], targets)
            gradient = np.vstack([rows.T @ slopes, slopes.sum(axis=0)]) / len(targets)
            gradient[:-1] += penalty * now[:-1]
            return float(losses.mean() + penalty / 2 * np.sum(now[:-1] ** 2)), gradient.ravel()

        limits = {"maxiter": passes, "maxfun": passes, "ftol": 1e-11, "gtol": 1e-7, "maxcor": 20}
        weights = minimize(objective, weights.ravel(), jac=True, method="L-BFGS-B", options=limits).x.reshape(shape)
        solutions.append(weights)
    return solutions


def mean_losses(found: dict[Setting, np.ndarray], encoded: Encoded, chunk: Chunk) -> np.ndarray:
    """Give the mean loss of every setting on some rows, infinite where it is not finite."""
    means = [float(encoded.losses(encoded.scores(weights, chunk), chunk).mean()) for weights in found.values()]
    return np.nan_to_num(np.array(means), nan=np.inf, posinf=np.inf)


def consult(parts: Split, name: str, number: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Let the experts choose on one split; give what they chose, and row losses on the test rows."""
    begun = time.perf_counter()
    first = encode(parts.train, parts.validation)
    every = settings(isinstance(first.given.rows, SparseRows))
    validated = again = mean_losses(learn(every, first, number), first, first.others[0])
    seconds = time.perf_counter() - begun
    if products(first) < ONE_EXPERT:
        other = encode(*reshuffled(parts.given, name, number))
        again = mean_losses(learn(every, other, number), other, other.others[0])
    whole = encode(parts.given, parts.test)
    wanted = every
    if products(first) >= PICKS_ALONE:
        wanted = list(dict.fromkeys(picked(every, validated, again, validated).values()))
    test, refit = whole.others[0], learn(wanted, whole, number)
    tested = np.full(len(every), np.inf)
    tested[[every.index(one) for one in wanted]] = mean_losses(refit, whole, test)
    chosen = picked(every, validated, again, tested)
    losses = {pick: whole.losses(whole.scores(refit[setting], test), test) for pick, setting in chosen.items()}
    losses |= {"constant": whole.constant_losses(test), "validated": validated, "tested": tested}
    facts = {
        "set": name, "split": number, "given": len(parts.given.target), "test": len(test.targets),
        "features": whole.encoder.width, "outputs": whole.outputs, "seconds": seconds,
        "constant": float(losses["constant"].mean()), "gain_error": row_error(losses["constant"] - losses["expert"]),
        **{f"{pick}_setting": setting for pick, setting in chosen.items()},
        **{pick: float(losses[pick].mean()) for pick in PICKS},
    }  # fmt: skip
    return facts, losses


def picked(
    every: Sequence[Setting], validated: np.ndarray, again: np.ndarray, tested: np.ndarray
) -> dict[str, Setting]:
    """Give what each expert picks; see PICKS."""
    rests = np.array([one.schedule != "constant" for one in every])
    solved = np.array([one.method == "lbfgs" for one in every])
    judged = {
        "expert": validated,
        "second": again,
        "steady": np.where(rests, validated, np.inf),
        "lbfgs": np.where(solved, validated, np.inf),
        "oracle": tested,
    }
    return {pick: every[trusted(losses, tested)] for pick, losses in judged.items()}


def trusted(validated: np.ndarray, tested: np.ndarray) -> int:
    """Give the best place by validation whose second training did not diverge, as any expert would notice."""
    order = np.argsort(validated, kind="stable")
    return int(next(place for place in order if np.isfinite(tested[place])))


def kept(name: str, number: int) -> Path:
    """Name the file that keeps what the experts said of a split."""
    return CACHE / f"{name}.{number}.json"


def keep(name: str, number: int, facts: dict[str, Any], losses: dict[str, np.ndarray]) -> None:
    """Keep what the experts said, and the losses of the test rows, for paired comparisons."""
    CACHE.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(kept(name, number).with_suffix(".npz"), **losses)
    kept(name, number).write_text(json.dumps(facts))


def collect() -> None:
    """Write everything that is kept into the committed table; its other lines stay."""
    with TABLE.open(newline="") as file:
        lines = {(line["set"], int(line["split"])): line for line in csv.DictReader(file)}
    for path in CACHE.glob("*.json"):
        facts = json.loads(path.read_text())
        lines[facts["set"], facts["split"]] = {name: written(value) for name, value in facts.items()}
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(next(iter(lines.values()))), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines[key] for key in sorted(lines))


def written(value: Any) -> str:
    """Write a value of the table: settings in words, numbers with seven digits."""
    if isinstance(value, list):
        return " ".join(written(part) for part in value if part != "")
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Ask the experts about splits that are not done yet: the first split of every set, then the second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", action="append", help="small, middle, large, pmlb, all or a name")
    parser.add_argument("--splits", type=int, default=10, help="at most so many splits of a set")
    parser.add_argument("--collect", action="store_true", help="write what is kept into the table")
    arguments = parser.parse_args()
    data = Path(os.environ["SCHUSS_DATA"])
    chosen = [name for group in arguments.sets or () for name in names(data, group)]
    tables = {}
    for number in range(arguments.splits):
        for name in chosen:
            if kept(name, number).exists():
                continue
            whole = tables.get(name) or load(data, name)
            if len(whole.target) < 100_000:
                tables[name] = whole
            if number >= splits_of(len(whole.target)):
                continue
            begun = time.perf_counter()
            with threadpool_limits(1), np.errstate(all="ignore"):
                facts, losses = consult(split(whole, name, number), name, number)
            keep(name, number, facts, losses)
            line = f"{name} {number}: {time.perf_counter() - begun:.1f} s, {facts['expert_setting']}, "
            print(line + f"{facts['expert']:.5g} of {facts['constant']:.5g}", file=sys.stderr, flush=True)
    if arguments.collect:
        collect()


if __name__ == "__main__":
    main()
