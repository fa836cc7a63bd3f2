"""Update rules, uncompiled in float64, against torch.optim, authors' formulas, closed forms and their own laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import LogisticRegression
from tests import references
from tests.cases import RULE_CASES, RULES_BY_NAME, RuleCase, dense_rows, descend, ids

from schuss.descent.optimizers import FTRL, OPTIMIZERS, Adam, Averaged, Prodigy, penalised, scalar_table, trait
from schuss.descent.optimizers.hyperparameters import settings_of
from schuss.descent.optimizers.rule import Penalised
from schuss.descent.penalties import L2, ElasticNet, Shrink

every_rule = pytest.mark.parametrize("case", RULE_CASES, ids=ids(RULE_CASES))
STEPS = 200


def start_of(stepper: Any, runs: int) -> np.ndarray:
    return np.repeat(np.array(stepper.carry_start, np.float64).reshape(-1, 1), runs, axis=1)


def stepper_of(rule: Any, *, rate: float, l2: float = 0.0, l1: float = 0.0, steps: int = 1) -> tuple[Any, np.ndarray]:
    """A penalised rule and the scalars of some steps `(steps, scalars)`."""
    stepper = penalised(rule, ElasticNet() if l1 else L2())
    table = scalar_table(stepper, start_of(stepper, 1), np.full((steps, 1), rate), np.array([l2]), np.array([l1]))[1]
    return stepper, table[:, :, 0]


@every_rule
def test_references_agree_over_200_steps(case: RuleCase) -> None:
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(STEPS, 30)) * 10.0 ** rng.integers(-6, 4, 30)
    stepper = penalised(case.rule, L2())
    rates, none = np.repeat([case.rates], STEPS, axis=0), np.zeros(len(case.rates))
    carry, table = scalar_table(stepper, start_of(stepper, len(case.rates)), rates, none, none)  # several rates at once
    w, slots = np.zeros((30, 3)), tuple(np.zeros((30, 3)) for _ in stepper.slot_names)
    for step in range(STEPS):
        w, slots = stepper.update(tuple(table[step]), w, gradients[step][:, None], slots)
    ours = stepper.evaluated(carry, w, slots) if hasattr(stepper, "evaluated") else w
    for k, rate in enumerate(case.rates):
        tensor = torch.zeros(30, dtype=torch.float64, requires_grad=True)
        theirs = case.reference([tensor], rate)
        for step in range(STEPS):
            tensor.grad = torch.tensor(gradients[step])
            theirs.step()
        wanted = theirs.evaluated() if isinstance(theirs, references.Reference) else tensor.detach()
        np.testing.assert_allclose(ours[:, k], wanted.numpy(), rtol=1e-9, atol=1e-9 * float(wanted.abs().max()))


@every_rule
def test_torch_tensors_go_through_the_same_source(case: RuleCase) -> None:
    stepper, table = stepper_of(case.rule, rate=0.1, l2=0.01, l1=0.02)
    scalars = [torch.tensor(value) for value in table[0]]
    w, g = np.linspace(-1, 1, 8), np.linspace(2, -1, 8)
    slots = tuple(np.full(8, 0.3) for _ in stepper.slot_names)
    ours, after = stepper.update(table[0], w, g, slots)
    theirs, others = stepper.update(scalars, torch.tensor(w), torch.tensor(g), tuple(torch.tensor(s) for s in slots))
    np.testing.assert_allclose(theirs.numpy(), ours, rtol=1e-13)
    for a, b in zip(after, others, strict=True):
        np.testing.assert_allclose(b.numpy(), a, rtol=1e-13)


@every_rule
def test_the_carry_does_not_depend_on_how_steps_are_cut(case: RuleCase) -> None:
    stepper = penalised(case.rule, L2())
    rates, penalty = np.random.default_rng(0).uniform(0.1, 1, (100, 2)), (np.array([0.0, 0.1]), np.array([0.2, 0.0]))
    start = start_of(stepper, 2)
    carry, whole = scalar_table(stepper, start, rates, *penalty)
    tables = []
    for part in np.split(rates, [1, 2, 33, 99]):
        start, table = scalar_table(stepper, start, part, *penalty)
        tables.append(table)
    np.testing.assert_allclose(start, carry, rtol=1e-13)
    np.testing.assert_allclose(np.concatenate(tables), whole, rtol=1e-13)


def test_adams_carry_holds_powers() -> None:
    rule = Adam(beta1=np.array([0.9, 0.5]), beta2=np.array([0.999, 0.9]))
    carry, _ = rule.scalars(np.ones((2, 2)), np.ones((100, 2)))
    np.testing.assert_allclose(carry, [[0.9**100, 0.5**100], [0.999**100, 0.9**100]], rtol=1e-12)


@every_rule
def test_scalars_have_the_declared_shape(case: RuleCase) -> None:
    stepper = penalised(case.rule, L2())
    carry, table = scalar_table(stepper, start_of(stepper, 3), np.full((5, 3), 0.1), np.zeros(3), np.zeros(3))
    assert table.shape == (5, len(stepper.scalar_names), 3)
    assert np.shape(carry) == (len(stepper.carry_start), 3)
    np.testing.assert_array_equal(table[:, stepper.scalar_names.index("rate")], 0.1)


@every_rule
@pytest.mark.parametrize(("l2", "l1"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_intercepts_are_free_of_every_penalty(case: RuleCase, l2: float, l1: float) -> None:
    stepper, table = stepper_of(case.rule, rate=0.1, l2=l2, l1=l1)
    table[:, stepper.free] = 0.0
    w, g = np.linspace(-2, 2, 8), np.linspace(3, -1, 8)
    slots = tuple(np.full(8, 0.3) for _ in stepper.slot_names)
    other, bare = stepper_of(case.rule, rate=0.1)
    bare[:, other.free] = 0.0
    for ours, wanted in zip(stepper.update(table[0], w, g, slots), other.update(bare[0], w, g, slots), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-14)


@every_rule
@pytest.mark.parametrize("l1", [0.0, 1.0])
def test_rate_zero_moves_nothing(case: RuleCase, l1: float) -> None:
    stepper, table = stepper_of(case.rule, rate=0.0, l2=1.0, l1=l1)
    w = np.zeros(5) if isinstance(case.rule, FTRL) else np.linspace(-2, 2, 5)  # which solves for its weights anew
    slots = tuple(np.zeros(5) for _ in stepper.slot_names)
    np.testing.assert_array_equal(stepper.update(table[0], w, np.ones(5), slots)[0], w)


LAZY = [case for case in RULE_CASES if trait(case.rule, "sparse") == "resting" or case.name == "sgd"]


@pytest.mark.parametrize("case", LAZY, ids=ids(LAZY))
@pytest.mark.parametrize("l1", [0.0, 0.02])
def test_resting_is_stepping_without_a_gradient(case: RuleCase, l1: float) -> None:
    stepper = penalised(case.rule, ElasticNet() if l1 else L2())
    rates, penalties = np.random.default_rng(1).random((50, 1)), (np.array([0.3]), np.array([l1]))
    carry, table = scalar_table(stepper, start_of(stepper, 1), rates, *penalties)
    w, slots = stepper.update(
        table[0, :, 0], np.zeros(9), np.linspace(-2, 2, 9), tuple([np.zeros(9)] * len(stepper.slot_names))
    )
    start, memory = w, slots
    for step in range(1, 50):
        w, slots = stepper.update(table[step, :, 0], w, np.zeros(9), slots)
    last = scalar_table(stepper, carry, np.zeros((1, 1)), *penalties)[1][0, :, 0]
    rested = stepper.rest(last, rates[1:].sum(), start, memory)
    np.testing.assert_allclose(rested, w, rtol=1e-12, atol=1e-15)  # what is left of 2 after shrinking to 1e-11
    for a, b in zip(memory, slots, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", LAZY, ids=ids(LAZY))
@pytest.mark.parametrize("l1", [0.0, 0.5])
def test_an_update_is_a_step_and_a_rest(case: RuleCase, l1: float) -> None:
    stepper, table = stepper_of(case.rule, rate=0.2, l2=0.3, l1=l1, steps=2)
    g, slots = np.linspace(3, -1, 9), tuple(np.zeros(9) for _ in stepper.slot_names)
    w, slots = stepper.update(table[0], np.zeros(9), -g, slots)
    updated, after = stepper.update(table[1], w, g, slots)
    stepped, memory = stepper.step(table[1], w, g, slots)
    next_step = table[1].copy()
    if isinstance(case.rule, FTRL):  # rests as things stood before the step whose scalars it gets
        next_step[2:4] = table[1][4:6]
    np.testing.assert_allclose(stepper.rest(next_step, 0.2, stepped, memory), updated, rtol=1e-14, atol=1e-15)
    for a, b in zip(memory, after, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(updated - stepped).max() > 1e-4, "the penalty must matter for this test to say anything"


LINEAR = [case for case in RULE_CASES if trait(case.rule, "sparse") in ("scaled", "coasting")]


@pytest.mark.parametrize("case", LINEAR, ids=ids(LINEAR))
def test_linear_rules_are_linear(case: RuleCase) -> None:
    stepper = Penalised(case.rule, Shrink())
    none = np.zeros(1)
    s = scalar_table(stepper, start_of(stepper, 1), np.full((1, 1), 0.2), np.array([0.3]), none)[1][0, :, 0]
    w, g, v = np.linspace(-2, 2, 9), np.linspace(3, -1, 9), np.linspace(1, 5, 9)
    slots = (v,) * len(stepper.slot_names)
    units = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    (a, _), (b, _), (c, _) = (stepper.update(s, w, g, (v,) * len(slots)) for w, g, v in units)
    np.testing.assert_allclose(stepper.update(s, w, g, slots)[0], a * w + b * g + c * v, rtol=1e-13)


def test_a_shared_rate_shrinks_as_any_other() -> None:
    w, move = np.linspace(-2, 2, 9), np.linspace(0.3, 0.1, 9)
    pull, _ = Shrink().scalars(0.3, 0.0, 0.2)
    np.testing.assert_allclose(Shrink().moved(pull, 0.0, w, move, 0.2), L2().moved(0.3, 0.0, w, move, 0.2), rtol=1e-14)


def test_averages_weigh_steps_by_a_power_of_their_number() -> None:
    gradients = np.random.default_rng(0).normal(size=(50, 4))
    for power in (0.0, 1.0, 3.0):
        steps = iter(gradients)
        average = descend(Averaged(power=power), lambda w, steps=steps: next(steps), np.full(50, 0.1), np.zeros(4))
        path = -0.1 * np.cumsum(gradients, axis=0)
        shares = np.array([(1 + power) / (t + power) for t in range(1, 51)])
        weights = shares * np.append(np.cumprod((1 - shares[1:])[::-1])[::-1], 1.0)
        assert weights.sum() == pytest.approx(1.0)
        np.testing.assert_allclose(average, weights @ path, rtol=1e-12)
        if power == 1.0:
            np.testing.assert_allclose(weights, np.arange(1, 51) / (50 * 51 / 2), rtol=1e-12)


def test_ftrl_has_its_authors_penalties() -> None:
    gradients = np.random.default_rng(0).normal(size=(STEPS, 30)) * 10.0 ** np.linspace(-3, 1, 30)
    for l1, l2 in ((0.1, 0.0), (0.0, 0.1), (0.02, 0.3)):
        tensor = torch.zeros(31, dtype=torch.float64, requires_grad=True)
        theirs = references.FTRL([tensor], 0.3, l1, l2)
        steps = iter(gradients)
        ours = descend(
            FTRL(), lambda w, steps=steps: np.append(next(steps), 0.0), np.full(STEPS, 0.3), np.zeros(31), l2=l2, l1=l1
        )
        for g in gradients:
            tensor.grad = torch.tensor(np.append(g, 0.0))
            theirs.step()
        np.testing.assert_allclose(ours, tensor.detach().numpy(), rtol=1e-9, atol=1e-12)
        assert (ours[:-1] == 0).any() == (l1 > 0)


def ridge() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Rows, targets, the closed form with a free intercept, λ."""
    X = dense_rows(200, 4).astype(np.float64) + 0.3
    y = X @ [1.0, -2.0, 0.5, 3.0] + 1.5 + 0.1 * np.random.default_rng(1).normal(size=200)
    X1 = np.column_stack([X, np.ones(200)])
    l2 = 0.2
    penalty = l2 * np.diag([1.0, 1, 1, 1, 0])
    return X1, y, np.linalg.solve(X1.T @ X1 / 200 + penalty, X1.T @ y / 200), l2


