"""Advice: rules that turn what was measured into plain sentences, each with its number and its source.

A rule looks at a few facts and either applies or not; it never decides anything for the training. Which promises hold
is tried by benchmarks/advice.py, where also stand those that did not and were dropped: batches far from the noise
scale, a held-out loss that rises, Adagrad for rare features, Adam for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

__all__ = ["RULES", "Facts", "Rule", "advise", "facts_of"]

RAVINE = 100.0
"""λ₁ over the median eigenvalue from which plain descent crawls: flat directions need so many steps."""

AT_THE_EDGE = 0.8
"""η λ₁ / 2 from which a plain step is about as long as the steepest direction allows; beyond 1 it overshoots."""

FALLING = 1e-4
"""Share of what was gained over the constant prediction."""

Facts = Mapping[str, float]


class Rule(NamedTuple):
    """When a sentence is said.

    needs : the facts it looks at, without which it is silent; applies : whether it is said; sentence : with the facts
    in braces; source : who found that.
    """

    name: str
    needs: tuple[str, ...]
    applies: Callable[[Facts], bool]
    sentence: str
    source: str


RULES = (
    Rule(
        "ravine",
        ("ravine", "plain"),
        lambda facts: facts["ravine"] >= RAVINE,
        "The valley is a ravine: its steepest direction curves {ravine} times as much as the median one, and plain SGD "
        "zigzags in it. In ravines like this momentum and Adam mostly end surely ahead of it after as many steps.",
        "Polyak 1964; Goh 2017, Why Momentum Really Works; benchmarks/advice.py",
    ),
    Rule(
        "edge of stability",
        ("edge",),
        lambda facts: facts["edge"] >= AT_THE_EDGE,
        "The learning rate is at {edge} of the edge 2 / λ₁, beyond which steps along the steepest direction grow: a "
        "larger one will not converge, a smaller one or a falling schedule is safe.",
        "Cohen et al. 2021, Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability; "
        "benchmarks/advice.py",
    ),
    Rule(
        "still falling",
        ("falling",),
        lambda facts: facts["falling"] >= FALLING,
        "The held-out loss was still falling: the last quarter of the training brought {falling:share} of all that was "
        "gained. More epochs may help.",
        "Prechelt 1998, Early Stopping – But When?; benchmarks/advice.py",
    ),
)


class _Fact(float):
    """A number that is written into a sentence as people read it."""

    def __format__(self, kind: str) -> str:
        if kind == "share":
            return f"{100 * float(self):.2g}%"
        rounded = float(f"{float(self):.3g}")
        return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def advise(facts: Facts) -> list[dict[str, Any]]:
    """Say what follows from facts: for each rule that applies its name, sentence, numbers and source.

    >>> [one["rule"] for one in advise({"ravine": 5000.0, "plain": 1.0, "edge": 0.1})]
    ['ravine']
    >>> advise({"ravine": 4513.2, "plain": 1.0})[0]["sentence"][:69]
    'The valley is a ravine: its steepest direction curves 4,510 times as '
    """
    known = {name: _Fact(value) for name, value in facts.items() if value is not None and not math.isnan(value)}
    return [
        {
            "rule": rule.name,
            "sentence": rule.sentence.format(**known),
            "numbers": {name: float(known[name]) for name in rule.needs},
            "source": rule.source,
        }
        for rule in RULES
        if all(name in known for name in rule.needs) and rule.applies(known)
    ]


def facts_of(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Gather the facts from the events of a training and of its landscape; what they do not tell is left out."""
    last: dict[str, Mapping[str, Any]] = {}
    evaluations = []
    for event in events:
        last[str(event["event"])] = event
        if event["event"] == "evaluation":
            evaluations.append(event)
    facts: dict[str, float] = {}
    chosen = last.get("finish", {}).get("chosen") or {}
    if "curvature" in last:
        facts |= _of_curvature(last["curvature"], chosen)
    if "finish" in last and _ended_with_the_race(chosen):
        facts |= _of_curve(evaluations, last)
    return facts


def _ended_with_the_race(chosen: Mapping[str, Any]) -> bool:
    """Whether no solve for the optimum and no committee has come after, which leave nothing of how the race ended."""
    return "finish" not in chosen and chosen.get("members", 1) == 1


def _of_curvature(curvature: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, float]:
    values, ravine = curvature["eigenvalues"], curvature["ravine"]
    facts: dict[str, float] = {}
    ratio = ravine["first_to_median"]
    if ratio is not None and math.isfinite(ratio):
        facts["ravine"] = float(ratio)
    if chosen.get("optimizer") == "sgd" and _ended_with_the_race(chosen) and len(values):
        facts["plain"] = 1.0
        facts["edge"] = float(chosen["learning_rate"]) * float(values[0]) / 2
    return facts


def _of_curve(evaluations: list[Mapping[str, Any]], last: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """See from the winner's held-out losses whether they were still falling."""
    winner, constant = last["finish"].get("winner"), last.get("data", {}).get("constant_loss")
    losses = [event["holdout_loss"].get(str(winner)) for event in evaluations]
    curve = [float(loss) for loss in losses if loss is not None]
    if len(curve) < 8 or constant is None or not last.get("data", {}).get("select_rows"):
        return {}
    lowest, end = min(curve), curve[-1]
    gained = float(constant) - lowest
    if gained <= 0:
        return {}
    before = min(curve[: -len(curve) // 4])
    return {"falling": max(before - end, 0.0) / gained}
