"""Names with numbers behind them, as a user writes them: `cosine`, `cosine:0.01`, `step:0.5,every=0.25`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = [
    "ANY", "AT_LEAST_ZERO", "BELOW_ONE", "POSITIVE", "Number", "is_value", "parse_spec", "parse_values", "split_specs",
]  # fmt: skip


class Number(NamedTuple):
    """What values a number may have: from `least` to `most`, these themselves only if they are allowed."""

    least: float
    most: float = math.inf
    least_allowed: bool = True
    most_allowed: bool = True

    def allows(self, value: float) -> bool:
        """Say whether it may have this value."""
        if value in (self.least, self.most):
            return math.isfinite(value) and (self.least_allowed if value == self.least else self.most_allowed)
        return self.least < value < self.most

    def __str__(self) -> str:
        if self.least == -math.inf:
            return ""
        above = f" {'of at least' if self.least_allowed else 'above'} {self.least:g}"
        below = f" and {'at most' if self.most_allowed else 'below'} {self.most:g}"
        return above if self.most == math.inf else above + below


ANY, AT_LEAST_ZERO, POSITIVE = Number(-math.inf), Number(0.0), Number(0.0, least_allowed=False)
BELOW_ONE = Number(0.0, 1.0, most_allowed=False)


def parse_spec(spec: str, known: dict[str, type[Any]], what: str) -> Any:
    """Make one of the known named tuples, whose `takes` lists the numbers that a user may give.

    Raises ValueError, with a sentence, at an unknown name, a number too many, or one that cannot be.
    """
    name, colon, text = spec.partition(":")
    if name not in known:
        raise ValueError(f"'{name}' is not one of the {what}s {', '.join(known)}")
    kind = known[name]
    return kind(**parse_values(text if colon else None, kind.takes, f"the {what} {name}"))


def parse_values(text: str | None, takes: Sequence[tuple[str, Number]], whose: str) -> dict[str, float]:
    """Read numbers in the order of `takes`, or as `NAME=NUMBER`; raises ValueError with a sentence.

    >>> parse_values("0.8,epsilon=1e-6", (("beta1", BELOW_ONE), ("beta2", BELOW_ONE), ("epsilon", POSITIVE)), "adam")
    {'beta1': 0.8, 'epsilon': 1e-06}
    """
    words = [] if text is None else text.split(",")
    if len(words) > len(takes):
        allowed = f"at most {len(takes)} number{'s' if len(takes) > 1 else ''}" if takes else "no number"
        raise ValueError(f"{whose} takes {allowed}, not '{text}'")
    numbers, values = dict(takes), {}
    for place, word in enumerate(words):
        name, equals, number = word.partition("=")
        field, number = (name, number) if equals else (takes[place][0], word)
        if field not in numbers:
            raise ValueError(f"{whose} has no '{field}'; what can be set is {', '.join(numbers)}")
        if field in values:
            raise ValueError(f"{whose} is given its {field.replace('_', ' ')} twice by '{text}'")
        values[field] = _number(number, numbers[field], whose, field.replace("_", " "))
    return values


def _number(word: str, number: Number, whose: str, field: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not number.allows(value):
        raise ValueError(f"{whose} takes a number{number} as its {field}, not '{word}'")
    return value


def is_value(word: str) -> bool:
    """Say whether a word is a number, or `NAME=…`, and no name."""
    before, equals, _ = word.partition("=")
    if equals:
        return ":" not in before
    try:
        float(word)
    except ValueError:
        return False
    return True


def split_specs(text: str) -> tuple[str, ...]:
    """Take a list of names apart at its commas, but for those between the numbers of a name.

    >>> split_specs("adam:beta1=0.8,beta2=0.99,sgd,step:0.5,0.25")
    ('adam:beta1=0.8,beta2=0.99', 'sgd', 'step:0.5,0.25')
    """
    specs: list[str] = []
    for word in text.split(","):
        if specs and is_value(word):
            specs[-1] += f",{word}"
        else:
            specs.append(word)
    return tuple(specs)