FIXED_POINT_RATES = {
    "sgd": 0.1, "momentum": 0.01, "dampened": 0.02, "nesterov": 0.01, "adagrad": 2.0, "adadelta": 30.0, "rmsprop": 0.1,
    "centred_rmsprop": 0.1, "adam": 0.3, "amsgrad": 0.3, "lion": 0.02, "ftrl": 10.0, "schedule_free_sgd": 0.2,
    "averaged_nesterov": 0.01,
}  # fmt: skip
"""Of the rules whose own decay does not move the optimum."""


at_a_fixed_point = pytest.mark.parametrize("name", FIXED_POINT_RATES)


def without_decay(name: str) -> Any:
    rule = RULES_BY_NAME[name].rule
    return (
        rule._replace(weight_decay=0.0) if name == "lion" else rule._replace(power=8.0) if "averaged" in name else rule
    )


@at_a_fixed_point
def test_fixed_point_on_ridge_is_the_closed_form(name: str) -> None:
    X1, y, optimum, l2 = ridge()
    steps = 4000
    rates = FIXED_POINT_RATES[name] * np.linspace(1, 0, steps, endpoint=False)
    w = descend(without_decay(name), lambda w: X1.T @ (X1 @ w - y) / len(y), rates, np.zeros(5), l2=l2)
    np.testing.assert_allclose(w, optimum, rtol=3e-3)
    unpenalised = np.linalg.lstsq(X1, y)[0]
    assert np.abs(unpenalised - optimum).max() > 0.2, "the penalty must matter for this test to say anything"


