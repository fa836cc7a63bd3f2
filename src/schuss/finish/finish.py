"""When and how full passes over the rows bring the race's champion to the optimum of its objective."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, cut, join
from ..data.feed import Feed, MemoryFeed, StreamFeed, Whole
from ..data.holdout import Kind
from ..descent.losses import Loss, constant_classes, constant_number
from ..objective import LinearObjective
from ..race.race import standing
from ..race.record import Recorder
from ..race.state import Champion
from .choose import Choice, choose, choose_by_folds
from .curvature import inverse_hessian
from .dealing import FOLDS, deal_by_content
from .folds import cross_validate, of_rows
from .single import SingleObjective
from .solve import DECREASE, FEWEST_CORRECTIONS, MEMORY, ROUGH, Solution, WithGradient, losses_of, minimise

__all__ = ["PENALTIES", "Finished", "Validation", "finish", "has_passes", "run_rows"]

PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)
"""λ₂ · N of the solutions to choose from by held-out rows: those of the race, but for zero.

Without any penalty, classes that can be told apart have no optimum, and a solve goes on towards boundless weights: over
85 trainings on 30 sets, most of PMLB, the models chosen lose 3.1 % of what could be gained with a smallest level of 0,
and 2.5 % with one of 0.03.
"""

FOLD_PENALTIES = (1e9, 1e4, 1e3, 1e2, 1e1, 1e0, 1e-1, 1e-2)
"""λ₂ · N of the solutions to choose from by folds; steps of half a decade gain nothing.

The first is as good as infinite and gives the constant prediction, for data without signal.
"""

WORK = 4e9
"""Products with weights that the finish may always take, a few seconds: as many as it needs on small data. Folds, which
need most, judge where these are enough for them.
"""

FEWEST_PASSES = 20
"""With fewer for each penalty and fold, held-out rows judge in place of folds."""

FEWEST_FOLD_PASSES = FEWEST_PASSES * FOLDS * len(FOLD_PENALTIES)

HELD_OUT_WORK = 1.2e10
"""The same where held-out rows judge. Solves that have converged leave most of it; on kddcup99, where none has after a
third of it, the loss then depended by 12 % on the order of the rows.
"""

FEWEST_HELD_OUT_PASSES = 40
"""With fewer of these for each penalty only the champion's own is solved for."""

FOLD_ROWS = 100_000
"""From so many rows on the held-out ones judge as well: five thousand of them choose."""

ENOUGH_JUDGES = 20_000
"""Rows that judge penalties well enough: where fewer than five folds have so many, the others only teach.

10,000 of adult choose a penalty that costs 0.6 % of the gain on its test rows, 20,000 the one that all of them choose.
"""

FEW_ROWS = 2_000
"""Below so many rows folds judge twice: without the rows that score, and for the last model with them.

Below 5,000 rows it would double the time of texture and dna, where the model hardly depends on which rows have scored.
"""

MOST_PASSES = 500
"""Passes of one solve, where these are cheap."""


class Validation(NamedTuple):
    """How the chosen penalty did in cross-validation: the rows that judged, the folds, their mean loss."""

    rows: int
    folds: int
    loss: float


class Finished(NamedTuple):
    """What the finish gives.

    scored : has learned from no row of those that score; final : has learned from all rows that there are.
    """

    scored: Champion
    final: Champion
    validation: Validation | None = None


class _Chosen(NamedTuple):
    """What was chosen: the champion to score, the rows that it has learned from, and the passes for one more solve.

    whole : None if the champion is the race's own.
    """

    champion: Champion
    whole: Whole | None = None
    passes: int = 0
    validation: Validation | None = None


