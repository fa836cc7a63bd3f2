"""Sparse rows: one chunk for all runs of a block.

The cost of a step is fetching one line of weights for each nonzero; the weights of sixteen runs fill that line. A row
is read twice: to score it, and, while its lines are still in the nearest cache, to step along its gradient. Meanwhile
the lines of the next mini-batch are already on their way (16 million features, sixteen runs: 21 → 8 ns a nonzero).

What the penalty does to weights that a row does not touch is caught up exactly, in one of two ways. Where it multiplies
all weights of a run by the same factor (`advance_scaled`), weights are kept as `scale · v` and only the scale is
stepped. Where each weight has a rate of its own (`advance_resting`), each feature remembers how far it is up to date.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.dispatch import evaluate, rest, step, update
from schuss.kernels.lanes import fused, load, store
from schuss.kernels.lines import add_to, load_at, load_each, load_part, prefetch_far, spread, store_at, store_each
from schuss.kernels.options import compiled_form_of, inlined, kernel
from schuss.kernels.scores import columns_of, learn_from_scores, losses_of_scores
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

ZERO = np.float32(0.0)
NEAR = 1 << 17
"""Weights that fit into the second cache beside the rows: fetching them ahead costs more than it gains (K = 1, 47,000
features: 2.9 → 2.2 ns a nonzero without)."""

FAR = np.uint64(128)
"""Lines are sent for so many nonzeros ahead, or a row where that is more: with fewer they come too late (a million
features, 16 runs of SGD: rows of 75 nonzeros 6.2 → 5.0 ns a nonzero, of 25 9.1 → 4.7, of 10 15.3 → 6.8)."""

SMALLEST_SCALE, LARGEST_SHRINK = 2.0**-64, np.float32(2.0**-64)


@inlined
def far_ahead(indices, stop, least):
    """Give how many nonzeros ahead of those before `stop` lines are sent for: at least so many, while a chunk lasts.

    Found once a row, it costs nothing for each nonzero (one run, a million features −2 %).
    """
    return min(max(least, FAR), np.uint64(len(indices)) - stop)


@inlined
def score_output(like, indices, values, start, stop, weights, width, column):
    """Sum value · weight over the nonzeros from `start` to before `stop` for the runs of the output at `column`.

    Four sums, because each addition waits four cycles for the one before: K = 4 2.9 → 2.2 ns a nonzero. All places are
    unsigned, or each is looked at whether it counts from the end (one run 1.71 → 1.56). `width` is that of a line of
    weights, which the compiler may know.
    """
    a, b, c, d = spread(ZERO, like), spread(ZERO, like), spread(ZERO, like), spread(ZERO, like)
    whole = stop - (stop - start) % np.uint64(4)
    for n in range(start, whole, np.uint64(4)):
        a = fused(load_at(weights, np.uint64(indices[n]) * width + column, like), values[n], a)
        b = fused(
            load_at(weights, np.uint64(indices[n + np.uint64(1)]) * width + column, like), values[n + np.uint64(1)], b
        )
        c = fused(
            load_at(weights, np.uint64(indices[n + np.uint64(2)]) * width + column, like), values[n + np.uint64(2)], c
        )
        d = fused(
            load_at(weights, np.uint64(indices[n + np.uint64(3)]) * width + column, like), values[n + np.uint64(3)], d
        )
    for n in range(whole, stop):
        a = fused(load_at(weights, np.uint64(indices[n]) * width + column, like), values[n], a)
    return (a + b) + (c + d)


@inlined
def score_rows(like, indptr, indices, values, start, stop, scales, i, weights, width, scores):
    """Write the scores of the rows from `start` to before `stop`: intercept + `scales[i]` · what the nonzeros give."""
    intercept, lanes = np.uint64(len(weights) - 1), np.uint64(len(like))
    for r in range(start, stop):
        first, end = np.uint64(indptr[r]), np.uint64(indptr[r + 1])
        for column in range(np.uint64(0), width, lanes):
            total = score_output(like, indices, values, first, end, weights, width, column)
            bias = load(weights, intercept, column, like)
            store(scores, r - start, column, fused(total, load(scales, i, 0, like), bias))


@inlined
def sum_of_rows(like, table, rows, column):
    """Add up the lines of a table."""
    total = spread(ZERO, like)
    for r in range(rows):
        total = total + load(table, r, column, like)
    return total


@kernel()
def rescale(like, weights, scale):
    """Multiply weights by what makes every scale at least 2⁻⁶⁴ again, by powers of two: no bit of a run changes."""
    lanes = np.uint64(len(like))
    for k in range(lanes):
        shrink = np.float32(1.0)
        while scale[k] < SMALLEST_SCALE:
            scale[k] /= SMALLEST_SCALE
            shrink *= LARGEST_SHRINK
        if shrink < np.float32(1.0):
            for f in range(np.uint64(len(weights) - 1)):
                for column in range(k, np.uint64(weights.shape[1]), lanes):
                    weights[f, column] *= shrink


@kernel()
def fill_scales(shrink, move, scale, steps, scales, moves):
    """Write down the scale before each of some steps and move/scale after it; `scale` goes on to the end.

    A kernel of its own, for several steps: LLVM must know that the arrays do not overlap (K = 16 a row of ten nonzeros
    237 → 150 ns).
    """
    for i in range(np.uint64(steps)):
        for k in range(np.uint64(len(scale))):
            scales[i, k] = scale[k]
            scale[k] *= shrink[k]
            moves[i, k] = move[k] / scale[k]


@inlined
def add_row(like, indices, values, start, stop, ahead, weights, width, column, d):
    """Add d times a row to the weights of the output at `column`; send for lines at least `ahead` nonzeros on."""
    if weights.size > NEAR:
        ahead = far_ahead(indices, stop, ahead)
        for n in range(start, stop):
            prefetch_far(weights, np.uint64(indices[n + ahead]) * width + column)
            place = np.uint64(indices[n]) * width + column
            store_at(weights, place, fused(d, values[n], load_at(weights, place, like)))
    else:
        for n in range(start, stop):
            place = np.uint64(indices[n]) * width + column
            store_at(weights, place, fused(d, values[n], load_at(weights, place, like)))


@inlined
def step_rows(like, indptr, indices, values, start, stop, scores, weights, width, moves, i):
    """Add the rows, times their gradient along the scores, to the weights; send for the lines of the next rows."""
    ahead, ratio = np.uint64(indptr[stop] - indptr[start]), load(moves, i, 0, like)
    for column in range(np.uint64(0), width, np.uint64(len(like))):
        for r in range(start, stop):
            d = load(scores, r - start, column, like) * ratio
            first, end = np.uint64(indptr[r]), np.uint64(indptr[r + 1])
            add_row(like, indices, values, first, end, ahead, weights, width, column, d)


@kernel()
def advance_scaled(
    loss, like, indptr, indices, values, targets, row_weights, batch, phase, shift, shrink, move, free_move, together,
    scale, weights, scores, scales, moves, tally,
):  # fmt: skip
    """Learn from a chunk with a linear rule: w ← shrink · w + move · g, the same numbers for all weights of a run.

    The weights are `scale · v`, so that the step of all features is one of the scale, and v ← v + move/scale · g for
    those of the row. `shrink`, `move` `(lines, lanes)` float64, `free_move` the same in float32 for the intercept; step
    t takes line (phase + t) >> shift. `scale` `(lanes,)`; `together` `(lines,)` says for how many steps of a line it
    cannot become too small. Workspace: `scores` `(batch, outputs · lanes)`, `scales`, `moves` `(steps, lanes)`.
    """
    rows, intercept, lanes = np.uint64(len(targets)), np.uint64(len(weights) - 1), np.uint64(len(like))
    columns, steps, t = columns_of(loss, like, weights), np.uint64((rows + batch - 1) // batch), np.uint64(0)
    outputs = columns // lanes
    while t < steps:
        line = (np.uint64(phase) + t) >> np.uint64(shift)
        end = min(((line + np.uint64(1)) << np.uint64(shift)) - np.uint64(phase), t + np.uint64(together[line]), steps)
        for k in range(lanes):
            if scale[k] < SMALLEST_SCALE:
                rescale(like, weights, scale)
        fill_scales(shrink[line], move[line], scale, end - t, scales, moves)
        for i in range(end - t):
            start, stop = t * np.uint64(batch), min((t + np.uint64(1)) * np.uint64(batch), rows)
            score_rows(like, indptr, indices, values, start, stop, scales, i, weights, columns, scores)
            learn_from_scores(loss, like, outputs, scores, targets[start:stop], row_weights[start:stop], tally)
            step_rows(like, indptr, indices, values, start, stop, scores, weights, columns, moves, i)
            for column in range(np.uint64(0), columns, lanes):
                total = sum_of_rows(like, scores, stop - start, column)
                bias = load(weights, intercept, column, like)
                store(weights, intercept, column, fused(load(free_move, line, 0, like), total, bias))
            t += np.uint64(1)


@kernel()
def advance_rows(
    loss, like, indptr, indices, values, targets, row_weights, phase, shift, shrink, move, free_move, together, scale,
    weights, scales, moves, tally,
):  # fmt: skip
    """Learn from a chunk row by row, as `advance_scaled` with one output and mini-batches of one: the same bits.

    Score, gradient and intercept stay in registers, and the width of a line is known: K = 1 1.78 → 1.54 ns a nonzero.
    """
    rows, intercept, first = np.uint64(len(targets)), np.uint64(len(weights) - 1), np.uint64(0)
    width, t = np.uint64(len(like)), np.uint64(0)
    bias = load(weights, intercept, first, like)
    while t < rows:
        line = (np.uint64(phase) + t) >> np.uint64(shift)
        end = min(((line + np.uint64(1)) << np.uint64(shift)) - np.uint64(phase), t + np.uint64(together[line]), rows)
        for k in range(width):
            if scale[k] < SMALLEST_SCALE:
                rescale(like, weights, scale)
        fill_scales(shrink[line], move[line], scale, end - t, scales, moves)
        free = load(free_move, line, first, like)
        for i in range(end - t):
            start, stop = np.uint64(indptr[t]), np.uint64(indptr[t + np.uint64(1)])
            total = score_output(like, indices, values, start, stop, weights, width, first)
            score = fused(total, load(scales, i, first, like), bias)
            value, derivative = evaluate(loss, score, np.float32(targets[t]))
            add_to(tally, first, value * row_weights[t])
            d = derivative * row_weights[t]
            move_of_row = d * load(moves, i, first, like)
            add_row(like, indices, values, start, stop, stop - start, weights, width, first, move_of_row)
            bias = fused(free, d, bias)
            t += np.uint64(1)
    store(weights, intercept, first, bias)


@inlined
def load_scalars(table, line, like):
    """Give the rule's scalars in a line of a table `(lines, scalars, lanes)`."""
    return load_each(table, line * table.shape[1] * table.shape[2], table.shape[2], like[0], like[2])


