"""A loss over many rows as a function of the parameters alone, for what looks at every row before a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .data.chunk import Chunk, as_matrix, cut
from .descent.losses import Loss, values_and_gradients
from .descent.penalties import l2_value

__all__ = ["Objective"]


@dataclass(frozen=True)
class Objective:
    """Mean loss and penalty of a linear model with weights W (slopes w and intercepts b) over the rows of a chunk.

        F(W) = Σᵢ cᵢ ℓ(xᵢ w + b, yᵢ) / Σᵢ cᵢ + λ₂/2 ‖w‖²        ∂F/∂w = Xᵀ D + λ₂ w        ∂F/∂b = 1ᵀ D

    with Dᵢ = cᵢ / Σcⱼ · ∂ℓ/∂s, the rows weighing cᵢ; the intercepts are free of the penalty. Rows are float32 and are
    multiplied as such, a block of 8,192 after the other, so that no temporary grows with the rows; scores, losses and
    sums over blocks are float64.

    rows : the encoded rows, dense or sparse: any number of them in memory, or what gives them anew for each look, block
    by block, always the same ones; loss : of `outputs` scores; l2 : λ₂.

    >>> from schuss.descent.losses import SquaredError
    >>> rows = Chunk(np.array([[1.0], [2.0]], np.float32), np.array([1.0, 2.0], np.float32), np.ones(2, np.float32))
    >>> value, gradient = Objective(rows, SquaredError(), 1.0).value_and_gradient(np.array([[1.0], [0.0]]))
    >>> value, gradient.ravel()
    (0.5, array([1., 0.]))
    """

    rows: Chunk | Callable[[], Iterable[Chunk]]
    loss: Loss
    l2: float

    def value_and_gradient(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Give the objective and its gradient at `weights` `(features + 1, outputs)`, the intercepts last.

        Neither is finite where scores overflow float32.
        """
        slopes = weights[:-1].astype(np.float32)
        value, total = 0.0, 0.0
        gradient = np.zeros_like(weights)
        for block in cut(self.rows) if isinstance(self.rows, Chunk) else self.rows():
            rows, shares = as_matrix(block.rows), block.weights.astype(np.float64)
            losses, derivatives = values_and_gradients(self.loss, rows @ slopes + weights[-1], block.targets)
            total += float(shares.sum())
            value += float(losses @ shares)
            derivatives = derivatives * shares[:, None]
            gradient[:-1] += rows.T @ derivatives.astype(np.float32)
            gradient[-1] += derivatives.sum(axis=0)
        gradient /= total
        gradient[:-1] += self.l2 * weights[:-1]
        return value / total + float(l2_value(weights[:-1], self.l2)), gradient