@dataclass(frozen=True)
class _Task:
    """What all parts of a finish share; scale : the constant prediction's loss; unit : of the record's losses."""

    champion: Champion
    loss: Loss
    l2: float | None
    scale: float
    record: Recorder
    unit: float
    stop: Callable[[], bool]

    def solve(self, whole: Whole, penalty: float, start: NDArray[np.floating], passes: int, *, exact: bool) -> Solution:
        """Minimise the objective with one penalty, as far as its digits go or as far as it matters.

        The last digits come after the others: passes in double precision take five times as long.
        """
        rough = SingleObjective(whole.blocks, self.loss, penalty, whole.far)
        near = self._minimise(rough, whole, penalty, start.astype(np.float64), passes, ROUGH)
        if not (exact and near.usable and near.passes < passes):
            return near
        objective = LinearObjective(whole.blocks, self.loss, penalty)
        done = self._minimise(objective, whole, penalty, near.weights, passes - near.passes, DECREASE)
        return done._replace(passes=near.passes + done.passes) if done.usable else near

    def _minimise(
        self, objective: WithGradient, whole: Whole, penalty: float, start: NDArray[np.float64], passes: int,
        decrease: float,
    ) -> Solution:  # fmt: skip
        l1 = self.champion.run.l1
        inverse = None if l1 else inverse_hessian(whole, self.loss, penalty, start)
        return minimise(
            objective, start, passes=passes, l1=l1, scale=self.scale, decrease=decrease, inverse=inverse, stop=self.stop
        )

    def replaced(self, penalty: float, weights: NDArray[np.float64], loss: float, passes: int) -> Champion:
        """Give the champion new weights; its optimizer's memory stays, for whoever goes on from there."""
        state = self.champion.state._replace(weights=weights.astype(np.float32))
        run = self.champion.run._replace(l2=penalty)
        return self.champion._replace(run=run, state=state, loss=loss, passes=passes)

    def write_down(
        self, judge: str, penalties: Sequence[float], solutions: list[Solution], means: list[float], l2: float | None
    ) -> None:
        """Record how each penalty did, and which was chosen; None is the champion as it was."""
        entries = [
            {
                "l2": penalty,
                "passes": done.passes,
                "converged": done.converged,
                "objective": self.unit * done.value,
                "holdout_loss": self.unit * mean if np.isfinite(mean) else None,
            }
            for penalty, done, mean in zip(penalties, solutions, means, strict=False)
        ]
        self.record("polish", judge=judge, penalties=entries, champion_loss=self.unit * self.champion.loss, chosen=l2)


def run_rows(record: Recorder, rows: int) -> int:
    """Count the rows that all runs of a race have learned from, those of runs that were dropped on the way included.

    rows : what each run has seen that was in the race to its end.
    """
    runs = sum(len(event["runs"]) for event in record.events if event["event"] == "runs")
    dropped = [event["rows"] for event in record.events if event["event"] == "drop"]
    return sum(dropped) + (runs - len(dropped)) * rows


def has_passes(feed: Feed, loss: Loss, shape: tuple[int, int], l1: float) -> bool:
    """Whether rows allow enough passes to solve for weights of this shape, wherever a race has ended.

    False of rows that stream by until their first epoch is over, and always of those that workers read.
    """
    near = isinstance(feed, (MemoryFeed, StreamFeed)) and _solvable(loss, shape[0] * shape[1], l1)
    whole = feed.whole() if near else None
    return whole is not None and max(whole.values * shape[1], 1) * FEWEST_PASSES <= WORK


def _solvable(loss: Loss, weights: int, l1: float) -> bool:
    """Whether a loss has an optimum that a solve finds, with so many weights."""
    numbers = weights * (2 if l1 else 1)
    return loss.smooth and loss.convex and numbers * 16 * FEWEST_CORRECTIONS <= MEMORY


