"""Losses as functions of the parameters alone: the seam for whatever looks at many rows before it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .data.chunk import Chunk, SparseRows, as_matrix, cut, row_count, take
from .descent.losses import Loss, curvature_products, values_and_gradients
from .descent.penalties import penalty_value
from .errors import OptionError

__all__ = ["LinearObjective", "Objective", "in_float64"]

Array = NDArray[np.float64]

COLUMNS_AT_ONCE = 64
"""Scores of a row that are made at once: 8,192 rows of them are 4 MB, and stay in the caches until they are losses."""


class Objective(Protocol):
    """A loss F of parameters W, an array of a fixed shape."""

    @property
    def pass_rows(self) -> int:
        """The rows that one look at F reads."""
        ...

    def values(self, candidates: Array) -> Array:
        """Give F at many parameters `(K, *shape)`, all in one pass over the rows: `(K,)`."""
        ...

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Give F and ∂F/∂W."""
        ...

    def hessian_product(self, weights: Array, direction: Array) -> Array:
        """Give (∂²F/∂W²) V."""
        ...


@dataclass(frozen=True)
class LinearObjective:
    """Mean loss and penalty of a linear model with weights W (slopes w and intercepts b) over the rows of a chunk.

        F(W) = Σᵢ cᵢ ℓ(xᵢ w + b, yᵢ) / Σᵢ cᵢ + λ₂/2 ‖w‖²        ∂F/∂w = Xᵀ D + λ₂ w        ∂F/∂b = 1ᵀ D

    with Dᵢ = cᵢ / Σcⱼ · ∂ℓ/∂s, the rows weighing cᵢ; the intercepts are free of the penalty. W is
    `(features + 1, outputs)`, the intercepts last. Rows are multiplied as what they are, float32 or float64 (see
    `in_float64`), a block of 8,192 after the other, so that no temporary grows with the rows; losses and sums over
    blocks are float64. Nothing is finite where scores overflow the rows' type.

    rows : the encoded rows, dense or sparse: any number of them in memory, or what gives them anew for each look, block
    by block, always the same ones; loss : of `outputs` scores; l2 : λ₂.

    >>> from schuss.descent.losses import SquaredError
    >>> rows = Chunk(np.array([[1.0], [2.0]], np.float32), np.array([1.0, 2.0], np.float32), np.ones(2, np.float32))
    >>> objective = LinearObjective(rows, SquaredError(), 1.0)
    >>> value, gradient = objective.value_and_gradient(np.array([[1.0], [0.0]]))
    >>> value, gradient.ravel()
    (0.5, array([1., 0.]))
    >>> objective.values(np.array([[[1.0], [0.0]], [[0.0], [0.0]]]))
    array([0.5 , 1.25])
    """

    rows: Chunk | Callable[[], Iterable[Chunk]]
    loss: Loss
    l2: float

    @property
    def pass_rows(self) -> int:
        """The rows that one look reads."""
        return sum(row_count(block.rows) for block in self._blocks())

    def _blocks(self) -> Iterable[Chunk]:
        return cut(self.rows) if isinstance(self.rows, Chunk) else self.rows()

    def values(self, candidates: Array) -> Array:
        """Give F at K weights `(K, features + 1, outputs)` in one pass over the rows."""
        many, _, outputs = candidates.shape
        at_once = max(COLUMNS_AT_ONCE // outputs, 1)
        sums, total = np.zeros(many), 0.0
        for block in self._blocks():
            rows, shares = as_matrix(block.rows), block.weights.astype(np.float64)
            total += float(shares.sum())
            for first in range(0, many, at_once):
                group = candidates[first : first + at_once]
                scores = _scores(rows, np.concatenate(list(group), axis=1)).reshape(-1, outputs)
                losses, _ = values_and_gradients(self.loss, scores, np.repeat(block.targets, len(group)))
                sums[first : first + at_once] += shares @ losses.reshape(-1, len(group))
        return sums / total + np.array([float(penalty_value(one[:-1], self.l2)) for one in candidates])

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Give F and its gradient at `weights`."""
        value, total = 0.0, 0.0
        gradient = np.zeros_like(weights)
        for block in self._blocks():
            rows, shares = as_matrix(block.rows), block.weights.astype(np.float64)
            losses, derivatives = values_and_gradients(self.loss, _scores(rows, weights), block.targets)
            total += float(shares.sum())
            value += float(losses @ shares)
            _add_transposed(gradient, rows, derivatives * shares[:, None])
        gradient /= total
        gradient[:-1] += self.l2 * weights[:-1]
        return value / total + float(penalty_value(weights[:-1], self.l2)), gradient

    def hessian_product(self, weights: Array, direction: Array) -> Array:
        """Give (∂²F/∂W²) V = Xᵀ (c ∘ ∂²ℓ/∂s² · X V) / Σc + λ₂ V for a direction V of the weights' shape.

        Raises OptionError for a loss with kinks, whose second derivative says nothing about it.
        """
        if not self.loss.smooth:
            name = type(self.loss).__name__
            raise OptionError(f"{name} has kinks, where curvature says nothing; Newton's method needs none")
        total = 0.0
        product = np.zeros_like(weights)
        for block in self._blocks():
            rows, shares = as_matrix(block.rows), block.weights.astype(np.float64)
            moved = curvature_products(self.loss, _scores(rows, weights), block.targets, _scores(rows, direction))
            total += float(shares.sum())
            _add_transposed(product, rows, moved * shares[:, None])
        product /= total
        product[:-1] += self.l2 * direction[:-1]
        return product

    def data_gradient(self, weights: Array) -> Array:
        """Give ∂F/∂X = D wᵀ `(rows, features)`: how F changes when a row's features do, also those that are zero."""
        pieces, total = [], 0.0
        for block in self._blocks():
            shares = block.weights.astype(np.float64)
            scores = _scores(as_matrix(block.rows), weights)
            derivatives = values_and_gradients(self.loss, scores, block.targets)[1] * shares[:, None]
            total += float(shares.sum())
            pieces.append(derivatives @ weights[:-1].T)
        return np.concatenate(pieces) / total

    def part(self, places: NDArray[np.integer]) -> LinearObjective:
        """Give the mean loss of some of the rows in memory, without the penalty: a mini-batch."""
        assert isinstance(self.rows, Chunk)
        return LinearObjective(take(self.rows, places), self.loss, 0.0)


def in_float64(chunk: Chunk) -> Chunk:
    """Copy rows into float64, in which an objective then computes throughout."""
    rows: Any = chunk.rows
    if isinstance(rows, SparseRows):
        return chunk._replace(rows=rows._replace(values=rows.values.astype(np.float64)))  # pyright: ignore
    return chunk._replace(rows=rows.astype(np.float64))


def _scores(rows: Any, weights: Array) -> Array:
    """Give the scores of a block of rows in float64, of products in the precision of the rows."""
    return rows @ weights[:-1].astype(rows.dtype) + weights[-1]


def _add_transposed(to: Array, rows: Any, derivatives: Array) -> None:
    """Add the derivatives along the weights of derivatives along the scores."""
    to[:-1] += rows.T @ derivatives.astype(rows.dtype)
    to[-1] += derivatives.sum(axis=0)
