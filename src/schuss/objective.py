"""Losses as functions of the parameters alone: the seam for whatever looks at many rows before it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .data.chunk import Chunk, SparseRows, as_matrix, cut, row_count, take, transposed
from .descent.losses import Loss, curvature_products, values_and_gradients
from .descent.penalties import penalty_value
from .errors import OptionError

__all__ = ["HessianPart", "LinearObjective", "Objective", "in_float64", "mean_hessian"]

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

    def values_along(self, center: Array, directions: Array, places: Array) -> Array:
        """Give F at W + Σ_d places[k, d] V_d for directions V `(D, *shape)` and places `(K, D)`: `(K,)`."""
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
        sums, total = np.zeros(many), 0.0
        for block in self._blocks():
            rows = as_matrix(block.rows)
            total += block.weights.sum(dtype=np.float64)
            for group in _groups(many, outputs):
                sums[group] += self._losses(
                    block, _scores(rows, np.concatenate(list(candidates[group]), axis=1)), outputs
                )
        return sums / total + np.array([float(penalty_value(one[:-1], self.l2)) for one in candidates])

    def values_along(self, center: Array, directions: Array, places: Array) -> Array:
        """Give F at W + Σ_d places[k, d] V_d for directions V `(D, features + 1, outputs)` and places `(K, D)`: `(K,)`.

        Scores are linear in W, so that it takes D + 1 products with the rows, however many the places.
        """
        outputs = center.shape[1]
        sums, total = np.zeros(len(places)), 0.0
        basis = np.concatenate([center[None], directions])
        for block in self._blocks():
            spanned = _scores(as_matrix(block.rows), np.concatenate(list(basis), axis=1))
            start, moves = np.split(spanned.reshape(len(spanned), -1, outputs), [1], axis=1)
            total += block.weights.sum(dtype=np.float64)
            for group in _groups(len(places), outputs):
                sums[group] += self._losses(block, start + places[group] @ moves, outputs)
        slopes = basis[:, :-1].reshape(len(basis), -1)
        shares = np.concatenate([np.ones((len(places), 1)), places], axis=1)
        return sums / total + self.l2 / 2 * np.einsum("ki,ij,kj->k", shares, slopes @ slopes.T, shares)

    def _losses(self, block: Chunk, scores: Array, outputs: int) -> Array:
        """Sum up the losses of a block's rows for scores `(rows, many, outputs)` or `(rows, many · outputs)`."""
        targets = np.repeat(block.targets, scores[0].size // outputs)
        losses, _ = values_and_gradients(self.loss, scores.reshape(-1, outputs), targets)
        return block.weights.astype(np.float64) @ losses.reshape(len(scores), -1).astype(np.float64)

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
        self._require_smooth()
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

    def hessian(self, weights: Array) -> Array:
        """Give ∂²F/∂W² as a matrix of the flattened weights, at once: Σᵢ cᵢ (x̃ᵢ x̃ᵢᵀ) ⊗ ∂²ℓ/∂s² / Σc, and λ₂ for slopes.

        x̃ is a row and a one. Raises OptionError for a loss with kinks.
        """
        self._require_smooth()
        parts = (_hessian_part(block, self.loss, weights) for block in self._blocks())
        return mean_hessian(parts, weights.shape, self.l2)

    def _require_smooth(self) -> None:
        if not self.loss.smooth:
            name = type(self.loss).__name__
            raise OptionError(f"{name} has kinks, where curvature says nothing; Newton's method needs none")

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


class HessianPart(NamedTuple):
    """What some rows have in a Hessian.

    weight : of the rows; squares : Σᵢ cᵢ x̃ᵢ x̃ᵢᵀ ∂²ℓ/∂sⱼ∂sₖ for each pair of outputs j ≥ k, in the order of
    `np.tril_indices(outputs)`: `(pairs, features + 1, features + 1)`.
    """

    weight: float
    squares: NDArray[Any]


def mean_hessian(parts: Iterable[HessianPart], shape: tuple[int, ...], l2: float) -> Array:
    """Give the Hessian of the mean loss of all parts, added up in order, with λ₂ for slopes, for weights of a shape."""
    size, outputs = shape
    squares, total = np.zeros((outputs * (outputs + 1) // 2, size, size)), 0.0
    for part in parts:
        squares += part.squares
        total += part.weight
    squares /= total
    found = np.empty((size, outputs, size, outputs))
    pairs = ((j, k) for j in range(outputs) for k in range(j + 1))
    for square, (j, k) in zip(squares, pairs, strict=True):
        found[:, j, :, k] = found[:, k, :, j] = square
    found = found.reshape(size * outputs, size * outputs)
    slopes = np.arange((size - 1) * outputs)
    found[slopes, slopes] += l2
    return found


def _hessian_part(block: Chunk, loss: Loss, weights: Array) -> HessianPart:
    """Give the part of a block in a Hessian."""
    rows = as_matrix(block.rows)
    scores, squares = np.asfortranarray(_scores(rows, weights)), _squares(rows)
    found = []
    for output in range(weights.shape[1]):
        unit = np.zeros(scores.shape, order="F")
        unit[:, output] = block.weights
        curvatures = curvature_products(loss, scores, block.targets, unit).T
        found.append(squares(curvatures[: output + 1]))
    return HessianPart(float(block.weights.sum(dtype=np.float64)), np.concatenate(found))


def in_float64(chunk: Chunk) -> Chunk:
    """Copy rows into float64, in which an objective then computes throughout."""
    rows: Any = chunk.rows
    if isinstance(rows, SparseRows):
        return chunk._replace(rows=rows._replace(values=rows.values.astype(np.float64)))  # pyright: ignore
    return chunk._replace(rows=rows.astype(np.float64))


def _groups(many: int, outputs: int) -> Iterator[slice]:
    """Cut many weights into groups whose scores are made at once."""
    at_once = max(COLUMNS_AT_ONCE // outputs, 1)
    return (slice(first, first + at_once) for first in range(0, many, at_once))


def _scores(rows: Any, weights: Array) -> Array:
    """Give the scores of a block of rows in float64, of products in the precision of the rows."""
    return rows @ weights[:-1].astype(rows.dtype) + weights[-1]


def _squares(rows: Any) -> Callable[[Array], Array]:
    """Give what makes Σᵢ cᵢ x̃ᵢ x̃ᵢᵀ of each of some weights c `(K, n)`: `(K, features + 1, features + 1)`, ones last.

    Products are those of the rows' precision.
    """
    if not isinstance(rows, np.ndarray):
        return lambda weights: np.stack([_sparse_square(rows, one) for one in weights])
    columns = np.ascontiguousarray(np.vstack([rows.T, np.ones(len(rows), rows.dtype)]))

    def dense(weights: Array) -> Array:
        spread = columns * weights.astype(rows.dtype)[:, None]
        return (spread.reshape(-1, len(rows)) @ columns.T).reshape(len(weights), len(columns), len(columns))

    return dense


def _sparse_square(rows: Any, weights: Array) -> Array:
    width = rows.shape[1]
    found = np.empty((width + 1, width + 1))
    weights = weights.astype(rows.dtype)
    found[:-1, :-1] = (rows.T.multiply(weights).tocsr() @ rows).toarray()
    found[-1, :-1] = found[:-1, -1] = rows.T @ weights
    found[-1, -1] = weights.sum(dtype=np.float64)
    return found


def _add_transposed(to: Array, rows: Any, derivatives: Array) -> None:
    """Add the derivatives along the weights of derivatives along the scores."""
    to[:-1] += transposed(rows) @ derivatives.astype(rows.dtype)
    to[-1] += derivatives.sum(axis=0)
