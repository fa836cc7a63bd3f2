"""The hyperparameters of a rule by the names that a user gives them, and rules that have one number a run.

A rule lists those that can be set in `takes`; of one that does not, all fields that are numbers can. Of a rule made of
another one (an average, schedule-free steps) both have theirs, its own first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from schuss.descent.optimizers.rule import trait
from schuss.descent.specs import ANY, Number, is_value, parse_values

__all__ = ["bare", "hyperparameters", "per_run", "settings_of", "with_settings"]


def bare(spec: str) -> str:
    """Give the name of a rule without the hyperparameters behind it.

    >>> bare("adam:beta1=0.8"), bare("own.py:Mine:0.5"), bare("own.py:Mine")
    ('adam', 'own.py:Mine', 'own.py:Mine')
    """
    return _parts(spec)[0]


def _parts(spec: str) -> tuple[str, str | None]:
    """Part a name from the hyperparameters behind it."""
    name, colon, text = spec.rpartition(":")
    return (name, text) if colon and all(map(is_value, text.split(","))) else (spec, None)


def settings_of(rule: Any, spec: str) -> dict[str, float]:
    """Give the hyperparameters that stand behind the name of a rule; raises ValueError with a sentence.

    >>> from schuss.descent.optimizers import Adam
    >>> settings_of(Adam(), "adam:0.8,epsilon=1e-6"), settings_of(Adam(), "adam")
    ({'beta1': 0.8, 'epsilon': 1e-06}, {})
    """
    name, text = _parts(spec)
    return {} if text is None else parse_values(text, _takes(rule), f"the optimizer {name}")


def hyperparameters(rule: Any) -> dict[str, tuple[float, Number]]:
    """Give the hyperparameters of a rule that can be set, with the values that they may have.

    >>> from schuss.descent.optimizers import Momentum
    >>> {name: value for name, (value, _) in hyperparameters(Momentum()).items()}
    {'momentum': 0.9, 'dampening': 0.0}
    """
    return {name: (_of(rule, name), number) for name, number in _takes(rule)}


def with_settings(rule: Any, values: dict[str, Any]) -> Any:
    """Give a rule with other hyperparameters; what it has not itself is that of the rule it is made of."""
    own = {name: value for name, value in values.items() if name in rule._fields}
    others = {name: value for name, value in values.items() if name not in own}
    inner = {"rule": with_settings(rule.rule, others)} if others else {}
    return rule._replace(**own, **inner)


def per_run(rule: Any, specs: Sequence[str]) -> Any:
    """Give a rule with an array, one number a run, for each hyperparameter that the specs of some runs set."""
    settings = [settings_of(rule, spec) for spec in specs]
    names = dict.fromkeys(name for one in settings for name in one)
    return with_settings(rule, {name: np.array([one.get(name, _of(rule, name)) for one in settings]) for name in names})


def _of(rule: Any, name: str) -> float:
    """Give a hyperparameter."""
    return float(getattr(rule, name) if name in rule._fields else _of(rule.rule, name))


def _takes(rule: Any) -> tuple[tuple[str, Number], ...]:
    """Give the hyperparameters that can be set, with their values."""
    numbers = tuple((name, ANY) for name, value in rule._asdict().items() if isinstance(value, int | float))
    own = trait(rule, "takes") or numbers
    names = [name for name, _ in own]
    inner = _takes(rule.rule) if "rule" in rule._fields else ()
    return (*own, *((name, number) for name, number in inner if name not in names))
