"""Cross-validation: on few rows every one of them judges the penalties, and none by a model that has seen it.

A tenth of a thousand rows cannot tell a good penalty from one that suits these hundred rows. Dealt into five folds, all
thousand can: each penalty is solved for five times, each time without one fold, and that fold's rows are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, cut, take
from ..descent.losses import Loss
from ..race.race import standing
from .curvature import MOST_WEIGHTS, loss_hessian
from .scales import solve_scaled
from .single import SingleObjective
from .solve import ROUGH, Solution, losses_of
from .turned import Turned, turn, turning_pays

__all__ = ["Fold", "Solved", "Validated", "cross_validate", "of_rows"]

BEHIND = 2.0
"""Penalties are tried from the strongest on, until two in a row are surely behind the best, by so many standard errors.

Weaker ones are the dearest to solve for, and the loss over the penalties has one valley.
"""


class Solved(NamedTuple):
    """The folds' solutions for one penalty: their weights, mean value and passes together.

    weights : `(folds, features + 1, outputs)`, in float32 because they are kept for every penalty.
    """

    weights: NDArray[np.float32]
    value: float
    passes: int
    converged: bool

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean of the weights, a good start for the solution of all rows."""
        return self.weights.mean(axis=0, dtype=np.float64)


class Validated(NamedTuple):
    """What cross-validation found.

    solutions : of the folds, for each penalty; losses : `(rows, penalties)` of the rows that judged, each by the model
    without its fold; weights : `(rows,)` of these.
    """

    solutions: list[Solved]
    losses: NDArray[np.float32]
    weights: NDArray[np.float32]


class Fold(NamedTuple):
    """A fold of the rows.

    solve : from a penalty and weights to start from to the solution without it; score : from weights to the losses of
    its rows.
    """

    solve: Callable[[float, NDArray[np.float64]], Solution]
    score: Callable[[NDArray[np.float64]], NDArray[np.floating]]


def cross_validate(
    penalties: Iterable[float],
    start: NDArray[np.float64],
    dealt: NDArray[np.int8],
    weights: NDArray[np.floating],
    solver: Callable[[int], Fold],
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Validated | None:
    """Solve for each penalty, from the strongest to the weakest, once without each fold, whose rows judge.

    Each solve starts from where the same fold's last one ended, the first from `start`; penalties : λ₂ of the mean
    loss; dealt : `(rows,)` the fold of each row, −1 for rows that only teach; weights : `(rows,)` of the rows; solver :
    gives for a fold how to solve without it and how to score it. Gives None if a first solve was stopped or failed.
    """
    parts = [solver(fold) for fold in range(int(dealt.max()) + 1)]
    begun = [start] * len(parts)
    judges = dealt >= 0
    found = Validated([], np.empty((int(judges.sum()), 0), np.float32), weights[judges].astype(np.float32))
    for penalty in penalties:
        solved: list[Solution] = []
        losses = np.empty(len(dealt), np.float32)
        for fold, part in enumerate(parts):
            done = part.solve(penalty, begun[fold])
            if stop() or not done.usable:
                return found if found.solutions else None
            losses[dealt == fold] = part.score(done.weights)
            solved.append(done)
        begun = [done.weights for done in solved]
        together = np.column_stack([found.losses, losses[judges]])
        found = found._replace(solutions=[*found.solutions, _together(solved)], losses=together)
        if _surely_past_the_best(found):
            break
    return found


class _Hessians:
    """The Hessians of the mean loss without each fold, for each penalty where the first fold's solve starts.

    One that the fold's own rows are part of would tell of them: on authorship, where classes can be told apart, their
    loss was half of what it is at the optimum, which is not reached there.

    parts : the rows of no fold, and those of each.
    """

    def __init__(self, parts: Sequence[Chunk | Turned], loss: Loss) -> None:
        self.parts, self.loss = parts, loss
        self.shares = np.array([part.weights.sum(dtype=np.float64) for part in parts])
        self.penalty = -1.0
        self.hessians: NDArray[np.float64] | None = None

    def without(self, fold: int, penalty: float, start: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Give the Hessian without a fold; None where it is too large, or not finite."""
        if penalty != self.penalty:
            self.penalty, self.hessians = penalty, self._formed(start)
        return None if self.hessians is None else self.hessians[fold]

    def _formed(self, start: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Give the Hessians without each fold; None if that of a part is lacking, or no row weighs anything."""
        others = self.shares * (np.arange(len(self.parts)) != np.arange(1, len(self.parts))[:, None])
        if start.size > MOST_WEIGHTS or not others.any(axis=1).all():
            return None
        whole = np.zeros((len(self.parts), start.size**2))
        for part, share, own in zip(self.parts, self.shares, whole, strict=True):
            found = self._of(part, start) if share else own
            if found is None:
                return None
            own[:] = found.ravel()
        return (others / others.sum(axis=1, keepdims=True) @ whole).reshape(-1, start.size, start.size)

    def _of(self, part: Chunk | Turned, start: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Give the Hessian of a part, of some of its rows where all parts have too many."""
        rows = sum(part.targets.size for part in self.parts)
        return loss_hessian(part if isinstance(part, Turned) else partial(cut, part), rows, self.loss, start)


def of_rows(
    rows: Chunk,
    loss: Loss,
    dealt: NDArray[np.int8],
    *,
    scales: NDArray[np.float64],
    l1: float = 0.0,
    passes: int,
    scale: float,
    stop: Callable[[], bool] = lambda: False,
) -> Callable[[int], Fold]:
    """Give the folds of encoded rows, solved for in single precision as far as it matters.

    scales : of the features `(folds, features)`, see `solve_scaled`; l1 : λ₁, the same for every penalty; passes : of
    one solve, at most; scale : see `minimise`.
    """
    parts = [take(rows, dealt == number) for number in range(-1, int(dealt.max()) + 1)]
    turned, spans = turn(parts) if turning_pays(parts) else (None, [])
    hessians = _Hessians(parts if turned is None else [turned.between(*span) for span in spans], loss)

    def without(number: int) -> Chunk | Turned:
        """Give the rows of all folds but one."""
        if turned is not None:
            return turned.without(*spans[number + 1])
        return rows._replace(weights=np.where(dealt == number, np.float32(0.0), rows.weights))

    def fold(number: int) -> Fold:
        taught, judging = without(number), parts[number + 1]

        def solve(penalty: float, start: NDArray[np.float64]) -> Solution:
            return solve_scaled(
                SingleObjective(taught, loss), penalty, scales[number], start,
                hessian=partial(hessians.without, number, penalty, start),
                l1=l1, passes=passes, scale=scale, decrease=ROUGH, stop=stop,
            )  # fmt: skip

        return Fold(solve, lambda weights: losses_of(loss, judging, weights))

    return fold


def _together(solved: list[Solution]) -> Solved:
    weights = np.stack([done.weights.astype(np.float32) for done in solved])
    value = float(np.mean([done.value for done in solved]))
    return Solved(weights, value, sum(done.passes for done in solved), all(done.converged for done in solved))


def _surely_past_the_best(found: Validated) -> bool:
    """Whether the last two penalties are surely worse than one before them."""
    now = standing(found.losses, found.weights)
    return len(now.means) > 2 and bool((now.behind[-2:] > BEHIND * now.errors[-2:]).all())
