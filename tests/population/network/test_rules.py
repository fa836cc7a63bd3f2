"""Steps of stacked parameters: every rule against torch.optim and its authors, compiled and not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests import references
from tests.cases import RULE_CASES, RULES_BY_NAME, RuleCase, ids, uncompiled

from schuss.descent.optimizers import SGD, Adam, AdamW, Averaged, Momentum, Nesterov, Prodigy, ScheduleFree
from schuss.errors import OptionError
from schuss.kernels import store
from schuss.population.network.rules import Stack, split

every_rule = pytest.mark.parametrize("case", RULE_CASES, ids=ids(RULE_CASES))
STEPS = 200
SHAPES = {"weight": (4, 5), "bias": (4,), "out": (3, 2)}


def gradients(steps: int, *, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Gradients of three runs, each weight's of its own size."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {name: 10.0 ** torch.randint(-3, 3, (3, *shape), generator=generator) for name, shape in SHAPES.items()}
    return [
        {name: size * torch.randn(size.shape, generator=generator, dtype=torch.float64) for name, size in sizes.items()}
        for _ in range(steps)
    ]


def start(dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = SHAPES.items()
    return {name: torch.randn(3, *shape, generator=generator, dtype=torch.float64).to(dtype) for name, shape in shapes}


def follow(stack: Stack, steps: list[dict[str, torch.Tensor]], rates: Any, *, cut: int = 0) -> dict[str, torch.Tensor]:
    """Take these steps, in two plans; give what counts."""
    for part in (steps[:cut], steps[cut:]) if cut else (steps,):
        stack.plan(np.repeat([np.asarray(rates, np.float64)], len(part), axis=0))
        for given in part:
            for name, gradient in given.items():
                stack.gradients[name].copy_(gradient)
            stack.step()
    return stack.evaluated()


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], tolerance: float) -> None:
    for name, wanted in theirs.items():
        for run in range(len(wanted)):
            scale = float(wanted[run].abs().max())
            np.testing.assert_allclose(ours[name][run].double(), wanted[run], rtol=0, atol=tolerance * scale)


def in_turn(make: Any, rates: Any, steps: list[dict[str, torch.Tensor]], name: str) -> torch.Tensor:
    """What other people's optimizers make of a parameter that starts at zero, a run at a time."""
    found = []
    for run, rate in enumerate(rates):
        tensor = torch.zeros(SHAPES[name], dtype=torch.float64, requires_grad=True)
        theirs = make([tensor], rate)
        for given in steps:
            tensor.grad = given[name][run].clone()
            theirs.step()
        found.append(theirs.evaluated() if isinstance(theirs, references.Reference) else tensor.detach())
    return torch.stack(found)


@every_rule
def test_references_agree_over_200_steps_at_several_rates(case: RuleCase) -> None:
    steps = gradients(STEPS)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in start().items()}
    ours = follow(Stack(case.rule, zeros), steps, case.rates, cut=70)
    assert_close(ours, {name: in_turn(case.reference, case.rates, steps, name) for name in SHAPES}, 1e-9)


@every_rule
def test_compiled_steps_are_those_of_pytorch(case: RuleCase) -> None:
    steps, penalties = gradients(20), {"l2": np.array([0.0, 0.3, 0.1]), "l1": np.array([0.2, 0.0, 0.1])}
    exact = Stack(case.rule, start(), **penalties, free=["bias"])
    quick = Stack(case.rule, start(torch.float32), **penalties, free=["bias"], threads=2)
    wanted = follow(exact, steps, case.rates, cut=7)
    assert_close(follow(quick, steps, case.rates, cut=7), wanted, 1e-4)


def test_uncompiled_kernels_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def use() -> dict[str, torch.Tensor]:
        return follow(Stack(Adam(), start(torch.float32), l2=np.full(3, 0.1)), gradients(5), [0.1, 0.2, 0.3])

    compiled = use()
    monkeypatch.setattr(store, "run", uncompiled)
    for name, tensor in use().items():
        np.testing.assert_allclose(tensor, compiled[name], rtol=1e-5, atol=1e-6)


def test_prodigy_sums_over_all_parameters_of_a_run() -> None:
    steps, rates = gradients(STEPS), (0.5, 1.0, 1.5)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in start().items()}
    stack = Stack(Prodigy(), zeros, free=["bias"])
    ours = follow(stack, steps, rates, cut=3)
    for run, rate in enumerate(rates):
        whole = torch.zeros(sum(tensor[0].numel() for tensor in zeros.values()), dtype=torch.float64)
        theirs = references.Prodigy([whole.requires_grad_()], rate)
        for given in steps:
            whole.grad = torch.cat([given[name][run].flatten() for name in SHAPES])
            theirs.step()
        assert stack.carry[0, 0, run] == pytest.approx(float(theirs.d), rel=1e-9)
        vector = torch.cat([ours[name][run].flatten() for name in SHAPES])
        np.testing.assert_allclose(vector, whole.detach(), rtol=0, atol=1e-9 * float(whole.detach().abs().max()))


