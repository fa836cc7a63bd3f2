"""Rules by the name that a user gives."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from typing import Any

from schuss.descent.optimizers.adam import Adam, AdamW, AMSGrad, Lion
from schuss.descent.optimizers.adaptive import Adadelta, Adagrad, CentredRMSprop, RMSprop
from schuss.descent.optimizers.averaging import Averaged, ScheduleFree, schedule_free_adamw
from schuss.descent.optimizers.ftrl import FTRL
from schuss.descent.optimizers.hyperparameters import bare, settings_of, with_settings
from schuss.descent.optimizers.plain import SGD, Momentum, Nesterov
from schuss.descent.optimizers.prodigy import Prodigy
from schuss.descent.optimizers.rule import trait
from schuss.errors import OptionError
from schuss.named import load

__all__ = ["OPTIMIZERS", "own_name", "rule_named"]

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "centred_rmsprop": CentredRMSprop,
    "adam": Adam,
    "amsgrad": AMSGrad,
    "adamw": AdamW,
    "lion": Lion,
    "ftrl": FTRL,
    "prodigy": Prodigy,
    "schedule_free_sgd": ScheduleFree,
    "schedule_free_adamw": schedule_free_adamw,
}
"""The rules; called without arguments they have their usual hyperparameters."""

AVERAGED = "averaged_"
WAYS = ("scaled", "coasting", "resting", "every")


@cache
def rule_named(spec: str) -> Any:
    """Give a rule: by its name here, as `module:Name`, or `averaged_` before either, and hyperparameters behind it.

    Raises OptionError for a name that is none of these, a class that is no rule, and a number that cannot be.

    >>> rule_named("averaged_sgd"), rule_named("momentum:0.8"), rule_named("adam:epsilon=1e-4").epsilon
    (Averaged(rule=SGD(), power=8.0), Momentum(momentum=0.8, dampening=0.0), 0.0001)
    """
    rule = _rule(bare(spec))
    try:
        return with_settings(rule, settings_of(rule, spec))
    except ValueError as error:
        raise OptionError(f"option '--optimizer': {error}") from None


def own_name(spec: str) -> str | None:
    """Give the `module:Name` in what names a rule of the user's own, None for a rule that is here.

    >>> own_name("averaged_rules:Signs"), own_name("momentum:0.8")
    ('rules:Signs', None)
    """
    name = bare(spec)
    while name not in OPTIMIZERS and name.startswith(AVERAGED):
        name = name.removeprefix(AVERAGED)
    return name if ":" in name else None


def _rule(name: str) -> Any:
    """Give a rule with its usual hyperparameters."""
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]()
    if name.startswith(AVERAGED):
        return Averaged(_rule(name.removeprefix(AVERAGED)))
    if ":" in name:
        return _checked(load(name, "option '--optimizer'"), name)
    close = difflib.get_close_matches(name, OPTIMIZERS, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    known = f"auto, {', '.join(OPTIMIZERS)}, {AVERAGED}NAME or MODULE:NAME"
    raise OptionError(f"option '--optimizer' is one of {known}, not '{name}'{hint}")


def _checked(found: Any, name: str) -> Any:
    """Make a rule of what a user has named, and refuse what is none."""
    try:
        rule: Any = found() if callable(found) else found
    except TypeError as error:
        raise OptionError(f"optimizer '{name}' needs a default for each of its hyperparameters: {error}") from None
    lacking = [part for part in ("scalar_names", "slot_names", "scalars", "move") if not hasattr(rule, part)]
    if lacking or not hasattr(rule, "_fields"):
        what = f"has no {' and no '.join(lacking)}" if lacking else "is no named tuple"
        raise OptionError(f"optimizer '{name}' is not a rule: it {what}")
    way = trait(rule, "sparse")
    if way not in WAYS:
        raise OptionError(f"optimizer '{name}' has sparse = '{way}', which is none of {', '.join(WAYS)}")
    return rule
