"""Sums over many rows of one model: of losses, gradients, and products of features. Lanes are rows.

Rows are turned, `(vectors, lines, lanes)`: a line holds a feature of as many rows as there are lanes side by side, the
last one all ones, for the intercept. They are read in order, where a product of matrices has them in the wrong one for
half of its work, and sums over rows are added up lane by lane. Scores are `(vectors, outputs, lanes)`.

`like`, a tuple, tells the number of lanes. There are four lines at least.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dispatch import evaluate, evaluate_into
from schuss.kernels.lanes import fused
from schuss.kernels.lines import (
    add_to,
    element,
    lines,
    load_at,
    registers,
    spread,
    store_at,
    store_element,
    sum_of,
)
from schuss.kernels.options import compiled_form_of, inlined, kernel

ONE, TWO, FOUR, EIGHT, SIXTEEN = (None,), (None,) * 2, (None,) * 4, (None,) * 8, (None,) * 16
"""Sums that are in registers at a time."""


@inlined
def score_tile(tile, like, x, v, weights, first, scores, place):
    """Write the scores of some outputs, from the first on, of a vector of rows."""
    outputs, features = weights.shape
    sums = registers(tile, like)
    for i in range(len(tile)):
        sums[i] = spread(np.float32(0.0), like)
    for f in range(features):
        values = load_at(x, (v * features + f) * len(like), like)
        for i in range(len(tile)):
            sums[i] = fused(spread(element(weights, (first + i) * features + f), like), values, sums[i])
    for i in range(len(tile)):
        store_at(scores, (place * outputs + first + i) * len(like), sums[i])


@inlined
def score(like, x, v, weights, scores, place):
    """Write the scores of a vector of rows; the last tile goes over some that are there already."""
    outputs = len(weights)
    done = 0
    while outputs >= len(EIGHT) and outputs - done > len(FOUR):
        score_tile(EIGHT, like, x, v, weights, min(done, outputs - len(EIGHT)), scores, place)
        done += len(EIGHT)
    while outputs >= len(FOUR) and done < outputs:
        score_tile(FOUR, like, x, v, weights, min(done, outputs - len(FOUR)), scores, place)
        done += len(FOUR)
    for i in range(done, outputs):
        score_tile(ONE, like, x, v, weights, i, scores, place)


@inlined
def product_tile(tile, sums_of_tile, like, y, many, i, x, first, count, f, out):
    """Write the products of some lines of `y` `(count, many, lanes)` with four of the rows, added up over vectors."""
    features = x.shape[1]
    sums = registers(sums_of_tile, like)
    for t in range(len(sums_of_tile)):
        sums[t] = spread(np.float32(0.0), like)
    for v in range(count):
        for g in range(len(FOUR)):
            values = load_at(x, ((first + v) * features + f + g) * len(like), like)
            for t in range(len(tile)):
                along = load_at(y, (v * many + i + t) * len(like), like)
                sums[g * len(tile) + t] = fused(along, values, sums[g * len(tile) + t])
    for g in range(len(FOUR)):
        for t in range(len(tile)):
            store_element(out, (i + t) * features + f + g, sum_of(sums[g * len(tile) + t]))


@inlined
def add_products(like, y, many, x, first, count, triangle, part, out):
    """Add the products of all lines of `y` with those of the rows to `out` `(many, lines)`, float64.

    triangle : of a symmetric product only what is on the diagonal and below it. Tiles at the ends go over some that are
    there already.
    """
    features = x.shape[1]
    step = len(FOUR) if many >= len(FOUR) else len(ONE)
    for i in range(0, many, step):
        for f in range(0, min(i + step, features) if triangle else features, len(FOUR)):
            g = min(f, features - len(FOUR))
            if step == len(FOUR):
                product_tile(FOUR, SIXTEEN, like, y, many, min(i, many - step), x, first, count, g, part)
            else:
                product_tile(ONE, FOUR, like, y, many, i, x, first, count, g, part)
    for i in range(many):
        for f in range(i + 1 if triangle else features):
            out[i, f] += np.float64(part[i, f])


def _slope_of_one(loss, like, outputs, scores, place, targets, weights):
    value, derivative = evaluate(loss, load_at(scores, place, like), targets)
    store_at(scores, place, derivative * weights)
    return value * weights


def _slopes_of_many(loss, like, outputs, scores, place, targets, weights):
    line = lines(scores, place, outputs, like)
    value = evaluate_into(loss, line, targets, line)
    for j in range(outputs):
        line[j] = line[j] * weights
    return value * weights


def replace_by_slopes(loss, like, outputs, scores, place, targets, weights):
    """Replace the scores of a vector of rows by weight · ∂loss/∂score, and give weight · loss."""
    replace = _slopes_of_many if loss.multiclass else _slope_of_one
    return replace(loss, like, outputs, scores, place, targets, weights)


@compiled_form_of(replace_by_slopes)
def _replace_by_slopes(loss, like, outputs, scores, place, targets, weights):
    return _slopes_of_many if loss.instance_class.multiclass else _slope_of_one


@kernel()
def turn(like, rows, every, x):
    """Write every n-th of some rows `(rows, features)` into the first lines of turned rows."""
    features, lined = rows.shape[1], x.shape[1]
    for r in range((len(rows) + every - 1) // every):
        place = r * every * features
        line = (r // len(like)) * lined * len(like) + r % len(like)
        for f in range(features):
            store_element(x, line + f * len(like), element(rows, place + f))


@kernel()
def sums(loss, like, x, targets, row_weights, begin, end, weights, tally, gradient, scores, part):
    """Add weight · loss to `tally` `(lanes,)`, its gradient to `gradient` `(outputs, lines)`, both float64.

    Vectors from `begin` to before `end` are passed over. weights : `(outputs, lines)`; workspace : `scores` `(vectors
    at a time, outputs, lanes)`, `part` as the weights.
    """
    outputs = len(weights)
    for span in range(2):
        start, stop = (0, begin) if span == 0 else (end, len(x))
        for first in range(start, stop, len(scores)):
            count = min(len(scores), stop - first)
            for v in range(count):
                place = (first + v) * len(like)
                score(like, x, first + v, weights, scores, v)
                loss_here = replace_by_slopes(
                    loss, like, outputs, scores, v * outputs * len(like), load_at(targets, place, like),
                    load_at(row_weights, place, like),
                )  # fmt: skip
                add_to(tally, 0, loss_here)
            add_products(like, scores, outputs, x, first, count, False, part, gradient)


@kernel()
def score_rows(like, x, weights, scores):
    """Write the scores of all rows."""
    for v in range(len(x)):
        score(like, x, v, weights, scores, v)


@kernel()
def squares(like, x, factors, out, scaled, part):
    """Write Σ factor · x xᵀ into `out` `(pairs, lines, lines)`, zeros of float64, for factors `(pairs, rows)`.

    Workspace: `scaled` `(vectors at a time, lines, lanes)`, `part` `(lines, lines)`.
    """
    vectors, features = len(x), x.shape[1]
    for first in range(0, vectors, len(scaled)):
        count = min(len(scaled), vectors - first)
        for pair in range(len(factors)):
            for v in range(count):
                factor = load_at(factors, (pair * vectors + first + v) * len(like), like)
                for f in range(features):
                    values = load_at(x, ((first + v) * features + f) * len(like), like)
                    store_at(scaled, (v * features + f) * len(like), values * factor)
            add_products(like, scaled, features, x, first, count, True, part, out[pair])
    for pair in range(len(factors)):
        for i in range(features):
            for f in range(i):
                out[pair, f, i] = out[pair, i, f]