def finish(
    champion: Champion,
    feed: Feed,
    loss: Loss,
    *,
    l2: float | None,
    constant_loss: float,
    spent_rows: int,
    record: Recorder,
    holdout: Kind = "share",
    unit: float = 1.0,
    stop: Callable[[], bool] = lambda: False,
) -> Finished:
    """Solve for the optimum with several penalties, choose one, and solve once more with all rows.

    Very large data, losses with kinks and very wide models leave the champion as it is. Otherwise each penalty is
    solved for, beside the λ₁ of the champion, from the strongest to the weakest, each from where the one before ended
    and the first from the champion. On few rows folds judge the penalties, on many the held-out rows, and then the
    champion too may be best. Without either only the champion's own penalty is solved for.

    l2 : the penalty that the user has fixed, None to choose one; constant_loss : held-out loss of the
    constant prediction; spent_rows : rows that all runs of the race have learned from, half of which the finish may
    take again; holdout : how rows are held out: where it is at random, they may be dealt into folds too, and only those
    of a file of their own are never learned from; unit : what losses are multiplied by for the record; stop : asked
    before every pass. Passes, not a clock, bound the work: the same data give the same model.
    """
    whole = feed.whole()
    if whole is None or not _solvable(loss, champion.state.weights.size, champion.run.l1) or constant_loss <= 0:
        return Finished(champion, champion)
    task = _Task(champion, loss, l2, constant_loss, record, unit, stop)
    products = max(whole.values * champion.state.weights.shape[1], 1)
    chosen = None
    few = whole.rows < FOLD_ROWS and products * FEWEST_FOLD_PASSES < WORK
    if few and holdout in ("share", "none"):
        training = feed.training if isinstance(feed, MemoryFeed) else _gathered(whole)
        chosen = _by_folds(task, training, feed.select, int(WORK / products))
    if chosen is None:
        passes = int(max(spent_rows / (2 * whole.rows), HELD_OUT_WORK / products))
        chosen = _by_held_out_rows(task, feed, whole, passes)
    if holdout == "file" or chosen.whole is None:
        return Finished(chosen.champion, chosen.champion, chosen.validation)
    others = [feed.score] if chosen.validation else [feed.select, feed.score]
    return Finished(chosen.champion, _with_all_rows(task, chosen, others), chosen.validation)


def _gathered(whole: Whole) -> Chunk:
    """Give all training rows in this process, also those that are elsewhere."""
    far = () if whole.far is None else whole.far(_joined)
    return join([*whole.blocks(), *(rows for rows in far if rows is not None)])


def _joined(blocks: Callable[[], Iterable[Chunk]]) -> Chunk | None:
    """Give the rows of blocks, if there are any."""
    rows = [*blocks()]
    return join(rows) if rows else None


class _Judged(NamedTuple):
    """What folds found: for each penalty a solution and its mean loss, what they chose, and how they judged."""

    penalties: list[float]
    solutions: list[Solution]
    means: NDArray[np.float64]
    choice: Choice
    rows: int
    folds: int

    @property
    def start(self) -> NDArray[np.float64]:
        """Weights near to the solution of all rows."""
        return self.solutions[self.choice.place].weights

    @property
    def passes(self) -> int:
        """The passes of all folds."""
        return sum(one.passes for one in self.solutions)


