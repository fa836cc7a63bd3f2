"""Where the weights begin: named tuples of a scale that draw a weight matrix, zero on average.

`draw(self, rng, features, outputs)` gives float32 `(features, outputs)`; intercepts always begin at zero. A linear
model's loss has one valley, so that it may begin at zero; what starts matter for is how training gets there, and
losses that are not convex. `NAME`, or `NAME:SCALE`, is how a user asks for one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.descent.specs import Number, parse_spec

__all__ = ["INITIALIZERS", "initial_weights", "parse_initializer"]

Floats = NDArray[np.float32]
_SCALE = Number(0.0, least_allowed=False)


class Zero(NamedTuple):
    """Begin at zero."""

    takes = ()

    def draw(self, rng: np.random.Generator, features: int, outputs: int) -> Floats:
        """Give zeros."""
        return np.zeros((features, outputs), np.float32)


class Normal(NamedTuple):
    """Normal weights with a standard deviation of `scale`."""

    scale: float = 0.01

    takes = (("scale", _SCALE),)

    def draw(self, rng: np.random.Generator, features: int, outputs: int) -> Floats:
        """Draw weights."""
        return rng.standard_normal((features, outputs), np.float32) * np.float32(self.scale)


class Uniform(NamedTuple):
    """Uniform weights between −`scale` and `scale`."""

    scale: float = 0.01

    takes = (("scale", _SCALE),)

    def draw(self, rng: np.random.Generator, features: int, outputs: int) -> Floats:
        """Draw weights."""
        return (rng.random((features, outputs), np.float32) * np.float32(2) - np.float32(1)) * np.float32(self.scale)


class Glorot(NamedTuple):
    """Uniform weights with the variance 2/(inputs + outputs), times scale² (Glorot and Bengio 2010)."""

    scale: float = 1.0

    takes = (("scale", _SCALE),)

    def draw(self, rng: np.random.Generator, features: int, outputs: int) -> Floats:
        """Draw weights."""
        return Uniform(self.scale * math.sqrt(6.0 / (features + outputs))).draw(rng, features, outputs)


class He(NamedTuple):
    """Normal weights with the variance 2/inputs, times scale² (He et al. 2015)."""

    scale: float = 1.0

    takes = (("scale", _SCALE),)

    def draw(self, rng: np.random.Generator, features: int, outputs: int) -> Floats:
        """Draw weights."""
        return Normal(self.scale * math.sqrt(2.0 / features)).draw(rng, features, outputs)


INITIALIZERS: dict[str, type[Any]] = {"zero": Zero, "normal": Normal, "uniform": Uniform, "glorot": Glorot, "he": He}
"""The initializers by the names that a user gives."""


def parse_initializer(spec: str) -> Any:
    """Read `NAME` or `NAME:SCALE`; raises ValueError with a sentence.

    >>> parse_initializer("normal:0.1")
    Normal(scale=0.1)
    """
    return parse_spec(spec, INITIALIZERS, "initializer")


def initial_weights(spec: str, features: int, outputs: int, *, seed: int, run: int) -> Floats:
    """Give the first weights `(features + 1, outputs)` of a run, its intercepts zero.

    They depend on the seed and the run's number alone, not on what other runs there are.

    >>> initial_weights("uniform:0.5", 2, 1, seed=0, run=3)[-1]
    array([0.], dtype=float32)
    """
    drawn = parse_initializer(spec).draw(np.random.default_rng([seed, run, _STREAM]), features, outputs)
    return np.vstack([drawn, np.zeros((1, outputs), np.float32)])


_STREAM = 0x1417
"""Keeps these random numbers apart from those that shuffle the rows."""
