"""Sparse rows and rules with a velocity: an untouched weight runs out along it, which costs nothing.

At rest w ← a w + b v and v ← m v, with the same coefficients for all weights of a run. For some steps a weight is kept
as a place p and its velocity as a share q, w = A p − L v and v = M q, where A and M are the products of a and m so far.
Neither p nor q changes at rest if L ← (a L − b)/m; a gradient changes both by a multiple of itself. Where m < a, L is
computed backwards from 0 at the end, so that p is the place where the weight will be, else forwards from 0 at the
beginning: either way what is added to L dies out, and p is of the size of the weights. That depends on no other run.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.lanes import anywhere, fused, load, magnitude, store
from schuss.kernels.lines import prefetch_far, spread
from schuss.kernels.options import inlined, kernel
from schuss.kernels.scores import learn_from_scores
from schuss.kernels.sparse import NEAR, SMALLEST_SCALE, ZERO, far_ahead, rescale, sum_of_rows


@inlined
def list_features(indices, first, end, moving, listed):
    """Add the features of some nonzeros to the list of those that move."""
    last = np.uint64(len(listed) - 1)
    for n in range(first, end):
        f = np.uint64(indices[n])
        if moving[f] == 0:
            moving[f] = 1
            listed[np.uint64(listed[last])] = f
            listed[last] += 1


@inlined
def score_rows(like, indptr, indices, values, start, stop, scales, lags, t, weights, velocity, scores):
    """Write the scores of the rows from `start` to before `stop`: of the weights as they are before step t."""
    intercept, lanes = np.uint64(len(weights) - 1), np.uint64(len(like))
    scale, lag = load(scales, t, 0, like), load(lags, t, 0, like)
    for r in range(start, stop):
        first, end = np.uint64(indptr[r]), np.uint64(indptr[r + 1])
        for column in range(np.uint64(0), np.uint64(weights.shape[1]), lanes):
            a, b = spread(ZERO, like), spread(ZERO, like)
            for n in range(first, end):
                f = np.uint64(indices[n])
                a = fused(load(weights, f, column, like), values[n], a)
                b = fused(load(velocity, f, column, like), values[n], b)
            store(scores, r - start, column, a * scale - b * lag + load(weights, intercept, column, like))


@inlined
def step_rows(like, indptr, indices, values, start, stop, scores, moves, pushes, t, weights, velocity):
    """Step along the gradient of some rows, and send for the lines of the next."""
    ahead = far_ahead(indices, np.uint64(indptr[stop]), np.uint64(indptr[stop] - indptr[start]))
    far = weights.size > NEAR
    move, push = load(moves, t, 0, like), load(pushes, t, 0, like)
    for column in range(np.uint64(0), np.uint64(weights.shape[1]), np.uint64(len(like))):
        for r in range(start, stop):
            d = load(scores, r - start, column, like)
            to_place, to_velocity = d * move, d * push
            for n in range(np.uint64(indptr[r]), np.uint64(indptr[r + 1])):
                if far:
                    following = np.uint64(indices[n + ahead]) * np.uint64(weights.shape[1]) + column
                    prefetch_far(weights, following)
                    prefetch_far(velocity, following)
                f = np.uint64(indices[n])
                store(weights, f, column, fused(to_place, values[n], load(weights, f, column, like)))
                store(velocity, f, column, fused(to_velocity, values[n], load(velocity, f, column, like)))


@inlined
def step_intercept(like, scores, rows, free, line, weights, velocity):
    """Step the intercept by w ← w + b v + c g, v ← m v + d g; `free` `(lines, 4, lanes)` holds b, c, m and d."""
    intercept, of_line = np.uint64(len(weights) - 1), free[line]
    b, c = load(of_line, 0, 0, like), load(of_line, 1, 0, like)
    m, d = load(of_line, 2, 0, like), load(of_line, 3, 0, like)
    for column in range(np.uint64(0), np.uint64(weights.shape[1]), np.uint64(len(like))):
        g = sum_of_rows(like, scores, rows, column)
        w, v = load(weights, intercept, column, like), load(velocity, intercept, column, like)
        store(weights, intercept, column, fused(b, v, fused(c, g, w)))
        store(velocity, intercept, column, fused(m, v, d * g))


@kernel()
def fill_lags(a, b, m, phase, shift, begin, end, lags):
    """Write L before each of the steps from `begin` to before `end`, and after the last."""
    for k in range(lags.shape[1]):
        shrinks, decays = 1.0, 1.0
        for t in range(begin, end):
            shrinks *= a[(phase + t) >> shift, k]
            decays *= m[(phase + t) >> shift, k]
        if decays < shrinks:
            lags[end - begin, k] = 0.0
            for t in range(end - 1, begin - 1, -1):
                line = (phase + t) >> shift
                lags[t - begin, k] = (m[line, k] * lags[t + 1 - begin, k] + b[line, k]) / a[line, k]
        else:
            lags[0, k] = 0.0
            for t in range(begin, end):
                line = (phase + t) >> shift
                lags[t + 1 - begin, k] = (a[line, k] * lags[t - begin, k] - b[line, k]) / m[line, k]


@kernel()
def fill_steps(a, c, m, d, phase, shift, first, last, begin, lags, scale, left, scales, velocity_lags, moves, pushes):
    """Write down what the steps from `first` to before `last` do to places and shares; A and M go on to their end."""
    for t in range(first, last):
        line, i = (phase + t) >> shift, t - first
        for k in range(len(scale)):
            scales[i, k], velocity_lags[i, k] = scale[k], lags[t - begin, k] * left[k]
            scale[k] *= a[line, k]
            left[k] *= m[line, k]
            moves[i, k] = (c[line, k] + lags[t + 1 - begin, k] * d[line, k]) / scale[k]
            pushes[i, k] = d[line, k] / left[k]


@inlined
def set_out(like, lags, scale, row, weights, velocity, listed):
    """Turn the listed weights into places."""
    for k in range(len(like)):
        row[0, k] = lags[0, k] / scale[k]
    lag = load(row, 0, 0, like)
    for i in range(np.uint64(listed[len(listed) - 1])):
        f = np.uint64(listed[i])
        for column in range(np.uint64(0), np.uint64(weights.shape[1]), np.uint64(len(like))):
            place = fused(lag, load(velocity, f, column, like), load(weights, f, column, like))
            store(weights, f, column, place)


@inlined
def settle(like, lags, last, scale, left, reach, row, weights, velocity, moving, listed):
    """Turn places and shares of the listed features back; velocities that are used up are cleared, off the list."""
    for k in range(len(like)):
        row[0, k], row[1, k], row[2, k] = left[k], lags[last, k] / scale[k], reach[k] / scale[k]
    decay, lag, far = load(row, 0, 0, like), load(row, 1, 0, like), load(row, 2, 0, like)
    count, kept = np.uint64(len(listed) - 1), np.uint64(0)
    for i in range(np.uint64(listed[count])):
        f, goes_on = np.uint64(listed[i]), False
        for column in range(np.uint64(0), np.uint64(weights.shape[1]), np.uint64(len(like))):
            v = load(velocity, f, column, like) * decay
            w = load(weights, f, column, like) - lag * v
            store(velocity, f, column, v)
            store(weights, f, column, w)
            goes_on = goes_on or anywhere(magnitude(v) * far > magnitude(w))
        if goes_on:
            listed[kept] = f
            kept += np.uint64(1)
        else:
            moving[f] = 0
            for column in range(np.uint64(0), np.uint64(weights.shape[1]), np.uint64(len(like))):
                store(velocity, f, column, spread(ZERO, like))
    listed[count] = kept


@kernel()
def advance(
    loss, like, indptr, indices, values, targets, row_weights, batch, phase, shift, a, b, c, m, d, free, together, few,
    reach, scale, weights, velocity, moving, listed, scores, lags, left, scales, velocity_lags, moves, pushes, row,
    tally,
):  # fmt: skip
    """Learn from a chunk: w ← a w + b v + c g, v ← m v + d g.

    Coefficients `(lines, lanes)` float64, of which step t takes line (phase + t) >> shift; `free` `(lines, 4, lanes)`
    float32 the intercept's. A velocity outlasts `together` steps, a weight `few`; `reach` `(lanes,)`: how far a
    velocity would carry for ever, in units of what may be left out. `scale` `(lanes,)`: A; `moving`, `listed`: see
    `Block.moving`. The others but `tally` are workspace, for `together` or `few` steps.
    """
    rows, outputs = np.uint64(len(targets)), weights.shape[1] // len(like)
    steps = (len(targets) + batch - 1) // batch
    for begin in range(0, steps, together):
        end = min(begin + together, steps)
        fill_lags(a, b, m, phase, shift, begin, end, lags)
        left[:] = 1.0
        set_out(like, lags, scale, row, weights, velocity, listed)
        for first in range(begin, end, few):
            for k in range(len(like)):
                if scale[k] < SMALLEST_SCALE:
                    rescale(like, weights, scale)
            last = min(first + few, end)
            fill_steps(
                a, c, m, d, phase, shift, first, last, begin, lags, scale, left, scales, velocity_lags, moves, pushes
            )
            for t in range(np.uint64(first), np.uint64(last)):
                i, line = t - np.uint64(first), (np.uint64(phase) + t) >> np.uint64(shift)
                start, stop = t * np.uint64(batch), min((t + np.uint64(1)) * np.uint64(batch), rows)
                score_rows(
                    like, indptr, indices, values, start, stop, scales, velocity_lags, i, weights, velocity, scores
                )
                learn_from_scores(loss, like, outputs, scores, targets[start:stop], row_weights[start:stop], tally)
                list_features(indices, np.uint64(indptr[start]), np.uint64(indptr[stop]), moving, listed)
                step_rows(like, indptr, indices, values, start, stop, scores, moves, pushes, i, weights, velocity)
                step_intercept(like, scores, stop - start, free, line, weights, velocity)
        settle(like, lags, end - begin, scale, left, reach, row, weights, velocity, moving, listed)
