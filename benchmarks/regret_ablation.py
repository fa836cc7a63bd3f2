"""What each mechanism of the default adds: the same trainings with it and without it, on the same rows.

    SCHUSS_DATA=FOLDER python benchmarks/regret_ablation.py --sets small --splits 2
    ... --variant "no folds" --variant "one run"        only these, beside the default

A mechanism's effect on a set is L(without) − L(with) in percent of what the expert of regret_experts.csv gains over the
constant prediction; the table gives its mean over sets, its standard error, and on how many sets it helps and hurts.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from regret_sets import load, names, split, splits_of
from regret_trials import expert_table, run_default

from schuss import ending
from schuss.finish import finish as finish_room
from schuss.finish import folds
from schuss.race import legs, loop

HALVES = (1e9, 1e4, *(10.0 ** (half / 2) for half in range(6, -5, -1)))
FIVE = (1e2, 1e1, 1.0, 0.1, 0.01)


def unfinished(champion: Any, *given: Any, **named: Any) -> finish_room.Finished:
    """Give the race's champion as it is."""
    return finish_room.Finished(champion, champion)


def chosen_alone(task: Any, chosen: Any, others: Any) -> Any:
    """Leave out the last solve over all rows."""
    return chosen.champion


LONG_RACE = (ending, "has_passes", lambda *given: False)
NO_FOLDS = (finish_room, "_by_folds", lambda task, feed, seed, passes: None)
NO_LAST_SOLVE = (finish_room, "_with_all_rows", chosen_alone)

VARIANTS: dict[str, tuple[dict[str, Any], list[tuple[Any, str, Any]]]] = {
    "no finish at all, hence a race of several legs": ({}, [(ending, "finish", unfinished), LONG_RACE]),
    "no folds: the held-out rows choose": ({}, [NO_FOLDS]),
    "no last solve over all rows": ({}, [NO_LAST_SOLVE]),
    "neither folds nor last solve": ({}, [NO_FOLDS, NO_LAST_SOLVE]),
    "three folds": ({}, [(folds, "FOLDS", 3), (finish_room, "FOLDS", 3), (folds.deal, "__defaults__", (3,))]),
    "ten folds": ({}, [(folds, "FOLDS", 10), (finish_room, "FOLDS", 10), (folds.deal, "__defaults__", (10,))]),
    "penalties in half decades": ({}, [(finish_room, "FOLD_PENALTIES", HALVES)]),
    "five penalties, 100 to 0.01": ({}, [(finish_room, "FOLD_PENALTIES", FIVE)]),
    "one run instead of sixteen": ({"runs": 1}, []),
    "four runs": ({"runs": 4}, []),
    "constant rate instead of linear decay": ({"schedule": "constant"}, []),
    "a race of several legs": ({}, [LONG_RACE]),
    "first leg a quarter as long": ({}, [(legs, "SHORT_LEG_ROWS", legs.SHORT_LEG_ROWS // 4)]),
    "nobody is dropped within a leg": ({}, [(loop, "hopeless", lambda now, constant: np.zeros(len(now.means), bool))]),
}


@contextmanager
def variant(changes: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Let a variant's changes hold for a while."""
    with ExitStack() as stack:
        for place, name, value in changes:
            stack.enter_context(patch.object(place, name, value))
        yield


def losses(parts: Any, seed: int, options: dict[str, Any], changes: list[tuple[Any, str, Any]]) -> tuple[float, float]:
    """Train once, and give the mean test loss and the seconds."""
    with variant(changes), np.errstate(all="ignore"):
        outcome = run_default(parts, {"seed": seed, **options})
    return float(outcome.losses.mean()), outcome.seconds


def effects(
    data: Path, group: list[str], splits: int, wanted: list[str], tell: Callable[[str], None]
) -> dict[str, Any]:
    """Give, for each variant, the effect and the ratio of seconds on each set, means over its splits."""
    experts = expert_table("expert")
    found: dict[str, Any] = {name: [] for name in wanted}
    for name in dict.fromkeys(name for one in group for name in names(data, one)):
        whole = load(data, name)
        numbers = [one for one in range(min(splits, splits_of(len(whole.target)))) if (name, one) in experts]
        told: dict[str, list[tuple[float, float]]] = {one: [] for one in wanted}
        gains, unsure = [], []
        for number in numbers:
            parts, expert = split(whole, name, number), experts[name, number]
            gains.append(expert.means["constant"] - min(expert.means["expert"], expert.means["lbfgs"]))
            unsure.append(expert.gain_error)
            usual = losses(parts, 1000 * number, {}, [])
            for one in wanted:
                other = losses(parts, 1000 * number, *VARIANTS[one])
                told[one].append((other[0] - usual[0], other[1] / usual[1]))
        if not numbers or np.mean(gains) <= 2 * np.mean(unsure):
            continue  # nothing that an effect could be measured by
        for one, pairs in told.items():
            behind, ratio = np.mean(pairs, axis=0)
            found[one].append((100 * behind / np.mean(gains), ratio))
        tell(name)
    return found


def table(found: dict[str, Any]) -> str:
    """Write the table of all variants."""
    lines = ["|without it|sets|mean effect, %|± |median|90th|helps|hurts|seconds|", "|-|-|-|-|-|-|-|-|-|"]
    for name, pairs in found.items():
        effect, ratio = np.array(pairs).T
        error = effect.std(ddof=1) / np.sqrt(len(effect)) if len(effect) > 1 else np.nan
        counts = f"{(effect > 0.1).sum()}|{(effect < -0.1).sum()}|{np.median(ratio):.2f}"
        spread = f"{np.median(effect):+.2f}|{np.quantile(effect, 0.9):+.2f}"
        lines.append(f"|{name}|{len(effect)}|{effect.mean():+.2f}|{error:.2f}|{spread}|{counts}|")
    return "\n".join(lines)


def main() -> None:
    """Run the variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", action="append", help="small (default), middle, large, pmlb, all or a name")
    parser.add_argument("--splits", type=int, default=1, help="at most so many splits of a set")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="all by default")
    arguments = parser.parse_args()
    wanted = arguments.variant or list(VARIANTS)
    data = Path(os.environ["SCHUSS_DATA"])
    found = effects(data, arguments.sets or ["small"], arguments.splits, wanted, lambda name: print(name, flush=True))
    print(table(found))


if __name__ == "__main__":
    main()
