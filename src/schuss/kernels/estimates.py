"""1/√x from the processor's own estimate, where it has one.

Square root and division are the slowest instructions of an adaptive rule: sixteen of both take 4.0 ns, the estimate of
AVX-512, exact to 14 bits, and one of Newton's steps 1.0 (EPYC, Zen 4). Its bits are the same in registers of any width.
"""

from __future__ import annotations

import platform

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types

from schuss.descent import ops
from schuss.kernels.lanes import FLOAT, INT, Lanes, emitted
from schuss.kernels.options import compiled_form_of, inlined

_HALF, _THREE_HALVES = np.float32(0.5), np.float32(1.5)
HAS_ESTIMATE = platform.machine() in ("x86_64", "AMD64") and llvm.get_host_cpu_features().get("avx512vl", False)


def estimate(x):
    """Give 1/√x of lanes to 14 bits."""
    return np.float32(1.0) / np.sqrt(x)


@emitted(estimate, lambda x: x)
def _(context, builder, signature, arguments):
    lanes, width = arguments[0], signature.return_type.width
    wide = max(width, 4)  # the narrowest register
    vector, mask = ir.VectorType(FLOAT, wide), ir.IntType(max(wide, 8))
    places = ir.Constant(ir.VectorType(INT, wide), [min(k, width - 1) for k in range(wide)])
    widened = builder.shuffle_vector(lanes, lanes, places)
    kind = ir.FunctionType(vector, [vector, vector, mask])
    name = f"llvm.x86.avx512.rsqrt14.ps.{32 * wide}"
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    found = builder.call(function, [widened, widened, ir.Constant(mask, -1)])
    return builder.shuffle_vector(found, found, ir.Constant(ir.VectorType(INT, width), list(range(width))))


@inlined
def _inverse_root_of_lanes(x):
    """Newton's step for 1/r² = x doubles the bits of the estimate; exact to 2 ulp."""
    r = estimate(x)
    return r * (_THREE_HALVES - _HALF * x * r * r)


@compiled_form_of(ops.inverse_root)
def _inverse_root(x):
    if isinstance(x, Lanes) and HAS_ESTIMATE:
        return lambda x: _inverse_root_of_lanes(x)
    if isinstance(x, Lanes) or x == types.float32:
        return lambda x: np.float32(1.0) / ops.sqrt(x)
    return lambda x: 1.0 / np.sqrt(x)
