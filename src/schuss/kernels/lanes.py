"""The values of all runs of a block as one number: sixteen float32 side by side, in a register of the processor.

A formula written for numbers (a rule, a loss) works on lanes as it stands. Compiled, every operation is one vector
instruction by construction, whatever LLVM's vectorisers make of a loop: they need the length of the loop to be hidden
from them, hold tables in memory, and gave 24 where this gives 9 ns a nonzero. Uncompiled, lanes are NumPy arrays.

`like`, a tuple as long as a block is wide, tells a kernel the number of lanes: 16, 8, 4 or 1.
"""

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numba.np.arrayobj import make_array

from schuss.kernels.options import FAST, compiled_form_of

FLAGS = tuple(FAST["fastmath"])
FLOAT, DOUBLE, INT = ir.FloatType(), ir.DoubleType(), ir.IntType(32)


class Lanes(types.Type):
    """float32 values of as many runs."""

    def __init__(self, width):
        super().__init__(f"Lanes({width})")
        self.width = width


class Mask(types.Type):
    """Truth values of as many runs."""

    def __init__(self, width):
        super().__init__(f"Mask({width})")
        self.width = width


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(FLOAT, kind.width))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), kind.width))


def _spread(builder, value, width):
    """Repeat a number in every lane; lanes stay as they are."""
    if isinstance(value.type, ir.VectorType):
        return value
    vector = ir.VectorType(value.type, width)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(INT, 0))
    zeros = ir.Constant(ir.VectorType(INT, width), [0] * width)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)


def _among(*kinds):
    """Give the kind that is lanes if there is one and all others are float32 or lanes, else None."""
    lanes = [kind for kind in kinds if isinstance(kind, Lanes)]
    fits = all(isinstance(kind, Lanes) or kind == types.float32 for kind in kinds)
    return lanes[0] if lanes and fits else None


def _operation(function, emit, result=lambda lanes: lanes):
    """Register an operation of two values of which at least one is lanes; `emit(builder, x, y)` writes it."""

    @intrinsic
    def compute(typingctx, x, y):
        lanes = _among(x, y)

        def codegen(context, builder, signature, arguments):
            return emit(builder, *[_spread(builder, argument, lanes.width) for argument in arguments])

        return result(lanes)(x, y), codegen

    @compiled_form_of(function)
    def form(x, y):
        return (lambda x, y: compute(x, y)) if _among(x, y) else None


_operation(operator.add, lambda builder, x, y: builder.fadd(x, y, flags=FLAGS))
_operation(operator.sub, lambda builder, x, y: builder.fsub(x, y, flags=FLAGS))
_operation(operator.mul, lambda builder, x, y: builder.fmul(x, y, flags=FLAGS))
_operation(operator.truediv, lambda builder, x, y: builder.fdiv(x, y, flags=FLAGS))
for _function, _sign in (
    (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="), (operator.eq, "=="),
):  # fmt: skip
    _operation(
        _function,
        lambda builder, x, y, sign=_sign: builder.fcmp_ordered(sign, x, y),
        lambda lanes: Mask(lanes.width),
    )


def _call(builder, name, *arguments):
    """Call LLVM's own elementwise function."""
    kind = arguments[0].type
    suffix = f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(arguments)), f"llvm.{name}.{suffix}"
    )
    return builder.call(function, arguments)


def _elementwise(name):
    """Give an intrinsic for LLVM's function of one float32 or of lanes."""

    @intrinsic
    def compute(typingctx, x):
        return x(x), lambda context, builder, signature, arguments: _call(builder, name, *arguments)

    return compute


root, floor, magnitude = _elementwise("sqrt"), _elementwise("floor"), _elementwise("fabs")


@intrinsic
def _negative(typingctx, x):
    return x(x), lambda context, builder, signature, arguments: builder.fneg(arguments[0], flags=FLAGS)


@compiled_form_of(operator.neg)
def _neg(x):
    return (lambda x: _negative(x)) if isinstance(x, Lanes) else None


@intrinsic
def select(typingctx, condition, x, y):
    """Give `x` where the condition holds, else `y`, as one instruction: with branches LLVM may fail to vectorise."""
    result = _among(x, y) or (Lanes(condition.width) if isinstance(condition, Mask) else x)

    def codegen(context, builder, signature, arguments):
        condition, x, y = arguments
        if isinstance(result, Lanes):
            x, y = (_spread(builder, value, result.width) for value in (x, y))
        return builder.select(condition, x, y)

    return result(condition, x, y), codegen


