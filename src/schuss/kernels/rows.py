"""Rows in another order.

Rows within the cache are gathered by `np.take`, which is as fast as what could be compiled here: on an AMD EPYC (Zen 4)
it took 4 ns a row of 28 float32 within the cache and 28 ns beyond it; prefetching 4 to 32 rows ahead gave 17 and 34.
Dense rows of a stream are never gathered: they are made where they belong.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.options import inlined, kernel

GROWTH = np.uint64(0x9E3779B97F4A7C15)


@inlined
def random_bits(state):
    """Give the random bits of a state, which grows by GROWTH (SplitMix64: Steele, Lea and Flood 2014)."""
    bits = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@inlined
def random_below(many, state):
    """Give a random number below `many`, which is below 2³²."""
    return ((random_bits(state) >> np.uint64(32)) * many) >> np.uint64(32)


@kernel()
def shuffle(places, seed):
    """Permute `places` at random (Fisher–Yates); NumPy's takes 12 ns a place within the cache, this takes 3."""
    state = np.uint64(seed)
    for left in range(len(places), 1, -1):
        state += GROWTH
        chosen = np.uint64(np.float64(random_bits(state) >> np.uint64(11)) * 2.0**-53 * left)
        last = np.uint64(left - 1)
        places[chosen], places[last] = places[last], places[chosen]


@kernel()
def deal(targets, weights, start, places, slots, orders, bucket_targets, bucket_weights, limits, counts, state):
    """Deal rows from `start` on out to buckets at random, until they end or a bucket has reached its limit.

    places : of each row; negative ones stay, others become a place among `slots · stride`;
    slots : which one each bucket has; orders : `(buckets, stride)`, the order in which its places are taken;
    bucket_targets, bucket_weights : `(buckets, stride)`, in order of arrival, until `settle` brings them to their rows:
        16 streams in order, which the processor fetches ahead, took 11 ns a row, placed at once they took 21;
    counts : rows in each bucket; state : the random state, the row after the last one that was dealt, and the bucket
        that is full, -1 if none is.
    """
    random, many, stride = np.uint64(state[0]), np.uint64(len(counts)), np.uint64(orders.shape[1])
    state[1], state[2] = len(places), -1
    for i in range(np.uint64(start), np.uint64(len(places))):
        if places[i] < 0:
            continue
        random += GROWTH
        b = random_below(many, random)
        count = np.uint64(counts[b])
        places[i] = np.uint64(slots[b]) * stride + np.uint64(orders[b, count])
        bucket_targets[b, count], bucket_weights[b, count] = targets[i], weights[i]
        counts[b] += 1
        if counts[b] == limits[b]:
            state[1], state[2] = np.int64(i) + 1, np.int64(b)
            break
    state[0] = np.int64(random)


@kernel()
def settle(order, targets, weights, settled_targets, settled_weights):
    """Bring what came in order of arrival to the places of its rows, `order`."""
    for i in range(np.uint64(len(order))):
        settled_targets[np.uint64(order[i])], settled_weights[np.uint64(order[i])] = targets[i], weights[i]


@kernel()
def line_up(targets, weights, start, places, first, out_targets, out_weights, state):
    """Give rows from `start` on places from `first` on, as far as there is room, and move what goes with them.

    places : of each row; negative ones stay; state : gets the row after the last one, and the place after its own.
    """
    place, room = np.uint64(first), np.uint64(len(out_targets))
    state[0] = len(places)
    for i in range(np.uint64(start), np.uint64(len(places))):
        if places[i] < 0:
            continue
        if place == room:
            state[0] = np.int64(i)
            break
        places[i] = np.int64(place)
        out_targets[place], out_weights[place] = targets[i], weights[i]
        place += np.uint64(1)
    state[1] = np.int64(place)


@kernel()
def deal_sparse(
    indptr, indices, values, targets, weights, start, starts, bucket_indices, bucket_values, bucket_targets,
    bucket_weights, limits, counts, state,
):  # fmt: skip
    """Deal sparse rows out to buckets, in order; a bucket is full as well when the next row does not fit into it.

    starts : `(buckets · stride,)`, where the entries of each row begin, and those of the next one in its bucket;
    limits, counts and state as for `deal`.
    """
    random, many = np.uint64(state[0]), np.uint64(len(counts))
    stride, room = np.uint64(len(starts)) // many, np.uint64(len(bucket_indices)) // many
    state[1], state[2] = len(targets), -1
    for i in range(np.uint64(start), np.uint64(len(targets))):
        before = random
        random += GROWTH
        b = random_below(many, random)
        at, begin = b * stride + np.uint64(counts[b]), np.uint64(indptr[i])
        first, count = np.uint64(starts[at]), np.uint64(indptr[i + np.uint64(1)]) - begin
        if first + count > (b + np.uint64(1)) * room:
            state[1], state[2], random = np.int64(i), np.int64(b), before
            break
        for n in range(count):
            bucket_indices[first + n] = indices[begin + n]
        for n in range(count):
            bucket_values[first + n] = values[begin + n]
        starts[at + np.uint64(1)] = first + count
        bucket_targets[at], bucket_weights[at] = targets[i], weights[i]
        counts[b] += 1
        if counts[b] == limits[b]:
            state[1], state[2] = np.int64(i) + 1, np.int64(b)
            break
    state[0] = np.int64(random)


@kernel()
def gather(starts, indices, values, places, indptr, out_indices, out_values):
    """Copy sparse rows: row i of the result is row `places[i]`, whose entries begin at `starts[places[i]]`.

    indptr : `(n + 1,)`, of the result, given. A loop for each array is vectorised, one for both is not: 75 entries a
    row take 125 and 257 ns. Prefetching four rows ahead gained another 14 %, too little for its lines.
    """
    for i in range(np.uint64(len(places))):
        begin = np.uint64(starts[np.uint64(places[i])])
        first = np.uint64(indptr[i])
        count = np.uint64(indptr[i + np.uint64(1)]) - first
        for n in range(count):
            out_indices[first + n] = indices[begin + n]
        for n in range(count):
            out_values[first + n] = values[begin + n]
