"""What is minimised: mean loss and penalty over rows as they come, the penalty over weights of scaled features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.chunk import Chunk, SparseRows
from ..descent.losses import Loss, Softmax, curvature_products, values_and_gradients
from ..objective import LinearObjective

__all__ = ["Problem", "Scaling", "as_chunk", "scaling_of", "unscaled"]

Array = NDArray[np.float64]

CONSTANT = 1e-7
"""A feature whose deviation is less than this share of its largest value is taken to be constant: that is rounding."""


class Scaling(NamedTuple):
    """How features are scaled: x̃ = (x − centre) · factor, both `(features,)`.

    A weight w̃ of a scaled feature and an intercept b̃ say the same as w = w̃ · factor and b = b̃ − centre · w.
    """

    centre: Array
    factor: Array

    def raw(self, weights: Array) -> Array:
        """Give weights `(features + 1, outputs)` for the features as they come."""
        slopes: Any = weights[:-1] * self.factor[:, None]
        intercepts: Any = weights[-1:] - self.centre @ slopes
        return np.concatenate([slopes, intercepts])

    def scaled(self, weights: Array) -> Array:
        """Give weights `(features + 1, outputs)` for the scaled features."""
        return np.vstack([weights[:-1] / self.factor[:, None], weights[-1:] + self.centre @ weights[:-1]])

    def transposed(self, gradient: Array) -> Array:
        """Give the gradient along the scaled features' weights for one along those of the features as they come."""
        slopes: Any = (gradient[:-1] - np.outer(self.centre, gradient[-1])) * self.factor[:, None]
        return np.vstack([slopes, gradient[-1:]])


def unscaled(features: int) -> Scaling:
    """Leave features as they come."""
    return Scaling(np.zeros(features), np.ones(features))


def scaling_of(X: Any, weights: Array, *, centred: bool) -> Scaling:
    """Scale to a deviation of one over the weighted rows, and where `centred` to a mean of zero.

    A row of weight 2 counts as two rows. Dense and sparse rows of the same values have the same scaling. Constant
    features keep their unit.

    >>> scaling_of(np.array([[1.0], [3.0]]), np.ones(2), centred=True)
    Scaling(centre=array([2.]), factor=array([1.]))
    """
    shares = weights / weights.sum()
    if isinstance(X, np.ndarray):
        unit = _unit(np.maximum(X.max(axis=0), -X.min(axis=0)).astype(np.float64))
        apart = X / unit
        mean = shares @ apart
        apart -= mean
        variance = shares @ np.square(apart, out=apart)
    else:
        X = canonical(X)
        largest = np.zeros(X.shape[1])
        np.maximum.at(largest, X.indices, np.abs(X.data))
        unit = _unit(largest)
        mean, variance = _sparse_moments(X, X.data / unit[X.indices], shares)
    deviation = np.sqrt(np.maximum(variance, 0.0))
    constant = deviation <= CONSTANT
    factor = np.where(constant, 1.0, 1.0 / (np.where(constant, 1.0, deviation) * unit))
    return Scaling(mean * unit if centred else np.zeros_like(mean), factor)


def _unit(largest: Array) -> Array:
    """Give what columns are divided by on the way, since squares of values up to 1e300 must not overflow."""
    return np.where(largest > 0, largest, 1.0)


def _sparse_moments(X: Any, values: Array, shares: Array) -> tuple[Array, Array]:
    """Give mean and variance of each column of sparse rows with these values, whose other values are zero."""
    each = np.repeat(shares, np.diff(X.indptr))
    mean, there = _sums(X, each * values), _sums(X, each)
    return mean, _sums(X, each * np.square(values - mean[X.indices])) + (1.0 - there) * mean**2


def _sums(X: Any, values: Array) -> Array:
    """Add up the values of each column of sparse rows."""
    return np.bincount(X.indices, values, X.shape[1]).astype(np.float64, copy=False)


