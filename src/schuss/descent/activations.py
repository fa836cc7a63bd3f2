"""Activations: what a hidden unit makes of the sum of its inputs.

`value(z)` gives the output, `slope(z, a)` the derivative along the input z, a being the output: at a kink a
subgradient. Each formula is written once with `ops`, for NumPy arrays and torch tensors. `start` is the initializer
that keeps the signals of a deep network from dying or growing at the first step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from schuss.descent.ops import constant, erf, exp, expm1, maximum, positive, sigmoid, tanh, where
from schuss.descent.specs import parse_spec

__all__ = ["ACTIVATIONS", "Activation", "parse_activation"]

Activation = Any
"""One of the named tuples of this module."""


class ReLU(NamedTuple):
    """max(0, z); slope 1 where z > 0, else 0, also at the kink (Glorot, Bordes and Bengio 2011)."""

    start = "he"
    takes = ()

    def value(self, z: Any) -> Any:
        """Give the output."""
        return positive(z)

    def slope(self, z: Any, a: Any) -> Any:
        """Give the derivative, as truth values: what they multiply has a precision of its own."""
        return a > 0


class LeakyReLU(NamedTuple):
    """z where z > 0, else 0.01 z: the unit cannot die (Maas, Hannun and Ng 2013)."""

    start = "he"
    takes = ()

    def value(self, z: Any) -> Any:
        """Give the output."""
        return maximum(z, z * constant(0.01, z))

    def slope(self, z: Any, a: Any) -> Any:
        """Give the derivative."""
        return where(a > constant(0.0, a), constant(1.0, a), constant(0.01, a))


class ELU(NamedTuple):
    """z where z > 0, else eᶻ − 1 (Clevert, Unterthiner and Hochreiter 2016)."""

    start = "he"
    takes = ()

    def value(self, z: Any) -> Any:
        """Give the output."""
        zero = constant(0.0, z)
        return where(z > zero, z, expm1(-maximum(-z, zero)))

    def slope(self, z: Any, a: Any) -> Any:
        """Give the derivative."""
        return where(a > constant(0.0, a), constant(1.0, a), a + constant(1.0, a))


class GELU(NamedTuple):
    """z Φ(z) with the normal distribution's Φ (Hendrycks and Gimpel 2016)."""

    start = "he"
    takes = ()

    def value(self, z: Any) -> Any:
        """Give the output."""
        return z * _normal(z)

    def slope(self, z: Any, a: Any) -> Any:
        """Give the derivative Φ(z) + z φ(z)."""
        density = exp(z * z * constant(-0.5, z)) * constant(0.3989422804014327, z)
        return _normal(z) + z * density


class SiLU(NamedTuple):
    """z σ(z), also called swish (Elfwing, Uchibe and Doya 2018)."""

    start = "he"
    takes = ()

    def value(self, z: Any) -> Any:
        """Give the output."""
        return z * sigmoid(z)

    def slope(self, z: Any, a: Any) -> Any:
        """Give the derivative σ(z) + z σ(z) (1 − σ(z))."""
        share = sigmoid(z)
        return share + a * (constant(1.0, z) - share)


class Tanh(NamedTuple):
    """The hyperbolic tangent."""

    start = "glorot"
    takes = ()

    def value(self, z: Any) -> Any:
        """Give the output."""
        return tanh(z)

    def slope(self, z: Any, a: Any) -> Any:
        """Give the derivative 1 − a²."""
        return constant(1.0, a) - a * a


class Sigmoid(NamedTuple):
    """1/(1 + e⁻ᶻ), the logistic function."""

    start = "glorot"
    takes = ()

    def value(self, z: Any) -> Any:
        """Give the output."""
        return sigmoid(z)

    def slope(self, z: Any, a: Any) -> Any:
        """Give the derivative a (1 − a)."""
        return a * (constant(1.0, a) - a)


class Identity(NamedTuple):
    """z itself: layers without an activation are one linear layer, whose weights are a product."""

    start = "glorot"
    takes = ()

    def value(self, z: Any) -> Any:
        """Give the output."""
        return z

    def slope(self, z: Any, a: Any) -> Any:
        """Give the derivative."""
        return constant(1.0, a) + (a - a)


ACTIVATIONS: dict[str, type[Any]] = {
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "identity": Identity,
}
"""The activations by the names that a user gives."""


def parse_activation(spec: str) -> Activation:
    """Give the activation of a name; raises ValueError with a sentence.

    >>> parse_activation("tanh").slope(0.0, 0.0)
    1.0
    """
    return parse_spec(spec, ACTIVATIONS, "activation")


def _normal(z: Any) -> Any:
    """Give the normal distribution's Φ(z)."""
    half = constant(0.5, z)
    return half * erf(z * constant(0.7071067811865476, z)) + half
