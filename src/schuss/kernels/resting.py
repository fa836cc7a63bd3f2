"""Sparse rows and rules that let weights rest: only a penalty moves a weight that no row touches.

Each feature remembers how far it is up to date, and is caught up when a row touches it. A block of one run has
sixteen features stepped at a time, see `together`, a wider one feature by feature.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dispatch import rest, step
from schuss.kernels.lanes import fused, load, store
from schuss.kernels.lines import load_at, load_part, prefetch_far, spread, store_at, store_each
from schuss.kernels.options import compiled_form_of, inlined, kernel
from schuss.kernels.scores import columns_of, learn_from_scores
from schuss.kernels.sparse import NEAR, ZERO, far_ahead, load_scalars, load_slots, score_rows, sum_of_rows
from schuss.kernels.together import (
    WIDE,
    features_of,
    gaps,
    gather,
    gather_each,
    repeated,
    scatter,
    scatter_each,
    send_for_each,
)


@inlined
def missed(base, now, since, f, like):
    """Give the sum of rates since a feature was last up to date, which it is from now on.

    The first schedule stands before the loop: nearly always it is the only one.
    """
    first = np.uint64(0)
    total = fused(load(base, first, first, like), np.float32(now[first] - since[f, first]), spread(ZERO, like))
    since[f, first] = now[first]
    for clock in range(np.uint64(1), np.uint64(len(now))):
        total = fused(load(base, clock, first, like), np.float32(now[clock] - since[f, clock]), total)
        since[f, clock] = now[clock]
    return total


@inlined
def rest_feature(rule, like, scalars, base, now, since, weights, slots, columns, f):
    """Catch a feature up: let its weights rest for the sum of rates since it was last up to date."""
    total = missed(base, now, since, f, like[2])
    for column in range(np.uint64(0), columns, np.uint64(len(like[2]))):
        place = f * columns + column
        memory = load_slots(slots, weights, place, like)
        store_at(weights, place, rest(rule, scalars, total, load_at(weights, place, like[2]), memory))


@inlined
def step_weights(rule, like, scalars, weights, slots, place, gradient):
    """Apply the rule, without the penalty, to the weights at a place: of one feature and output."""
    memory = load_slots(slots, weights, place, like)
    w, after = step(rule, scalars, load_at(weights, place, like[2]), gradient, memory)
    store_each(slots, place, weights.size, after)
    store_at(weights, place, w)


@inlined
def prefetch_slots(like, slots, weights, place):
    """Send for the lines of the slots of the weights at a place."""
    for slot in range(np.uint64(len(like[1]))):
        prefetch_far(slots, slot * np.uint64(weights.size) + place)


def rest_each(rule, like, scalars, indices, first, end, base, now, since, weights, slots, columns):
    """Catch the features of a row up one by one, see `rest_row`."""
    ahead = far_ahead(indices, end, end - first)
    for n in range(first, end):
        later = np.uint64(indices[n + ahead])
        for column in range(np.uint64(0), columns, np.uint64(len(like[2]))):
            prefetch_slots(like, slots, weights, later * columns + column)
        prefetch_far(since, later * np.uint64(len(now)))
        rest_feature(rule, like, scalars, base, now, since, weights, slots, columns, np.uint64(indices[n]))


def step_each(rule, like, scalars, indices, values, first, end, scores, weights, slots, columns, resting):
    """Step along the gradient of one row feature by feature, see `step_row`."""
    ahead = far_ahead(indices, end, end - first)
    for column in range(np.uint64(0), columns, np.uint64(len(like[2]))):
        d = load(scores, np.uint64(0), column, like[2])
        for n in range(first, end):
            later = np.uint64(indices[n + ahead]) * columns + column
            prefetch_far(weights, later)
            if not resting:
                prefetch_slots(like, slots, weights, later)
            place = np.uint64(indices[n]) * columns + column
            step_weights(rule, like, scalars, weights, slots, place, d * values[n])


@inlined
def send_for_slots(like, slots, weights, features, columns, column):
    """Send for the lines of the slots of some features."""
    for slot in range(np.uint64(len(like[1]))):
        send_for_each(slots, features, columns, slot * np.uint64(weights.size) + column)


def rest_together(rule, like, scalars, indices, first, end, base, now, since, weights, slots, columns):
    """Catch the features of a row up, sixteen at a time, for one run; see `rest_row`."""
    ahead, clocks, none = far_ahead(indices, end, end - first), np.uint64(len(now)), np.uint64(0)
    scalars, far = repeated(scalars, WIDE), weights.size + slots.size > NEAR
    for n in range(first, end, np.uint64(len(WIDE))):
        features, later = features_of(indices, n, end, WIDE), features_of(indices, n + ahead, end + ahead, WIDE)
        if far:
            send_for_each(since, later, clocks, none)
        total = spread(ZERO, WIDE)
        for clock in range(clocks):
            total = fused(base[clock, none], gaps(since, features, clocks, clock, now[clock]), total)
        for column in range(none, columns):
            if far:
                send_for_slots(like, slots, weights, later, columns, column)
            memory = gather_each(slots, features, columns, column, weights.size, like[1])
            w = rest(rule, scalars, total, gather(weights, features, columns, column), memory)
            scatter(weights, features, columns, column, w)


def step_together(rule, like, scalars, indices, values, first, end, scores, weights, slots, columns, resting):
    """Step along the gradient of one row, sixteen features at a time, for one run; see `step_row`."""
    ahead, none = far_ahead(indices, end, end - first), np.uint64(0)
    scalars, far = repeated(scalars, WIDE), weights.size + slots.size > NEAR
    for column in range(none, columns):
        d = scores[none, column]
        for n in range(first, end, np.uint64(len(WIDE))):
            features, later = features_of(indices, n, end, WIDE), features_of(indices, n + ahead, end + ahead, WIDE)
            if far:
                send_for_each(weights, later, columns, column)
            if far and not resting:
                send_for_slots(like, slots, weights, later, columns, column)
            memory = gather_each(slots, features, columns, column, weights.size, like[1])
            w, g = gather(weights, features, columns, column), load_part(values, n, end - n, WIDE) * d
            w, memory = step(rule, scalars, w, g, memory)
            scatter_each(slots, features, columns, column, weights.size, memory)
            scatter(weights, features, columns, column, w)


def rest_row(rule, like, scalars, indices, first, end, base, now, since, weights, slots, columns):
    """Catch the features of a row up; send for two of the three lines of later ones, and leave one to `step_row`.

    So lines are fetched while catching up is computed: one run, 16 million features 37 → 22 ns a nonzero.
    """
    catch_up = rest_together if len(like[2]) == 1 else rest_each
    catch_up(rule, like, scalars, indices, first, end, base, now, since, weights, slots, columns)


def step_row(rule, like, scalars, indices, values, first, end, scores, weights, slots, columns, resting):
    """Step along the gradient of one row; send for lines of later ones, all of them if no `rest_row` did."""
    go = step_together if len(like[2]) == 1 else step_each
    go(rule, like, scalars, indices, values, first, end, scores, weights, slots, columns, resting)


@compiled_form_of(rest_row)
def _rest_row(rule, like, scalars, indices, first, end, base, now, since, weights, slots, columns):
    return rest_together if like[2].count == 1 else rest_each


@compiled_form_of(step_row)
def _step_row(rule, like, scalars, indices, values, first, end, scores, weights, slots, columns, resting):
    return step_together if like[2].count == 1 else step_each


@inlined
def step_intercept(rule, like, scalars, rows, scores, weights, slots, columns):
    """Step the intercepts along the gradient of some rows."""
    intercept = np.uint64(len(weights) - 1) * columns
    for column in range(np.uint64(0), columns, np.uint64(len(like[2]))):
        total = sum_of_rows(like[2], scores, rows, column)
        step_weights(rule, like, scalars, weights, slots, intercept + column, total)


@inlined
def step_batch(
    rule, like, scalars, indptr, indices, values, start, stop, scores, weights, slots, columns, place, listed, gradient
):
    """Step along the gradient of several rows: first add it up, a line of `gradient` for each feature.

    `place` `(features, 1)` holds the line of each feature, -1 for those without one; `listed` the feature of each line.
    """
    count, width = np.uint64(0), like[2]
    for r in range(start, stop):
        for n in range(np.uint64(indptr[r]), np.uint64(indptr[r + 1])):
            f = np.uint64(indices[n])
            if place[f, 0] < 0:
                place[f, 0], listed[count] = count, f
                for column in range(np.uint64(0), columns, np.uint64(len(width))):
                    store(gradient, count, column, spread(ZERO, width))
                count += np.uint64(1)
            line = np.uint64(place[f, 0])
            for column in range(np.uint64(0), columns, np.uint64(len(width))):
                d = load(scores, r - start, column, width)
                store(gradient, line, column, fused(d, values[n], load(gradient, line, column, width)))
    for line in range(count):
        f = np.uint64(listed[line])
        place[f, 0] = -1
        for column in range(np.uint64(0), columns, np.uint64(len(width))):
            total = load(gradient, line, column, width)
            step_weights(rule, like, scalars, weights, slots, f * columns + column, total)


@kernel()
def advance_resting(
    rule, loss, like, indptr, indices, values, targets, row_weights, batch, phase, shift, table, free_table, resting,
    factors, base, now, since, weights, slots, scores, ones, spare, listed, gradient, tally,
):  # fmt: skip
    """Learn from a chunk with a rule that lets untouched weights rest, in time proportional to its nonzeros.

    `factors` `(lines, clocks)`: by what each schedule multiplies the rates in a step, `base` `(clocks, lanes)`: the
    rate of each run in the line of its schedule, zero in the others; `now` `(clocks,)`: the sum of the factors of all
    steps so far, `since` `(features, clocks)`: that sum when a feature was up to date. What a feature missed is then a
    difference of sums, however long ago it was touched. `resting` 0: no run has a penalty, and nothing moves at rest.
    The last six but `tally` are workspace, `ones` `(1, lanes)` holds ones.
    """
    rows, width, columns = np.uint64(len(targets)), like[2], columns_of(loss, like[2], weights)
    outputs = columns // np.uint64(len(width))
    for t in range(np.uint64((rows + batch - 1) // batch)):
        start, stop = t * np.uint64(batch), min((t + np.uint64(1)) * np.uint64(batch), rows)
        first, end = np.uint64(indptr[start]), np.uint64(indptr[stop])
        line = (np.uint64(phase) + t) >> np.uint64(shift)
        scalars = load_scalars(table, line, like)
        if resting:
            rest_row(rule, like, scalars, indices, first, end, base, now, since, weights, slots, columns)
        score_rows(width, indptr, indices, values, start, stop, ones, 0, weights, columns, scores)
        learn_from_scores(loss, width, outputs, scores, targets[start:stop], row_weights[start:stop], tally)
        if batch == 1:
            step_row(rule, like, scalars, indices, values, first, end, scores, weights, slots, columns, resting)
        else:
            step_batch(
                rule, like, scalars, indptr, indices, values, start, stop, scores, weights, slots, columns, spare,
                listed, gradient,
            )  # fmt: skip
        free = load_scalars(free_table, line, like)
        step_intercept(rule, like, free, stop - start, scores, weights, slots, columns)
        for clock in range(len(now)):
            now[clock] += factors[line, clock]


@kernel()
def rest_all(rule, like, table, base, now, since, weights, slots):
    """Bring every feature up to date: before weights are read as a whole."""
    scalars, columns = load_scalars(table, 0, like), np.uint64(weights.shape[1])
    for f in range(np.uint64(len(since))):
        rest_feature(rule, like, scalars, base, now, since, weights, slots, columns, f)
