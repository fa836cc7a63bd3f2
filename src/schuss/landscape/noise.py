"""What the rows say to a step: how noisy the gradient of a mini-batch is, and how often a feature takes part at all."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, Rows, SparseRows, as_matrix, cut
from schuss.descent.losses import values_and_gradients
from schuss.objective import LinearObjective, Objective

__all__ = ["NoiseScale", "Touched", "noise_scale", "noise_scale_by_batches", "touched"]

Array = NDArray[np.float64]

RARE = 0.01
"""A feature is rare that fewer rows touch."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Parted(Protocol):
    """An objective that is a mean over rows, of which parts can be taken."""

    @property
    def pass_rows(self) -> int:
        """How many rows there are."""
        ...

    def part(self, places: NDArray[np.integer]) -> Objective:
        """Give the mean over some rows, without the penalty."""
        ...


class NoiseScale(NamedTuple):
    """The batch size at which noise and gradient are level, `B = tr Σ / |G|²`.

    error : its standard error, 0 if exact.
    spread : tr Σ.
    gradient : `|G|²`.
    """

    scale: float
    error: float
    spread: float
    gradient: float


def noise_scale(objective: LinearObjective, weights: Array) -> NoiseScale:
    """Give the simple gradient noise scale of a linear model, exactly: `B = tr Σ / |G|²`.

    G is the mean gradient of the loss (the penalty is left out: it has no noise), Σ the covariance of the gradients of
    single rows, N − 1 in its denominator; that of a row is D x̃, so that its square is `|D|² (|x|² + 1)`. Batches
    far below B gain in proportion to their size, batches far above it next to nothing (McCandlish et al. 2018, *An
    Empirical Model of Large-Batch Training*, equation 2.9). It changes on the way: near the minimum G vanishes.

    The rows of the objective must lie in memory.

    >>> from schuss.descent.losses import SquaredError
    >>> rows = Chunk(np.array([[1.0], [2.0], [3.0]]), np.array([1, 1, 3], np.float32), np.ones(3, np.float32))
    >>> round(noise_scale(LinearObjective(rows, SquaredError(), 0.0), np.zeros((2, 1))).scale, 4)
    1.0828
    """
    assert isinstance(objective.rows, Chunk)
    squares, rows = 0.0, len(objective.rows.targets)
    shares = objective.rows.weights.astype(np.float64) * (rows / objective.rows.weights.sum(dtype=np.float64))
    for first, block in zip(range(0, rows, 8192), cut(objective.rows), strict=False):
        matrix = as_matrix(block.rows)
        scores = matrix @ weights[:-1] + weights[-1]
        derivatives = (
            values_and_gradients(objective.loss, scores, block.targets)[1] * shares[first : first + 8192, None]
        )
        lengths = np.asarray((matrix * matrix).sum(axis=1), np.float64).ravel() + 1
        squares += float((derivatives**2).sum(axis=1) @ lengths)
    _, gradient = LinearObjective(objective.rows, objective.loss, 0.0).value_and_gradient(weights)
    length = float((gradient**2).sum())
    spread = (squares - rows * length) / max(rows - 1, 1)
    return NoiseScale(spread / length if length > 0 else math.inf, 0.0, spread, length)


def noise_scale_by_batches(
    objective: Parted, weights: Array, *, small: int = 16, large: int = 1024, draws: int = 100, seed: int = 0
) -> NoiseScale:
    """Estimate the gradient noise scale from the lengths of the gradients of two batch sizes.

    `|G|² ≈ (B |G_B|² − b |G_b|²) / (B − b)` and `tr Σ ≈ (|G_b|² − |G_B|²) / (1/b − 1/B)`, each averaged over the draws
    before they are divided, since the mean of ratios is biased (McCandlish et al. 2018, appendix A.1). The standard
    error is that of the jackknife. Batches are drawn with replacement.

    >>> from schuss.descent.losses import SquaredError
    >>> rows = Chunk(np.array([[1.0], [2.0], [3.0]]), np.array([1, 1, 3], np.float32), np.ones(3, np.float32))
    >>> objective = LinearObjective(rows, SquaredError(), 0.0)
    >>> found = noise_scale_by_batches(objective, np.zeros((2, 1)), small=1, large=3, draws=200)
    >>> abs(found.scale - 0.8) < 3 * found.error  # batches with replacement know of no N − 1
    True
    """
    rng = np.random.default_rng(seed)
    pairs = np.array([
        [_square(objective, weights, rng.integers(0, objective.pass_rows, many)) for many in (small, large)]
        for _ in range(draws)
    ])  # fmt: skip
    lengths = (large * pairs[:, 1] - small * pairs[:, 0]) / (large - small)
    spreads = (pairs[:, 0] - pairs[:, 1]) / (1 / small - 1 / large)
    without = (spreads.sum() - spreads) / (lengths.sum() - lengths)
    error = math.sqrt((draws - 1) / draws * float(((without - without.mean()) ** 2).sum()))
    spread, length = float(spreads.mean()), float(lengths.mean())
    return NoiseScale(spread / length if length > 0 else math.inf, error, spread, length)


def _square(objective: Parted, weights: Array, places: NDArray[np.integer]) -> float:
    """Give |G|² of some rows."""
    return float((objective.part(places).value_and_gradient(weights)[1] ** 2).sum())


class Touched(NamedTuple):
    """How often features take part: the share of the rows that touch each, and the share of features that are rare."""

    shares: Array
    rare: float

    def quantiles(self) -> dict[str, float]:
        """Give the 5th, 25th, 50th, 75th and 95th percentile over the features."""
        ordered = np.sort(self.shares)  # np.quantile imports the masked arrays of NumPy, for 15 ms
        places = np.arange(ordered.size) / max(ordered.size - 1, 1)
        return {f"{at:g}": float(np.interp(at, places, ordered)) for at in QUANTILES}


def touched(rows: Rows) -> Touched:
    """Count which share of the rows touches each feature.

    A row touches a feature whose value differs from the feature's commonest value: zero in sparse rows, the median in
    dense ones (a value that more than half of the rows have is their median, wherever standardising has put it). A
    feature is rare that less than 1 % of the rows touch: its weight seldom hears anything, and a rate that suits the
    others is small for it.

    >>> touched(np.array([[0.0, 1.0], [0.0, 2.0], [5.0, 3.0]], np.float32)).shares.round(2)
    array([0.33, 0.67])
    """
    if isinstance(rows, SparseRows):
        counts = np.bincount(rows.indices[rows.values != 0], minlength=rows.width)
        shares = counts / max(len(rows.indptr) - 1, 1)
    else:
        dense: Any = rows
        common = np.partition(dense, len(dense) // 2, axis=0)[len(dense) // 2]
        shares = (dense != common).mean(axis=0)
    return Touched(shares.astype(np.float64), float((shares < RARE).mean()) if shares.size else 0.0)
