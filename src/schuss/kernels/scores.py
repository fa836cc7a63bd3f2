"""From scores to losses and gradients along the scores, for a mini-batch of all runs of a block.

Scores `(rows, columns)` hold a line for each row: the lanes of its outputs, one output after the other. `like`, a tuple
as long as a block is wide, tells the number of lanes.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dispatch import evaluate, evaluate_into
from schuss.kernels.lanes import load, store
from schuss.kernels.lines import add_to, lines, spread
from schuss.kernels.options import compiled_form_of

MOST_IN_SINGLE = 32
"""Rows whose losses are added up in float32 before they are added to the float64 tally: widening each costs 3 ns."""


def weight_of(weights, r, like):
    """Give the weight of a row: of `(rows,)` one number, of `(rows, lanes)` one for each run."""
    return weights[r] if weights.ndim == 1 else load(weights, r, 0, like)


@compiled_form_of(weight_of)
def _weight_of(weights, r, like):
    if weights.ndim == 1:
        return lambda weights, r, like: weights[r]
    return lambda weights, r, like: load(weights, r, 0, like)


def columns_of(loss, like, weights):
    """Give the numbers in a line of weights or scores; with a loss of one output the compiler knows them."""
    return np.uint64(weights.shape[1])


@compiled_form_of(columns_of)
def _columns_of(loss, like, weights):
    if loss.instance_class.multiclass:
        return lambda loss, like, weights: np.uint64(weights.shape[1])
    return lambda loss, like, weights: np.uint64(len(like))


def _learn_one_output(loss, like, outputs, scores, targets, weights, tally):
    """Loss and gradient of one output per run."""
    rows = len(targets)
    per_row = np.float32(1.0) / np.float32(rows)
    for first in range(0, rows, MOST_IN_SINGLE):
        total = spread(np.float32(0.0), like)
        for r in range(first, min(first + MOST_IN_SINGLE, rows)):
            value, derivative = evaluate(loss, load(scores, r, 0, like), np.float32(targets[r]))
            weight = weight_of(weights, r, like)
            total = total + value * weight
            store(scores, r, 0, derivative * (weight * per_row))
        add_to(tally, 0, total)


def _learn_outputs(loss, like, outputs, scores, targets, weights, tally):
    """Loss and gradient of several outputs per run."""
    rows, columns = len(targets), scores.shape[1]
    per_row = np.float32(1.0) / np.float32(rows)
    for first in range(0, rows, MOST_IN_SINGLE):
        total = spread(np.float32(0.0), like)
        for r in range(first, min(first + MOST_IN_SINGLE, rows)):
            line = lines(scores, r * columns, outputs, like)
            weight = weight_of(weights, r, like)
            total = total + evaluate_into(loss, line, targets[r], line) * weight
            scale = weight * per_row
            for j in range(outputs):
                line[j] = line[j] * scale
        add_to(tally, 0, total)


def _losses_one_output(loss, like, outputs, scores, targets, out):
    """Loss of one output per run."""
    for r in range(len(targets)):
        store(out, r, 0, evaluate(loss, load(scores, r, 0, like), np.float32(targets[r]))[0])


def _losses_outputs(loss, like, outputs, scores, targets, out):
    """Loss of several outputs per run."""
    for r in range(len(targets)):
        line = lines(scores, r * scores.shape[1], outputs, like)
        store(out, r, 0, evaluate_into(loss, line, targets[r], line))


def learn_from_scores(loss, like, outputs, scores, targets, weights, tally):
    """Replace scores by the gradient of the mean loss; add weight · loss to `tally` `(lanes,)` float64."""
    learn = _learn_outputs if loss.multiclass else _learn_one_output
    learn(loss, like, outputs, scores, targets, weights, tally)


def losses_of_scores(loss, like, outputs, scores, targets, out):
    """Write each row's loss for each run into `out` `(rows, lanes)`; the scores are used up."""
    losses = _losses_outputs if loss.multiclass else _losses_one_output
    losses(loss, like, outputs, scores, targets, out)


@compiled_form_of(learn_from_scores)
def _learn(loss, like, outputs, scores, targets, weights, tally):
    return _learn_outputs if loss.instance_class.multiclass else _learn_one_output


@compiled_form_of(losses_of_scores)
def _losses(loss, like, outputs, scores, targets, out):
    return _losses_outputs if loss.instance_class.multiclass else _losses_one_output
