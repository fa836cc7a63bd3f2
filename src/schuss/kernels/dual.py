"""Coordinate descent in the dual of linear models whose losses have kinks: one number a row, a row at a time.

For min ½ ‖w‖² + Σ Cᵢ ℓ(w·xᵢ + b, yᵢ) the weights are w = Σ βᵢ xᵢ, and of the other rows' β given, the best βᵢ is

    βᵢ ← clip(soft(βᵢ − (sᵢ − yᵢ) / qᵢ, ε / qᵢ), lowᵢ, highᵢ)

Hsieh et al. 2008 (hinge: ε = 0, β between 0 and ±C) and Ho and Lin 2012 (ε-insensitive: β between −C and C). The free
intercept asks for Σ βᵢ = 0; b = centre + ρ Σ βᵢ is the method of multipliers, in which the centre follows b.
"""

from __future__ import annotations

import numpy as np

from schuss.kernels.options import kernel


@kernel()
def descend(indptr, indices, values, targets, low, high, epsilon, squares, order, rho, weights, beta, told):
    """Take one step for each row in `order`.

    squares : qᵢ = ‖xᵢ‖² + ρ; told `(3,)`: the centre of the intercept, Σ βᵢ, and, written, the largest step of a score.
    """
    largest = 0.0
    for place in range(np.uint64(len(order))):
        row = np.uint64(order[place])
        first, end = np.uint64(indptr[row]), np.uint64(indptr[row + np.uint64(1)])
        s = told[0] + rho * told[1]
        for n in range(first, end):
            s += values[n] * weights[np.uint64(indices[n])]
        before, q = beta[row], squares[row]
        if not q > 0.0:
            continue
        there = before - (s - targets[row]) / q
        soft = epsilon / q
        there = there - soft if there > soft else (there + soft if there < -soft else 0.0)
        there = min(max(there, low[row]), high[row])
        change = there - before
        if change != 0.0:
            beta[row] = there
            told[1] += change
            for n in range(first, end):
                weights[np.uint64(indices[n])] += change * values[n]
            largest = max(largest, abs(change) * q)
    told[2] = largest
