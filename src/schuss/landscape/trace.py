"""The trace of a Hessian from products with random vectors: three estimators, each with its standard error.

With s products the error of Hutchinson's falls as 1/√s, that of the other two as 1/s where eigenvalues fall off.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .curvature import Product

__all__ = ["Trace", "hutch_plus_plus", "hutchinson", "xtrace"]

Array = NDArray[np.float64]


class Trace(NamedTuple):
    """An estimate of a trace, its standard error, and how many products it took."""

    value: float
    error: float
    products: int


def hutchinson(product: Product, size: int, products: int, seed: int = 0) -> Trace:
    """Give the mean of vᵀHv over vectors v of random signs (Hutchinson 1990): unbiased, variance 2 Σ_{i≠j} Hᵢⱼ².

    >>> hutchinson(lambda v: 2.0 * v, 5, 4).value
    10.0
    """
    signs = _signs(np.random.default_rng(seed), size, products)
    forms = np.array([sign @ product(sign) for sign in signs.T])
    return Trace(float(forms.mean()), _error(forms), products)


def hutch_plus_plus(product: Product, size: int, products: int, seed: int = 0) -> Trace:
    """Give the exact trace on a space that holds the large eigenvalues, and Hutchinson's estimate of the rest.

    tr(QᵀHQ) + mean of gᵀ(I − QQᵀ)H(I − QQᵀ)g, Q an orthonormal basis of H S for a third of the products (Meyer, Musco,
    Musco and Woodruff 2021).

    >>> round(hutch_plus_plus(lambda v: np.arange(1.0, 5.0) * v, 4, 12).value, 9)
    10.0
    """
    third = min(products // 3, size)
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(_times(product, _signs(rng, size, third)))[0]
    on = float((basis * _times(product, basis)).sum())
    rest = _signs(rng, size, products - 2 * third)
    rest = rest - basis @ (basis.T @ rest)
    forms = (rest * _times(product, rest)).sum(axis=0)
    return Trace(on + float(forms.mean()), _error(forms), products)


def xtrace(product: Product, size: int, products: int, seed: int = 0) -> Trace:
    """Give the mean of estimates that each use all vectors but one for the space, and that one for the rest.

    For Y = HΩ = QR the space without column i is Q(I − sᵢsᵢᵀ)Qᵀ, sᵢ the i-th column of R⁻ᵀ at length 1; with
    w = Qᵀωᵢ and u = w − sᵢ(sᵢ·w) the estimate is

        tr(QᵀHQ) − sᵢᵀ(QᵀHQ)sᵢ + [ωᵢ·yᵢ − 2 u·rᵢ + uᵀ(QᵀHQ)u] (n − k + 1) / (‖ωᵢ‖² − ‖u‖²)

    The last factor puts what is left of ωᵢ, in a space of n − k + 1 dimensions, back on its sphere (Epperly, Tropp and
    Webber 2024, *XTrace*, sections 2.1 and 2.3). Unbiased, and the best of the three.

    >>> round(xtrace(lambda v: np.arange(1.0, 5.0) * v, 4, 12).value, 9)
    10.0
    """
    count = products // 2
    if count >= size:
        return Trace(sum(float(product(unit)[place]) for place, unit in enumerate(np.eye(size))), 0.0, size)
    vectors = np.random.default_rng(seed).normal(size=(size, count))
    moved = _times(product, vectors)
    basis, upper = np.linalg.qr(moved)
    if abs(np.diag(upper)).min() <= 1e-12 * abs(np.diag(upper)).max():  # of that rank: the space holds all of it
        return Trace(float((basis * _times(product, basis)).sum()), 0.0, 2 * count)
    left = np.linalg.inv(upper).T
    left /= np.linalg.norm(left, axis=0)
    within = basis.T @ _times(product, basis)
    inside = basis.T @ vectors
    kept = inside - left * (left * inside).sum(axis=0)
    rest = (vectors * moved).sum(axis=0) - 2 * (kept * upper).sum(axis=0) + (kept * (within @ kept)).sum(axis=0)
    sphere = (size - count + 1) / ((vectors**2).sum(axis=0) - (kept**2).sum(axis=0))
    estimates = np.trace(within) - (left * (within @ left)).sum(axis=0) + rest * sphere
    return Trace(float(estimates.mean()), _error(estimates), 2 * count)


def _signs(rng: np.random.Generator, size: int, count: int) -> Array:
    return rng.choice([-1.0, 1.0], size=(size, count))


def _times(product: Product, vectors: Array) -> Array:
    """Give H V for vectors in columns."""
    return np.stack([product(vector) for vector in vectors.T], axis=1)


def _error(estimates: Array) -> float:
    """Give the standard error of a mean."""
    return float(estimates.std(ddof=1) / math.sqrt(len(estimates))) if len(estimates) > 1 else math.nan