@at_a_fixed_point
def test_elastic_net_optimum_is_scikit_learns_with_its_zeros(name: str) -> None:
    X1, y, _, _ = ridge()
    l2, l1, steps = 0.1, 0.7, 4000
    theirs = SklearnElasticNet(alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), tol=1e-12, max_iter=100_000).fit(X1[:, :4], y)
    assert (theirs.coef_ == 0).sum() == 1
    rates = FIXED_POINT_RATES[name] * np.linspace(1, 0, steps, endpoint=False)
    w = descend(without_decay(name), lambda w: X1.T @ (X1 @ w - y) / len(y), rates, np.zeros(5), l2=l2, l1=l1)
    np.testing.assert_allclose(w, [*theirs.coef_, theirs.intercept_], rtol=3e-3, atol=5e-3 if "free" in name else 1e-3)
    if "averaged" not in name and "free" not in name:  # an average of zero and others is not zero
        assert (w[:-1][theirs.coef_ == 0] == 0).all()


def test_logistic_optimum_is_scikit_learns() -> None:
    X = dense_rows(300, 4).astype(np.float64)
    y = (X @ [1.0, -2.0, 0.5, 0.0] + 0.5 + np.random.default_rng(1).logistic(size=300) > 0).astype(float)
    X1, l2 = np.column_stack([X, np.ones(300)]), 0.05
    theirs = LogisticRegression(C=1 / (l2 * 300), tol=1e-10, max_iter=1000).fit(X, y)
    for name, rate in {"sgd": 1.0, "nesterov": 0.1, "adagrad": 1.0, "adam": 0.1}.items():
        rates = rate * np.linspace(1, 0, 2000, endpoint=False)
        w = descend(
            RULES_BY_NAME[name].rule, lambda w: X1.T @ (1 / (1 + np.exp(-X1 @ w)) - y) / 300, rates, np.zeros(5), l2=l2
        )
        np.testing.assert_allclose(w, [*theirs.coef_[0], theirs.intercept_[0]], rtol=2e-3, atol=1e-4)


