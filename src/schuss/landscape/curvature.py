"""The curvature of a loss: the extreme eigenvalues of its Hessian, each with the residual that proves it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.objective import Objective

__all__ = ["Eigenpairs", "Krylov", "Product", "Ravine", "eigenpairs", "eigenvalues", "hessian", "products_at", "ravine"]

Array = NDArray[np.float64]
Product = Callable[[Array], Array]

TOLERANCE = 1e-3
"""Residual of an eigenpair in units of its eigenvalue: the error of the value is about its square."""

LEAST = 1e-3
"""Residuals are in units of this share of the largest |λ| at least: eigenvalues near zero have few digits."""

MOST_PRODUCTS = 400

UNSEEN = 1e-3
"""Probability at most that a space has not seen an eigenvalue when it is taken to have none."""

BASIS_BYTES = 1 << 30
"""What the basis of a Krylov space may take."""

ROUNDING = 1e-14
"""Residuals are given as this share of the largest |λ| at least: products in float64 know no eigenvalue better."""

EXHAUSTED = 1e-12
"""The space holds all there is when less of a product lies outside it, in units of the product."""


class Eigenpairs(NamedTuple):
    """Some eigenvalues of a Hessian, in descending order (ascending, where the smallest were asked for).

    values : `(k,)`.
    vectors : `(k, *shape)`, of length 1.
    residuals : ‖H v − λ v‖ for each; no eigenvalue is farther from its true one.
    products : Hessian–vector products taken.
    converged : whether all residuals are within the tolerance, and nothing larger was found after that.
    """

    values: Array
    vectors: Array
    residuals: Array
    products: int
    converged: bool


class Krylov:
    """An orthonormal basis of what repeated products of a symmetric matrix with a vector span (Lanczos 1950).

    T = Qᵀ H Q is tridiagonal, and its eigenvalues approach those of H at both ends of the spectrum. Every product is
    orthogonalised against the whole basis, twice: once is not enough in floating point, and without it converged
    eigenvalues come back as ghosts (Parlett 1980, *The Symmetric Eigenvalue Problem*, chapter 13).

    product : v ↦ H v for flat vectors; start : where it begins; against : `(l, n)` orthonormal vectors that the space
    is to be orthogonal to.
    """

    def __init__(self, product: Product, start: Array, against: Array, most: int) -> None:
        self.product, self.against = product, against
        self.basis = np.empty((min(most, len(start) - len(against)) + 1, len(start)))  # pages that are used take memory
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        start = start / np.linalg.norm(start)
        start = self._outside(self._outside(start))
        self.basis[0] = start / np.linalg.norm(start)

    @property
    def full(self) -> bool:
        """Whether there is no more room, or the space holds all that products can reach."""
        return len(self.diagonal) + 1 >= len(self.basis) or bool(self.beside and self.beside[-1] == 0.0)

    def extend(self) -> None:
        """Take one more product."""
        at = len(self.diagonal)
        moved = self.product(self.basis[at])
        size = float(np.linalg.norm(moved))
        self.diagonal.append(float(moved @ self.basis[at]))
        moved = self._outside(self._outside(moved))
        length = float(np.linalg.norm(moved))
        self.beside.append(length if length > EXHAUSTED * size else 0.0)
        self.basis[at + 1] = moved / length if self.beside[-1] else 0.0

    def _outside(self, vector: Array) -> Array:
        """Take out of a vector what lies in the space, or in what it is to be orthogonal to."""
        for basis in (self.against, self.basis[: len(self.diagonal)]):
            if len(basis):
                vector = vector - basis.T @ (basis @ vector)
        return vector

    def ritz(self) -> tuple[Array, Array, Array]:
        """Give the eigenvalues of T, descending, its eigenvectors in columns, and the residual of each: |β s|."""
        tridiagonal = np.diag(self.diagonal) + np.diag(self.beside[:-1], 1) + np.diag(self.beside[:-1], -1)
        values, vectors = np.linalg.eigh(tridiagonal)
        values, vectors = values[::-1], vectors[:, ::-1]
        return values, vectors, abs(self.beside[-1] * vectors[-1])

    def unseen(self, value: float) -> float:
        """Bound the probability that there is an eigenvalue of `value` or more, all Ritz values being smaller.

        With qₖ = pₖ(H) q₀, the share w² that its vector has in q₀ is at most 1 / Σₖ pₖ(value)²: for any p of their
        degree w² p(value)² ≤ ‖p(H) q₀‖², and the pₖ are orthonormal (Christoffel). In a random q₀ of n dimensions
        P(w² ≤ t) ≤ √(2nt/π).
        """
        before, last, total = 0.0, 1.0, 1.0
        for diagonal, beside, former in zip(self.diagonal, self.beside, [0.0, *self.beside], strict=False):
            if beside == 0.0:
                return 0.0
            before, last = last, ((value - diagonal) * last - former * before) / beside
            total += last * last
        return math.sqrt(2 * (self.basis.shape[1] - len(self.against)) / (math.pi * total))

    def lifted(self, vectors: Array) -> Array:
        """Give vectors of T, in columns, as vectors of the whole space, in rows."""
        return vectors.T @ self.basis[: len(self.diagonal)]


def products_at(objective: Objective, weights: Array) -> Product:
    """Give v ↦ (∂²F/∂W²) v at W for flat vectors; an objective that has `curvature_at` prepares what they share.

    >>> from schuss.data.chunk import Chunk
    >>> from schuss.descent.losses import SquaredError
    >>> from schuss.objective import LinearObjective
    >>> rows = Chunk(np.array([[1.0], [-1.0]]), np.zeros(2, np.float32), np.ones(2, np.float32))
    >>> objective = LinearObjective(rows, SquaredError(), 0.0)
    >>> products_at(objective, np.zeros((2, 1)))(np.array([1.0, 2.0]))
    array([1., 2.])
    """
    prepare = getattr(objective, "curvature_at", None)
    if prepare is not None:
        prepared = prepare(weights)
        return lambda flat: np.asarray(prepared(flat.reshape(weights.shape)), np.float64).reshape(-1)
    return lambda flat: objective.hessian_product(weights, flat.reshape(weights.shape)).reshape(-1)


def eigenvalues(objective: Objective, weights: Array, count: int = 5, **options: float | bool) -> Array:
    """Give the largest eigenvalues of ∂²F/∂W²; see `eigenpairs`, which also says how far they are to be trusted.

    >>> from schuss.data.chunk import Chunk
    >>> from schuss.descent.losses import SquaredError
    >>> from schuss.objective import LinearObjective
    >>> rows = Chunk(np.array([[1.0], [-1.0]]), np.zeros(2, np.float32), np.ones(2, np.float32))
    >>> objective = LinearObjective(rows, SquaredError(), 0.0)
    >>> eigenvalues(objective, np.zeros((2, 1)), 1).round(9)
    array([1.])
    """
    return eigenpairs(products_at(objective, weights), weights.shape, count, **options).values  # pyright: ignore


def eigenpairs(
    product: Product,
    shape: tuple[int, ...],
    count: int = 5,
    *,
    smallest: bool = False,
    tolerance: float = TOLERANCE,
    products: int = MOST_PRODUCTS,
    seed: int = 0,
    copies: bool = True,
) -> Eigenpairs:
    """Find the largest eigenvalues of a symmetric matrix with their multiplicities, by Lanczos with deflation.

    One Krylov space sees one copy of each eigenvalue: softmax regression at zero has its largest nine times, and
    plain Lanczos goes on to the next one as if there were one. So a second space, orthogonal to all that was found,
    looks for what is larger than the smallest of it, and a third one, until nothing is. What is there and was not seen
    has a probability below 0.1 % (`Krylov.unseen`); for eigenvalues without copies that takes 5 to 15 products more.

    Parameters
    ----------
    product : v ↦ H v for flat vectors, see `products_at`.
    shape : of the weights, and of the vectors to give.
    count : how many eigenvalues.
    smallest : the most negative ones instead.
    tolerance : the residual of each at most, in units of its own `|λ|`, or of a thousandth of the largest.
    products : how many are taken at most; what has not converged until then is given with its residual.
    seed : of the vectors that the spaces begin with.
    copies : False takes each eigenvalue for a single one, as ARPACK does: without a look for more.

    Raises
    ------
    ValueError
        When a product is not finite.

    Example
    -------
    >>> found = eigenpairs(lambda v: np.array([3.0, 3.0, 1.0, 0.5]) * v, (4,), count=3)
    >>> found.values.round(6), bool(found.residuals.max() < 1e-3)
    (array([3., 3., 1.]), True)
    """
    size = int(np.prod(shape))
    count = min(count, size)
    sign = -1.0 if smallest else 1.0
    rng = np.random.default_rng(seed)
    values, residuals, vectors = np.empty(0), np.empty(0), np.empty((0, size))
    taken, scale, sure = 0, 0.0, False
    room = max(int(BASIS_BYTES // (8 * size)), 2 * count + 2)
    while taken < products and len(vectors) < size and not sure:
        krylov = Krylov(
            lambda v: sign * _finite(product(v)), rng.normal(size=size), vectors, min(products - taken, room)
        )
        found, scale = _grow(krylov, count, values, tolerance, scale)
        taken += len(krylov.diagonal)
        wanted = copies or len(values) + len(found.values) < count
        sure = not (wanted and len(found.values))
        order = np.argsort(-np.concatenate([values, found.values]), kind="stable")
        values = np.concatenate([values, found.values])[order]
        residuals = np.concatenate([residuals, found.residuals])[order]
        vectors = np.concatenate([vectors, krylov.lifted(found.vectors)])[order]
    sure = (sure or len(vectors) == size) and bool(
        (residuals[:count] <= _allowed(values[:count], tolerance, scale)).all()
    )
    top = slice(count)
    residuals = np.maximum(residuals, ROUNDING * scale)
    return Eigenpairs(sign * values[top], vectors[top].reshape(-1, *shape), residuals[top], taken, sure)


class _Ritz(NamedTuple):
    """Some eigenpairs of T: those worth keeping."""

    values: Array
    vectors: Array
    residuals: Array


def _grow(krylov: Krylov, count: int, known: Array, tolerance: float, scale: float) -> tuple[_Ritz, float]:
    """Extend a space until its largest values have converged; give these, and the largest |λ| met.

    Where fewer than `count` are known the missing ones are asked for. Else those that are larger than the smallest
    of `count`, and the space is extended until one has converged or would have been seen.
    """
    missing = count - len(known)
    floor = -math.inf if missing > 0 else float(known[count - 1])
    wanted = missing if missing > 0 else count
    while True:
        krylov.extend()
        values, vectors, residuals = krylov.ritz()
        scale = max(scale, float(abs(values).max()))
        margin = 0.0 if missing > 0 else float(_allowed(np.array(floor), tolerance, scale))
        above = values > floor + tolerance * margin
        kept = np.flatnonzero(above)[:wanted]
        enough = len(kept) == missing if missing > 0 else len(kept) > 0 or _no_copy(krylov, known[:count], margin)
        converged = residuals <= _allowed(values, tolerance, scale)
        done = enough and converged[kept].all() and len(values) > 2
        if done or krylov.full:
            kept = kept if done or not converged.any() else np.flatnonzero(above & converged)
            return _Ritz(values[kept], vectors[:, kept], residuals[kept]), scale


def _no_copy(krylov: Krylov, known: Array, margin: float) -> bool:
    """Say whether another copy of what is known and larger than the smallest of it would have been seen.

    What is no copy the first space has seen: it tells any two values apart that differ by more than their residuals.
    """
    larger = known[known > known[-1] + margin]
    return krylov.unseen(float(larger[-1] if len(larger) else known[-1] + margin)) < UNSEEN


def _allowed(values: Array, tolerance: float, scale: float) -> Array:
    """Give the residuals that eigenvalues may have."""
    return tolerance * np.maximum(abs(values), LEAST * scale)


def _finite(product: Array) -> Array:
    if not np.isfinite(product).all():
        raise ValueError("the curvature is not finite here: a Hessian–vector product holds NaN or infinity")
    return product


def hessian(objective: Objective, weights: Array) -> Array:
    """Give ∂²F/∂W² as a matrix of flattened weights: as the objective has it, else by a product for each column.

    >>> from schuss.data.chunk import Chunk
    >>> from schuss.descent.losses import SquaredError
    >>> from schuss.objective import LinearObjective
    >>> rows = Chunk(np.array([[1.0], [-1.0]]), np.zeros(2, np.float32), np.ones(2, np.float32))
    >>> objective = LinearObjective(rows, SquaredError(), 0.0)
    >>> hessian(objective, np.zeros((2, 1)))
    array([[1., 0.],
           [0., 1.]])
    """
    own = getattr(objective, "hessian", None)
    if own is not None:
        return own(weights)
    product = products_at(objective, weights)
    found = np.stack([product(unit) for unit in np.eye(weights.size)])
    return (found + found.T) / 2


class Ravine(NamedTuple):
    """How much of a ravine a valley is: λ₁/λ₁₀, and λ₁ over the median of the positive eigenvalues.

    λ₁ over the smallest one would say nothing: a network has eigenvalues of zero and below.
    """

    first_to_tenth: float
    first_to_median: float


def ravine(values: Array, median: float) -> Ravine:
    """Judge by the largest eigenvalues, descending, and the median of the positive ones.

    >>> ravine(np.array([8.0, 4.0, 2.0]), 2.0)
    Ravine(first_to_tenth=nan, first_to_median=4.0)
    """
    tenth = float(values[9]) if len(values) > 9 and values[9] > 0 else math.nan
    return Ravine(float(values[0]) / tenth, float(values[0]) / median if median > 0 else math.nan)


def lanczos(product: Product, size: int, steps: int, seed: int) -> Iterator[Krylov]:
    """Yield one Krylov space of so many steps for each random start, without end."""
    rng = np.random.default_rng(seed)
    while True:
        krylov = Krylov(product, rng.normal(size=size), np.empty((0, size)), steps)
        while not krylov.full:
            krylov.extend()
        yield krylov
