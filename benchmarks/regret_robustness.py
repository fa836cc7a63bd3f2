"""Whether a training with every setting at its default bears what tables in the wild are like.

    SCHUSS_DATA=FOLDER python benchmarks/regret_robustness.py
    ... --sets small --sets middle --change "constant, twice"       one change on many sets, in one line

What should change nothing: the move of the test loss, in percent of what the expert gains over the constant
prediction (an expert of regret_experts.csv). What makes a table of its own: regret against L-BFGS in float64, its
penalty chosen by validation among seven, learned again from all rows given.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from regret_experts import LEVELS, Setting, learn, mean_losses
from regret_rows import encode
from regret_sets import Split, Table, load, names, split
from regret_trials import expert_table, run_default
from threadpoolctl import threadpool_limits

SETS = (
    "balance_scale", "vehicle", "chess", "credit_g", "phoneme", "adult", "uci_concrete", "608_fri_c3_1000_10",
    "197_cpu_act", "537_houses",
)  # fmt: skip
LIMIT = 1.0
"""Moves above so many percent are marked."""


def changed(parts: Split, change: Callable[[Table], Table]) -> Split:
    """Change every part of a split alike."""
    return Split(*(change(part) for part in parts))


def rescaled(parts: Split, rng: np.random.Generator) -> Split:
    """Multiply each number column by 10^4 or 10^-4."""
    columns = parts.given.features.select_dtypes("number").columns
    factors = 10.0 ** (4 * rng.choice([-1, 1], len(columns)))

    def change(part: Table) -> Table:
        return part._replace(
            features=part.features.assign(**{c: part.features[c] * f for c, f in zip(columns, factors, strict=True)})
        )

    return changed(parts, change)


def with_target_times(factor: float) -> Callable[[Split, np.random.Generator], Split]:
    """Multiply numbers that are to be predicted."""
    return lambda parts, rng: changed(parts, lambda part: part._replace(target=part.target * factor))


def in_order(parts: Split, order: np.ndarray) -> Split:
    """Put the rows given into another order."""
    return parts._replace(given=parts.given.take(order))


def sorted_by_target(parts: Split, rng: np.random.Generator) -> Split:
    """Sort the rows given by what is to be predicted."""
    return in_order(parts, np.argsort(parts.given.target, kind="stable"))


def permuted(parts: Split, rng: np.random.Generator) -> Split:
    """Put the rows given into a random order."""
    return in_order(parts, rng.permutation(len(parts.given.target)))


def repeated(parts: Split, rng: np.random.Generator) -> Split:
    """Add a constant column, and every number column once more."""

    def change(part: Table) -> Table:
        numbers = part.features.select_dtypes("number")
        copies = numbers.set_axis([f"{name} again" for name in numbers.columns], axis=1)
        return part._replace(features=pd.concat([part.features, copies], axis=1).assign(always=7.0))

    return changed(parts, change)


SAME: dict[str, tuple[Callable[[Split, np.random.Generator], Split] | None, dict[str, Any], float]] = {
    "features x 10^±4": (rescaled, {}, 1.0),
    "target x 10^6": (with_target_times(1e6), {}, 1e12),
    "target x 10^-6": (with_target_times(1e-6), {}, 1e-12),
    "sorted": (sorted_by_target, {}, 1.0),
    "row order": (permuted, {}, 1.0),
    "constant, twice": (repeated, {}, 1.0),
    "seed 1": (None, {"seed": 1}, 1.0),
    "seed 2": (None, {"seed": 2}, 1.0),
    "batch 8": (None, {"batch_size": 8}, 1.0),
    "batch 256": (None, {"batch_size": 256}, 1.0),
    "first weights": (None, {"init": "normal:1"}, 1.0),
}
"""What should change nothing: how the split is changed, other options, and by what losses are to be divided."""


def suits(change: str, table: Table) -> bool:
    """Whether a table has what changes: numbers to predict, or columns of a frame."""
    if change.startswith("target"):
        return table.is_regression
    return isinstance(table.features, pd.DataFrame) or SAME[change][0] not in (rescaled, repeated)


def moves(parts: Split, gain: float, changes: Iterable[str] = tuple(SAME)) -> Iterator[tuple[str, float]]:
    """Give the move of the test loss by each change, in percent of the expert's gain."""
    losses = run_default(parts, {}).losses
    for name in changes:
        change, options, unit = SAME[name]
        if not suits(name, parts.given):
            yield name, np.nan
            continue
        other = parts if change is None else change(parts, np.random.default_rng(0))
        try:
            moved = run_default(other, options).losses / unit
        except Exception as problem:
            print(name, type(problem).__name__, problem, file=sys.stderr)
            moved = np.full(len(losses), np.inf)
        yield name, 100 * float(moved.mean() - losses.mean()) / gain


