"""The advice: what the measurements say should be done next, each sentence with its numbers and its source."""

from __future__ import annotations

import math

from .. import layout
from ..ground import Rule, read_rules
from ..history import History
from ..markup import Markup, element
from ..words import amount

__all__ = ["advice"]


def advice(history: History) -> Markup:
    """Write the section of the advice, nothing where there is none."""
    rules = read_rules(history)
    if not rules:
        return Markup()
    return layout.section("advice", "What to try next", element("ul", {"class": "advice"}, *map(_written, rules)))


def _written(rule: Rule) -> Markup:
    measured = ", ".join(
        f"{name.replace('_', ' ')} {amount(value)}" for name, value in rule.numbers if math.isfinite(value)
    )
    reasons = ". ".join(filter(None, [measured and f"Measured: {measured}", rule.source and f"Source: {rule.source}"]))
    below = element("span", {"class": "reasons"}, f"{reasons}.") if reasons else ""
    return element("li", {}, element("span", {}, rule.sentence), below)
