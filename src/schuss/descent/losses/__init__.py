"""Losses: how wrong a row's scores are, and in which direction they should move.

A loss works on one row's scores `s`, one per output, and the row's target `y`. Each is a named tuple of its parameters
with formulas of two kinds: `binary` and `regression` have one output, `multiclass` one for each class. Targets of
classification are class indices 0 … C − 1 (two classes need one output, whose score is for class 1); those of
regression are numbers. Each formula is written once with `ops`: on NumPy arrays it works on all rows at once (the
trailing axes), compiled it works on one row of one run.

`smooth` says that a loss has a continuous gradient; all others are piecewise linear, and their gradient at a kink is a
subgradient. `convex` says what it says.
"""

from schuss.descent.losses.binary import (
    Hinge,
    LogLoss,
    ModifiedHuber,
    Perceptron,
    SigmoidSquaredError,
    SquaredHinge,
    ZeroOne,
)
from schuss.descent.losses.constants import constant_classes, constant_number, constant_scores
from schuss.descent.losses.multiclass import (
    CrammerSinger,
    MulticlassHinge,
    MulticlassModifiedHuber,
    MulticlassPerceptron,
    MulticlassSigmoidSquaredError,
    MulticlassSquaredHinge,
    MulticlassZeroOne,
    Softmax,
)
from schuss.descent.losses.registry import (
    LOSSES,
    Family,
    Loss,
    Parameter,
    family_of,
    is_loss,
    judge_of,
    loss_for,
    unit_of,
)
from schuss.descent.losses.regression import (
    AbsoluteError,
    EpsilonInsensitive,
    Huber,
    Poisson,
    Quantile,
    SquaredEpsilonInsensitive,
    SquaredError,
)
from schuss.descent.losses.rows import (
    PROBABILISTIC,
    curvature_products,
    curvatures,
    has_probabilities,
    predicted_numbers,
    probabilities,
    values_and_gradients,
)

__all__ = [
    "LOSSES",
    "PROBABILISTIC",
    "AbsoluteError",
    "CrammerSinger",
    "EpsilonInsensitive",
    "Family",
    "Hinge",
    "Huber",
    "LogLoss",
    "Loss",
    "ModifiedHuber",
    "MulticlassHinge",
    "MulticlassModifiedHuber",
    "MulticlassPerceptron",
    "MulticlassSigmoidSquaredError",
    "MulticlassSquaredHinge",
    "MulticlassZeroOne",
    "Parameter",
    "Perceptron",
    "Poisson",
    "Quantile",
    "SigmoidSquaredError",
    "Softmax",
    "SquaredEpsilonInsensitive",
    "SquaredError",
    "SquaredHinge",
    "ZeroOne",
    "constant_classes",
    "constant_number",
    "constant_scores",
    "curvature_products",
    "curvatures",
    "family_of",
    "has_probabilities",
    "is_loss",
    "judge_of",
    "loss_for",
    "predicted_numbers",
    "probabilities",
    "unit_of",
    "values_and_gradients",
]
