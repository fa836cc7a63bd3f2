"""Advice: rules that turn what was measured into plain sentences, each with its number and its source.

A rule looks at a few facts and either applies or not; it never decides anything for the training. Rules that were tried
and dropped stand in benchmarks/advice.py: momentum as the best optimizer for a ravine, Adagrad for rare features, Adam
for both.
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

FAR = 8.0
"""A batch is far from the noise scale at this factor above or below."""

FALLING = 0.01
RISING = 0.02
"""Shares of what was gained over the constant prediction."""

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
        "The valley is a ravine: its steepest direction curves {ravine:.3g} times as much as the median one, and plain "
        "SGD zigzags in it. Momentum adds up steps along the floor; on such data adaptive rates did better still.",
        "Polyak 1964; Goh 2017, Why Momentum Really Works; benchmarks/advice.py",
    ),
    Rule(
        "edge of stability",
        ("edge",),
        lambda facts: facts["edge"] >= AT_THE_EDGE,
        "The learning rate is at {edge:.2g} of the edge 2 / λ₁, beyond which steps along the steepest direction grow: "
        "a larger one will not converge, a smaller one or a falling schedule is safe.",
        "Cohen et al. 2021, Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability",
    ),
    Rule(
        "small batch",
        ("batch_size", "noise_scale"),
        lambda facts: facts["batch_size"] * FAR <= facts["noise_scale"],
        "At the end the noise of a gradient is level with the gradient at {noise_scale:.3g} rows, and a batch has "
        "{batch_size:g}: larger batches would take nearly proportionally fewer steps.",
        "McCandlish et al. 2018, An Empirical Model of Large-Batch Training",
    ),
    Rule(
        "large batch",
        ("batch_size", "noise_scale"),
        lambda facts: facts["batch_size"] >= FAR * facts["noise_scale"],
        "A batch of {batch_size:g} rows is far above the noise scale of {noise_scale:.3g}: most of its rows repeat "
        "what the others say, and smaller batches learn as much a step.",
        "McCandlish et al. 2018, An Empirical Model of Large-Batch Training",
    ),
    Rule(
        "still falling",
        ("falling",),
        lambda facts: facts["falling"] >= FALLING,
        "The held-out loss was still falling: the last quarter of the training brought {falling:.1%} of all that was "
        "gained. More epochs will help.",
        "Prechelt 1998, Early Stopping – But When?",
    ),
    Rule(
        "held-out loss rises",
        ("rising",),
        lambda facts: facts["rising"] >= RISING,
        "The held-out loss rose again, by {rising:.1%} of what had been gained, while training went on: a stronger "
        "penalty (--l2) or fewer epochs.",
        "Prechelt 1998, Early Stopping – But When?",
    ),
)


def advise(facts: Facts) -> list[dict[str, Any]]:
    """Say what follows from facts: for each rule that applies its name, sentence, numbers and source.

    >>> [one["rule"] for one in advise({"ravine": 5000.0, "plain": 1.0, "edge": 0.1})]
    ['ravine']
    """
    known = {name: value for name, value in facts.items() if value is not None and not math.isnan(value)}
    return [
        {
            "rule": rule.name,
            "sentence": rule.sentence.format(**known),
            "numbers": {name: known[name] for name in rule.needs},
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
    scale = last.get("noise", {}).get("scale")
    if scale is not None and chosen.get("batch_size"):
        facts |= {"noise_scale": float(scale), "batch_size": float(chosen["batch_size"])}
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
    """See from the winner's held-out losses whether they were still falling, or rising again."""
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
    return {"falling": max(before - end, 0.0) / gained, "rising": (end - lowest) / gained}
