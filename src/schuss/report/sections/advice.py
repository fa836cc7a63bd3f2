"""The advice: what the measurements say should be done next, each sentence with its numbers and its source."""

from __future__ import annotations

import math

from .. import layout
from ..ground import Rule, read_rules
from ..history import History, mapping
from ..markup import Markup, element
from ..words import amount

__all__ = ["advice"]


def advice(history: History) -> Markup:
    """Write the section of the advice, nothing where no rule was asked."""
    rules, heading = read_rules(history), "What to try next"
    if not rules:
        return layout.section("advice", heading, layout.paragraph(_silence(history))) if _asked(history) else Markup()
    return layout.section("advice", heading, element("ul", {"class": "advice"}, *map(_written, rules)))


def _asked(history: History) -> bool:
    return "advice" in history.measured and history.finish is not None


def _silence(history: History) -> str:
    """Say why no rule speaks."""
    if "finish" not in mapping(history.finish, "chosen"):
        return "No rule applies: nothing that was measured speaks for other settings."
    return (
        "Full passes have brought the model to the optimum of its objective, where optimizer, learning rate and batch "
        "size no longer matter. What is left to try: other columns, more rows, a network (--network 256,128)."
    )


def _written(rule: Rule) -> Markup:
    measured = ", ".join(
        f"{name.replace('_', ' ')} {amount(value)}" for name, value in rule.numbers if math.isfinite(value)
    )
    reasons = ". ".join(filter(None, [measured and f"Measured: {measured}", rule.source and f"Source: {rule.source}"]))
    below = element("span", {"class": "reasons"}, f"{reasons}.") if reasons else ""
    return element("li", {}, element("span", {}, rule.sentence), below)