def drawn(rows: int, features: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw normal columns, and a signal of variance one from ten of them."""
    values = rng.normal(size=(rows, features))
    frame = pd.DataFrame(values, columns=[f"x{place}" for place in range(features)])
    return frame, values[:, :10] @ np.full(10, 10**-0.5)


def words(codes: np.ndarray) -> np.ndarray:
    """Name classes."""
    return np.array([f"class {code}" for code in codes], dtype=object)


def rare(rng: np.random.Generator) -> Table:
    """Make classes of which one has 99.9 % of the rows."""
    frame, signal = drawn(200_000, 20, rng)
    score = 2 * signal + rng.logistic(size=len(signal))
    return Table(frame, words(score > np.quantile(score, 0.999)))


def wide(rng: np.random.Generator, rows: int = 400, features: int = 2_000) -> Table:
    """Make five features for each row."""
    frame, signal = drawn(rows, features, rng)
    return Table(frame, words(signal + 0.3 * rng.logistic(size=len(signal)) > 0))


def narrower(rng: np.random.Generator) -> Table:
    """Make two rows for each feature, of ten million numbers."""
    return wide(rng, 5_000, 2_500)


def wider(rng: np.random.Generator) -> Table:
    """Make more features than rows, of ten million numbers."""
    return wide(rng, 2_000, 5_000)


def wide_numbers(rng: np.random.Generator) -> Table:
    """Make five features for each row, and numbers to predict."""
    frame, signal = drawn(400, 2_000, rng)
    return Table(frame, 5 + signal + 0.3 * rng.normal(size=len(signal)))


def thousand(rng: np.random.Generator) -> Table:
    """Make a thousand classes of twelve rows each."""
    centres = 2 * rng.normal(size=(1_000, 20))
    codes = np.arange(12_000) % 1_000
    values = centres[codes] + rng.normal(size=(len(codes), 20))
    return Table(pd.DataFrame(values, columns=[f"x{place}" for place in range(20)]), words(codes))


def heavy(rng: np.random.Generator) -> Table:
    """Make features and noise of Student's distribution with two degrees of freedom."""
    values = rng.standard_t(2, size=(20_000, 10))
    target = values @ rng.normal(size=10) + rng.standard_t(3, size=len(values))
    return Table(pd.DataFrame(values, columns=[f"x{place}" for place in range(10)]), target)


def heavy_classes(rng: np.random.Generator) -> Table:
    """Make features of Student's distribution with one degree of freedom."""
    values = rng.standard_t(1, size=(20_000, 10))
    score = np.arcsinh(values) @ rng.normal(size=10) + rng.logistic(size=len(values))
    return Table(pd.DataFrame(values, columns=[f"x{place}" for place in range(10)]), words(score > 0))


OWN = {
    "99.9 % one class": rare,
    "400 rows, 2,000 features": wide,
    "400 rows, 2,000 features, numbers": wide_numbers,
    "5,000 rows, 2,500 features": narrower,
    "2,000 rows, 5,000 features": wider,
    "1,000 classes": thousand,
    "heavy tails": heavy,
    "Cauchy features": heavy_classes,
}


def hard(make: Callable[[np.random.Generator], Table]) -> tuple[float, float, float, float]:
    """Give regret in percent on a table of its own, and the losses of the constant, of L-BFGS and of the default."""
    parts = split(make(np.random.default_rng(0)), make.__name__, 0)
    penalties = [Setting("lbfgs", 0.0, "", level) for level in LEVELS]
    first = encode(parts.train, parts.validation)
    best = penalties[int(np.argmin(mean_losses(learn(penalties, first, 0), first, first.others[0])))]
    whole = encode(parts.given, parts.test)
    reference = float(mean_losses(learn([best], whole, 0), whole, whole.others[0])[0])
    constant = float(whole.constant_losses(whole.others[0]).mean())
    loss = float(run_default(parts, {}).losses.mean())
    return 100 * (loss - reference) / (constant - reference), constant, reference, loss


def line_of(change: str, data: Path, groups: list[str]) -> str:
    """Say how far a change moves the loss of one split of each set whose expert surely gains something."""
    found: dict[str, float] = {}
    experts = expert_table("steady")
    for name in dict.fromkeys(name for group in groups for name in names(data, group)):
        expert = experts.get((name, 0))
        gain = expert.means["constant"] - expert.means["steady"] if expert else 0.0
        if expert and gain > 2 * expert.gain_error:
            found[name] = dict(moves(split(load(data, name), name, 0), gain, [change]))[change]
    sizes = np.abs([move for move in found.values() if not np.isnan(move)])
    above = ", ".join(f"{name} {move:+.1f}" for name, move in found.items() if abs(move) > LIMIT) or "none"
    spread = f"{np.median(sizes):.2f}|{np.quantile(sizes, 0.9):.2f}|{sizes.max():.2f}"
    return f"|{change}|{len(sizes)}|{sizes.mean():.2f}|{spread}|{above}|"


def main() -> None:
    """Print both tables, or a line for each change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=(*SETS, *OWN), help="only this set or table")
    parser.add_argument("--sets", action="append", help="small, middle, large, pmlb, all or a name")
    parser.add_argument("--change", action="append", choices=SAME, help="what changes on --sets; all by default")
    arguments = parser.parse_args()
    if arguments.sets:
        print("|change|sets|mean|median|90th|most|above 1 %|\n|-|-|-|-|-|-|-|")
        with threadpool_limits(1):
            for change in arguments.change or SAME:
                print(line_of(change, Path(os.environ["SCHUSS_DATA"]), arguments.sets), flush=True)
        return
    data, experts = Path(os.environ["SCHUSS_DATA"]), expert_table("steady")
    print(f"|set|{'|'.join(SAME)}|\n|-|{'-|' * len(SAME)}")
    with threadpool_limits(1):
        for name in (one for one in SETS if one in (arguments.only or SETS)):
            means = experts[name, 0].means
            found = moves(split(load(data, name), name, 0), means["constant"] - means["steady"])
            figures = [
                "" if np.isnan(move) else f"**{move:+.1f}**" if abs(move) > LIMIT else f"{move:+.2f}"
                for _, move in found
            ]
            print(f"|{name}|{'|'.join(figures)}|", flush=True)
        print("\n|table|regret, %|constant|L-BFGS|default|\n|-|-|-|-|-|")
        for title, make in ((title, OWN[title]) for title in OWN if title in (arguments.only or OWN)):
            regret, *losses = hard(make)
            print(f"|{title}|{regret:+.2f}|{'|'.join(f'{loss:.5g}' for loss in losses)}|", flush=True)


if __name__ == "__main__":
    main()
