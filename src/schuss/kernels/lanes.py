"""The values of all runs of a block as one number: sixteen float32 side by side, in a register of the processor.

A formula written for numbers (a rule, a loss) works on lanes as it stands. Compiled, every operation is one vector
instruction by construction, whatever LLVM's vectorisers make of a loop: they need the length of the loop to be hidden
from them, hold tables in memory, and gave 24 where this gives 9 ns a nonzero. Uncompiled, lanes are NumPy arrays.

`like`, a tuple as long as a block is wide, tells a kernel the number of lanes: 16, 8, 4 or 1.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model, type_callable
from numba.np.arrayobj import make_array

from schuss.kernels.options import FAST

FLAGS = tuple(FAST["fastmath"])
typed: Any = infer_global
"""Tell numba the types of a function's results by a class; it names no type of its own."""

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


def spread_value(builder, value, width):
    """Repeat a number in every lane; lanes stay as they are, and so does a number where there are none."""
    if not width or isinstance(value.type, ir.VectorType):
        return value
    undefined = ir.Constant(ir.VectorType(value.type, width), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT, width), [0] * width))


def total_of(builder, values):
    """Add up the whole numbers of all lanes."""
    kind = values.type
    name = f"llvm.vector.reduce.add.v{kind.count}i{kind.element.width}"
    add = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind.element, [kind]), name)
    return builder.call(add, [values])


def _among(*kinds) -> Any:
    """Give the kind that is lanes if there is one and all others are lanes or numbers, else None."""
    lanes = [kind for kind in kinds if isinstance(kind, Lanes)]
    fits = all(isinstance(kind, (Lanes, types.Float, types.Integer)) for kind in kinds)
    return lanes[0] if lanes and fits else None


def _spread_each(context, builder, signature, arguments, width):
    """Repeat every number among some arguments in as many lanes, as float32: so is a literal in a formula."""
    for kind, value in zip(signature.args, arguments, strict=True):
        number = value if isinstance(kind, Lanes) else context.cast(builder, value, kind, types.float32)
        yield spread_value(builder, number, width)


# --- how operations are registered ------------------------------------------------------------------------------------
# numba compiles an overload as a function of its own, 0.08 s each; what is written here costs nothing to speak of
# (a kernel of forty operations: 3.9 → 2.8 s).


def _operation(function, emit, result=lambda lanes: lanes):
    """Register an operation of which at least one value is lanes; `emit(builder, *values)` writes it."""

    @typed(function)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            lanes = _among(*args)
            return signature(result(lanes), *args) if lanes else None

    def write(context, builder, signature, arguments):
        width = _among(*signature.args).width
        return emit(builder, *_spread_each(context, builder, signature, arguments, width))

    for kinds in ((Lanes,), (Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
        lower_builtin(function, *kinds)(write)


def emitted(function, result):
    """Let kernels call a Python function as the decorated lines write it; its result is of type `result(*types)`."""
    type_callable(function)(lambda context: result)

    def decorate(write):
        lower_builtin(function, types.VarArg(types.Any))(write)
        return write

    return decorate


# --- arithmetic -------------------------------------------------------------------------------------------------------

_operation(operator.add, lambda builder, x, y: builder.fadd(x, y, flags=FLAGS))
_operation(operator.sub, lambda builder, x, y: builder.fsub(x, y, flags=FLAGS))
_operation(operator.mul, lambda builder, x, y: builder.fmul(x, y, flags=FLAGS))
_operation(operator.truediv, lambda builder, x, y: builder.fdiv(x, y, flags=FLAGS))
_operation(operator.neg, lambda builder, x: builder.fneg(x, flags=FLAGS))
for _function, _sign in (
    (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="), (operator.eq, "=="),
):  # fmt: skip
    _operation(
        _function,
        lambda builder, x, y, sign=_sign: builder.fcmp_ordered(sign, x, y),
        lambda lanes: Mask(lanes.width),
    )


@typed(operator.eq)
class _EqualsWhole(AbstractTemplate):
    """Lanes beside a whole number: the class of each row."""

    def generic(self, args, kws):
        if isinstance(args[0], Lanes) and isinstance(args[1], types.Integer):
            return signature(Mask(args[0].width), *args)
        return None


@lower_builtin(operator.eq, Lanes, types.Integer)
def _(context, builder, signature, arguments):
    lanes, number = arguments
    spread_number = spread_value(builder, builder.sitofp(number, FLOAT), lanes.type.count)
    return builder.fcmp_ordered("==", lanes, spread_number)


def call(builder, name, *arguments):
    """Call LLVM's own elementwise function."""
    kind = arguments[0].type
    suffix = f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(arguments)), f"llvm.{name}.{suffix}"
    )
    return builder.call(function, arguments)


def floor(x):
    """Give the next smaller whole number."""
    return np.floor(x)


def magnitude(x):
    """Give |x|."""
    return np.abs(x)


for _function, _name in ((floor, "floor"), (magnitude, "fabs")):
    emitted(_function, lambda x: x)(
        lambda context, builder, signature, arguments, name=_name: call(builder, name, arguments[0])
    )


def fused(x, y, z):
    """Give x · y + z with one rounding (uncompiled with two); at least one of them must be lanes."""
    return x * y + z


@emitted(fused, lambda x, y, z: _among(x, y, z))
def _(context, builder, signature, arguments):
    width = signature.return_type.width
    return call(builder, "fma", *_spread_each(context, builder, signature, arguments, width))


def select(condition, x, y):
    """Give `x` where the condition holds, else `y`, as one instruction: with branches LLVM may fail to vectorise."""
    return np.where(condition, x, y)


@emitted(select, lambda condition, x, y: _among(x, y) or (Lanes(condition.width) if hasattr(condition, "width") else x))
def _(context, builder, signature, arguments):
    condition, x, y = arguments
    if isinstance(signature.return_type, Lanes):
        x, y = (spread_value(builder, value, signature.return_type.width) for value in (x, y))
    return builder.select(condition, x, y)


def gated(factor, x):
    """Give factor · x; where the factor is a truth value, x or zero."""
    return factor * x


@emitted(gated, lambda factor, x: x)
def _(context, builder, signature, arguments):
    factor, x = arguments
    if isinstance(signature.args[0], Mask):
        return builder.select(factor, x, ir.Constant(x.type, None))
    return builder.fmul(factor, x, flags=FLAGS)


def anywhere(condition):
    """Say whether a condition holds in any lane."""
    return bool(np.any(condition))


@emitted(anywhere, lambda condition: types.boolean)
def _(context, builder, signature, arguments):
    if not isinstance(signature.args[0], Mask):
        return arguments[0]
    bits = builder.bitcast(arguments[0], ir.IntType(signature.args[0].width))
    return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))


