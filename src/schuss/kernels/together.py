"""One run, several features together: what belongs to sixteen of them in one vector, as if to sixteen runs.

What a rule does to one weight takes as long as what it does to sixteen, and its instructions stand between one fetch
from memory and the next (Adagrad, a million features: 14.7 → 11.1 ns a nonzero). Blocks of four runs gain nothing.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np.arrayobj import make_array

from schuss.kernels.lanes import FLOAT, INT, Lanes, emitted, send_for, spread_value

WIDE = (None,) * 16
"""As long as the vectors into which features are brought."""


def features_of(indices, n, end, like):
    """Give the features of nonzeros from `n` on, to fill a vector; the last one before `end` again where they end.

    The features of a row are unique: what comes twice are only these.
    """
    return tuple(np.uint64(indices[min(n + j, end - 1)]) for j in range(len(like)))


@emitted(features_of, lambda indices, n, end, like: types.UniTuple(types.uint64, like.count))
def _(context, builder, signature, arguments):
    data = make_array(signature.args[0])(context, builder, arguments[0]).data
    n, end = (context.cast(builder, arguments[i], signature.args[i], types.uint64) for i in (1, 2))
    last, found = builder.sub(end, ir.Constant(end.type, 1)), []
    for j in range(signature.return_type.count):
        place = builder.add(n, ir.Constant(n.type, j))
        place = builder.select(builder.icmp_unsigned("<", place, last), place, last)
        index = builder.load(builder.gep(data, [place]))
        found.append(context.cast(builder, index, signature.args[0].dtype, types.uint64))
    return context.make_tuple(builder, signature.return_type, found)


def features_at(indices, n, like):
    """Give the features of as many nonzeros, from `n` on; of int32 two are read at a time."""
    return tuple(np.uint64(indices[n + np.uint64(j)]) for j in range(len(like)))


@emitted(features_at, lambda indices, n, like: types.UniTuple(types.uint64, like.count))
def _(context, builder, signature, arguments):
    data, kind = make_array(signature.args[0])(context, builder, arguments[0]).data, signature.args[0].dtype
    n, whole, found = context.cast(builder, arguments[1], signature.args[1], types.uint64), ir.IntType(64), []
    if kind.bitwidth == 32:
        for j in range(0, signature.return_type.count, 2):
            pointer = builder.bitcast(builder.gep(data, [builder.add(n, ir.Constant(whole, j))]), whole.as_pointer())
            both = builder.load(pointer, align=4)
            found += [builder.and_(both, ir.Constant(whole, 0xFFFFFFFF)), builder.lshr(both, ir.Constant(whole, 32))]
    else:
        for j in range(signature.return_type.count):
            index = builder.load(builder.gep(data, [builder.add(n, ir.Constant(whole, j))]))
            found.append(context.cast(builder, index, kind, types.uint64))
    return context.make_tuple(builder, signature.return_type, found)


def not_unrolled():
    """Keep the compiler from unrolling the loop that this stands in: a loop before it does what is left then.

    One run of SGD, a million features: 2.04 → 1.94 ns a nonzero (rows of 75, 18 times four and three).
    """


@emitted(not_unrolled, lambda: types.none)
def _(context, builder, signature, arguments):
    # An empty piece of assembly that must not come to depend on more conditions: a loop with one is left as it is.
    nothing = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "", side_effect=True)
    builder.call(nothing, [], attrs=("convergent",))
    return context.get_dummy_value()


def apart(lanes):
    """Give each lane by itself, as the lanes of a block of one run."""
    return tuple(lanes[j : j + 1] for j in range(len(lanes)))


@emitted(apart, lambda lanes: types.UniTuple(Lanes(1), lanes.width))
def _(context, builder, signature, arguments):
    numbers = [builder.extract_element(arguments[0], INT(j)) for j in range(signature.return_type.count)]
    return context.make_tuple(builder, signature.return_type, [spread_value(builder, one, 1) for one in numbers])


def repeated(values, like):
    """Give a tuple of the run's numbers, each in every lane of a vector."""
    return tuple(np.repeat(value, len(like)) for value in values)


@emitted(repeated, lambda values, like: types.UniTuple(Lanes(like.count), values.count))
def _(context, builder, signature, arguments):
    numbers = [builder.extract_element(one, INT(0)) for one in cgutils.unpack_tuple(builder, arguments[0])]
    whole = [spread_value(builder, number, signature.args[1].count) for number in numbers]
    return context.make_tuple(builder, signature.return_type, whole)


