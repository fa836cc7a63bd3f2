"""Elementary functions that every formula is written with, for NumPy arrays, compiled scalars and torch tensors alike.

A formula that calls these runs in three engines from one source: on NumPy arrays (and Python floats) as it stands, on
torch tensors because each function looks for the tensor's own method, and compiled, because the kernels room registers
a float32 version of each. torch is never imported here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "absolute",
    "constant",
    "erf",
    "exp",
    "expm1",
    "inverse_root",
    "log",
    "log1p",
    "log1p_unit",
    "maximum",
    "positive",
    "sigmoid",
    "sqrt",
    "tanh",
    "where",
]


def _is_tensor(x: Any) -> bool:
    return hasattr(x, "new_tensor")


def constant(value: float, x: Any) -> Any:
    """Give a number in the precision of `x`: compiled, a bare literal is float64 and would widen a float32 formula."""
    if _is_tensor(x):
        return x.new_tensor(value)
    return x.dtype.type(value) if hasattr(x, "dtype") else value


def exp(x: Any) -> Any:
    """Give eˣ."""
    return x.exp() if _is_tensor(x) else np.exp(x)


def expm1(x: Any) -> Any:
    """Give eˣ − 1, exact for small x."""
    return x.expm1() if _is_tensor(x) else np.expm1(x)


def log(x: Any) -> Any:
    """Give the natural logarithm."""
    return x.log() if _is_tensor(x) else np.log(x)


def log1p(x: Any) -> Any:
    """Give log(1 + x)."""
    return x.log1p() if _is_tensor(x) else np.log1p(x)


def log1p_unit(x: Any) -> Any:
    """Give log(1 + x) for 0 ≤ x ≤ 1, where compiled it is a third of the work."""
    return log1p(x)


def sqrt(x: Any) -> Any:
    """Give the square root."""
    return x.sqrt() if _is_tensor(x) else np.sqrt(x)


def inverse_root(x: Any) -> Any:
    """Give 1/√x."""
    return x.rsqrt() if _is_tensor(x) else 1.0 / np.sqrt(x)


def tanh(x: Any) -> Any:
    """Give the hyperbolic tangent."""
    return x.tanh() if _is_tensor(x) else np.tanh(x)


def erf(x: Any) -> Any:
    """Give the error function, in NumPy's place from SciPy."""
    if _is_tensor(x):
        return x.erf()
    from scipy.special import erf as of_scipy

    return of_scipy(x)


def absolute(x: Any) -> Any:
    """Give |x|."""
    return x.abs() if _is_tensor(x) else np.abs(x)


def maximum(x: Any, y: Any) -> Any:
    """Give the larger of two values, NaN where either is NaN."""
    return x.maximum(y) if _is_tensor(x) else np.maximum(x, y)


def positive(x: Any) -> Any:
    """Give max(0, x)."""
    return x.relu() if _is_tensor(x) else np.maximum(x, constant(0.0, x))


def where(condition: Any, x: Any, y: Any) -> Any:
    """Give `x` where the condition holds, else `y`."""
    return x.where(condition, y) if _is_tensor(x) else np.where(condition, x, y)


def sigmoid(x: Any) -> Any:
    """Give 1/(1 + e⁻ˣ), without overflow and exact for small results."""
    one = constant(1.0, x)
    decay = exp(-absolute(x))
    inverse = one / (one + decay)
    return where(x >= constant(0.0, x), inverse, decay * inverse)
