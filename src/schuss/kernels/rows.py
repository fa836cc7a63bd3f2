"""Rows in another order.

Dense rows are gathered by `np.take`, which is as fast as what could be compiled here: on an AMD EPYC (Zen 4) it took
4 ns a row of 28 float32 within the cache and 28 ns beyond it; prefetching 4 to 32 rows ahead gave 17 and 34.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.options import kernel


@kernel()
def shuffle(places, seed):
    """Permute `places` at random (Fisher–Yates), by the numbers of SplitMix64 (Steele, Lea and Flood 2014) from `seed`.

    NumPy's takes 12 ns a place within the cache and 24 beyond it (2 M), this takes 3 and 4.
    """
    state = np.uint64(seed)
    for left in range(len(places), 1, -1):
        state += np.uint64(0x9E3779B97F4A7C15)
        bits = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
        chosen = np.uint64(np.float64(bits >> np.uint64(11)) * 2.0**-53 * left)
        last = np.uint64(left - 1)
        places[chosen], places[last] = places[last], places[chosen]


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
