"""The choice of λ₂ by cross-validation, for whoever does not state one."""

from __future__ import annotations

import numpy as np

from ..finish.finish import FOLD_PENALTIES
from ..finish.folds import cross_validate, deal
from ..race.race import standing
from .problem import Problem
from .smoothed import rounded
from .training import in_training_units

__all__ = ["chosen_l2"]

WIDTH = 0.1
"""Kinks are rounded off to this width to choose a penalty: solves that are nearer to the loss itself take longer."""

PASSES = 500


def chosen_l2(problem: Problem, seed: int) -> float:
    """Give the λ₂ with the lowest loss over five folds; the strongest where none surely gains over learning nothing.

    The folds are dealt by `seed` among rows: the choice, unlike the optimum for a stated penalty, is not the same when
    a row of weight 2 is written as two rows.
    """
    loss = problem.loss if problem.loss.smooth else rounded(problem.loss, WIDTH)
    training = in_training_units(problem.with_loss(loss))
    rows = training.rows
    penalties = [level / problem.rows for level in FOLD_PENALTIES]
    dealt = deal(rows.targets, seed)
    start = np.zeros(problem.shape)
    value, _ = problem.with_loss(loss).value_and_gradient(start)
    if dealt.max() < 1 or not value > 0:
        return penalties[len(penalties) // 2]
    found = cross_validate(rows, loss, penalties, start, dealt=dealt, passes=PASSES, scale=value)
    if found is None:
        return penalties[len(penalties) // 2]
    now = standing(found.losses, found.weights)
    return penalties[0 if now.behind[0] <= now.errors[0] else now.best]
