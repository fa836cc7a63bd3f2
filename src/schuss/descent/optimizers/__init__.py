"""Update rules: what one step does to one weight, each formula once; `rule` says what a rule is.

A new optimizer is one definition in one of these modules, one row in `names`, and one row in the tests' table.
"""

from __future__ import annotations

from schuss.descent.optimizers.adam import Adam, AdamW, AMSGrad, Lion
from schuss.descent.optimizers.adaptive import Adadelta, Adagrad, CentredRMSprop, RMSprop
from schuss.descent.optimizers.averaging import Averaged, ScheduleFree
from schuss.descent.optimizers.ftrl import FTRL
from schuss.descent.optimizers.hyperparameters import bare, hyperparameters, per_run, with_settings
from schuss.descent.optimizers.names import OPTIMIZERS, own_name, rule_named
from schuss.descent.optimizers.plain import SGD, Momentum, Nesterov
from schuss.descent.optimizers.prodigy import Prodigy
from schuss.descent.optimizers.rule import Optimizer, Stepper, penalised, scalar_table, trait

__all__ = [
    "FTRL",
    "OPTIMIZERS",
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Averaged",
    "CentredRMSprop",
    "Lion",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "Prodigy",
    "RMSprop",
    "ScheduleFree",
    "Stepper",
    "bare",
    "hyperparameters",
    "own_name",
    "penalised",
    "per_run",
    "rule_named",
    "scalar_table",
    "trait",
    "with_settings",
]  # fmt: skip
