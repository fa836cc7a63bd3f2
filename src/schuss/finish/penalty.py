"""The choice by folds: a penalty on all weights alike, and then another, on each by its size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk
from ..descent.losses import constant_classes, constant_number
from ..race.race import standing
from .choose import Choice, choose_by_folds
from .dealing import FOLDS, deal_by_content
from .folds import Solved, Validated, cross_validate, of_rows
from .scales import by_weights
from .task import Recipe, Task

__all__ = ["FOLD_PENALTIES", "MOST_PASSES", "Judged", "Tried", "judged"]

FOLD_PENALTIES = (1e9, 1e4, 1e3, 1e2, 1e1, 1e0, 1e-1, 1e-2)
"""λ₂ · N of the solutions to choose from by folds; steps of half a decade gain nothing.

The first is as good as infinite and gives the constant prediction, for data without signal.
"""

ENOUGH_JUDGES = 20_000
"""Rows that judge penalties well enough: where fewer than five folds have so many, the others only teach.

10,000 of adult choose a penalty that costs 0.6 % of the gain on its test rows, 20,000 the one that all of them choose.
"""

SCALED_ROWS = 5_000
"""Below so many rows penalties are tried a second time, with the sizes of the weights as scales of the features.

On 26 sets of 5,000 to 100,000 rows this gains 0.02 ± 0.04 % of what can be gained, on 43 smaller ones 2.4 ± 0.8 %.
"""

SCALED_WEIGHTS = 10_000
"""The same holds for at most so many weights: of the 262,144 of sms_spam the accuracy fell from 0.9901 to 0.9878, and
trainings took several times as long.
"""

MOST_PASSES = 500
"""Passes of one solve, where these are cheap."""


class Tried(NamedTuple):
    """What folds found for penalties with some scales, and chose."""

    penalties: list[float]
    found: Validated
    choice: Choice

    @property
    def solved(self) -> Solved:
        """The solutions for the penalty that is nearest to the one chosen."""
        return self.found.solutions[self.choice.place]

    @property
    def losses(self) -> NDArray[np.float32]:
        """The losses `(rows,)` by these."""
        return self.found.losses[:, self.choice.place]

    @property
    def means(self) -> NDArray[np.float64]:
        """The mean loss of each penalty."""
        return standing(self.found.losses, self.found.weights).means


class Judged(NamedTuple):
    """What folds chose: the scales to begin with, what was tried one after the other, and how many of it is taken."""

    scales: NDArray[np.float64]
    tried: list[Tried]
    taken: int
    folds: int

    @property
    def recipe(self) -> Recipe:
        """How to solve for the model with all rows."""
        return Recipe(tuple(one.choice.penalty for one in self.tried[: self.taken]), self.scales)

    @property
    def loss(self) -> float:
        """The loss to be expected."""
        return self.tried[self.taken - 1].choice.loss

    @property
    def rows(self) -> int:
        """The rows that judged."""
        return len(self.tried[0].losses)

    @property
    def start(self) -> NDArray[np.float64]:
        """Weights near to the first solution of all rows."""
        return self.tried[0].solved.mean

    @property
    def passes(self) -> int:
        """The passes of all folds."""
        return sum(done.passes for one in self.tried for done in one.found.solutions)


def judged(task: Task, rows: Chunk, passes: int) -> Judged | None:
    """Cross-validate the penalties over rows; None if these do not allow it.

    Then the sizes of the weights that each fold has found become its scales, and the penalties are tried once more;
    what comes of it is taken unless it is surely worse.

    passes : that all folds may take, each time.
    """
    many, scales = len(rows.targets), task.scales(rows)
    penalties = [level / many for level in FOLD_PENALTIES] if task.l2 is None else [task.l2]
    dealt = deal_by_content(rows)
    if dealt.max() < FOLDS - 1:
        return None
    folds = min(FOLDS, -(-FOLDS * ENOUGH_JUDGES // many))
    dealt[dealt >= folds] = -1
    each = min(passes // (folds * len(penalties)), MOST_PASSES)
    l1, start = task.champion.run.l1, _constant(task, rows)

    def tried(scales: NDArray[np.float64]) -> Tried | None:
        options = {"l1": l1, "passes": each, "scale": task.scale, "stop": task.stop}
        solver = of_rows(rows, task.loss, dealt, scales=scales, **options)
        found = cross_validate(penalties, start, dealt, rows.weights, solver, stop=task.stop)
        if found is None:
            return None
        return Tried(penalties, found, choose_by_folds(penalties, found.losses, found.weights))

    first = tried(np.broadcast_to(scales, (folds, len(scales))))
    if first is None:
        return None
    again = None
    if task.is_free and many < SCALED_ROWS and start.size <= SCALED_WEIGHTS and first.choice.place > 0:
        again = tried(np.stack([by_weights(own.astype(np.float64), scales) for own in first.solved.weights]))
    if again is None:
        return Judged(scales, [first], 1, folds)
    return Judged(scales, [first, again], 1 if _is_surely_worse(again, first) else 2, folds)


def _is_surely_worse(this: Tried, other: Tried) -> bool:
    """Whether the rows that judged say by a standard error that this is worse."""
    now = standing(np.column_stack([this.losses, other.losses]), this.found.weights)
    return bool(now.behind[0] > now.errors[0])


def _constant(task: Task, rows: Chunk) -> NDArray[np.float64]:
    """Give the weights of the constant prediction, from which the strongest penalty has next to no way to go."""
    start: NDArray[np.float64] = np.zeros_like(task.champion.state.weights, dtype=np.float64)
    shares = rows.weights.astype(np.float64)
    if rows.targets.dtype.kind == "f":
        start[-1] = constant_number(task.loss, rows.targets.astype(np.float64), shares)
    else:
        start[-1] = constant_classes(task.loss, np.bincount(rows.targets, shares, max(len(start[-1]), 2)))
    return start
