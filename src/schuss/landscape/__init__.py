"""What the ground under a descent looks like: is the gradient right, which step is right, how steep is it.

All but the gradient check look at an objective, a loss as a function of the parameters alone (`schuss.objective`).
"""

from __future__ import annotations

from .boundary import Boundary, decision_boundary
from .curvature import Eigenpairs, Ravine, eigenpairs, eigenvalues, hessian, products_at, ravine
from .density import Density, Spectrum, spectral_density, spectrum
from .directions import across, filter_normalised, path_directions, projected, random_direction
from .noise import NoiseScale, Touched, noise_scale, noise_scale_by_batches, touched
from .sharpness import Bits, basin_radii, bits_needed, ellipsoid_volume, keskar_sharpness, volume_by_rays
from .slices import Slice, Surface, few_rows, kinks, slice_along, surface
from .steps import RATES, rates_around, step_sizes
from .trace import Trace, hutch_plus_plus, hutchinson, xtrace

__all__ = [
    "RATES",
    "Bits",
    "Boundary",
    "Density",
    "Eigenpairs",
    "NoiseScale",
    "Ravine",
    "Slice",
    "Spectrum",
    "Surface",
    "Touched",
    "Trace",
    "across",
    "basin_radii",
    "bits_needed",
    "decision_boundary",
    "eigenpairs",
    "eigenvalues",
    "ellipsoid_volume",
    "few_rows",
    "filter_normalised",
    "hessian",
    "hutch_plus_plus",
    "hutchinson",
    "keskar_sharpness",
    "kinks",
    "noise_scale",
    "noise_scale_by_batches",
    "path_directions",
    "products_at",
    "projected",
    "random_direction",
    "rates_around",
    "ravine",
    "slice_along",
    "spectral_density",
    "spectrum",
    "step_sizes",
    "surface",
    "touched",
    "volume_by_rays",
    "xtrace",
]
