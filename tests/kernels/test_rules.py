"""Every rule compiled: against its references in float32, against itself uncompiled, and its machine code."""

from __future__ import annotations

import platform
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numba import njit
from tests import references
from tests.cases import RULE_CASES, RULES_BY_NAME, RuleCase, ids

from schuss.descent.optimizers import penalised, scalar_table
from schuss.descent.penalties import L2, ElasticNet
from schuss.kernels.dispatch import update
from schuss.kernels.lanes import load, store
from schuss.kernels.lines import load_each, store_each
from schuss.kernels.options import FAST
from schuss.population.block import plain

every_rule = pytest.mark.parametrize("case", RULE_CASES, ids=ids(RULE_CASES))
STEPS, FEATURES, LANES = 200, 20, 4


def follow(stepper, like, table, gradients, weights, slots):
    """Step all weights along all gradients `(steps, features)`."""
    for t in range(len(gradients)):
        scalars = load_each(table, t * len(like[0]) * len(like[2]), len(like[2]), like[0], like[2])
        for f in range(len(weights)):
            memory = load_each(slots, f * len(like[2]), weights.size, like[1], like[2])
            g = load(gradients, t, f * len(like[2]), like[2])
            w, memory = update(stepper, scalars, load(weights, f, 0, like[2]), g, memory)
            store(weights, f, 0, w)
            store_each(slots, f * len(like[2]), weights.size, memory)


def problem(case: RuleCase, l1: float) -> tuple[Any, ...]:
    """What `follow` takes, for each rate of a case and a lane without a run, and the carry at the end."""
    stepper = penalised(case.rule, ElasticNet() if l1 else L2())
    rates = np.array([*case.rates, 0.0])
    start = np.repeat(np.array(stepper.carry_start).reshape(-1, 1), LANES, axis=1)
    penalties = np.full(LANES, 0.01 if l1 else 0.0), np.full(LANES, l1)
    carry, table = scalar_table(stepper, start, np.repeat(rates[None], STEPS, axis=0), *penalties)
    gradients = np.random.default_rng(0).normal(size=(STEPS, FEATURES)).astype(np.float32)
    gradients *= 10.0 ** np.linspace(-3, 1, FEATURES, dtype=np.float32)
    zero = np.float32(0)
    like = (zero,) * len(stepper.scalar_names), (zero,) * len(stepper.slot_names), (zero,) * LANES
    weights, slots = np.zeros((FEATURES, LANES), np.float32), np.zeros((len(like[1]), FEATURES, LANES), np.float32)
    wide = np.repeat(gradients, LANES, axis=1)
    return stepper, like, table.astype(np.float32), wide, weights, slots, gradients, carry


@cache
def compiled(name: str, l1: float) -> tuple[np.ndarray, str]:
    """The weights that count after all steps `(features, lanes)`, and the machine code."""
    stepper, like, table, wide, weights, slots, _, carry = problem(RULES_BY_NAME[name], l1)
    steps = njit(**FAST)(follow)
    steps(plain(stepper), like, table, wide, weights, slots)
    after = stepper.evaluated(carry, weights, slots) if hasattr(stepper, "evaluated") else weights
    return after, steps.inspect_asm(steps.signatures[0])


@every_rule
def test_references_agree_after_200_steps(case: RuleCase) -> None:
    ours, gradients = compiled(case.name, 0.0)[0], problem(case, 0.0)[6]
    for k, rate in enumerate(case.rates):
        tensor = torch.zeros(FEATURES, dtype=torch.float64, requires_grad=True)
        theirs = case.reference([tensor], rate)
        for g in gradients:
            tensor.grad = torch.tensor(g.astype(np.float64))
            theirs.step()
        wanted = (theirs.evaluated() if isinstance(theirs, references.Reference) else tensor.detach()).numpy()
        np.testing.assert_allclose(ours[:, k], wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    assert not ours[:, len(case.rates)].any()


@every_rule
@pytest.mark.parametrize("l1", [0.0, 0.1])
def test_uncompiled_rules_give_the_same(case: RuleCase, l1: float) -> None:
    stepper, like, table, wide, weights, slots, _, carry = problem(case, l1)
    with np.errstate(all="ignore"):
        follow(stepper, like, table, wide, weights, slots)
    plainly = stepper.evaluated(carry, weights, slots) if hasattr(stepper, "evaluated") else weights
    ours = compiled(case.name, l1)[0]
    np.testing.assert_allclose(ours, plainly, rtol=1e-5, atol=2e-5 * np.abs(plainly).max())
    if l1 and case.name.split("_")[0] not in ("averaged", "schedule"):
        assert 0.05 < (ours[:, : len(case.rates)] == 0).mean() < 0.95
        np.testing.assert_array_equal(ours == 0, plainly == 0)


on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another set of instructions")


@on_x86
@every_rule
def test_the_update_stays_in_single_precision(case: RuleCase) -> None:
    found = re.search(r"v?cvtps2pd|v?cvtss2sd|v?mulpd|v?mulsd", compiled(case.name, 0.0)[1])
    assert not found, "a literal widened the formula"


@on_x86
@every_rule
def test_updates_are_vectors(case: RuleCase) -> None:
    assembly = compiled(case.name, 0.0)[1]
    assert re.search(r"v?(mul|fmadd...|fnmadd...)ps", assembly)
    assert not re.search(r"v?(mul|add|div|sqrt|fn?madd...)ss", assembly), "lanes are worked on one by one"
