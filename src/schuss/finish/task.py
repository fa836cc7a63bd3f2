"""What all parts of a finish share, and how a model is solved for and put in the champion's place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk
from ..data.whole import Whole
from ..descent.losses import Loss
from ..objective import LinearObjective
from ..race.record import Recorder
from ..race.state import Champion
from .curvature import whole_hessian
from .folds import Solved
from .scales import by_weights, mean_penalty, of_equal_columns, solve_scaled
from .single import SingleObjective, Spans, spans_of
from .solve import DECREASE, ROUGH, Solution, WithGradient
from .turned import Turned, turn, turning_pays

__all__ = ["Recipe", "Task"]


class Recipe(NamedTuple):
    """How a model is solved for: with a penalty and scales, and for each further penalty with scales by the weights."""

    penalties: tuple[float, ...]
    scales: NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What all parts of a finish share.

    scale : the constant prediction's loss; unit : of the record's losses; threads : that go through rows in memory.
    """

    champion: Champion
    loss: Loss
    l2: float | None
    scale: float
    record: Recorder
    unit: float
    stop: Callable[[], bool]
    threads: int = 1

    @property
    def is_free(self) -> bool:
        """Whether the penalty is to be chosen, and may weigh more on one feature than on another."""
        return self.l2 is None and self.champion.run.l1 == 0

    def scales(self, rows: Chunk | None) -> NDArray[np.float64]:
        """Give the scales of the features to begin with: ones, or less for columns that equal others in these rows."""
        if self.is_free and rows is not None:
            return of_equal_columns(rows)
        return np.ones(len(self.champion.state.weights) - 1)

    def solve_all(
        self, whole: Whole, recipe: Recipe, start: NDArray[np.floating], passes: int, *, exact: bool
    ) -> tuple[Solution, float]:
        """Solve for the penalties of a recipe in turn; gives the last solution, and what λ₂ its penalty comes to."""
        l2, *others = recipe.penalties
        scales = recipe.scales
        done = self.solve(whole, l2, scales, start, passes, exact=exact and not others)
        for penalty in others if done.usable else ():
            own = by_weights(done.weights, scales)
            further = self.solve(whole, penalty, own, done.weights, passes, exact=exact)
            if not further.usable:
                break
            done, l2, scales = further._replace(passes=done.passes + further.passes), penalty, own
        return done, mean_penalty(l2, done.weights, scales)

    def solve(
        self, whole: Whole, penalty: float, scales: NDArray[np.float64], start: NDArray[np.floating], passes: int,
        *, exact: bool,
    ) -> Solution:  # fmt: skip
        """Minimise the objective with one penalty, as far as its digits go or as far as it matters.

        Rows to be solved for exactly are few. Single precision, of which a pass takes a tenth of the time, ends so near
        that double precision needs two or three passes to say so (243 after a rough solution of texture).
        """
        rows = _turned(whole) if exact else whole

        def minimised(mean_loss: WithGradient, start: NDArray[np.float64], passes: int, decrease: float) -> Solution:
            return solve_scaled(
                mean_loss, penalty, scales, start, hessian=partial(whole_hessian, rows, self.loss, start, self.threads),
                l1=self.champion.run.l1, passes=passes, scale=self.scale, decrease=decrease, stop=self.stop,
            )  # fmt: skip

        rough = SingleObjective(rows if isinstance(rows, Turned) else self._in_passes(whole), self.loss, whole.far)
        near = minimised(rough, start.astype(np.float64), passes, DECREASE if exact else ROUGH)
        if not (exact and near.usable and near.passes < passes):
            return near
        done = minimised(LinearObjective(whole.blocks, self.loss, 0.0), near.weights, passes - near.passes, DECREASE)
        return done._replace(passes=near.passes + done.passes) if done.usable else near

    def _in_passes(self, whole: Whole) -> Spans | Callable[[], Iterable[Chunk]]:
        """Give rows as passes go through them fastest."""
        if self.loss.multiclass or not turning_pays(whole.chunks):
            return whole.blocks
        return spans_of(whole.chunks, self.threads)

    def replaced(self, penalty: float, weights: NDArray[np.float64], loss: float, passes: int) -> Champion:
        """Give the champion new weights; its optimizer's memory stays, for whoever goes on from there."""
        state = self.champion.state._replace(weights=weights.astype(np.float32))
        run = self.champion.run._replace(l2=penalty)
        return self.champion._replace(run=run, state=state, loss=loss, passes=passes)

    def write_down(
        self, judge: str, penalties: Sequence[float], solutions: Sequence[Solution | Solved],
        means: NDArray[np.float64], l2: float | None,
    ) -> None:  # fmt: skip
        """Record how each penalty did, and which was chosen; None is the model before."""
        entries = [
            {
                "l2": penalty,
                "passes": done.passes,
                "converged": done.converged,
                "objective": self.unit * done.value,
                "holdout_loss": self.unit * mean if np.isfinite(mean) else None,
            }
            for penalty, done, mean in zip(penalties, solutions, means.tolist(), strict=False)
        ]
        self.record("polish", judge=judge, penalties=entries, champion_loss=self.unit * self.champion.loss, chosen=l2)


def _turned(whole: Whole) -> Whole | Turned:
    """Turn the rows, if that pays."""
    blocks = [*whole.blocks()]
    return turn(blocks)[0] if turning_pays(blocks) else whole
