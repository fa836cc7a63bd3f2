"""The choice of λ₂ by cross-validation, for whoever does not state one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..descent.losses import values_and_gradients
from ..finish.choose import choose_by_folds
from ..finish.finish import FOLD_PENALTIES
from ..finish.folds import deal
from ..race.race import standing
from .optimum import optimum
from .problem import Problem
from .smoothed import rounded

__all__ = ["chosen_l2"]

WIDTH = 0.1
"""Kinks are rounded off to this width to choose a penalty: solves that are nearer to the loss itself take longer."""

PASSES = 500
TOL = 0.1
"""What a step of these solves must gain is a hundred times what it is by default: penalties differ by far more."""


def chosen_l2(problem: Problem, seed: int) -> float:
    """Give the λ₂ with the lowest loss over five folds; the strongest where none surely gains over learning nothing.

    The folds are dealt by `seed` among rows: the choice, unlike the optimum for a stated penalty, is not the same when
    a row of weight 2 is written as two rows.
    """
    penalties = [level / problem.rows for level in FOLD_PENALTIES]
    dealt = deal(problem.targets, seed)
    if dealt.max() < 1:
        return penalties[len(penalties) // 2]
    losses = np.empty((problem.rows, len(penalties)), np.float32)
    for fold in range(int(dealt.max()) + 1):
        losses[dealt == fold] = _losses(problem, dealt != fold, dealt == fold, penalties)
    judges = dealt >= 0
    now = standing(losses[judges], problem.weights[judges].astype(np.float32))
    return penalties[choose_by_folds(now)]


def _losses(
    problem: Problem, taught: NDArray[np.bool_], judging: NDArray[np.bool_], penalties: list[float]
) -> NDArray[np.float64]:
    """Give the losses `(rows, penalties)` of the judging rows by models of the taught ones."""
    loss = problem.loss if problem.loss.smooth else rounded(problem.loss, WIDTH)
    part = replace(
        problem, X=problem.X[taught], targets=problem.targets[taught], weights=problem.weights[taught], loss=loss
    )
    weights, found = np.zeros(problem.shape), []
    for penalty in penalties:
        weights = optimum(replace(part, l2=penalty), weights, passes=PASSES, tol=TOL).weights
        raw = problem.scaling.raw(weights)
        scores = problem.X[judging] @ raw[:-1] + raw[-1]
        found.append(values_and_gradients(problem.loss, scores, problem.targets[judging])[0])
    return np.stack(found, axis=1)
