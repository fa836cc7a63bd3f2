"""The finish: full passes over the rows bring the race's champion to the optimum of its objective.

Mini-batches find the neighbourhood of the optimum in a few passes, but steep directions limit their steps and flat ones
need long steps: with standardised features of values up to 245 (kddcup99) the optimum is not reached. A quasi-Newton
method, which learns the curvature from pass to pass, gets the rest. On few rows it also chooses better: a penalty has
one optimum, where the best of many runs may only have suited the rows that it was chosen by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .data.chunk import Chunk, as_matrix
from .data.feed import Feed, Whole
from .descent.losses import LogLoss, Loss, Softmax, SquaredError, values_and_gradients
from .descent.quasi_newton import minimise_smooth
from .objective import LinearObjective, Objective
from .race.legs import STILL_FALLING
from .race.race import standing
from .race.record import Recorder
from .race.state import Champion

__all__ = ["Solution", "choose", "finish", "minimise", "run_rows"]

SMOOTH = (LogLoss, Softmax, SquaredError)
"""The losses with a gradient everywhere, which quasi-Newton methods count on."""

PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)
"""λ₂ · N of the solutions to choose from: those of the race, but for zero.

Without any penalty, classes that can be told apart have no optimum, and a solve goes on towards boundless weights: over
85 trainings on 30 sets, most of PMLB, the models chosen lose 3.1 % of what could be gained with a smallest level of 0,
and 2.5 % with one of 0.03.
"""

CORRECTIONS = 20
"""Pairs of steps and changes of the gradient that L-BFGS remembers; each takes 16 bytes a weight."""

FEWEST_CORRECTIONS = 5

MEMORY = 1 << 28
"""Bytes that these may take; models too wide for the fewest of them are left as they are."""

WORK = 2e10
"""Products with weights that the finish may always take, about twenty seconds: as many as it needs on small data."""

FEWEST_PASSES = 20
"""With fewer for each penalty only the champion's own is solved for."""

DECREASE = 1e-8
SLOPE = 1e-6
"""A solve has converged when a step gains less, or no slope is steeper, in units of the constant prediction's loss.

Products in float32 leave no more to be gained.
"""

LEVEL = 0.002
UNSURE = 0.01
"""Solutions are level if their gains over the constant prediction differ by less than LEVEL, or by less than UNSURE and
a standard error. Then the strongest penalty is right: rows to come will differ more from those held out than that.
"""

SURELY = 2.0
"""Standard errors by which a champion must be ahead to stay.

It is the best of many runs by the same rows, and the best of sixteen equal ones is 1.8 standard errors ahead by chance.
"""


class Solution(NamedTuple):
    """The lowest point of an objective that was seen on the way to its minimum.

    weights : `(features + 1, outputs)`; value : not finite if there was no such point; passes : over the rows, in all.
    """

    weights: NDArray[np.float64]
    value: float
    passes: int
    converged: bool


class _Enough(Exception):  # noqa: N818 — it is no error
    """Ends a solve from within."""


def run_rows(record: Recorder, rows: int) -> int:
    """Count the rows that all runs of a race have learned from, those of runs that were dropped on the way included.

    rows : what each run has seen that was in the race to its end.
    """
    runs = sum(len(event["runs"]) for event in record.events if event["event"] == "runs")
    dropped = [event["rows"] for event in record.events if event["event"] == "drop"]
    return sum(dropped) + (runs - len(dropped)) * rows


def finish(
    champion: Champion,
    feed: Feed,
    loss: Loss,
    *,
    l2: float | None,
    constant_loss: float,
    spent_rows: int,
    record: Recorder,
    unit: float = 1.0,
    stop: Callable[[], bool] = lambda: False,
) -> Champion:
    """Solve for the optimum with several penalties, and give what does best on the held-out rows, or the champion.

    Very large data, losses with kinks and very wide models leave the champion as it is. Otherwise each
    penalty is solved for by L-BFGS, from the strongest to the weakest, each from where the one before ended and the
    first from the champion. Without held-out rows only the champion's own penalty is solved for.

    l2 : the penalty that the user has fixed, None to choose one; constant_loss : held-out loss of the
    constant prediction; spent_rows : rows that all runs of the race have learned from, half of which the finish may
    take again; unit : what losses are multiplied by for the record; stop : asked before every pass. Passes, not a
    clock, bound the work: the same data give the same model.
    """
    too_wide = champion.state.weights.size * 16 * FEWEST_CORRECTIONS > MEMORY
    whole = feed.whole()
    if whole is None or not isinstance(loss, SMOOTH) or too_wide or constant_loss <= 0:
        return champion
    passes = _affordable(whole, champion.state.weights.shape[1], spent_rows)
    penalties = [level / whole.rows for level in PENALTIES] if l2 is None else [l2]
    if feed.select is None or passes < FEWEST_PASSES * len(penalties):
        penalties = [champion.run.l2]
    record.tell("finishing", penalties=len(penalties), passes=passes)
    solutions = _solve(whole, loss, penalties, champion, passes, constant_loss, stop)
    if not solutions:
        return champion
    candidates = [_replaced(champion, *solved) for solved in zip(penalties, solutions, strict=False)]
    place, losses = 0, np.array([champion.loss])
    if feed.select is not None:
        rows = np.stack([_losses(loss, feed.select, one.state.weights) for one in (*candidates, champion)], axis=1)
        place, losses = choose(rows, feed.select.weights, constant_loss)
    chosen = candidates[place]._replace(loss=float(losses[place])) if place < len(candidates) else None
    held_out = unit * losses if feed.select is not None else [None] * len(candidates)
    record(
        "polish",
        penalties=[
            {"l2": one.run.l2, "passes": done.passes, "converged": done.converged, "objective": unit * done.value,
             "holdout_loss": mean}
            for one, done, mean in zip(candidates, solutions, held_out, strict=False)
        ],
        champion_loss=unit * champion.loss,
        chosen=None if chosen is None else chosen.run.l2,
    )  # fmt: skip
    return champion if chosen is None else chosen._replace(passes=sum(done.passes for done in solutions))


