"""Update rules, uncompiled in float64, against torch.optim, closed forms and their own laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tests.cases import RULE_CASES, RuleCase, dense_rows, descend, ids

from schuss.descent.optimizers import OPTIMIZERS, SGD, Adagrad, Adam
from schuss.descent.penalties import l2_step, l2_value

every_rule = pytest.mark.parametrize("case", RULE_CASES, ids=ids(RULE_CASES))
STEPS = 200


@every_rule
def test_torch_agrees_over_200_steps(case: RuleCase) -> None:
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(STEPS, 30)) * 10.0 ** rng.integers(-6, 4, 30)
    rates = np.array(case.rates)
    _, table = case.rule.scalars(
        np.repeat(np.array(case.rule.carry_start).reshape(-1, 1), len(rates), 1),
        np.repeat(rates[None], STEPS, 0), np.zeros(len(rates)),
    )  # fmt: skip
    start = rng.normal(size=30)
    for k, rate in enumerate(case.rates):
        w, slots = start, tuple(np.zeros(30) for _ in case.rule.slot_names)
        tensor = torch.tensor(start, requires_grad=True)
        theirs = case.torch_rule([tensor], rate)
        for step in range(STEPS):
            w, slots = case.rule.update(table[step, :, k], w, gradients[step], slots)
            tensor.grad = torch.tensor(gradients[step])
            theirs.step()
        np.testing.assert_allclose(w, tensor.detach().numpy(), rtol=1e-9, atol=1e-12)


@every_rule
def test_torch_tensors_go_through_the_same_source(case: RuleCase) -> None:
    _, table = case.rule.scalars(np.array(case.rule.carry_start).reshape(-1, 1), np.full((1, 1), 0.1), np.full(1, 0.01))
    scalars = [torch.tensor(value) for value in table[0, :, 0]]
    w, g = np.linspace(-1, 1, 7), np.linspace(2, -1, 7)
    slots = [np.full(7, 0.3) for _ in case.rule.slot_names]
    ours, after = case.rule.update(table[0, :, 0], w, g, slots)
    theirs, after_torch = case.rule.update(scalars, torch.tensor(w), torch.tensor(g), [torch.tensor(s) for s in slots])
    np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-14)
    for a, b in zip(after, after_torch, strict=True):
        np.testing.assert_allclose(b.numpy(), a, rtol=1e-14)


def test_adams_carry_does_not_depend_on_how_steps_are_cut() -> None:
    rule = Adam(beta1=np.array([0.9, 0.5]), beta2=np.array([0.999, 0.9]))
    rates, l2 = np.random.default_rng(0).random((100, 2)), np.array([0.0, 0.1])
    start = np.ones((2, 2))
    carry, whole = rule.scalars(start, rates, l2)
    tables = []
    for part in np.split(rates, [1, 2, 33, 99]):
        start, table = rule.scalars(start, part, l2)
        tables.append(table)
    np.testing.assert_array_equal(start, carry)
    np.testing.assert_array_equal(np.concatenate(tables), whole)
    np.testing.assert_allclose(carry, [[0.9**100, 0.5**100], [0.999**100, 0.9**100]], rtol=1e-12)


@every_rule
def test_scalars_have_the_declared_shape(case: RuleCase) -> None:
    carry, table = case.rule.scalars(np.ones((len(case.rule.carry_start), 3)), np.full((5, 3), 0.1), np.zeros(3))
    assert table.shape == (5, len(case.rule.scalar_names), 3)
    assert np.shape(carry) == (len(case.rule.carry_start), 3)
    assert table.dtype == np.float64
    np.testing.assert_array_equal(table[:, case.rule.scalar_names.index("rate")], 0.1)


@every_rule
def test_without_a_penalty_one_scalar_is_zero(case: RuleCase) -> None:
    carry, rates = np.full((len(case.rule.carry_start), 3), 0.5), np.full((5, 3), 0.1)
    table, free = (case.rule.scalars(carry, rates, np.full(3, l2))[1] for l2 in (0.3, 0.0))
    assert table[:, case.rule.scalar_names.index(case.rule.penalty_scalar)].all()
    table[:, case.rule.scalar_names.index(case.rule.penalty_scalar)] = 0
    np.testing.assert_array_equal(table, free)


@every_rule
def test_rate_zero_moves_nothing(case: RuleCase) -> None:
    _, table = case.rule.scalars(np.array(case.rule.carry_start).reshape(-1, 1), np.zeros((1, 1)), np.ones(1))
    w = np.linspace(-2, 2, 5)
    after, _ = case.rule.update(table[0, :, 0], w, np.ones(5), tuple(np.ones(5) for _ in case.rule.slot_names))
    np.testing.assert_array_equal(after, w)


def test_resting_is_stepping_without_a_gradient() -> None:
    rule = Adagrad()
    rates = np.random.default_rng(1).random((50, 1))
    _, table = rule.scalars(np.zeros((0, 1)), rates, np.array([0.3]))
    start, slots = np.linspace(-2, 2, 9), (np.linspace(0.1, 3, 9),)
    w, stepped = start, slots
    for step in range(50):
        w, stepped = rule.update(table[step, :, 0], w, np.zeros(9), stepped)
    rested, after = rule.rest(table[-1, :, 0], rates.sum(), start, slots)
    np.testing.assert_allclose(rested, w, rtol=1e-12, atol=1e-15)  # what is left of 2 after shrinking to 1e-11
    np.testing.assert_array_equal(after[0], stepped[0])


@pytest.mark.parametrize("rule", [rule() for rule in OPTIMIZERS.values() if rule.lazy])
def test_an_update_is_a_step_and_a_rest(rule: Adagrad) -> None:
    _, table = rule.scalars(np.zeros((0, 1)), np.full((1, 1), 0.2), np.array([0.3]))
    s, w, g = table[0, :, 0], np.linspace(-2, 2, 9), np.linspace(3, -1, 9)
    slots = (np.linspace(0.1, 3, 9),)
    updated, after = rule.update(s, w, g, slots)
    stepped, memory = rule.step(s, w, g, slots)
    rested, memory = rule.rest(s, 0.2, stepped, memory)
    np.testing.assert_allclose(rested, updated, rtol=1e-14)
    np.testing.assert_array_equal(memory[0], after[0])
    assert np.abs(updated - stepped).max() > 0.01, "the penalty must matter for this test to say anything"


@pytest.mark.parametrize("rule", [rule() for rule in OPTIMIZERS.values() if rule.linear])
def test_linear_rules_are_linear(rule: SGD) -> None:
    _, table = rule.scalars(np.zeros((0, 1)), np.full((1, 1), 0.2), np.array([0.3]))
    s, w, g = table[0, :, 0], np.linspace(-2, 2, 9), np.linspace(3, -1, 9)
    shrink, move = rule.update(s, 1.0, 0.0, ())[0], rule.update(s, 0.0, 1.0, ())[0]
    np.testing.assert_allclose(rule.update(s, w, g, ())[0], shrink * w + move * g, rtol=1e-14)


def test_shrinking_composes() -> None:
    rates = np.random.default_rng(2).random(1000)
    w = 1.7
    for rate in rates:
        w = w + l2_step(w, 0.01, rate)
    assert float(w) == pytest.approx(float(1.7 + l2_step(1.7, 0.01, rates.sum())), rel=1e-12)
    assert float(l2_step(2.0, 0.5, 1e-6)) == pytest.approx(-1e-6, rel=1e-6)
    assert float(3.0 + l2_step(3.0, 1e9, 1e9)) == 0.0


def test_l2_value_has_the_half() -> None:
    assert l2_value(np.array([[3.0], [4.0]]), 0.1) == pytest.approx(0.5 * 0.1 * 25)


def ridge() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Rows, targets, the closed form with a free intercept, λ."""
    X = dense_rows(200, 4).astype(np.float64) + 0.3
    y = X @ [1.0, -2.0, 0.5, 3.0] + 1.5 + 0.1 * np.random.default_rng(1).normal(size=200)
    X1 = np.column_stack([X, np.ones(200)])
    l2 = 0.2
    penalty = l2 * np.diag([1.0, 1, 1, 1, 0])
    return X1, y, np.linalg.solve(X1.T @ X1 / 200 + penalty, X1.T @ y / 200), l2


