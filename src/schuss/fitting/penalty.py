"""The choice of λ₂ by cross-validation, for whoever does not state one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..descent.losses import values_and_gradients
from ..finish.choose import choose_by_folds
from ..finish.dealing import deal
from ..finish.folds import Fold, cross_validate
from ..finish.penalty import FOLD_PENALTIES
from ..finish.solve import Solution
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
    """Give the λ₂ that five folds choose; the strongest where none surely gains over learning nothing.

    The folds are dealt by `seed` among rows: the choice, unlike the optimum for a stated penalty, is not the same when
    a row of weight 2 is written as two rows.
    """
    penalties = [level / problem.rows for level in FOLD_PENALTIES]
    dealt = deal(problem.targets, seed)
    if dealt.max() < 1:
        return penalties[len(penalties) // 2]
    found = cross_validate(penalties, np.zeros(problem.shape), dealt, problem.weights, partial(_fold, problem, dealt))
    if found is None:
        return penalties[len(penalties) // 2]
    return choose_by_folds(penalties, found.losses, found.weights).penalty


def _fold(problem: Problem, dealt: NDArray[np.int8], number: int) -> Fold:
    """Give a fold of a problem's rows; its models are scored by the loss itself, kinks and all."""
    loss = problem.loss if problem.loss.smooth else rounded(problem.loss, WIDTH)
    taught, judging = dealt != number, dealt == number
    part = replace(
        problem, X=problem.X[taught], targets=problem.targets[taught], weights=problem.weights[taught], loss=loss
    )
    rows, targets = problem.X[judging], problem.targets[judging]

    def solve(penalty: float, start: NDArray[np.float64]) -> Solution:
        return optimum(replace(part, l2=penalty), start, passes=PASSES, tol=TOL)

    def score(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        raw = problem.scaling.raw(weights)
        return values_and_gradients(problem.loss, rows @ raw[:-1] + raw[-1], targets)[0]

    return Fold(solve, score)