def _pointers(context, builder, signature, arguments):
    """Give pointers to a number of each feature: arguments are a flat array, features, width and offset."""
    data = make_array(signature.args[0])(context, builder, arguments[0]).data
    width, offset = (context.cast(builder, arguments[n], signature.args[n], types.uint64) for n in (2, 3))
    for feature in cgutils.unpack_tuple(builder, arguments[1]):
        yield builder.gep(data, [builder.add(builder.mul(feature, width), offset)])


def _vector(builder, numbers):
    """Bring numbers into a vector."""
    found = ir.Constant(ir.VectorType(FLOAT, len(numbers)), ir.Undefined)
    for j, number in enumerate(numbers):
        found = builder.insert_element(found, number, INT(j))
    return found


def _write(builder, value, pointers):
    """Write the lanes of a vector to a place each, the first one last."""
    for j, pointer in reversed(list(enumerate(pointers))):
        builder.store(builder.extract_element(value, INT(j)), pointer)


def gather(array, features, width, offset):
    """Give the numbers of some features in one vector, each at `offset` of its line of `width` in the flat array."""
    flat = array.reshape(-1)
    return np.array([flat[int(f * width + offset)] for f in features], np.float32)


@emitted(gather, lambda array, features, width, offset: Lanes(features.count))
def _(context, builder, signature, arguments):
    return _vector(builder, [builder.load(one) for one in _pointers(context, builder, signature, arguments)])


def scatter(array, features, width, offset, value):
    """Write back what `gather` gives; the first one counts of a feature that comes twice."""
    flat = array.reshape(-1)
    for f, number in reversed(list(zip(features, value, strict=True))):
        flat[int(f * width + offset)] = number


@emitted(scatter, lambda array, features, width, offset, value: types.none)
def _(context, builder, signature, arguments):
    _write(builder, arguments[4], list(_pointers(context, builder, signature, arguments)))
    return context.get_dummy_value()


def gather_each(array, features, width, offset, step, count):
    """Give a tuple as long as `count` of such vectors, each `step` numbers after the one before in the flat array."""
    return tuple(gather(array, features, width, offset + i * step) for i in range(len(count)))


@emitted(
    gather_each,
    lambda array, features, width, offset, step, count: types.UniTuple(Lanes(features.count), count.count),
)
def _(context, builder, signature, arguments):
    gathered = [
        _vector(builder, [builder.load(pointer) for pointer in pointers])
        for pointers in _pointers_of_each(context, builder, signature, arguments, signature.return_type.count)
    ]
    return context.make_tuple(builder, signature.return_type, gathered)


def scatter_each(array, features, width, offset, step, values):
    """Write back what `gather_each` gives."""
    for i, value in enumerate(values):
        scatter(array, features, width, offset + i * step, value)


@emitted(scatter_each, lambda array, features, width, offset, step, values: types.none)
def _(context, builder, signature, arguments):
    values = cgutils.unpack_tuple(builder, arguments[5])
    each = _pointers_of_each(context, builder, signature, arguments, len(values))
    for value, pointers in zip(values, each, strict=True):
        _write(builder, value, pointers)
    return context.get_dummy_value()


def _pointers_of_each(context, builder, signature, arguments, count):
    """Give such pointers for each of several tables, `step` numbers, the argument after the offset, apart."""
    step = context.cast(builder, arguments[4], signature.args[4], types.intp)
    pointers = list(_pointers(context, builder, signature, arguments))
    for i in range(count):
        further = builder.mul(step, context.get_constant(types.intp, i))
        yield [builder.gep(pointer, [further]) for pointer in pointers]


def gaps(since, features, width, offset, now):
    """Give how far `now` is ahead of a clock of each feature; all of them then show `now`."""
    flat = since.reshape(-1)
    places = [int(f * width + offset) for f in features]
    found = np.array([np.float32(now - flat[place]) for place in places], np.float32)
    flat[places] = now
    return found


@emitted(gaps, lambda since, features, width, offset, now: Lanes(features.count))
def _(context, builder, signature, arguments):
    pointers, now = list(_pointers(context, builder, signature, arguments)), arguments[4]
    found = [builder.fptrunc(builder.fsub(now, builder.load(pointer)), FLOAT) for pointer in pointers]
    for pointer in pointers:
        builder.store(now, pointer)
    return _vector(builder, found)


def send_for_each(array, features, width, offset):
    """Send for the lines of some features into the second cache, see `lines.prefetch_far`."""


@emitted(send_for_each, lambda array, features, width, offset: types.none)
def _(context, builder, signature, arguments):
    for pointer in _pointers(context, builder, signature, arguments):
        send_for(context, builder, pointer, 0, 2)
    return context.get_dummy_value()
