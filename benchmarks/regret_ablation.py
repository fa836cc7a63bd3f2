"""What each mechanism of the default adds: the same trainings with it and without it, on the same rows.

    SCHUSS_DATA=FOLDER python benchmarks/regret_ablation.py --sets small --splits 2
    ... --variant "four runs" --variant "ten folds"     only these, beside the default
    ... --seeds 2                                       and by how much another seed moves the loss

A mechanism's effect on a set is L(without) − L(with) in percent of what the expert of regret_experts.csv gains over the
constant prediction; the table gives its mean over sets, its standard error, and on how many sets it helps and hurts.
With several seeds effects are means over them, and the last columns tell how far apart seeds end, in the same percent.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from regret_sets import Split, load, names, split, splits_of
from regret_trials import expert_table, run_default
from threadpoolctl import threadpool_limits

from schuss.data.chunk import Chunk, as_matrix
from schuss.finish import choose, curvature, dealing, folds, penalty, task
from schuss.finish import finish as finish_room
from schuss.race import legs, loop
from schuss.race.race import standing
from schuss.training import ending

HALVES = (1e9, 1e4, *(10.0 ** (half / 2) for half in range(6, -5, -1)))
FIVE = (1e2, 1e1, 1.0, 0.1, 0.01)


def unfinished(champion: Any, *given: Any, **named: Any) -> finish_room.Finished:
    """Give the race's champion as it is."""
    return finish_room.Finished(champion, champion)


def chosen_alone(task: Any, chosen: Any, others: Any) -> Any:
    """Leave out the last solve over all rows."""
    return chosen.champion


def dealt_by_seed(seed: int, rows: Chunk) -> np.ndarray:
    """Deal rows into folds at random within each class."""
    return dealing.deal(rows.targets, seed)


def the_best(penalties: Sequence[float], losses: np.ndarray, weights: np.ndarray) -> choose.Choice:
    """Choose the penalty of the lowest mean loss, and none between."""
    now = standing(losses, weights)
    place = 0 if now.behind[0] <= now.errors[0] else now.best
    return choose.Choice(penalties[place], place, float(now.means[place]))


def ones(rows: Chunk) -> np.ndarray:
    """Give every feature the same scale."""
    return np.ones(as_matrix(rows.rows).shape[1])


class Seeded(NamedTuple):
    """A function in whose place stands one that takes the seed of the training before its own parameters."""

    function: Callable[..., Any]


Change = tuple[Any, str, Any]
"""Where a thing is, its name, and what stands in its place."""


def so_many_folds(number: int) -> list[Change]:
    """Deal the rows into so many folds."""
    return [(penalty, "FOLDS", number), (dealing.deal_by_content, "__defaults__", (number,))]


LONG_RACE: Change = (ending, "has_passes", lambda *given: False)
NO_FOLDS: Change = (finish_room, "_by_folds", lambda *given: None)
NO_LAST_SOLVE: Change = (finish_room, "_with_all_rows", chosen_alone)
NO_HESSIAN: list[Change] = [(curvature, "MOST_WEIGHTS", 0), (folds, "MOST_WEIGHTS", 0)]
BY_SEED: Change = (penalty, "deal_by_content", Seeded(dealt_by_seed))
NO_SECOND_FOLDS: Change = (finish_room, "FEW_ROWS", 0)