def test_biases_are_free_of_decay_and_penalty() -> None:
    steps, rates = gradients(30), (0.01, 0.02, 0.03)
    decayed = follow(Stack(AdamW(weight_decay=0.5), start(), l2=np.full(3, 0.3), free=["bias"]), steps, rates)
    bare = follow(Stack(Adam(), start()), steps, rates)
    np.testing.assert_allclose(decayed["bias"], bare["bias"], rtol=1e-12)
    assert not torch.allclose(decayed["weight"], bare["weight"], rtol=1e-3)


def test_hyperparameters_may_differ_between_runs_and_runs_may_leave() -> None:
    steps, rates, betas = gradients(40), np.array([0.01, 0.02, 0.03]), np.array([0.9, 0.5, 0.0])
    together = Stack(Averaged(Nesterov(betas)), start(), l2=np.array([0.1, 0.0, 0.2]))
    follow(together, steps[:20], rates)
    left = together.keep([2, 0])
    rest = [{name: tensor[[2, 0]] for name, tensor in given.items()} for given in steps[20:]]
    ours = follow(left, rest, rates[[2, 0]])
    for place, run in enumerate((2, 0)):
        alone = Stack(Averaged(Nesterov(float(betas[run]))), _one(start(), run), l2=np.array([[0.1, 0.0, 0.2][run]]))
        wanted = follow(alone, [_one(given, run) for given in steps], rates[[run]], cut=20)
        assert_close({name: ours[name][place : place + 1] for name in ours}, wanted, 1e-12)


def _one(tensors: dict[str, torch.Tensor], run: int) -> dict[str, torch.Tensor]:
    return {name: tensor[run : run + 1] for name, tensor in tensors.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", [Momentum(), Adam(), ScheduleFree(), Prodigy()], ids=lambda rule: type(rule).__name__)
def test_bits_of_a_run_do_not_depend_on_its_neighbours(rule: Any, dtype: torch.dtype) -> None:
    steps, rates, l2 = gradients(20), np.array([0.01, 0.02, 0.03]), np.array([0.0, 0.1, 0.0])
    together = follow(Stack(rule, start(dtype), l2=l2), steps, rates)
    alone = follow(Stack(rule, _one(start(dtype), 2), l2=l2[2:]), [_one(given, 2) for given in steps], rates[2:])
    for name in SHAPES:
        assert torch.equal(together[name][2], alone[name][0])


@pytest.mark.parametrize("name", ["nesterov", "adam", "schedule_free_adamw", "averaged_nesterov"])
def test_what_was_saved_goes_on_to_the_same_bits(name: str) -> None:
    rule, steps, rates = RULES_BY_NAME[name].rule, gradients(20), (0.01, 0.02, 0.03)
    through = Stack(rule, start(torch.float32), l2=np.full(3, 0.1), factors={"out": 0.5})
    wanted = follow(through, steps, rates, cut=10)
    first = Stack(rule, start(torch.float32), l2=np.full(3, 0.1), factors={"out": 0.5})
    follow(first, steps[:10], rates)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in start(torch.float32).items()}
    again = Stack(rule, zeros, l2=np.full(3, 0.1), factors={"out": 0.5})
    again.restore(first.saved())
    for name, tensor in follow(again, steps[10:], rates).items():
        assert torch.equal(tensor, wanted[name])
    with pytest.raises(ValueError, match="not"):
        Stack(Adam(), zeros).restore(first.saved())


def test_layers_may_have_rates_of_their_own() -> None:
    steps, rates = gradients(30), (0.01, 0.02, 0.03)
    ours = follow(Stack(Adam(), start(), factors={"out": 0.1, "bias": 2.0}), steps, rates)
    for run, rate in enumerate(rates):
        theirs = {name: tensor[run].clone().requires_grad_() for name, tensor in start().items()}
        own = {"out": 0.1 * rate, "bias": 2 * rate, "weight": rate}
        optimizer = torch.optim.Adam([{"params": [tensor], "lr": own[name]} for name, tensor in theirs.items()])
        for given in steps:
            for name, tensor in theirs.items():
                tensor.grad = given[name][run].clone()
            optimizer.step()
        for name, tensor in theirs.items():
            np.testing.assert_allclose(ours[name][run], tensor.detach(), rtol=1e-9)


def test_rules_that_look_at_all_weights_have_one_rate() -> None:
    with pytest.raises(OptionError, match="rates of layers need another rule"):
        Stack(Prodigy(), start(), factors={"out": 0.1})


def test_a_run_taken_out_is_a_vector_that_splits_into_its_parameters() -> None:
    stack = Stack(ScheduleFree(), start(), factors={"bias": 2.0})
    evaluated = follow(stack, gradients(5), (0.01, 0.02, 0.03))
    taken = stack.take(1)
    for name, array in split(taken.weights, SHAPES).items():
        np.testing.assert_array_equal(array, evaluated[name][1])
    for name, array in split(taken.slots["on_the_way"], SHAPES).items():
        np.testing.assert_array_equal(array, stack.parameters[name][1])
    assert taken.slots["ahead"].shape == taken.weights.shape
    assert taken.carry.shape == (2, 2)


def test_a_run_that_diverges_leaves_the_others_alone() -> None:
    steps = gradients(3)
    for given in steps:
        given["weight"][0] = torch.nan
    ours = follow(Stack(SGD(), start(torch.float32)), steps, (1e30, 0.1, 0.1))
    assert not ours["weight"][0].isfinite().any()
    assert ours["weight"][1:].isfinite().all()
