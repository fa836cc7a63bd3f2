"""When and how full passes over the rows bring the race's champion to the optimum of its objective."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, cut, join
from ..data.feed import Feed, MemoryFeed, StreamFeed, Whole
from ..data.holdout import Kind
from ..descent.losses import Loss
from ..race.record import Recorder
from ..race.state import Champion
from .choose import choose
from .dealing import FOLDS
from .penalty import FOLD_PENALTIES, MOST_PASSES, judged
from .scales import mean_penalty
from .solve import FEWEST_CORRECTIONS, MEMORY, Solution, losses_of
from .task import Recipe, Task

__all__ = ["PENALTIES", "Finished", "Validation", "finish", "has_passes", "run_rows"]

PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)
"""λ₂ · N of the solutions to choose from by held-out rows: those of the race, but for zero.

Without any penalty, classes that can be told apart have no optimum, and a solve goes on towards boundless weights: over
85 trainings on 30 sets, most of PMLB, the models chosen lose 3.1 % of what could be gained with a smallest level of 0,
and 2.5 % with one of 0.03.
"""

STRONG_PENALTIES = (1e9, 1e4, 1e3)
"""The same before these where a row holds more numbers than a twentieth of the rows: weights without penalty learn such
rows by heart. On 5,000 rows of 2,500 numbers, of which two matter, the best is near 1,000; where none matters, the
constant prediction.
"""

WORK = 4e9
"""Products with weights that the finish may always take, a few seconds: as many as it needs on small data. Folds, which
need most, judge where these are enough for them.
"""

WIDE_WORK = 4e10
"""The same of tables with more numbers in a row than rows, where the penalty is nearly everything: on 1,000 rows of
10,000 numbers without signal a penalty chosen by sixty held-out rows left a loss of 0.78 in place of 0.69.
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