@inlined
def load_slots(slots, weights, place, like):
    """Give the slots of the weights at a place, from `(slots, features + 1, outputs · lanes)`."""
    return load_each(slots, place, weights.size, like[1], like[2])


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


@kernel()
def advance_fully(
    rule, loss, like, indptr, indices, values, targets, row_weights, batch, phase, shift, table, free_table, weights,
    slots, scores, ones, gradient, tally,
):  # fmt: skip
    """Learn from a chunk with a rule that moves every weight at every step: exact, in time features × steps.

    `gradient` `(features + 1, outputs · lanes)` comes and leaves full of zeros.
    """
    rows, features, width = np.uint64(len(targets)), np.uint64(len(weights) - 1), like[2]
    lanes, columns = np.uint64(len(width)), columns_of(loss, like[2], weights)
    outputs = columns // lanes
    for t in range(np.uint64((rows + batch - 1) // batch)):
        start, stop = t * np.uint64(batch), min((t + np.uint64(1)) * np.uint64(batch), rows)
        line = (np.uint64(phase) + t) >> np.uint64(shift)
        score_rows(width, indptr, indices, values, start, stop, ones, 0, weights, columns, scores)
        learn_from_scores(loss, width, outputs, scores, targets[start:stop], row_weights[start:stop], tally)
        scalars, free = load_scalars(table, line, like), load_scalars(free_table, line, like)
        for column in range(np.uint64(0), columns, lanes):
            for r in range(start, stop):
                d = load(scores, r - start, column, width)
                for n in range(np.uint64(indptr[r]), np.uint64(indptr[r + 1])):
                    f = np.uint64(indices[n])
                    store(gradient, f, column, fused(d, values[n], load(gradient, f, column, width)))
            for f in range(features):
                place = f * columns + column
                update_weights(rule, like, scalars, weights, slots, place, load_at(gradient, place, width))
                store(gradient, f, column, spread(ZERO, width))
            total = sum_of_rows(width, scores, stop - start, column)
            update_weights(rule, like, free, weights, slots, features * columns + column, total)


@inlined
def update_weights(rule, like, scalars, weights, slots, place, gradient):
    """Apply the rule, penalty and all, to the weights at a place."""
    memory = load_slots(slots, weights, place, like)
    w, after = update(rule, scalars, load_at(weights, place, like[2]), gradient, memory)
    store_each(slots, place, weights.size, after)
    store_at(weights, place, w)


@kernel()
def losses_sparse(loss, like, indptr, indices, values, targets, weights, scores, ones, out):
    """Write each row's loss for each run into `out` `(rows, lanes)`, without learning; `scores` is workspace."""
    rows, most, columns = np.uint64(len(targets)), np.uint64(len(scores)), columns_of(loss, like, weights)
    for start in range(np.uint64(0), rows, most):
        stop = min(start + most, rows)
        score_rows(like, indptr, indices, values, start, stop, ones, 0, weights, columns, scores)
        outputs = columns // np.uint64(len(like))
        losses_of_scores(loss, like, outputs, scores, targets[start:stop], out[start:stop])


@kernel()
def scores(indptr, indices, values, weights, out):
    """Write the scores of rows `(rows, outputs)`, float64, for weights `(features + 1, outputs)`, intercepts last."""
    last = np.uint64(len(weights) - 1)
    for i in range(np.uint64(len(out))):
        begin, end = np.uint64(indptr[i]), np.uint64(indptr[i + np.uint64(1)])
        for j in range(np.uint64(weights.shape[1])):
            total = np.float64(weights[last, j])
            for n in range(begin, end):
                total += np.float64(values[n]) * np.float64(weights[np.uint64(indices[n]), j])
            out[i, j] = total