@dataclass(frozen=True)
class Problem:
    """The objective of a linear model over weighted rows.

        F(W̃) = Σᵢ cᵢ ℓ(x̃ᵢ w̃ + b̃, yᵢ) / Σᵢ cᵢ + λ₂/2 ‖w̃‖² + λ₁ ‖w̃‖₁

    X : `(n, features)` float32 or float64, dense or SciPy CSR; targets : `(n,)` class indices or numbers; weights :
    cᵢ `(n,)`, above zero; loss : of `outputs` scores; intercept : whether there is a free one; W̃ is
    `(features + 1, outputs)`.
    """

    X: Any
    targets: NDArray[Any]
    weights: Array
    loss: Loss
    outputs: int
    l2: float
    l1: float
    intercept: bool
    scaling: Scaling

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.X.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the weights."""
        return self.X.shape[1] + 1, self.outputs

    @property
    def numbers(self) -> int:
        """How many numbers the rows hold."""
        return int(self.X.size if isinstance(self.X, np.ndarray) else self.X.nnz)

    @property
    def pass_rows(self) -> int:
        """The rows that one look at the objective reads."""
        return self.rows

    @cached_property
    def _loss_alone(self) -> LinearObjective:
        """The mean loss in float64, of the features as they come."""
        return LinearObjective(as_chunk(self.X, self.targets, self.weights, np.float64), self.loss, 0.0)

    @cached_property
    def _scaled(self) -> Array:
        """Dense rows with their features scaled, and a one."""
        return _with_ones((self.X - self.scaling.centre) * self.scaling.factor)

    def scaled_rows(self, places: NDArray[np.integer]) -> Array:
        """Give the rows at some places, in order, with their features scaled, and a one `(places, features + 1)`.

        All rows are scaled once, if they are dense: for each of Newton's steps anew it took a third of the step.
        """
        if not isinstance(self.X, np.ndarray):
            return _with_ones((self.X[places].toarray() - self.scaling.centre) * self.scaling.factor)
        return self._scaled if len(places) == self.rows else self._scaled[places]

    def with_loss(self, loss: Loss) -> Problem:
        """Give the same problem with another loss."""
        other = replace(self, loss=loss)
        other.__dict__["_loss_alone"] = replace(self._loss_alone, loss=loss)
        return other

    def values(self, candidates: Array) -> Array:
        """Give F at many weights `(K, features + 1, outputs)`."""
        raw = np.stack([self.scaling.raw(one) for one in candidates])
        slopes = candidates[:, :-1]
        penalty = 0.5 * self.l2 * (slopes**2).sum(axis=(1, 2)) + self.l1 * np.abs(slopes).sum(axis=(1, 2))
        return self._loss_alone.values(raw) + penalty

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Give F and its gradient, without the part of λ₁, which has none at zero."""
        value, gradient = self._loss_alone.value_and_gradient(self.scaling.raw(weights))
        gradient = self._freed(self.scaling.transposed(gradient))
        gradient[:-1] += self.l2 * weights[:-1]
        return value + 0.5 * self.l2 * float((weights[:-1] ** 2).sum()), gradient

    def hessian_product(self, weights: Array, direction: Array) -> Array:
        """Give (∂²F/∂W̃²) V."""
        raw, along = self.scaling.raw(weights), self.scaling.raw(direction)
        product = self._freed(self.scaling.transposed(self._loss_alone.hessian_product(raw, along)))
        product[:-1] += self.l2 * direction[:-1]
        return product

    def along(self, weights: Array, step: Array) -> Callable[[float], float]:
        """Give the slope of F along a line, without λ₁, as a function of the length: dF(W̃ + t D)/dt."""
        raw, moved = self.scaling.raw(weights), self.scaling.raw(step)
        scores, changes = self.X @ raw[:-1] + raw[-1], self.X @ moved[:-1] + moved[-1]
        shares = self.weights / self.weights.sum()
        bent, straight = self.l2 * float((step[:-1] ** 2).sum()), self.l2 * float((weights[:-1] * step[:-1]).sum())

        def slope(length: float) -> float:
            derivatives = values_and_gradients(self.loss, scores + length * changes, self.targets)[1]
            return float(shares @ (derivatives * changes).sum(axis=1)) + straight + length * bent

        return slope

    def curvatures(self, weights: Array) -> Array:
        """Give what each row counts in the Hessian of one output: cᵢ ∂²ℓ/∂s² / Σc `(n,)`."""
        raw = self.scaling.raw(weights)
        scores = self.X @ raw[:-1] + raw[-1]
        bent = curvature_products(self.loss, scores, self.targets, np.ones_like(scores))[:, 0]
        return bent * self.weights / self.weights.sum()

    def _freed(self, gradient: Array) -> Array:
        """Let an intercept that there is not rest at zero, and the mean of softmax's, which no loss depends on."""
        if not self.intercept:
            gradient[-1] = 0.0
        elif isinstance(self.loss, Softmax):
            gradient[-1] -= gradient[-1].mean()
        return gradient


def _with_ones(rows: Array) -> Array:
    """Add a column of ones."""
    return np.column_stack([rows, np.ones(len(rows))])


def canonical(X: Any) -> Any:
    """Give sparse rows with each column at most once in a row, in order."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def as_chunk(X: Any, targets: NDArray[Any], weights: Array, dtype: Any) -> Chunk:
    """Give rows as the populations and objectives take them, dense ones in C order and sparse ones canonical."""
    if isinstance(X, np.ndarray):
        rows: Any = np.ascontiguousarray(X, dtype)
    else:
        X = canonical(X)
        indptr, indices = X.indptr.astype(np.int64, copy=False), X.indices.astype(np.int32, copy=False)
        rows = SparseRows(indptr, indices, X.data.astype(dtype, copy=False), X.shape[1])
    kind = np.int32 if targets.dtype.kind in "iu" else dtype
    return Chunk(rows, targets.astype(kind, copy=False), weights.astype(dtype, copy=False))