VARIANTS: dict[str, tuple[dict[str, Any], list[Change]]] = {
    "no finish at all, hence a race of several legs": ({}, [(ending, "finish", unfinished), LONG_RACE]),
    "no folds: the held-out rows choose": ({}, [NO_FOLDS]),
    "no last solve over all rows": ({}, [NO_LAST_SOLVE]),
    "neither folds nor last solve": ({}, [NO_FOLDS, NO_LAST_SOLVE]),
    "no second folds, with the rows that score": ({}, [NO_SECOND_FOLDS]),
    "second folds below 5,000 rows": ({}, [(finish_room, "FEW_ROWS", 5_000)]),
    "folds dealt by the seed": ({}, [BY_SEED]),
    "folds dealt by the seed, and no second ones": ({}, [BY_SEED, NO_SECOND_FOLDS]),
    "solves begin without the Hessian": ({}, NO_HESSIAN),
    "the best penalty of those tried, none between": ({}, [(penalty, "choose_by_folds", the_best)]),
    "one penalty for all weights": ({}, [(penalty, "SCALED_ROWS", 0)]),
    "equal columns bear a penalty each": ({}, [(task, "of_equal_columns", ones)]),
    "10,000 judges": ({}, [(penalty, "ENOUGH_JUDGES", 10_000)]),
    "all rows judge": ({}, [(penalty, "ENOUGH_JUDGES", 10**9)]),
    "three folds": ({}, so_many_folds(3)),
    "ten folds": ({}, so_many_folds(10)),
    "penalties in half decades": ({}, [(penalty, "FOLD_PENALTIES", HALVES)]),
    "five penalties, 100 to 0.01": ({}, [(penalty, "FOLD_PENALTIES", FIVE)]),
    "one run instead of sixteen": ({"runs": 1}, []),
    "four runs": ({"runs": 4}, []),
    "constant rate instead of linear decay": ({"schedule": "constant"}, []),
    "a race of several legs": ({}, [LONG_RACE]),
    "first leg a quarter as long": ({}, [(legs, "SHORT_LEG_ROWS", legs.SHORT_LEG_ROWS // 4)]),
    "nobody is dropped within a leg": ({}, [(loop, "hopeless", lambda now, constant: np.zeros(len(now.means), bool))]),
}


class Effect(NamedTuple):
    """What a variant did on a set, means over splits and seeds.

    behind : L(variant) − L(default), in percent of the gain; ratio : of seconds; move, usual : by how much seeds differ
    at most with the variant and by default, in the same percent.
    """

    behind: float
    ratio: float
    move: float
    usual: float


@contextmanager
def variant(changes: Sequence[Change], seed: int) -> Iterator[None]:
    """Let a variant's changes hold for a while."""
    with ExitStack() as stack:
        for place, name, value in changes:
            new = partial(value.function, seed) if isinstance(value, Seeded) else value
            stack.enter_context(patch.object(place, name, new))
        yield


def trained(parts: Split, seeds: Sequence[int], options: dict[str, Any], changes: Sequence[Change]) -> np.ndarray:
    """Train with each seed; gives the mean test losses and the seconds, `(seeds, 2)`."""
    found = []
    for seed in seeds:
        with variant(changes, seed), np.errstate(all="ignore"):
            outcome = run_default(parts, {"seed": seed, **options})
        found.append((float(outcome.losses.mean()), outcome.seconds))
    return np.array(found)


def compared(default: np.ndarray, other: np.ndarray, gain: float) -> Effect:
    """Compare trainings `(splits, seeds, 2)` of one set."""
    behind, seconds = (other - default)[..., 0].mean(), (other[..., 1] / default[..., 1]).mean()
    moves = [float(np.ptp(one[..., 0], axis=1).mean()) for one in (other, default)]
    return Effect(100 * behind / gain, float(seconds), *(100 * move / gain for move in moves))


def effects(
    data: Path, group: list[str], splits: int, seeds: int, wanted: list[str], tell: Callable[[str], None]
) -> dict[str, list[Effect]]:
    """Give the effect of each variant on each set whose expert surely gains something."""
    experts = expert_table("expert")
    found: dict[str, list[Effect]] = {name: [] for name in wanted}
    for name in dict.fromkeys(name for one in group for name in names(data, one)):
        whole = load(data, name)
        numbers = [one for one in range(min(splits, splits_of(len(whole.target)))) if (name, one) in experts]
        known = [experts[name, number] for number in numbers]
        gains = [one.means["constant"] - min(one.means["expert"], one.means["lbfgs"]) for one in known]
        if not known or np.mean(gains) <= 2 * np.mean([one.gain_error for one in known]):
            continue  # nothing that an effect could be measured by
        told: dict[str, list[np.ndarray]] = {"": [], **{one: [] for one in wanted}}
        for number in numbers:
            parts, each = split(whole, name, number), [1000 * number + seed for seed in range(seeds)]
            for one, trials in told.items():
                trials.append(trained(parts, each, *VARIANTS.get(one, ({}, []))))
        for one in wanted:
            found[one].append(compared(np.array(told[""]), np.array(told[one]), float(np.mean(gains))))
        tell(name)
    return found


def table(found: dict[str, list[Effect]], seeds: int) -> str:
    """Write the table of all variants."""
    title = "|without it|sets|mean effect, %|± |median|90th|helps|hurts|seconds|"
    lines = [title + "seeds apart, 90th|most|by default, 90th|most|" * (seeds > 1)]
    lines.append("|-" * (lines[0].count("|") - 1) + "|")
    for name, those in found.items():
        behind, ratio, *moves = np.array(those).T
        error = behind.std(ddof=1) / np.sqrt(len(behind)) if len(behind) > 1 else np.nan
        spread = f"{np.median(behind):+.2f}|{np.quantile(behind, 0.9):+.2f}"
        counts = f"{(behind > 0.1).sum()}|{(behind < -0.1).sum()}|{np.median(ratio):.2f}"
        apart = "".join(f"{np.quantile(move, 0.9):.2f}|{move.max():.2f}|" for move in moves) if seeds > 1 else ""
        lines.append(f"|{name}|{len(behind)}|{behind.mean():+.2f}|{error:.2f}|{spread}|{counts}|{apart}")
    return "\n".join(lines)


def main() -> None:
    """Run the variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", action="append", help="small (default), middle, large, pmlb, all or a name")
    parser.add_argument("--splits", type=int, default=1, help="at most so many splits of a set")
    parser.add_argument("--seeds", type=int, default=1, help="trainings on each split")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="all by default")
    arguments = parser.parse_args()
    wanted, seeds = arguments.variant or list(VARIANTS), arguments.seeds
    data, tell = Path(os.environ["SCHUSS_DATA"]), partial(print, flush=True, file=sys.stderr)
    with threadpool_limits(1):
        found = effects(data, arguments.sets or ["small"], arguments.splits, seeds, wanted, tell)
    print(table(found, seeds))


if __name__ == "__main__":
    main()
