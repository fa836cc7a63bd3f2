"""How a generic kernel reaches the formulas of a rule and a loss.

A kernel is compiled once for each type of rule and loss it is called with; the named tuple is only a type here, its
numbers arrive through the table of scalars. Each function below exists twice: plain Python for uncompiled runs, and an
overload that hands numba the very same formula (closures and functions as arguments would never be cached).
"""

from __future__ import annotations

from types import FunctionType

from schuss.descent import ops, penalties
from schuss.descent.losses import binary, multiclass
from schuss.descent.optimizers import rule as rules
from schuss.descent.optimizers.rule import measure, rest, settle, step, update
from schuss.kernels import elementary, estimates  # noqa: F401  (they register the formulas)
from schuss.kernels.options import compiled_form_of, inlined

__all__ = ["evaluate", "evaluate_into", "measure", "rest", "settle", "slope", "step", "update", "value"]

for formula in (
    ops.sigmoid,
    binary.squared_hinge,
    binary.modified_huber,
    binary.half_squared_sigmoid,
    multiclass.towards_rival,
):
    inlined(formula)


def _formula(rule, name):
    """Take a formula from the class of a named tuple, without annotations: numba wants signatures to agree in these."""
    function = getattr(rule.instance_class, name)
    return FunctionType(function.__code__, function.__globals__, name, function.__defaults__)


@compiled_form_of(rules.move)
def _move(self, s, w, g, slots):
    return _formula(self, "move")


@compiled_form_of(rules.resting_rate)
def _resting_rate(self, s, total, slots):
    return _formula(self, "resting_rate")


@compiled_form_of(penalties.moved)
def _moved(self, p, q, w, move, rate):
    return _formula(self, "moved")


@compiled_form_of(update)
def _update(self, s, w, g, slots):
    return _formula(self, "update")


@compiled_form_of(measure)
def _measure(self, w, g, slots):
    return _formula(self, "measure")


@compiled_form_of(settle)
def _settle(self, s, sums):
    return _formula(self, "settle")


@compiled_form_of(step)
def _step(self, s, w, g, slots):
    return _formula(self, "step")


@compiled_form_of(rest)
def _rest(self, s, total, w, slots):
    return _formula(self, "rest")


def evaluate(self, s, y):
    """Give value and derivative of a loss of one output."""
    return self.evaluate(s, y)


@compiled_form_of(evaluate)
def _evaluate(self, s, y):
    return _formula(self, "evaluate")


def value(self, z):
    """Give what an activation makes of a sum."""
    return self.value(z)


@compiled_form_of(value)
def _value(self, z):
    return _formula(self, "value")


def slope(self, z, a):
    """Give the derivative of an activation."""
    return self.slope(z, a)


@compiled_form_of(slope)
def _slope(self, z, a):
    return _formula(self, "slope")


def evaluate_into(self, s, y, d):
    """Write the gradient of a loss of several outputs into `d` and give the value."""
    return self.evaluate_into(s, y, d)


@compiled_form_of(evaluate_into)
def _evaluate_into(self, s, y, d):
    return _formula(self, "evaluate_into")
