"""From scores to losses and gradients along the scores, for a mini-batch of all runs of a block."""

from __future__ import annotations

import numpy as np

from schuss.kernels.dispatch import evaluate, evaluate_into
from schuss.kernels.options import compiled_form_of


def _learn_one_output(loss, scores, targets, weights, lanes, tally):
    """Loss and gradient of one output per run."""
    rows = len(scores)
    per_row = np.float32(1.0) / np.float32(rows)
    for r in range(rows):
        weight = weights[r]
        scale = weight * per_row
        y = np.float32(targets[r])
        line = scores[r]
        for k in range(np.uint64(lanes)):
            value, derivative = evaluate(loss, line[k], y)
            tally[k] += weight * value
            line[k] = derivative * scale


def _learn_outputs(loss, scores, targets, weights, lanes, tally):
    """Loss and gradient of several outputs per run."""
    rows, columns = scores.shape
    outputs = columns // lanes
    per_row = np.float32(1.0) / np.float32(rows)
    s, d = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    for r in range(rows):
        weight = weights[r]
        scale = weight * per_row
        for k in range(lanes):
            for j in range(outputs):
                s[j] = scores[r, j * lanes + k]
            tally[k] += weight * evaluate_into(loss, s, targets[r], d)
            for j in range(outputs):
                scores[r, j * lanes + k] = d[j] * scale


def _losses_one_output(loss, scores, targets, lanes, out):
    """Loss of one output per run."""
    for r in range(len(scores)):
        y = np.float32(targets[r])
        for k in range(lanes):
            out[r, k] = evaluate(loss, scores[r, k], y)[0]


def _losses_outputs(loss, scores, targets, lanes, out):
    """Loss of several outputs per run."""
    outputs = scores.shape[1] // lanes
    s, d = np.empty(outputs, np.float32), np.empty(outputs, np.float32)
    for r in range(len(scores)):
        for k in range(lanes):
            for j in range(outputs):
                s[j] = scores[r, j * lanes + k]
            out[r, k] = evaluate_into(loss, s, targets[r], d)


def learn_from_scores(loss, scores, targets, weights, lanes, tally):
    """Replace scores `(rows, outputs · lanes)` by the gradient of the mean loss; add weight · loss to `tally`."""
    learn = _learn_outputs if loss.multiclass else _learn_one_output
    learn(loss, scores, targets, weights, lanes, tally)


def losses_of_scores(loss, scores, targets, lanes, out):
    """Write each row's loss for each run into `out` `(rows, lanes)`."""
    losses = _losses_outputs if loss.multiclass else _losses_one_output
    losses(loss, scores, targets, lanes, out)


@compiled_form_of(learn_from_scores)
def _learn(loss, scores, targets, weights, lanes, tally):
    return _learn_outputs if loss.instance_class.multiclass else _learn_one_output


@compiled_form_of(losses_of_scores)
def _losses(loss, scores, targets, lanes, out):
    return _losses_outputs if loss.instance_class.multiclass else _losses_one_output
