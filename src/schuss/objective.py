"""A loss over rows in memory as a function of the parameters alone, for what looks at every row before a step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .data.chunk import Chunk, as_matrix
from .data.feed import cut
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

    chunk : the encoded rows, any number of them, dense or sparse; loss : of `outputs` scores; l2 : λ₂.

    >>> from schuss.descent.losses import SquaredError
    >>> rows = Chunk(np.array([[1.0], [2.0]], np.float32), np.array([1.0, 2.0], np.float32), np.ones(2, np.float32))
    >>> value, gradient = Objective(rows, SquaredError(), 1.0).value_and_gradient(np.array([[1.0], [0.0]]))
    >>> value, gradient.ravel()
    (0.5, array([1., 0.]))
    """

    chunk: Chunk
    loss: Loss
    l2: float

    @cached_property
    def _blocks(self) -> list[tuple[Any, NDArray[Any], NDArray[np.float64]]]:
        """Give views of the rows as matrices, with their targets and their shares of the mean."""
        total = self.chunk.weights.sum(dtype=np.float64)
        return [
            (as_matrix(part.rows), part.targets, part.weights.astype(np.float64) / total) for part in cut(self.chunk)
        ]

    def value_and_gradient(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Give the objective and its gradient at `weights` `(features + 1, outputs)`, the intercepts last.

        Neither is finite where scores overflow float32.
        """
        slopes = weights[:-1].astype(np.float32)
        value = float(l2_value(weights[:-1], self.l2))
        gradient = np.zeros_like(weights)
        gradient[:-1] = self.l2 * weights[:-1]
        for rows, targets, shares in self._blocks:
            losses, derivatives = values_and_gradients(self.loss, rows @ slopes + weights[-1], targets)
            value += float(losses @ shares)
            derivatives = derivatives * shares[:, None]
            gradient[:-1] += rows.T @ derivatives.astype(np.float32)
            gradient[-1] += derivatives.sum(axis=0)
        return value, gradient
