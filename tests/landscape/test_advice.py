"""Advice: each rule is said where its facts hold, with its numbers, and not where they are unknown."""

from __future__ import annotations

import math

import pytest

from schuss.landscape.advice import RULES, advise, facts_of

SAID = {
    "ravine": ({"ravine": 500.0, "plain": 1.0}, {"ravine": 5.0, "plain": 1.0}),
    "edge of stability": ({"edge": 1.1}, {"edge": 0.2}),
    "still falling": ({"falling": 0.001}, {"falling": 0.00001}),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_said_where_it_applies(rule) -> None:
    applies, silent = SAID[rule.name]
    (said,) = advise(applies)
    assert said["rule"] == rule.name
    assert set(said["numbers"]) == set(rule.needs)
    assert "{" not in said["sentence"]
    assert said["source"]
    assert advise(silent) == []
    assert advise(dict.fromkeys(applies, math.nan)) == []
    assert advise({}) == []


def events(losses: list[float], optimizer: str = "sgd", **chosen: object) -> list[dict]:
    """The record of a training with these held-out losses of its winner, and its curvature."""
    settled = {"optimizer": optimizer, "learning_rate": 0.5, "batch_size": 32, **chosen}
    return [
        {"event": "data", "constant_loss": 1.0, "select_rows": 100},
        *({"event": "evaluation", "holdout_loss": {"3": loss, "4": 9.0}} for loss in losses),
        {"event": "finish", "winner": 3, "chosen": settled},
        {"event": "curvature", "eigenvalues": [3.0, 1.0], "ravine": {"first_to_tenth": None, "first_to_median": 200.0}},
    ]  # fmt: skip


def test_numbers_are_written_as_people_read_them() -> None:
    (said,) = advise({"ravine": 12345.678, "plain": 1.0})
    assert "curves 12,300 times" in said["sentence"]
    assert said["numbers"]["ravine"] == 12345.678
    (said,) = advise({"ravine": 4.51e6, "plain": 1.0})
    assert "curves 4,510,000 times" in said["sentence"]
    (said,) = advise({"falling": 0.0512})
    assert "brought 5.1% of all" in said["sentence"]
    (said,) = advise({"falling": 0.000312})
    assert "brought 0.031% of all" in said["sentence"]


def test_facts_come_from_the_events() -> None:
    falling = [1 - 0.05 * step for step in range(12)]
    found = facts_of(events(falling))
    assert found["edge"] == pytest.approx(0.75)
    assert found["falling"] == pytest.approx(0.15 / 0.55)
    assert [one["rule"] for one in advise(found)] == ["ravine", "still falling"]
    assert facts_of(events([*falling, 0.6, 0.7, 0.8]))["falling"] == 0.0


def test_rates_say_nothing_of_adaptive_rules_and_curves_nothing_of_a_solved_optimum() -> None:
    falling = [1 - 0.05 * step for step in range(12)]
    assert "edge" not in facts_of(events(falling, "adam"))
    assert not {"falling", "edge", "plain"} & facts_of(events(falling, finish="full-batch")).keys()
    assert facts_of([]) == {}
