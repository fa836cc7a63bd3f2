"""Names with numbers behind them, as a user writes them: `cosine`, `cosine:0.01`, `step:0.5,0.25`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

__all__ = ["Number", "parse_spec"]


class Number(NamedTuple):
    """What values a number may have: from `least` to `most`, `least` itself only if it is allowed."""

    least: float
    most: float = math.inf
    least_allowed: bool = True

    def allows(self, value: float) -> bool:
        """Say whether it may have this value."""
        return (self.least < value <= self.most and value < math.inf) or (self.least_allowed and value == self.least)

    def __str__(self) -> str:
        above = f"{'of at least' if self.least_allowed else 'above'} {self.least:g}"
        return above if self.most == math.inf else f"{above} and at most {self.most:g}"


def parse_spec(spec: str, known: dict[str, type[Any]], what: str) -> Any:
    """Make one of the known named tuples, whose `takes` lists the numbers that a user may give.

    Raises ValueError, with a sentence, at an unknown name, a number too many, or one that cannot be.
    """
    name, colon, text = spec.partition(":")
    if name not in known:
        raise ValueError(f"'{name}' is not one of the {what}s {', '.join(known)}")
    kind = known[name]
    given = text.split(",") if colon else []
    if len(given) > len(kind.takes):
        allowed = f"at most {len(kind.takes)} number{'s' if len(kind.takes) > 1 else ''}" if kind.takes else "no number"
        raise ValueError(f"the {what} {name} takes {allowed}, not '{text}'")
    values = {}
    for word, (field, number) in zip(given, kind.takes, strict=False):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not number.allows(value):
            raise ValueError(
                f"the {what} {name} takes a number {number} as its {field.replace('_', ' ')}, not '{word}'"
            )
        values[field] = value
    return kind(**values)