def prodigies(rule: Prodigy, rates: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """200 steps along the full gradient of a log loss, all rates at once: weights and distances, one column a rate."""
    X, y = logistic_rows()
    stepper = penalised(rule, L2())
    none = np.zeros(len(rates))
    carry, table = scalar_table(stepper, start_of(stepper, len(rates)), np.repeat([rates], STEPS, 0), none, none)
    w, numbers = np.zeros((X.shape[1], len(rates))), tuple(carry)
    slots = tuple(np.zeros_like(w) for _ in stepper.slot_names)
    for step in range(STEPS):
        s, g = (*table[step], *numbers), X.T @ (1 / (1 + np.exp(-X @ w)) - y[:, None]) / len(y)
        after, slots = stepper.update(s, w, g, slots)
        numbers = stepper.settle(s, [total.sum(axis=0) for total in stepper.measure(w, g, slots)])
        w = after
    return w, numbers[0]


def logistic_rows() -> tuple[np.ndarray, np.ndarray]:
    rng, units = np.random.default_rng(0), 10.0 ** np.linspace(-2, 2, 7)
    X = rng.normal(size=(200, 7)) * units
    return X, (X @ (rng.normal(size=7) / units) + rng.logistic(size=200) > 0).astype(float)


def followed(reference: Any) -> tuple[np.ndarray, float]:
    """The same by an author's arithmetic, the gradient taken by torch."""
    X, y = (torch.tensor(part) for part in logistic_rows())
    for _ in range(STEPS):
        reference.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(X @ reference.w, y).backward()
        reference.step()
    return reference.w.detach().numpy(), reference.d


def zeros_to_learn() -> list[torch.Tensor]:
    return [torch.zeros(7, dtype=torch.float64, requires_grad=True)]


def test_prodigy_is_its_authors_formula_over_200_steps() -> None:
    rates = (0.5, 1.0, 2.0)  # at 0.1 the distance jumps on the way, and a rounding error with it: 7e-11 in the weights
    ours, distances = prodigies(Prodigy(), rates)
    for k, rate in enumerate(rates):
        wanted, distance = followed(references.Prodigy(zeros_to_learn(), rate))
        np.testing.assert_allclose(ours[:, k], wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())
        assert distances[k] == pytest.approx(distance, rel=1e-9)
        assert distance > 1e3 * 1e-6, "the distance must have grown for this test to say anything"


def test_prodigy_and_its_package_differ_by_the_d_beside_epsilon_alone() -> None:
    rates = (0.5, 1.0, 2.0)
    for epsilon, close in ((0.0, 1e-9), (1e-8, 1e-3)):
        ours, distances = prodigies(Prodigy(epsilon=epsilon), rates)
        for k, rate in enumerate(rates):
            wanted, distance = followed(references.ProdigyPackage(zeros_to_learn(), rate, epsilon))
            np.testing.assert_allclose(ours[:, k], wanted, rtol=close, atol=close * np.abs(wanted).max())
            assert distances[k] == pytest.approx(distance, rel=close)
            assert epsilon == 0 or np.abs(ours[:, k] - wanted).max() > 1e-6


def test_every_rule_is_in_the_table() -> None:
    tested = {type(case.rule) for case in RULE_CASES} | {Prodigy}
    assert {type(rule()) for rule in OPTIMIZERS.values()} == tested - {Averaged}


def test_braces_in_a_name() -> None:
    """Found by fuzzing: the sentence was taken for a format, and ended in a KeyError."""
    with pytest.raises(
        ValueError, match=r"^the optimizer \{x\} takes a number of at least 0 .* as its beta1, not 'z'$"
    ):
        settings_of(Adam(), "{x}:beta1=z")