def _judged(task: _Task, rows: Chunk, passes: int) -> _Judged | None:
    """Cross-validate the penalties over rows; None if these do not allow it. passes : that all folds may take."""
    many = len(rows.targets)
    penalties = [level / many for level in FOLD_PENALTIES] if task.l2 is None else [task.l2]
    dealt = deal_by_content(rows)
    if dealt.max() < FOLDS - 1:
        return None
    folds = min(FOLDS, -(-FOLDS * ENOUGH_JUDGES // many))
    dealt[dealt >= folds] = -1
    each = min(passes // (folds * len(penalties)), MOST_PASSES)
    l1, scale = task.champion.run.l1, task.scale
    solver = of_rows(rows, task.loss, dealt, l1=l1, passes=each, scale=scale, stop=task.stop)
    found = cross_validate(penalties, _constant(task, rows), dealt, rows.weights, solver, stop=task.stop)
    if found is None:
        return None
    means = standing(found.losses, found.weights).means
    choice = choose_by_folds(penalties, found.losses, found.weights)
    return _Judged(penalties, found.solutions, means, choice, len(found.weights), folds)


def _by_folds(task: _Task, training: Chunk, select: Chunk | None, passes: int) -> _Chosen | None:
    """Choose the penalty by cross-validation over all rows but those that score; None if these do not allow it.

    passes : that all folds may take together; a quarter of them the solve with all their rows.
    """
    rows = training if select is None else join([training, select])
    whole = Whole(partial(cut, rows), len(rows.targets), 0)
    last = min(passes // 4, MOST_PASSES)
    task.record.tell("finishing", penalties=len(FOLD_PENALTIES) if task.l2 is None else 1, passes=passes)
    found = _judged(task, rows, passes)
    if found is None:
        return None
    penalty, _, loss = found.choice
    done = task.solve(whole, penalty, found.start, last, exact=True)
    if not done.usable:
        return None
    task.write_down("folds", found.penalties, found.solutions, found.means.tolist(), penalty)
    scored = task.replaced(penalty, done.weights, loss, done.passes + found.passes)
    return _Chosen(scored, whole, last, Validation(found.rows, found.folds, task.unit * loss))


def _constant(task: _Task, rows: Chunk) -> NDArray[np.float64]:
    """Give the weights of the constant prediction, from which the strongest penalty has next to no way to go."""
    start: NDArray[np.float64] = np.zeros_like(task.champion.state.weights, dtype=np.float64)
    shares = rows.weights.astype(np.float64)
    if rows.targets.dtype.kind == "f":
        start[-1] = constant_number(task.loss, rows.targets.astype(np.float64), shares)
    else:
        start[-1] = constant_classes(task.loss, np.bincount(rows.targets, shares, max(len(start[-1]), 2)))
    return start


def _by_held_out_rows(task: _Task, feed: Feed, whole: Whole, passes: int) -> _Chosen:
    """Choose by the held-out rows between the penalties' solutions and the champion, who stays if surely ahead."""
    champion, select = task.champion, feed.select
    penalties = [level / whole.rows for level in PENALTIES] if task.l2 is None else [task.l2]
    if select is None or passes < FEWEST_HELD_OUT_PASSES * len(penalties):
        penalties = [champion.run.l2]
    task.record.tell("finishing", penalties=len(penalties), passes=passes)
    solutions = _solve(task, whole, penalties, passes)
    if not solutions:
        return _Chosen(champion)
    place, means = 0, np.full(len(solutions), np.nan)
    if select is not None:
        weights = [*(done.weights for done in solutions), champion.state.weights]
        losses = np.stack([losses_of(task.loss, select, one) for one in weights], axis=1)
        place, means = choose(losses, select.weights, task.scale)
    stays = place == len(solutions)
    task.write_down("held-out rows", penalties, solutions, means.tolist(), None if stays else penalties[place])
    if stays:
        return _Chosen(champion)
    loss = champion.loss if select is None else float(means[place])
    spent = sum(done.passes for done in solutions)
    scored = task.replaced(penalties[place], solutions[place].weights, loss, spent)
    return _Chosen(scored, whole, passes // len(PENALTIES))


def _solve(task: _Task, whole: Whole, penalties: Sequence[float], passes: int) -> list[Solution]:
    """Solve for one penalty after the other; what one leaves of its share of the passes goes to the others."""
    solutions: list[Solution] = []
    weights: NDArray[np.floating] = task.champion.state.weights
    for place, penalty in enumerate(penalties):
        share = (passes - sum(done.passes for done in solutions)) // (len(penalties) - place)
        done = task.solve(whole, penalty, weights, share, exact=False)
        if not done.usable:
            break
        solutions.append(done)
        weights = done.weights
    return solutions


def _with_all_rows(task: _Task, chosen: _Chosen, others: list[Chunk | None]) -> Champion:
    """Solve once more with the held-out rows too: what has been chosen and scored may learn from them now.

    On few rows the penalty is chosen anew as well: which rows have scored then has no part in the model.
    """
    champion, whole = chosen.champion, chosen.whole
    held_out = [chunk for chunk in others if chunk is not None and chunk.weights.any()]
    if not held_out or whole is None:
        return champion
    rows = whole.rows + sum(len(chunk.targets) for chunk in held_out)
    everything = whole._replace(blocks=partial(_followed, whole.blocks, held_out), rows=rows)
    penalty, start, spent = champion.run.l2, champion.state.weights.astype(np.float64), champion.passes
    if task.l2 is None:
        penalty *= whole.rows / rows
    if task.l2 is None and chosen.validation is not None and rows < FEW_ROWS:
        again = _judged(task, join([*everything.blocks()]), 4 * chosen.passes)
        if again is not None:
            penalty, start, spent = again.choice.penalty, again.start, spent + again.passes
    exact = chosen.validation is not None
    done = task.solve(everything, penalty, start, chosen.passes, exact=exact)
    if not done.usable:
        return champion
    return task.replaced(penalty, done.weights, champion.loss, spent + done.passes)


def _followed(blocks: Callable[[], Iterable[Chunk]], others: list[Chunk]) -> Iterator[Chunk]:
    """Give the blocks, then other rows."""
    return chain(blocks(), *(cut(chunk) for chunk in others))
