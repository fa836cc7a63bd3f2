"""The whole spectrum of a Hessian: exact where the matrix is small, else by stochastic Lanczos quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from schuss.objective import Objective

from .curvature import hessian, lanczos, products_at

__all__ = ["EXACT", "Density", "Spectrum", "spectral_density", "spectrum"]

Array = NDArray[np.float64]

EXACT = 700
"""With so many parameters at most the matrix itself is made."""

WIDTH = 0.02
"""Width of the smoothing of a density, in units of the whole range."""


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues with the share of all that each one stands for: `nodes`, `shares` `(probes, nodes)`.

    Exact spectra have one probe, all eigenvalues, equal shares. Of an estimate each probe v, a random unit vector,
    gives the Gauss quadrature of the measure Σᵢ (vᵀuᵢ)² δ(λᵢ): its mean is the density of the eigenvalues
    (Ubaru, Chen and Saad 2017; Ghorbani et al. 2019).
    """

    nodes: Array
    shares: Array
    size: int

    @property
    def exact(self) -> bool:
        """Whether these are all the eigenvalues."""
        return self.nodes.shape == (1, self.size)

    def mean(self, function: Callable[[Array], Array]) -> tuple[float, float]:
        """Give the mean of f(λ) over all eigenvalues, and its standard error over the probes (0 if exact).

        Times the size it is the trace of f(H).
        """
        means = (self.shares * function(self.nodes)).sum(axis=1)
        error = 0.0 if self.exact else means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else math.nan
        return float(means.mean()), float(error)

    def share_below(self, value: float) -> float:
        """Give the share of the eigenvalues that lie below a value."""
        return self.mean(lambda nodes: (nodes < value).astype(np.float64))[0]

    def median_positive(self, least: float = 0.0) -> float:
        """Give the median of the eigenvalues above `least`; NaN where there are none."""
        nodes, shares = self.nodes.ravel(), self.shares.ravel()
        above = nodes > least
        order = np.argsort(nodes[above])
        passed = np.cumsum(shares[above][order])
        if not len(passed):
            return math.nan
        return float(nodes[above][order][np.searchsorted(passed, passed[-1] / 2)])


def spectrum(objective: Objective, weights: Array, *, probes: int = 4, steps: int = 64, seed: int = 0) -> Spectrum:
    """Find the spectrum of ∂²F/∂W²: all eigenvalues of up to 700 parameters, else an estimate.

    Parameters
    ----------
    objective, weights : where to look.
    probes : random vectors; at least four, so that the spread between them says how far to trust their mean.
    steps : products for each: as many nodes.
    seed : of the vectors.

    Example
    -------
    >>> from schuss.data.chunk import Chunk
    >>> from schuss.descent.losses import SquaredError
    >>> from schuss.objective import LinearObjective
    >>> rows = Chunk(np.array([[1.0], [-1.0]]), np.zeros(2, np.float32), np.ones(2, np.float32))
    >>> spectrum(LinearObjective(rows, SquaredError(), 1.0), np.zeros((2, 1))).nodes
    array([[1., 2.]])
    """
    size = weights.size
    if size <= EXACT:
        values = np.linalg.eigvalsh(hessian(objective, weights)).astype(np.float64)
        return Spectrum(values[None], np.full((1, size), 1 / size), size)
    found = [krylov.ritz() for krylov in islice(lanczos(products_at(objective, weights), size, steps, seed), probes)]
    longest = max(len(values) for values, _, _ in found)
    nodes, shares = np.zeros((2, probes, longest))
    for probe, (values, vectors, _) in enumerate(found):
        nodes[probe, : len(values)], shares[probe, : len(values)] = values, vectors[0] ** 2
    return Spectrum(nodes, shares, size)


@dataclass(frozen=True)
class Density:
    """A smooth density of eigenvalues over a grid, and its standard deviation between probes.

    scale : "linear", shares per unit of λ; or "log", shares per decade of λ, of positive eigenvalues.
    """

    scale: str
    grid: Array
    density: Array
    spread: Array


def spectral_density(spectrum: Spectrum, points: int = 160, *, log: bool | None = None) -> Density:
    """Draw a spectrum as a sum of Gaussian bells, one for each node.

    log : whether over the logarithm of λ; by default where no eigenvalue is clearly negative, as of convex losses.

    >>> spectral_density(Spectrum(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), 2)).scale
    'log'
    """
    nodes, top = spectrum.nodes, float(spectrum.nodes.max())
    if log is None:
        log = top > 0 and float(nodes.min()) > -1e-3 * top
    if log:
        seen = nodes > 1e-8 * top
        lines = np.log10(np.where(seen, nodes, top))
        shares = np.where(seen, spectrum.shares, 0.0)
    else:
        lines, shares = nodes, spectrum.shares
    shown = lines[shares > 0] if (shares > 0).any() else lines.ravel()
    low, high = float(shown.min()), float(shown.max())
    width = max(WIDTH * (high - low), 1e-12 + 1e-3 * abs(high))
    grid = np.linspace(low - 3 * width, high + 3 * width, points)
    bells = np.exp(-(((grid - lines[..., None]) / width) ** 2) / 2) / (width * math.sqrt(2 * math.pi))
    each = (shares[..., None] * bells).sum(axis=1)
    spread = each.std(axis=0, ddof=1) if len(each) > 1 else np.zeros(points)
    return Density("log" if log else "linear", 10.0**grid if log else grid, each.mean(axis=0), spread)
