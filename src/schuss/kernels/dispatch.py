"""How a generic kernel reaches the formulas of a rule and a loss.

A kernel is compiled once for each type of rule and loss it is called with; the named tuple is only a type here, its
numbers arrive through the table of scalars. Each function below exists twice: plain Python for uncompiled runs, and an
overload that hands numba the very same formula (closures and functions as arguments would never be cached).
"""

from __future__ import annotations

from types import FunctionType

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from schuss.descent import penalties
from schuss.kernels import elementary, estimates  # noqa: F401  (they register the formulas)
from schuss.kernels.options import compiled_form_of, inlined

inlined(penalties.l2_step)


def _formula(rule, name):
    """Take a formula from the class of a named tuple, without annotations: numba wants signatures to agree in these."""
    function = getattr(rule.instance_class, name)
    return FunctionType(function.__code__, function.__globals__, name, function.__defaults__)


def update(self, s, w, g, slots):
    """Give a rule's new weight and slots."""
    return self.update(s, w, g, slots)


@compiled_form_of(update)
def _update(self, s, w, g, slots):
    return _formula(self, "update")


def step(self, s, w, g, slots):
    """Give a rule's new weight and slots, without the penalty."""
    return self.step(s, w, g, slots)


@compiled_form_of(step)
def _step(self, s, w, g, slots):
    return _formula(self, "step")


def rest(self, s, total, w, slots):
    """Give weight and slots after steps without a gradient."""
    return self.rest(s, total, w, slots)


@compiled_form_of(rest)
def _rest(self, s, total, w, slots):
    return _formula(self, "rest")


def evaluate(self, s, y):
    """Give value and derivative of a loss of one output."""
    return self.evaluate(s, y)


@compiled_form_of(evaluate)
def _evaluate(self, s, y):
    return _formula(self, "evaluate")


def evaluate_into(self, s, y, d):
    """Write the gradient of a loss of several outputs into `d` and give the value."""
    return self.evaluate_into(s, y, d)


@compiled_form_of(evaluate_into)
def _evaluate_into(self, s, y, d):
    return _formula(self, "evaluate_into")


@intrinsic
def stack_table(typingctx, like):
    """Give an uninitialised float32 table `(len(like), 16)` on the caller's stack.

    LLVM knows that nothing else can write to it, which lets it vectorise loops that write weights. It must be called in
    the kernel itself: the stack of a helper ends with the helper, also when it is inlined.
    """
    rows = like.count
    array = types.Array(types.float32, 2, "C")

    def codegen(context, builder, signature, arguments):
        data = cgutils.alloca_once(builder, ir.FloatType(), size=max(16 * rows, 1))
        shape = cgutils.pack_array(builder, [context.get_constant(types.intp, n) for n in (rows, 16)])
        strides = cgutils.pack_array(builder, [context.get_constant(types.intp, n) for n in (64, 4)])
        result = make_array(array)(context, builder)
        populate_array(result, data=data, shape=shape, strides=strides, itemsize=4, meminfo=None)
        return result._getvalue()

    return array(like), codegen


@inlined
def fill(local, table):
    """Copy a step's scalars `(scalars, lanes)` into a table on the stack."""
    for i in range(len(table)):
        for k in range(np.uint64(table.shape[1])):
            local[i, k] = table[i, k]


def gather(table, column, like):
    """Give the tuple of `table[:, column]`; `like` is a tuple of that length."""
    return tuple(table[i, column] for i in range(len(like)))


@compiled_form_of(gather)
def _gather(table, column, like):
    if len(like) == 0:
        return lambda table, column, like: ()

    def filled(table, column, like):
        values = like
        for i in range(len(like)):
            values = tuple_setitem(values, i, table[np.uint64(i), column])
        return values

    return filled


def gather_slots(slots, feature, column, like):
    """Give the tuple of `slots[:, feature, column]`; `like` is a tuple of that length.

    Indexed in full: `slots[:, feature]` is an array whose strides LLVM does not know, and the loop over the runs would
    not be vectorised (Adagrad 16 against 120 ns a feature of sixteen runs, Adam 20 against 137).
    """
    return tuple(slots[i, feature, column] for i in range(len(like)))


@compiled_form_of(gather_slots)
def _gather_slots(slots, feature, column, like):
    if len(like) == 0:
        return lambda slots, feature, column, like: ()

    def filled(slots, feature, column, like):
        values = like
        for i in range(len(like)):
            values = tuple_setitem(values, i, slots[np.uint64(i), feature, column])
        return values

    return filled


def scatter_slots(slots, feature, column, values):
    """Write a tuple into `slots[:, feature, column]`."""
    for i in range(len(values)):
        slots[np.uint64(i), feature, column] = values[i]


@compiled_form_of(scatter_slots)
def _scatter_slots(slots, feature, column, values):
    if len(values) == 0:  # an empty tuple has no items that could be typed
        return lambda slots, feature, column, values: None
    return scatter_slots