def _replaced(champion: Champion, l2: float, solution: Solution) -> Champion:
    """Give a champion the weights of a solution; its optimizer's memory stays, for whoever goes on from there."""
    state = champion.state._replace(weights=solution.weights.astype(np.float32))
    return champion._replace(run=champion.run._replace(l2=l2), state=state)


def _affordable(whole: Whole, outputs: int, spent_rows: int) -> int:
    """Give the passes over the rows that the finish may take in all."""
    return int(max(spent_rows / (2 * whole.rows), WORK / max(whole.values * outputs, 1)))


def _solve(
    whole: Whole, loss: Loss, penalties: Sequence[float], champion: Champion, passes: int, scale: float,
    stop: Callable[[], bool],
) -> list[Solution]:  # fmt: skip
    """Solve for one penalty after the other; what one leaves of its share of the passes goes to the others."""
    solutions: list[Solution] = []
    weights = champion.state.weights.astype(np.float64)
    for place, penalty in enumerate(penalties):
        share = (passes - sum(done.passes for done in solutions)) // (len(penalties) - place)
        objective = LinearObjective(whole.blocks, loss, penalty)
        done = minimise(objective, weights, passes=share, scale=scale, stop=stop)
        if not np.isfinite(done.value) or not (done.converged or done.passes > 1):
            break  # stopped before it had begun: the first pass only looks at where it starts
        solutions.append(done)
        weights = done.weights
    return solutions


def minimise(
    objective: Objective,
    start: NDArray[np.float64],
    *,
    passes: int,
    scale: float = 1.0,
    stop: Callable[[], bool] = lambda: False,
) -> Solution:
    """Minimise an objective from `start` by L-BFGS (Liu and Nocedal 1989) until it converges or its passes are used up.

    scale : the size of a loss, in which convergence is counted; stop : asked before every pass, and ends the solve.
    """
    best, taken = Solution(start, np.inf, 0, False), 0

    def evaluate(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal best, taken
        if taken >= passes or stop():
            raise _Enough
        taken += 1
        weights = flat.reshape(start.shape)
        value, gradient = objective.value_and_gradient(weights)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            raise _Enough
        if value < best.value:
            best = best._replace(weights=weights.copy(), value=value)
        return value / scale, gradient.ravel() / scale

    corrections = min(CORRECTIONS, MEMORY // (16 * start.size))
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            minimise_smooth(evaluate, start.ravel(), corrections=corrections, decrease=DECREASE, slope=SLOPE)
    except _Enough:
        return best._replace(passes=taken)
    return best._replace(passes=taken, converged=True)


def _losses(loss: Loss, rows: Chunk, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the loss of every row, as a population gives it."""
    with np.errstate(over="ignore", invalid="ignore"):
        scores = as_matrix(rows.rows) @ weights[:-1] + weights[-1].astype(np.float64)
        return values_and_gradients(loss, scores, rows.targets)[0].astype(np.float32)


def choose(
    losses: NDArray[np.float32], weights: NDArray[np.float32], constant_loss: float
) -> tuple[int, NDArray[np.float64]]:
    """Choose by the losses `(rows, candidates)` of held-out rows: solutions by falling penalty, then the champion.

    Gives the place of the first solution that is level with the best one, or the champion's if it is surely ahead of
    the best solution; and the mean losses.

    >>> losses = np.array([[0.3, 0.2, 0.2, 0.19], [0.4, 0.3, 0.3, 0.31]], np.float32)
    >>> choose(losses, np.ones(2, np.float32), 0.7)[0]
    1
    """
    now = standing(losses, weights)
    gain = max(constant_loss - float(now.means.min()), 0.0)
    solved = standing(losses[:, :-1], weights)
    level = solved.behind <= np.maximum(LEVEL * gain, np.minimum(solved.errors, UNSURE * gain))
    behind, error = now.behind[solved.best], now.errors[solved.best]
    stays = now.best == losses.shape[1] - 1 and behind > max(SURELY * error, STILL_FALLING * gain)
    return (now.best if stays else int(np.argmax(level))), now.means