FIXED_POINT_RATES = {"sgd": 0.1, "momentum": 0.01, "adagrad": 2.0, "adam": 0.3}


@every_rule
def test_fixed_point_on_ridge_is_the_closed_form(case: RuleCase) -> None:
    X1, y, optimum, l2 = ridge()
    steps = 4000
    rates = FIXED_POINT_RATES[case.name] * np.linspace(1, 0, steps, endpoint=False)
    w = descend(case.rule, lambda w: X1.T @ (X1 @ w - y) / len(y), rates, l2, np.zeros(5))
    np.testing.assert_allclose(w, optimum, rtol=2e-3)
    unpenalised = np.linalg.lstsq(X1, y)[0]
    assert np.abs(unpenalised - optimum).max() > 0.2, "the penalty must matter for this test to say anything"


@every_rule
def test_logistic_optimum_is_scikit_learns(case: RuleCase) -> None:
    X = dense_rows(300, 4).astype(np.float64)
    y = (X @ [1.0, -2.0, 0.5, 0.0] + 0.5 + np.random.default_rng(1).logistic(size=300) > 0).astype(float)
    X1, l2 = np.column_stack([X, np.ones(300)]), 0.05
    theirs = LogisticRegression(C=1 / (l2 * 300), tol=1e-10, max_iter=1000).fit(X, y)
    steps = 4000
    rates = {"sgd": 1.0, "momentum": 0.1, "adagrad": 1.0, "adam": 0.1}[case.name] * np.linspace(
        1, 0, steps, endpoint=False
    )
    w = descend(case.rule, lambda w: X1.T @ (1 / (1 + np.exp(-X1 @ w)) - y) / 300, rates, l2, np.zeros(5))
    np.testing.assert_allclose(w, [*theirs.coef_[0], theirs.intercept_[0]], rtol=2e-3, atol=1e-4)


def test_every_rule_is_in_the_table() -> None:
    assert {type(case.rule) for case in RULE_CASES} == set(OPTIMIZERS.values())
