"""float32 versions of the elementary functions, as plain arithmetic, for numbers and for lanes from one source.

LLVM does not vectorise calls of the C library; with these, sixteen logistic losses cost what two library calls cost.
Coefficients of exp and log after the public-domain Cephes library (S. Moshier, `expf.c`, `logf.c`); the error is below
2 ulp.
"""

from __future__ import annotations

import numpy as np
from numba import types

from schuss.descent import ops
from schuss.kernels.lanes import (
    Lanes,
    anywhere,
    call,
    emitted,
    exponent_and_fraction,
    floor,
    magnitude,
    power_of_two,
    select,
    spread_value,
)
from schuss.kernels.options import compiled_form_of, inlined

F = np.float32

_LOG2_E = F(1.44269504088896341)
_LN2_HIGH, _LN2_LOW = F(0.693359375), F(-2.12194440e-4)
_EXP_LOWEST, _EXP_HIGHEST = F(-87.3365), F(89.0)
_E0, _E1, _E2 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
_E3, _E4, _E5 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
_L0, _L1, _L2 = F(7.0376836292e-2), F(-1.1514610310e-1), F(1.1676998740e-1)
_L3, _L4, _L5 = F(-1.2420140846e-1), F(1.4249322787e-1), F(-1.6668057665e-1)
_L6, _L7, _L8 = F(2.0000714765e-1), F(-2.4999993993e-1), F(3.3333331174e-1)
# log(1 + x) / x on [0, 1], fitted for the smallest relative error (5e-9)
_U0, _U1, _U2, _U3, _U4 = F(-0.0032438957), F(0.01985088), F(-0.056958437), F(0.10603544), F(-0.15305527)
_U5, _U6, _U7, _U8 = F(0.19675916), F(-0.2495413), F(0.3332996), F(-0.49999902)
_SQRT_HALF = F(0.707106781186547524)
_ZERO, _HALF, _ONE, _TWO, _INFINITY, _NAN = F(0), F(0.5), F(1), F(2), F(np.inf), F(np.nan)
_TINY = F(1.1754944e-38)
_LARGEST_EXPONENT = F(127)
_SHORT, _SIXTH, _TWENTY_FOURTH = F(1 / 32), F(1 / 6), F(1 / 24)


@inlined
def _exp_parts(x):
    """Give q and 2^n with e^x = 2^n (1 + q), |q| ≤ ½, for x not so small that e^x is no normal float.

    Comparing this way round lets NaN pass, and q is NaN with it; so are results too large infinite without more ado.
    """
    clipped = select(x < _EXP_LOWEST, _EXP_LOWEST, x)
    clipped = select(clipped > _EXP_HIGHEST, _EXP_HIGHEST, clipped)
    n = floor(clipped * _LOG2_E + _HALF)
    n = select(n > _LARGEST_EXPONENT, _LARGEST_EXPONENT, n)  # 2^128 overflows where e^x is still finite
    r = clipped - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    return p * r * r + r, power_of_two(n)


@inlined
def exp_float32(x):
    """e^x; 0 below, inf above the range, NaN for NaN."""
    q, power = _exp_parts(x)
    return select(x < _EXP_LOWEST, _ZERO, (q + _ONE) * power)


@inlined
def expm1_float32(x):
    """e^x − 1 = 2^n q + (2^n − 1), exact for small x, where n = 0."""
    q, power = _exp_parts(x)
    return q * power + (power - _ONE)


@inlined
def expm1_lanes(x):
    """e^x − 1 for lanes, five instructions where x is as small as in nearly every step of a penalty.

    Each lane has the value of its own size, whatever its neighbours': Adam 11.6 → 8.0 ns a step of sixteen weights.
    """
    small = magnitude(x) < _SHORT
    short = x * (((_TWENTY_FOURTH * x + _SIXTH) * x + _HALF) * x + _ONE)
    if anywhere(magnitude(x) >= _SHORT):
        return select(small, short, expm1_float32(x))
    return short


@inlined
def tanh_float32(x):
    """Tanh x = ±(1 − e) / (1 + e) with e = exp(−2 |x|), from e − 1 so that small x stay exact."""
    less = ops.expm1(-_TWO * magnitude(x))
    size = -less / (less + _TWO)
    return select(x < _ZERO, -size, size)


@inlined
def positive_float32(x):
    """max(0, x), NaN for NaN."""
    return select(x < _ZERO, _ZERO, x)


@inlined
def log_float32(x):
    """Log x = e ln 2 + log m with √½ ≤ m < √2 and a polynomial for log m; −inf at 0 (and below 1.2e-38), NaN below."""
    e, m = exponent_and_fraction(select(x > _TINY, x, _TINY))
    small = m < _SQRT_HALF
    e = select(small, e - _ONE, e)
    m = select(small, m + m, m) - _ONE
    p = (((((((_L0 * m + _L1) * m + _L2) * m + _L3) * m + _L4) * m + _L5) * m + _L6) * m + _L7) * m + _L8
    square = m * m
    result = m + (p * m * square + e * _LN2_LOW - _HALF * square) + e * _LN2_HIGH
    result = select(x < _TINY, -_INFINITY, result)
    result = select(x == _INFINITY, _INFINITY, result)
    return select(x >= _ZERO, result, _NAN)


@inlined
def log1p_float32(x):
    """Log (1 + x), small x kept exact by Kahan's correction: log(1+x) · x / ((1+x) − 1), at infinity without it."""
    y = _ONE + x
    rounded = y - _ONE
    ratio = select(rounded == x, _ONE, x / rounded)
    return select(rounded == _ZERO, x, log_float32(y) * ratio)


@inlined
def log1p_unit_float32(x):
    """Log (1 + x) for 0 ≤ x ≤ 1 by one polynomial: ten instructions, where log1p takes over thirty and a division."""
    p = (((((((_U0 * x + _U1) * x + _U2) * x + _U3) * x + _U4) * x + _U5) * x + _U6) * x + _U7) * x + _U8
    return x * (p * x + _ONE)


def _registered(function, of_numbers, of_lanes):
    """Let kernels compute one of `ops` by a formula of this module."""

    @compiled_form_of(function)
    def form(x):
        return of_lanes if isinstance(x, Lanes) else of_numbers


_registered(ops.exp, exp_float32, exp_float32)
_registered(ops.expm1, expm1_float32, expm1_lanes)
_registered(ops.tanh, tanh_float32, tanh_float32)
_registered(ops.positive, positive_float32, positive_float32)
_registered(ops.log, log_float32, log_float32)
_registered(ops.log1p, log1p_float32, log1p_float32)
_registered(ops.log1p_unit, log1p_unit_float32, log1p_unit_float32)


@emitted(ops.sqrt, lambda x: x)
def _(context, builder, signature, arguments):
    return call(builder, "sqrt", arguments[0])


@emitted(ops.absolute, lambda x: x)
def _(context, builder, signature, arguments):
    return call(builder, "fabs", arguments[0])


@emitted(ops.maximum, lambda x, y: x)
def _(context, builder, signature, arguments):
    # NaN in x survives: max(x, y) of IEEE would drop it and hide a diverged run.
    x, y = arguments
    return builder.select(builder.fcmp_ordered(">", y, x), y, x)


@emitted(ops.where, lambda condition, x, y: x)
def _(context, builder, signature, arguments):
    return builder.select(*arguments)


@emitted(ops.constant, lambda value, x: x)
def _(context, builder, signature, arguments):
    value = context.cast(builder, arguments[0], signature.args[0], types.float32)
    return spread_value(builder, value, getattr(signature.return_type, "width", 0))