FEW_ROWS = 2_000
"""Below so many rows folds judge twice: without the rows that score, and for the last model with them.

Below 5,000 rows it would double the time of texture and dna, where the model hardly depends on which rows have scored.
"""


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
    """What was chosen: the champion to score, the rows that it has learned from, and how to solve once more.

    whole : None if the champion is the race's own; recipe : with the penalties for these rows; passes : for a solve.
    """

    champion: Champion
    whole: Whole | None = None
    recipe: Recipe | None = None
    passes: int = 0
    validation: Validation | None = None


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
    threads: int = 1,
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
    before every pass; threads : that go through rows in memory. Passes, not a clock, bound the work: the same data give
    the same model.
    """
    whole = feed.whole()
    if whole is None or not _solvable(loss, champion.state.weights.size, champion.run.l1) or constant_loss <= 0:
        return Finished(champion, champion)
    task = Task(champion, loss, l2, constant_loss, record, unit, stop, threads)
    products = max(whole.values * champion.state.weights.shape[1], 1)
    wide = whole.values > whole.rows**2
    work = WIDE_WORK if wide else WORK
    chosen = None
    few = whole.rows < FOLD_ROWS and products * FEWEST_FOLD_PASSES < work
    if few and holdout in ("share", "none"):
        training = feed.training if isinstance(feed, MemoryFeed) else _gathered(whole)
        chosen = _by_folds(task, training, feed.select, int(work / products))
    if chosen is None:
        work = WIDE_WORK if wide else HELD_OUT_WORK
        passes = int(max(spent_rows / (2 * whole.rows), work / products))
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


def _by_folds(task: Task, training: Chunk, select: Chunk | None, passes: int) -> _Chosen | None:
    """Choose the penalty by cross-validation over all rows but those that score; None if these do not allow it.

    passes : that all folds may take together; a quarter of them the solve with all their rows.
    """
    rows = training if select is None else join([training, select])
    whole = Whole(partial(cut, rows), len(rows.targets), 0)
    last = min(passes // 4, MOST_PASSES)
    task.record.tell("finishing", penalties=len(FOLD_PENALTIES) if task.l2 is None else 1, passes=passes)
    found = judged(task, rows, passes)
    if found is None:
        return None
    done, penalty = task.solve_all(whole, found.recipe, found.start, last, exact=True)
    if not done.usable:
        return None
    for place, (judge, one) in enumerate(zip(("folds", "folds, scaled"), found.tried, strict=False)):
        chosen = one.choice.penalty if place < found.taken else None
        task.write_down(judge, one.penalties, one.found.solutions, one.means, chosen)
    scored = task.replaced(penalty, done.weights, found.loss, done.passes + found.passes)
    validation = Validation(found.rows, found.folds, task.unit * found.loss)
    return _Chosen(scored, whole, found.recipe, last, validation)


def _by_held_out_rows(task: Task, feed: Feed, whole: Whole, passes: int) -> _Chosen:
    """Choose by the held-out rows between the penalties' solutions and the champion, who stays if surely ahead."""
    champion, select = task.champion, feed.select
    levels = (*STRONG_PENALTIES, *PENALTIES) if 20 * whole.values > whole.rows**2 else PENALTIES
    penalties = [level / whole.rows for level in levels] if task.l2 is None else [task.l2]
    if select is None or passes < FEWEST_HELD_OUT_PASSES * len(penalties):
        penalties = [champion.run.l2]
    task.record.tell("finishing", penalties=len(penalties), passes=passes)
    scales = task.scales(feed.training if isinstance(feed, MemoryFeed) and whole.rows < FOLD_ROWS else None)
    solutions = _solve(task, whole, penalties, scales, passes)
    if not solutions:
        return _Chosen(champion)
    place, means = 0, np.full(len(solutions), np.nan)
    if select is not None:
        weights = [*(done.weights for done in solutions), champion.state.weights]
        losses = np.stack([losses_of(task.loss, select, one) for one in weights], axis=1)
        place, means = choose(losses, select.weights, task.scale)
    stays = place == len(solutions)
    task.write_down("held-out rows", penalties, solutions, means, None if stays else penalties[place])
    if stays:
        return _Chosen(champion)
    loss = champion.loss if select is None else float(means[place])
    spent = sum(done.passes for done in solutions)
    weights, recipe = solutions[place].weights, Recipe((penalties[place],), scales)
    scored = task.replaced(mean_penalty(penalties[place], weights, scales), weights, loss, spent)
    return _Chosen(scored, whole, recipe, passes // len(PENALTIES))


def _solve(
    task: Task, whole: Whole, penalties: Sequence[float], scales: NDArray[np.float64], passes: int
) -> list[Solution]:
    """Solve for one penalty after the other; what one leaves of its share of the passes goes to the others."""
    solutions: list[Solution] = []
    weights: NDArray[np.floating] = task.champion.state.weights
    for place, penalty in enumerate(penalties):
        share = (passes - sum(done.passes for done in solutions)) // (len(penalties) - place)
        done = task.solve(whole, penalty, scales, weights, share, exact=False)
        if not done.usable:
            break
        solutions.append(done)
        weights = done.weights
    return solutions


def _with_all_rows(task: Task, chosen: _Chosen, others: list[Chunk | None]) -> Champion:
    """Solve once more with the held-out rows too: what has been chosen and scored may learn from them now.

    On few rows the penalty is chosen anew as well: which rows have scored then has no part in the model.
    """
    champion, whole, recipe = chosen.champion, chosen.whole, chosen.recipe
    held_out = [chunk for chunk in others if chunk is not None and chunk.weights.any()]
    if not held_out or whole is None or recipe is None:
        return champion
    rows = whole.rows + sum(len(chunk.targets) for chunk in held_out)
    chunks = (*whole.chunks, *held_out) if whole.chunks else ()
    everything = whole._replace(blocks=partial(_followed, whole.blocks, held_out), rows=rows, chunks=chunks)
    start, spent = champion.state.weights.astype(np.float64), champion.passes
    if task.l2 is None:
        recipe = recipe._replace(penalties=tuple(penalty * whole.rows / rows for penalty in recipe.penalties))
    if task.l2 is None and chosen.validation is not None and rows < FEW_ROWS:
        again = judged(task, join([*everything.blocks()]), 4 * chosen.passes)
        if again is not None:
            recipe, start, spent = again.recipe, again.start, spent + again.passes
    exact = chosen.validation is not None
    done, penalty = task.solve_all(everything, recipe, start, chosen.passes, exact=exact)
    if not done.usable:
        return champion
    return task.replaced(penalty, done.weights, champion.loss, spent + done.passes)


def _followed(blocks: Callable[[], Iterable[Chunk]], others: list[Chunk]) -> Iterator[Chunk]:
    """Give the blocks, then other rows."""
    return chain(blocks(), *(cut(chunk) for chunk in others))
