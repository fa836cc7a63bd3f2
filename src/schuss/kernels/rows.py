"""Rows in another order.

Rows within the cache are gathered by `np.take`, which is as fast as what could be compiled here: on an AMD EPYC (Zen 4)
it took 4 ns a row of 28 float32 within the cache and 28 ns beyond it; prefetching 4 to 32 rows ahead gave 17 and 34.
Beyond the cache what helps is not to jump: dealing rows out to buckets writes 16 streams in order, which the processor
fetches ahead, and each bucket is then small enough to be shuffled within the cache.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.options import inlined, kernel


@inlined
def random_bits(state):
    """Give the random bits of a state, which grows by 0x9E3779B97F4A7C15 (SplitMix64: Steele, Lea and Flood 2014)."""
    bits = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@kernel()
def shuffle(places, seed):
    """Permute `places` at random (Fisher–Yates); NumPy's takes 12 ns a place within the cache, this takes 3."""
    state = np.uint64(seed)
    for left in range(len(places), 1, -1):
        state += np.uint64(0x9E3779B97F4A7C15)
        chosen = np.uint64(np.float64(random_bits(state) >> np.uint64(11)) * 2.0**-53 * left)
        last = np.uint64(left - 1)
        places[chosen], places[last] = places[last], places[chosen]


@kernel()
def deal(rows, targets, weights, start, buckets, bucket_targets, bucket_weights, limits, counts, state):
    """Deal dense rows from `start` on out to buckets at random, until they end or a bucket has reached its limit.

    buckets : `(buckets · stride, features)`, so many places each; counts : rows in each; state : the random state, the
    row after the last one that was dealt, and the bucket that is full, -1 if none is.
    """
    random, width, many = np.uint64(state[0]), np.uint64(rows.shape[1]), np.uint64(len(counts))
    stride = np.uint64(len(buckets)) // many
    state[1], state[2] = len(rows), -1
    for i in range(np.uint64(start), np.uint64(len(rows))):
        random += np.uint64(0x9E3779B97F4A7C15)
        b = ((random_bits(random) >> np.uint64(32)) * many) >> np.uint64(32)
        at = b * stride + np.uint64(counts[b])
        row, place = rows[i], buckets[at]
        for j in range(width):
            place[j] = row[j]
        bucket_targets[at], bucket_weights[at] = targets[i], weights[i]
        counts[b] += 1
        if counts[b] == limits[b]:
            state[1], state[2] = np.int64(i) + 1, np.int64(b)
            break
    state[0] = np.int64(random)


@kernel()
def deal_sparse(
    indptr, indices, values, targets, weights, start, starts, bucket_indices, bucket_values, bucket_targets,
    bucket_weights, limits, counts, state,
):  # fmt: skip
    """Deal sparse rows out to buckets as `deal` does; a bucket is full as well when the next row does not fit into it.

    starts : `(buckets · stride,)`, where the entries of each row begin, and those of the next one in its bucket.
    """
    random, many = np.uint64(state[0]), np.uint64(len(counts))
    stride, room = np.uint64(len(starts)) // many, np.uint64(len(bucket_indices)) // many
    state[1], state[2] = len(targets), -1
    for i in range(np.uint64(start), np.uint64(len(targets))):
        before = random
        random += np.uint64(0x9E3779B97F4A7C15)
        b = ((random_bits(random) >> np.uint64(32)) * many) >> np.uint64(32)
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