# --- bits -------------------------------------------------------------------------------------------------------------


def _wholes(kind, *numbers):
    """Give the type of an int32 for each lane (or one, for a number), and constants of it."""
    width = getattr(kind, "width", 0)
    whole = ir.VectorType(INT, width) if width else INT
    return whole, *[ir.Constant(whole, [number] * width if width else number) for number in numbers]


def power_of_two(n):
    """2ⁿ for whole −126 ≤ n ≤ 127, float32 or lanes, made from its bits."""
    return np.exp2(n)


@emitted(power_of_two, lambda n: n)
def _(context, builder, signature, arguments):
    whole, bias, shift = _wholes(signature.return_type, 127, 23)
    bits = builder.shl(builder.add(builder.fptosi(arguments[0], whole), bias), shift)
    return builder.bitcast(bits, arguments[0].type)


def exponent_and_fraction(x):
    """E and ½ ≤ m < 1 with x = 2ᵉ m for a normal x > 0, float32 or lanes, from its bits."""
    fraction, exponent = np.frexp(x)
    return exponent.astype(np.float32), fraction


@emitted(exponent_and_fraction, lambda x: types.UniTuple(x, 2))
def _(context, builder, signature, arguments):
    whole, bias, shift, mask, half = _wholes(signature.args[0], 126, 23, 0x007FFFFF, 0x3F000000)
    bits = builder.bitcast(arguments[0], whole)
    exponent = builder.sitofp(builder.sub(builder.lshr(bits, shift), bias), arguments[0].type)
    fraction = builder.bitcast(builder.or_(builder.and_(bits, mask), half), arguments[0].type)
    return context.make_tuple(builder, signature.return_type, [exponent, fraction])


# --- memory -----------------------------------------------------------------------------------------------------------


def _address(context, builder, signature, arguments):
    """Give the address of an element of a C-contiguous table: the first three arguments."""
    i, j = (context.cast(builder, arguments[n], signature.args[n], types.uintp) for n in (1, 2))
    table = make_array(signature.args[0])(context, builder, arguments[0])
    columns = cgutils.unpack_tuple(builder, table.shape)[1]
    return builder.gep(table.data, [builder.add(builder.mul(i, columns), j)])


def load(table, i, j, like):
    """Read lanes from a float32 table, from column `j` of row `i` on."""
    return table[i, j : j + len(like)].copy()


@emitted(load, lambda table, i, j, like: Lanes(like.count))
def _(context, builder, signature, arguments):
    vector = ir.VectorType(FLOAT, signature.return_type.width).as_pointer()
    return builder.load(builder.bitcast(_address(context, builder, signature, arguments), vector), align=4)


def store(table, i, j, value):
    """Write lanes into a float32 table, from column `j` of row `i` on."""
    table[i, j : j + len(value)] = value


@emitted(store, lambda table, i, j, value: types.none)
def _(context, builder, signature, arguments):
    vector = arguments[3].type.as_pointer()
    builder.store(arguments[3], builder.bitcast(_address(context, builder, signature, arguments), vector), align=4)
    return context.get_dummy_value()


def prefetch(table, i, j):
    """Send for the line of memory with an element of a table, to be written to; no harm is done if it is never used."""


@emitted(prefetch, lambda table, i, j: types.none)
def _(context, builder, signature, arguments):
    return send_for(context, builder, _address(context, builder, signature, arguments), 1, 3)


def send_for(context, builder, address, written, near):
    """Write a prefetch. `written`: 1 if the line is to be written to; `near`: 3 for the first cache, 2 the second."""
    pointer, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [pointer, whole, whole, whole]), "llvm.prefetch.p0"
    )
    hints = [ir.Constant(whole, hint) for hint in (written, near, 1)]  # 1: data
    builder.call(function, [builder.bitcast(address, pointer), *hints])
    return context.get_dummy_value()
