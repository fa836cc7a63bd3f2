"""Networks of dense layers, each run by itself: a chunk of dense rows, forward, backward and the steps of a rule.

A step of a small network is mostly the price of its calls in PyTorch; here a chunk is one call. A layer is three matrix
products: rows × units forward, inputs × units for the gradient, rows × inputs back, in tiles of eight lines × one
vector of sixteen columns as in `dense`. Only the losses take all runs side by side, as the lanes of `scores`.

Everything is flat. A run's parameters have no gaps: matrices `(inputs, units)` one after the other in one array,
biases in another. What the layers make of a mini-batch has its lines filled up to whole vectors. Matrices that are
multiplied with are packed into strips of sixteen columns, each with its lines one after the other.

`plan` has a line for each layer: its inputs, its units, where its matrix and its biases begin among those of a run, and
where its sums begin in the room of a run.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dense import ALONE, TILE
from schuss.kernels.dispatch import slope, update, value
from schuss.kernels.lanes import fused, gated
from schuss.kernels.lines import (
    element,
    load_at,
    load_each,
    load_part,
    registers,
    spread,
    store_at,
    store_each,
    store_element,
    store_part,
    sum_of,
)  # fmt: skip
from schuss.kernels.options import inlined, kernel, shared
from schuss.kernels.scores import learn_from_scores

HALF = (None,) * 4
"""A tile of four lines."""


@inlined
def filled(count, like):
    """Fill up to whole vectors."""
    return (count + len(like) - 1) // len(like) * len(like)


@inlined
def multiply_tile(like, tile, x, corner, across, along, terms, table, top, step, start, out, place, further, width):
    """Write out[place + i · further] = start + Σₖ x[corner + i · across + k · along] · table[top + k · step]."""
    sums = registers(tile, like)
    for i in range(len(tile)):
        sums[i] = start
    for k in range(terms):
        vector = load_at(table, top + k * step, like)
        for i in range(len(tile)):
            sums[i] = fused(spread(element(x, corner + i * across + k * along), like), vector, sums[i])
    for i in range(len(tile)):
        store_part(out, place + i * further, width, sums[i])


@shared
def multiply(like, x, corner, across, along, count, terms, table, top, step, apart, out, place, further, width):
    """Write `count` lines of a product, each of `width` numbers.

    Lines of the table are `step`, columns `apart` from another. The last tile goes over lines that are there already.
    The order in which a sum's terms are added does not depend on its place.
    """
    zero = spread(np.float32(0.0), like)
    for column in range(0, width, len(like)):
        i = 0
        while i < count:
            if count - i > len(HALF) and count >= len(TILE):
                i = min(i, count - len(TILE))
                multiply_tile(
                    like, TILE, x, corner + i * across, across, along, terms, table, top + column * apart, step, zero,
                    out, place + i * further + column, further, width - column,
                )  # fmt: skip
                i += len(TILE)
            elif count >= len(HALF):
                i = min(i, count - len(HALF))
                multiply_tile(
                    like, HALF, x, corner + i * across, across, along, terms, table, top + column * apart, step, zero,
                    out, place + i * further + column, further, width - column,
                )  # fmt: skip
                i += len(HALF)
            else:
                multiply_tile(
                    like, ALONE, x, corner + i * across, across, along, terms, table, top + column * apart, step, zero,
                    out, place + i * further + column, further, width - column,
                )  # fmt: skip
                i += 1


@inlined
def pack(like, weights, place, inputs, units, packed):
    """Pack a matrix, filled up with zeros."""
    for column in range(0, units, len(like)):
        for i in range(inputs):
            part = load_part(weights, place + i * units + column, units - column, like)
            store_at(packed, column * inputs + i * len(like), part)


@inlined
def pack_transposed(like, weights, place, inputs, units, packed):
    """Pack the transpose of a matrix; what fills it up is left as it is."""
    for i in range(inputs):
        for j in range(units):
            at = (i // len(like) * units + j) * len(like) + i % len(like)
            store_element(packed, at, element(weights, place + i * units + j))


@inlined
def score_alone(like, x, corner, across, rows, inputs, weights, place, bias, out, step):
    """Write the one score of each row, a dot product: a twentieth of the work of sixteen columns."""
    for r in range(rows):
        total = spread(np.float32(0.0), like)
        for column in range(0, inputs, len(like)):
            part = load_part(weights, place + column, inputs - column, like)
            total = fused(load_at(x, corner + r * across + column, like), part, total)
        store_element(out, r * step, sum_of(total) + bias)


@inlined
def activate(activation, like, biases, bias, sums, outs, at, rows, units):
    """Add biases to the sums of a layer, and write what its units make of them."""
    step = filled(units, like)
    for column in range(0, units, len(like)):
        own = load_part(biases, bias + column, units - column, like)
        for i in range(at + column, at + column + rows * step, step):
            z = load_at(sums, i, like) + own
            store_at(sums, i, z)
            store_at(outs, i, value(activation, z))


@inlined
def forward(activation, like, plan, x, first, rows, weights, w, biases, b, sums, outs, base, scores, packed):
    """Write the sums and the outputs of each hidden layer for some rows, and the scores."""
    last = len(plan) - 1
    source, corner, across = x, first * plan[0, 0], plan[0, 0]
    for layer in range(last):
        inputs, units, step, at = plan[layer, 0], plan[layer, 1], filled(plan[layer, 1], like), base + plan[layer, 4]
        pack(like, weights, w + plan[layer, 2], inputs, units, packed)
        multiply(like, source, corner, across, 1, rows, inputs, packed, 0, len(like), inputs, sums, at, step, step)
        activate(activation, like, biases, b + plan[layer, 3], sums, outs, at, rows, units)
        source, corner, across = outs, at, step
    inputs, units, step, bias = plan[last, 0], plan[last, 1], filled(plan[last, 1], like), b + plan[last, 3]
    if units == 1:
        one = element(biases, bias)
        score_alone(like, source, corner, across, rows, inputs, weights, w + plan[last, 2], one, scores, step)
        return
    pack(like, weights, w + plan[last, 2], inputs, units, packed)
    multiply(like, source, corner, across, 1, rows, inputs, packed, 0, len(like), inputs, scores, 0, step, step)
    for r in range(rows):
        for j in range(units):
            store_element(scores, r * step + j, element(scores, r * step + j) + element(biases, bias + j))


@inlined
def bend(activation, like, back, sums, outs, at, count):
    """Replace sums by the derivatives along them, from those along the outputs."""
    for i in range(0, count, len(like)):
        bent = slope(activation, load_at(sums, at + i, like), load_at(outs, at + i, like))
        store_at(sums, at + i, gated(bent, load_at(back, i, like)))


@inlined
def add_lines(like, table, place, rows, units, out, at):
    """Write the sum of the lines of a table."""
    for column in range(0, units, len(like)):
        total = spread(np.float32(0.0), like)
        for r in range(rows):
            total = total + load_at(table, place + r * filled(units, like) + column, like)
        store_part(out, at + column, units - column, total)


@inlined
def backward(
    activation, like, plan, x, first, rows, weights, w, sums, outs, base, slopes, back, gradient, free_gradient, packed
):
    """Write the gradients for the slopes along the scores of some rows; derivatives take the place of the sums."""
    along, place = slopes, 0
    for layer in range(len(plan) - 1, -1, -1):
        inputs, units, step = plan[layer, 0], plan[layer, 1], filled(plan[layer, 1], like)
        add_lines(like, along, place, rows, units, free_gradient, plan[layer, 3])
        if layer == 0:
            multiply(
                like, x, first * inputs, 1, inputs, inputs, rows, along, place, step, 1, gradient, plan[layer, 2],
                units, units,
            )  # fmt: skip
            return
        at, below = base + plan[layer - 1, 4], filled(inputs, like)
        if units == 1:  # the matrix is a line
            multiply(like, along, place, 0, step, 1, rows, outs, at, below, 1, gradient, plan[layer, 2], inputs, inputs)
        else:
            multiply(
                like, outs, at, 1, below, inputs, rows, along, place, step, 1, gradient, plan[layer, 2], units, units
            )
        pack_transposed(like, weights, w + plan[layer, 2], inputs, units, packed)
        multiply(like, along, place, step, 1, rows, units, packed, 0, len(like), units, back, 0, below, below)
        bend(activation, like, back, sums, outs, at, rows * below)
        along, place = sums, at


@shared
def step(rule, like, scalars, line, weights, slots, place, gradient):
    """Step the parameters of a run, which begin at a place of the flat array."""
    s = load_each(scalars, line, len(like[2]), like[0], like[2])
    for i in range(0, len(gradient), len(like[2])):
        memory = load_each(slots, place + i, weights.size, like[1], like[2])
        w, memory = update(rule, s, load_at(weights, place + i, like[2]), load_at(gradient, i, like[2]), memory)
        store_at(weights, place + i, w)
        store_each(slots, place + i, weights.size, memory)


@kernel()
def learn(
    rule, loss, activation, like, plan, x, targets, row_weights, batch, run, runs, table, free_table, weights, slots,
    free_weights, free_slots, tally, sums, outs, back, scores, slopes, gradient, free_gradient, packed,
):  # fmt: skip
    """Learn from a chunk, a mini-batch at a time, with `runs` runs from `run` on, no more than lanes of a vector.

    `x` the rows, flat; `row_weights` `(rows, lanes)`; `weights` `(all runs, n)`, `slots` `(slots, all runs, n)`, and
    the same without a penalty; `table`, `free_table` `(steps, all runs · scalars · places)`. Workspace: `sums`, `outs`
    a room for each run; `back` and `slopes` a line for each row of the widest layer and of the scores; `scores`
    `(batch, outputs · lanes)`; `gradient`, `free_gradient` of a run; `packed` a matrix.

    `like` holds tuples of which only the length counts: scalars and slots of the rule, lanes and places of a vector.
    """
    vector, outputs, room, n, m = like[2], plan[-1, 1], len(sums) // runs, len(gradient), len(free_gradient)
    width, size = filled(outputs, vector), len(like[0]) * len(vector)
    for t in range((len(targets) + batch - 1) // batch):
        first, rows = t * batch, min(batch, len(targets) - t * batch)
        for k in range(runs):
            forward(
                activation, vector, plan, x, first, rows, weights, (run + k) * n, free_weights, (run + k) * m, sums,
                outs, k * room, slopes, packed,
            )  # fmt: skip
            for r in range(rows):
                for j in range(outputs):
                    scores[r, j * len(vector) + k] = element(slopes, r * width + j)
        last = first + rows
        learn_from_scores(loss, vector, outputs, scores[:rows], targets[first:last], row_weights[first:last], tally)
        for k in range(runs):
            for r in range(rows):
                for j in range(outputs):
                    store_element(slopes, r * width + j, scores[r, j * len(vector) + k])
            backward(
                activation, vector, plan, x, first, rows, weights, (run + k) * n, sums, outs, k * room, slopes, back,
                gradient, free_gradient, packed,
            )  # fmt: skip
            line = (run + k) * size
            step(rule, like, table, t * table.shape[1] + line, weights, slots, (run + k) * n, gradient)
            step(
                rule, like, free_table, t * free_table.shape[1] + line, free_weights, free_slots, (run + k) * m,
                free_gradient,
            )  # fmt: skip