@intrinsic
def power_of_two(typingctx, n):
    """2ⁿ for whole −126 ≤ n ≤ 127, float32 or lanes, made from its bits."""

    def codegen(context, builder, signature, arguments):
        width = getattr(n, "width", 0)
        whole = ir.VectorType(INT, width) if width else INT
        constants = [ir.Constant(whole, [number] * width if width else number) for number in (127, 23)]
        bits = builder.shl(builder.add(builder.fptosi(arguments[0], whole), constants[0]), constants[1])
        return builder.bitcast(bits, arguments[0].type)

    return n(n), codegen


@intrinsic
def exponent_and_fraction(typingctx, x):
    """Give e and ½ ≤ m < 1 with x = 2ᵉ m for a normal x > 0, float32 or lanes, from its bits."""

    def codegen(context, builder, signature, arguments):
        width = getattr(x, "width", 0)
        whole = ir.VectorType(INT, width) if width else INT
        bias, shift, mask, half = (
            ir.Constant(whole, [number] * width if width else number) for number in (126, 23, 0x007FFFFF, 0x3F000000)
        )
        bits = builder.bitcast(arguments[0], whole)
        exponent = builder.sitofp(builder.sub(builder.lshr(bits, shift), bias), arguments[0].type)
        fraction = builder.bitcast(builder.or_(builder.and_(bits, mask), half), arguments[0].type)
        return context.make_tuple(builder, signature.return_type, [exponent, fraction])

    return types.UniTuple(x, 2)(x), codegen


@intrinsic
def anywhere(typingctx, condition):
    """Say whether a condition holds in any lane."""

    def codegen(context, builder, signature, arguments):
        if not isinstance(condition, Mask):
            return arguments[0]
        bits = builder.bitcast(arguments[0], ir.IntType(condition.width))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(condition), codegen


def _address(context, builder, kind, array, place):
    """Give the address of an element of a C-contiguous array."""
    parts = make_array(kind)(context, builder, array)
    shape = cgutils.unpack_tuple(builder, parts.shape)
    offset = place[0]
    for length, index in zip(shape[1:], place[1:], strict=True):
        offset = builder.add(builder.mul(offset, length), index)
    return builder.gep(parts.data, [offset])


def _as_vector(builder, address, element, width):
    return builder.bitcast(address, ir.VectorType(element, width).as_pointer())


@intrinsic
def _load(typingctx, table, i, j, like):
    """Read lanes from a float32 table `(rows, columns)`, from column `j` of row `i` on."""

    def codegen(context, builder, signature, arguments):
        address = _address(context, builder, table, arguments[0], arguments[1:3])
        return builder.load(_as_vector(builder, address, FLOAT, like.count), align=4)

    return Lanes(like.count)(table, types.uintp, types.uintp, like), codegen


@intrinsic
def _store(typingctx, table, i, j, value):
    def codegen(context, builder, signature, arguments):
        address = _address(context, builder, table, arguments[0], arguments[1:3])
        vector = _spread(builder, arguments[3], value.width)
        builder.store(vector, _as_vector(builder, address, FLOAT, value.width), align=4)
        return context.get_dummy_value()

    return types.void(table, types.uintp, types.uintp, value), codegen


def load(table, i, j, like):
    """Read lanes from a float32 table, from column `j` of row `i` on."""
    return table[i, j : j + len(like)].copy()


@compiled_form_of(load)
def _compiled_load(table, i, j, like):
    return lambda table, i, j, like: _load(table, i, j, like)


def store(table, i, j, value):
    """Write lanes into a float32 table, from column `j` of row `i` on."""
    table[i, j : j + len(value)] = value


@compiled_form_of(store)
def _compiled_store(table, i, j, value):
    return lambda table, i, j, value: _store(table, i, j, value)


@intrinsic
def fused(typingctx, x, y, z):
    """Give x · y + z with one rounding, in lanes or numbers."""
    lanes = _among(x, y, z)

    def codegen(context, builder, signature, arguments):
        return _call(builder, "fma", *[_spread(builder, argument, lanes.width) for argument in arguments])

    return lanes(x, y, z), codegen


@intrinsic
def _zeros(typingctx, like):
    vector = ir.VectorType(FLOAT, like.count)
    return Lanes(like.count)(like), lambda context, builder, signature, arguments: ir.Constant(vector, [0.0] * like.count)


@intrinsic
def _prefetch(typingctx, table, i, j):
    def codegen(context, builder, signature, arguments):
        address = _address(context, builder, table, arguments[0], arguments[1:])
        pointer, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, whole, whole, whole]), "llvm.prefetch.p0"
        )
        numbers = [ir.Constant(whole, number) for number in (1, 3, 1)]  # to be written to, near, data
        builder.call(function, [builder.bitcast(address, pointer), *numbers])
        return context.get_dummy_value()

    return types.void(table, types.uintp, types.uintp), codegen
