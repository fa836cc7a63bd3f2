"""The losses by the names that a user gives: `NAME`, or `NAME:NUMBER` for one with a parameter."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from schuss.descent.losses import binary, multiclass, regression

__all__ = ["LOSSES", "Family", "Loss", "Parameter", "family_of", "is_loss", "judge_of", "loss_for", "unit_of"]

Loss = Any
"""One of the named tuples of this package."""


class Parameter(NamedTuple):
    """The number of a loss: its symbol, the open interval of its values (`least` may be allowed), and its unit.

    in_units : whether it is given in the units of the targets.
    """

    symbol: str
    least: float
    most: float
    in_units: bool
    least_allowed: bool = False

    def requirement(self) -> str:
        """Say what values there are."""
        if self.most < math.inf:
            return f"a number between {self.least:g} and {self.most:g}"
        return f"a number {'of at least' if self.least_allowed else 'above'} {self.least:g}"

    def allows(self, value: float) -> bool:
        """Say whether a value is one."""
        return self.least < value < self.most or (self.least_allowed and value == self.least)


class Family(NamedTuple):
    """A loss with all its forms.

    forms : for two classes or a number, and for more classes; task : what it is for; parameter : its number, if it has
    one; power : losses of targets in another unit are multiplied by its ratio to this power; whole : by what the loss
    is multiplied to be reported: squares and deviances are halved in training; positive : for targets of at least zero,
    which are divided by their mean in training, where others are standardised.
    """

    forms: tuple[type[Any], ...]
    task: str
    parameter: Parameter | None = None
    power: int = 0
    whole: float = 1.0
    positive: bool = False


_CLASSES, _NUMBERS = "classification", "regression"
_MARGIN = Parameter("Δ", 0.0, math.inf, False)

LOSSES: dict[str, Family] = {
    "log_loss": Family((binary.LogLoss, multiclass.Softmax), _CLASSES),
    "hinge": Family((binary.Hinge, multiclass.MulticlassHinge), _CLASSES, _MARGIN),
    "crammer_singer": Family((binary.Hinge, multiclass.CrammerSinger), _CLASSES, _MARGIN),
    "squared_hinge": Family((binary.SquaredHinge, multiclass.MulticlassSquaredHinge), _CLASSES, _MARGIN),
    "modified_huber": Family((binary.ModifiedHuber, multiclass.MulticlassModifiedHuber), _CLASSES),
    "perceptron": Family((binary.Perceptron, multiclass.MulticlassPerceptron), _CLASSES),
    "sigmoid_squared_error": Family(
        (binary.SigmoidSquaredError, multiclass.MulticlassSigmoidSquaredError), _CLASSES, whole=2.0
    ),
    "squared_error": Family((regression.SquaredError,), _NUMBERS, power=2, whole=2.0),
    "absolute_error": Family((regression.AbsoluteError,), _NUMBERS, power=1),
    "huber": Family((regression.Huber,), _NUMBERS, Parameter("δ", 0.0, math.inf, True), power=2),
    "epsilon_insensitive": Family(
        (regression.EpsilonInsensitive,), _NUMBERS, Parameter("ε", 0.0, math.inf, True, least_allowed=True), power=1
    ),
    "squared_epsilon_insensitive": Family(
        (regression.SquaredEpsilonInsensitive,),
        _NUMBERS,
        Parameter("ε", 0.0, math.inf, True, least_allowed=True),
        power=2,
    ),
    "quantile": Family((regression.Quantile,), _NUMBERS, Parameter("τ", 0.0, 1.0, False), power=1),
    "poisson": Family((regression.Poisson,), _NUMBERS, power=1, whole=2.0, positive=True),
}
"""The losses by name; without a number, a parameter has its formula's default, in units of the standardised target."""


def _parsed(spec: str) -> tuple[Family, float | None]:
    """Take a name and its number apart; raises ValueError with a sentence."""
    name, colon, number = spec.partition(":")
    if name not in LOSSES:
        raise ValueError(f"'{name}' is not one of the losses {', '.join(LOSSES)}")
    family = LOSSES[name]
    if not colon:
        return family, None
    if family.parameter is None:
        raise ValueError(f"the loss {name} takes no number, and got '{number}'")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not family.parameter.allows(value):
        raise ValueError(f"{name}:{family.parameter.symbol} takes {family.parameter.requirement()}, not '{number}'")
    return family, value


def family_of(spec: str) -> Family:
    """Give what the loss `NAME` or `NAME:NUMBER` is.

    Raises ValueError, with a sentence, where there is no such loss or its number cannot be.

    >>> family_of("quantile:0.9").task
    'regression'
    """
    return _parsed(spec)[0]


def is_loss(spec: str, task: str) -> bool:
    """Say whether there is such a loss for a task."""
    try:
        return family_of(spec).task == task
    except ValueError:
        return False


def loss_for(spec: str, outputs: int, target_scale: float = 1.0) -> Loss:
    """Give the formula of the loss `NAME` or `NAME:NUMBER` for so many outputs (1 for two classes or a number).

    target_scale : what targets are divided by in training, and with them parameters in their unit.

    >>> loss_for("huber:3", 1, target_scale=2.0), loss_for("hinge", 3)
    (Huber(delta=1.5), MulticlassHinge(margin=1.0))
    """
    family, value = _parsed(spec)
    form = family.forms[0] if outputs == 1 else family.forms[1]
    if value is None or family.parameter is None:
        return form()
    return form(value / target_scale if family.parameter.in_units else value)


def unit_of(spec: str, target_scale: float) -> float:
    """Give what a mean loss of training is multiplied by to be reported: whole squares, in the units of the targets.

    >>> unit_of("squared_error", 3.0), unit_of("absolute_error", 3.0), unit_of("log_loss", 1.0)
    (18.0, 3.0, 1.0)
    """
    family = family_of(spec)
    return family.whole * target_scale**family.power


def judge_of(loss: Loss) -> Loss:
    """Give the loss that models are judged by: the same, but for a perceptron the share of wrong rows."""
    if isinstance(loss, binary.Perceptron):
        return binary.ZeroOne()
    return multiclass.MulticlassZeroOne() if isinstance(loss, multiclass.MulticlassPerceptron) else loss
