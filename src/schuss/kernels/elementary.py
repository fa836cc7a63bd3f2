"""float32 versions of the elementary functions, as plain arithmetic that LLVM can vectorise over the runs.

LLVM does not vectorise calls of the C library; with these, sixteen logistic losses cost what two library calls cost.
Coefficients after the public-domain Cephes library (S. Moshier, `expf.c`, `logf.c`); the error is below 2 ulp.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from schuss.descent import ops
from schuss.kernels.options import compiled_form_of, inlined

F = np.float32

_LOG2_E = F(1.44269504088896341)
_LN2_HIGH, _LN2_LOW = F(0.693359375), F(-2.12194440e-4)
_EXP_LOWEST, _EXP_HIGHEST = F(-87.3365), F(88.7228)
_E0, _E1, _E2 = F(1.9875691500e-4), F(1.3981999507e-3), F(8.3334519073e-3)
_E3, _E4, _E5 = F(4.1665795894e-2), F(1.6666665459e-1), F(5.0000001201e-1)
_L0, _L1, _L2 = F(7.0376836292e-2), F(-1.1514610310e-1), F(1.1676998740e-1)
_L3, _L4, _L5 = F(-1.2420140846e-1), F(1.4249322787e-1), F(-1.6668057665e-1)
_L6, _L7, _L8 = F(2.0000714765e-1), F(-2.4999993993e-1), F(3.3333331174e-1)
_SQRT_HALF = F(0.707106781186547524)
_ZERO, _HALF, _ONE, _INFINITY, _NAN = F(0), F(0.5), F(1), F(np.inf), F(np.nan)
_TINY = F(1.1754944e-38)
_LARGEST_EXPONENT = F(127)
_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)
_MANTISSA, _HALF_EXPONENT, _BIAS_HALF = np.int32(0x007FFFFF), np.int32(0x3F000000), np.int32(126)


@intrinsic
def _float_of_bits(typingctx, bits):
    """Read 32 bits as a float."""

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic
def _bits_of_float(typingctx, value):
    """Read a float as its 32 bits."""

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def select(typingctx, condition, x, y):
    """Give `x` where the condition holds, else `y`, as one instruction: with branches LLVM may fail to vectorise."""

    def codegen(context, builder, signature, arguments):
        return builder.select(*arguments)

    return x(types.boolean, x, x), codegen


@inlined
def _exp_parts(x):
    """Give q and 2^n with e^x = 2^n (1 + q), |q| ≤ ½, for x clipped to where e^x is a normal float."""
    clipped = select(x > _EXP_LOWEST, x, _EXP_LOWEST)
    clipped = select(clipped < _EXP_HIGHEST, clipped, _EXP_HIGHEST)
    n = np.floor(clipped * _LOG2_E + _HALF)
    n = select(n < _LARGEST_EXPONENT, n, _LARGEST_EXPONENT)  # 2^128 overflows where e^x is still finite
    r = clipped - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    return p * r * r + r, _float_of_bits((np.int32(n) + _BIAS) << _MANTISSA_BITS)


@inlined
def exp_float32(x):
    """e^x; 0 below, inf above the range, NaN for NaN."""
    q, power = _exp_parts(x)
    result = select(x < _EXP_LOWEST, _ZERO, (q + _ONE) * power)
    result = select(x > _EXP_HIGHEST, _INFINITY, result)
    return select(x == x, result, _NAN)


@inlined
def expm1_float32(x):
    """e^x − 1 = 2^n q + (2^n − 1), exact for small x, where n = 0."""
    q, power = _exp_parts(x)
    result = select(x > _EXP_HIGHEST, _INFINITY, q * power + (power - _ONE))
    return select(x == x, result, _NAN)


@inlined
def log_float32(x):
    """Log x = e ln 2 + log m with √½ ≤ m < √2 and a polynomial for log m; −inf at 0 (and below 1.2e-38), NaN below."""
    bits = _bits_of_float(select(x > _TINY, x, _TINY))
    e = np.float32((bits >> _MANTISSA_BITS) - _BIAS_HALF)
    m = _float_of_bits((bits & _MANTISSA) | _HALF_EXPONENT)
    small = m < _SQRT_HALF
    e = select(small, e - _ONE, e)
    m = select(small, m + m, m) - _ONE
    p = (((((((_L0 * m + _L1) * m + _L2) * m + _L3) * m + _L4) * m + _L5) * m + _L6) * m + _L7) * m + _L8
    square = m * m
    result = m + (p * m * square + e * _LN2_LOW - _HALF * square) + e * _LN2_HIGH
    result = select(x < _TINY, -_INFINITY, result)
    result = select(x == _INFINITY, _INFINITY, result)
    return select(x >= _ZERO, result, _NAN)


@compiled_form_of(ops.constant)
def _constant(value, x):
    if isinstance(x, types.Float) and x.bitwidth == 32:
        return lambda value, x: np.float32(value)
    return lambda value, x: np.float64(value)


@compiled_form_of(ops.exp)
def _exp(x):
    return (lambda x: exp_float32(x)) if x is types.float32 else (lambda x: np.exp(x))


@compiled_form_of(ops.expm1)
def _expm1(x):
    return (lambda x: expm1_float32(x)) if x is types.float32 else (lambda x: np.expm1(x))


@compiled_form_of(ops.log)
def _log(x):
    return (lambda x: log_float32(x)) if x is types.float32 else (lambda x: np.log(x))


@compiled_form_of(ops.log1p)
def _log1p(x):
    # Kahan's correction keeps small x exact: log(1+x) · x / ((1+x) − 1); at infinity the ratio would be NaN.
    def log1p_float32(x):
        y = _ONE + x
        rounded = y - _ONE
        ratio = select(rounded == x, _ONE, x / rounded)
        return select(rounded == _ZERO, x, log_float32(y) * ratio)

    return log1p_float32 if x is types.float32 else (lambda x: np.log1p(x))


@compiled_form_of(ops.sqrt)
def _sqrt(x):
    return lambda x: np.sqrt(x)


@compiled_form_of(ops.absolute)
def _absolute(x):
    return lambda x: abs(x)


@compiled_form_of(ops.maximum)
def _maximum(x, y):
    # NaN in x survives: max(x, y) of IEEE would drop it and hide a diverged run.
    return lambda x, y: select(y > x, y, x)


@compiled_form_of(ops.where)
def _where(condition, x, y):
    return lambda condition, x, y: select(condition, x, y)
