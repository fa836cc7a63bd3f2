"""From a kernel's Python source to machine code that needs no Python: imported only when something must be compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, typeof, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype

from schuss.kernels.options import FAST
from schuss.kernels.store import MachineCode, numbers_of, target_machine

__all__ = ["compile_kernel"]

_C_LIBRARY = {"memcpy", "memset", "memmove"}
"""All that a kernel may call: in a process without numba, anything else would end it without a word."""


def compile_kernel(
    kernel: Callable[..., None], static: tuple[Any, ...], kinds: tuple[tuple[Any, int], ...]
) -> MachineCode:
    """Compile a kernel for these static parameters and kinds of arguments, as a function of one table of arguments.

    Raises TypeError for a kernel that allocates, raises, or calls something else that needs Python.
    """
    parameters = _parameters_in_table(static, tuple(_type_of(*kind) for kind in kinds))

    def entry(table):
        kernel(*parameters(table))

    signature = types.void(types.CPointer(types.int64))
    compiled = njit(signature, no_cpython_wrapper=True, no_cfunc_wrapper=True, **FAST)(entry)
    module = llvm.parse_assembly(compiled.inspect_llvm(signature.args))
    called = {one.name for one in module.functions if one.is_declaration and not one.name.startswith("llvm.")}
    if called - _C_LIBRARY:
        raise TypeError(f"kernel {kernel.__name__} needs Python for {', '.join(sorted(called - _C_LIBRARY))}")
    symbol = compiled.overloads[signature.args].fndesc.llvm_func_name
    return MachineCode(symbol, target_machine().emit_object(module))


def _type_of(kind: Any, dimensions: int) -> Any:
    """Give numba's type of an argument."""
    if not isinstance(kind, np.dtype):
        return {int: types.int64, float: types.float64}[kind]
    return types.Array(from_dtype(kind), dimensions, "C")


def _parameters_in_table(static: tuple[Any, ...], kinds: tuple[Any, ...]) -> Any:
    """Give a function that makes a kernel's parameters from a table of numbers, pointers and lengths."""
    fixed = tuple(typeof(one) for one in static)

    @intrinsic
    def parameters(typingctx, table):
        def codegen(context, builder, signature, values):
            place = 0

            def word():
                nonlocal place
                place += 1
                return builder.load(builder.gep(values[0], [context.get_constant(types.intp, place - 1)]))

            made = [_fixed(context, builder, kind, one, word) for kind, one in zip(fixed, static, strict=True)]
            made += [_unpacked(context, builder, kind, word) for kind in kinds]
            return context.make_tuple(builder, signature.return_type, made)

        return types.Tuple(fixed + kinds)(table), codegen

    return parameters


def _fixed(context: Any, builder: Any, kind: Any, value: Any, word: Callable[[], Any]) -> Any:
    """Make a static parameter: a constant but for the floats of a named tuple, which come from the table."""
    if not numbers_of(value):
        return context.get_constant_generic(builder, kind, value)
    fields = [
        builder.bitcast(word(), ir.DoubleType())
        if isinstance(field, float)
        else context.get_constant_generic(builder, field_kind, field)
        for field_kind, field in zip(kind, value, strict=True)
    ]
    return context.make_tuple(builder, kind, fields)


def _unpacked(context: Any, builder: Any, kind: Any, word: Callable[[], Any]) -> Any:
    """Make one argument from its words: an array from pointer and shape, a number from its bits."""
    first = word()
    if kind is types.int64:
        return first
    if kind is types.float64:
        return builder.bitcast(first, ir.DoubleType())
    data = builder.inttoptr(first, context.get_data_type(kind.dtype).as_pointer())
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    shape, strides = [word() for _ in range(kind.ndim)], [itemsize]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    result = make_array(kind)(context, builder)
    populate_array(
        result,
        data=data,
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=itemsize,
        meminfo=None,
    )
    return result._getvalue()
