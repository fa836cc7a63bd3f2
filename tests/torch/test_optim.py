"""Rules as optimizers of PyTorch: against their references, and what PyTorch's own tests ask of every optimizer."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from tests import references
from tests.cases import RULES_BY_NAME, RuleCase
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from schuss.errors import OptionError
from schuss.torch import optim

CLASSES = [getattr(optim, name) for name in optim.__all__ if name != "RuleOptimizer"]
every_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
RATES = {optim.Prodigy: 1.0, optim.Adadelta: 1.0, optim.Lion: 0.003, optim.RMSprop: 0.01, optim.CentredRMSprop: 0.01}
OPTIONS = {"dampened": {"momentum": 0.8, "dampening": 0.3}, "lion": {"weight_decay": 0.1},
           "schedule_free_adamw": {"weight_decay": 0.1}}  # fmt: skip
NAMES = {
    "sgd": optim.SGD, "momentum": optim.Momentum, "dampened": optim.Momentum, "nesterov": optim.Nesterov,
    "adagrad": optim.Adagrad, "adadelta": optim.Adadelta, "rmsprop": optim.RMSprop,
    "centred_rmsprop": optim.CentredRMSprop, "adam": optim.Adam, "amsgrad": optim.AMSGrad, "adamw": optim.AdamW,
    "lion": optim.Lion, "ftrl": optim.FTRL, "schedule_free_sgd": optim.ScheduleFreeSGD,
    "schedule_free_adamw": optim.ScheduleFreeAdamW,
}  # fmt: skip


def made(kind: Any, params: Any, **options: Any) -> Any:
    return kind(params, **({"lr": RATES.get(kind, 0.05)} | options))


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).to(dtype)


X = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))


def descend(module: nn.Module, optimizer: Any, steps: int = 5) -> float:
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (module(X.to(next(module.parameters()).dtype)) - X[:, :1].tanh()).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([one.detach().flatten() for one in module.parameters()])


@pytest.mark.parametrize("name", NAMES)
def test_references_agree_over_200_steps(name: str) -> None:
    case: RuleCase = RULES_BY_NAME[name]
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(200, 30, generator=generator, dtype=torch.float64)
    for rate in case.rates:
        ours, theirs = (torch.zeros(30, dtype=torch.float64, requires_grad=True) for _ in range(2))
        own, other = NAMES[name]([ours], lr=rate, **OPTIONS.get(name, {})), case.reference([theirs], rate)
        for gradient in gradients:
            ours.grad, theirs.grad = gradient.clone(), gradient.clone()
            own.step()
            other.step()
        wanted = other.evaluated() if isinstance(other, references.Reference) else theirs.detach()
        on_the_way = ours.detach().clone()
        with own.evaluated():
            scale = float(wanted.abs().max())
            np.testing.assert_allclose(ours.detach(), wanted, rtol=1e-9, atol=1e-9 * scale)
        assert torch.equal(ours, on_the_way)


def test_prodigy_looks_at_all_parameters() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in (10, 20)]
    whole = torch.zeros(30, dtype=torch.float64, requires_grad=True)
    ours, theirs = optim.Prodigy([{"params": [one]} for one in parts], lr=1.0), references.Prodigy([whole], 1.0)
    for _ in range(100):
        whole.grad = torch.randn(30, generator=generator, dtype=torch.float64) + 0.3
        parts[0].grad, parts[1].grad = whole.grad[:10].clone(), whole.grad[10:].clone()
        ours.step()
        theirs.step()
    found = torch.cat([one.detach() for one in parts])
    np.testing.assert_allclose(found, whole.detach(), rtol=1e-9, atol=1e-9 * float(whole.detach().abs().max()))
    with pytest.raises(OptionError, match="its groups have one rate"):
        ours.param_groups[0]["lr"] = 0.5
        ours.step()


@every_class
def test_losses_fall(kind: Any) -> None:
    module = network()
    optimizer = made(kind, module.parameters())
    first = descend(module, optimizer, 1)
    assert descend(module, optimizer, 300 if kind is optim.Prodigy else 100) < 0.9 * first


@every_class
def test_a_state_dict_goes_on_to_the_same_bits(kind: Any) -> None:
    module = network()
    optimizer = made(kind, module.parameters(), l2=0.01)
    descend(module, optimizer)
    other, buffer = copy.deepcopy(module), io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    again = made(kind, other.parameters(), lr=0.5)
    again.load_state_dict(torch.load(buffer, weights_only=True))
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    descend(module, optimizer)
    descend(other, again)
    assert torch.equal(weights(module), weights(other))
    assert all(one["carry"].dtype == torch.float64 for one in again.state.values())


@every_class
def test_copies_and_pickles_go_on_alone(kind: Any) -> None:
    module = network()
    optimizer = made(kind, module.parameters())
    descend(module, optimizer)
    for twin, own in (copy.deepcopy((module, optimizer)), pickle.loads(pickle.dumps((module, optimizer)))):
        before = weights(module).clone()
        descend(twin, own)
        assert torch.equal(weights(module), before)
        assert own.state.keys() == set(twin.parameters())
    public = {name for name in vars(optimizer) if not name.startswith("_")}
    assert public == {name for name in vars(copy.deepcopy(optimizer)) if not name.startswith("_")}
    loss = descend(module, optimizer)
    assert torch.equal(weights(twin), weights(module))
    assert descend(twin, own, 1) != loss


@every_class
def test_parameters_without_a_gradient_stay(kind: Any) -> None:
    module = network()
    optimizer = made(kind, module.parameters(), l2=0.1)
    before = weights(module).clone()
    optimizer.step()
    assert torch.equal(weights(module), before)
    module[0].bias.requires_grad_(False)
    descend(module, optimizer)
    assert module[0].bias not in optimizer.state


@every_class
def test_gradients_of_zero_move_nothing(kind: Any) -> None:
    module = network()
    options = {"weight_decay": 0.0} if kind in (optim.AdamW, optim.Lion) else {}
    optimizer = made(kind, module.parameters(), **options)
    before = weights(module).clone()
    for one in module.parameters():
        one.grad = torch.zeros_like(one)
    optimizer.step()
    np.testing.assert_allclose(weights(module), before, rtol=1e-6)


@every_class
def test_groups_have_their_own_rate_and_penalty(kind: Any) -> None:
    if kind is optim.Prodigy:
        pytest.skip("it has one rate")
    grouped, twins = network(), [network(), network()]
    groups = [{"params": grouped[0].parameters()}, {"params": grouped[2].parameters(), "lr": 0.01, "l2": 0.3}]
    optimizer = made(kind, groups)
    alone = made(kind, twins[0].parameters()), made(kind, twins[1].parameters(), lr=0.01, l2=0.3)
    generator = torch.Generator().manual_seed(2)
    for _ in range(5):
        for parameters in zip(grouped.parameters(), *(twin.parameters() for twin in twins), strict=True):
            gradient = torch.randn(parameters[0].shape, generator=generator)
            for one in parameters:
                one.grad = gradient.clone()
        for one in (optimizer, *alone):
            one.step()
    assert torch.equal(weights(grouped[0]), weights(twins[0][0]))
    assert torch.equal(weights(grouped[2]), weights(twins[1][2]))


@every_class
def test_a_rate_may_be_a_tensor(kind: Any) -> None:
    modules = network(), network()
    rate = torch.tensor(RATES.get(kind, 0.05), dtype=torch.float64)
    tensor, number = made(kind, modules[0].parameters(), lr=rate), made(kind, modules[1].parameters(), lr=rate.item())
    descend(modules[0], tensor)
    descend(modules[1], number)
    assert torch.equal(weights(modules[0]), weights(modules[1]))
    assert tensor.param_groups[0]["lr"] is rate


@every_class
def test_schedulers_change_the_rate(kind: Any) -> None:
    module = network()
    optimizer = made(kind, module.parameters())
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    first = descend(module, optimizer, 1)
    for _ in range(5):
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(RATES.get(kind, 0.05) / 32)
    assert descend(module, optimizer, 30) < first


@every_class
def test_hooks_and_closures_are_called(kind: Any) -> None:
    module, seen = network(), []
    optimizer = made(kind, module.parameters())
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    handles = [register_optimizer_step_pre_hook(lambda *_: seen.append("before all")),
               register_optimizer_step_post_hook(lambda *_: seen.append("after all"))]  # fmt: skip

    def closure() -> float:
        seen.append("closure")
        optimizer.zero_grad()
        loss = module(X).square().mean()
        loss.backward()
        return loss.item()

    try:
        before = module(X).square().mean().item()
        assert optimizer.step(closure) == before
    finally:
        for handle in handles:
            handle.remove()
    assert seen == ["before all", "before", "closure", "after", "after all"] or seen == [
        "before", "before all", "closure", "after", "after all"]  # fmt: skip
    assert kind.__name__ in repr(optimizer)


@every_class
@pytest.mark.parametrize("options", [{}, {"l2": 0.1}, {"l1": 0.01}], ids=["free", "l2", "l1"])
def test_sparse_gradients_step_as_dense_ones(kind: Any, options: dict[str, float]) -> None:
    tables = [nn.Embedding(6, 3, sparse=sparse) for sparse in (True, False)]
    tables[1].load_state_dict(tables[0].state_dict())
    for table in tables:
        optimizer = made(kind, table.parameters(), **options)
        for words in ([1, 4], [4, 4], [0, 1]):
            optimizer.zero_grad()
            table(torch.tensor(words)).square().sum().backward()
            assert table.weight.grad.is_sparse == table.sparse
            optimizer.step()
    np.testing.assert_allclose(tables[0].weight.detach(), tables[1].weight.detach(), rtol=1e-5, atol=1e-7)


def test_a_sparse_gradient_of_a_resting_rule_writes_only_what_it_touches() -> None:
    table = nn.Embedding(6, 3, sparse=True)
    before, optimizer = table.weight.detach().clone(), optim.Adagrad(table.parameters(), lr=0.1)
    table(torch.tensor([2])).sum().backward()
    optimizer.step()
    assert torch.equal((table.weight != before).any(1), torch.arange(6) == 2)


def test_ftrl_begins_where_the_weights_are() -> None:
    module = network()
    before = weights(module).clone()
    descend(module, optim.FTRL(module.parameters(), lr=1e-4), 1)
    np.testing.assert_allclose(weights(module), before, atol=2e-4)


@every_class
def test_wrong_options_get_one_sentence(kind: Any) -> None:
    one = nn.Parameter(torch.zeros(2))
    with pytest.raises(OptionError, match=f"lr of {kind.__name__} is a number of at least 0, not -1"):
        kind([one], lr=-1.0)
    with pytest.raises(OptionError, match="not nan"):
        kind([one], lr=0.1, l2=float("nan"))
    with pytest.raises(OptionError, match=f"{kind.__name__} has no option 'gamma'"):
        kind([one], lr=0.1, gamma=1.0)
    with pytest.raises(ValueError, match="empty parameter list"):
        kind([], lr=0.1)


def test_a_hyperparameter_that_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="momentum of Momentum is a number of at least 0"):
        optim.Momentum([nn.Parameter(torch.zeros(2))], lr=0.1, momentum=-0.5)


@every_class
def test_a_complex_parameter_steps_as_its_parts(kind: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    whole = nn.Parameter(torch.randn(3, 2, dtype=torch.complex64, generator=generator))
    parts = nn.Parameter(torch.view_as_real(whole.detach()).clone())
    ours, theirs = made(kind, [whole], l2=0.1), made(kind, [parts], l2=0.1)
    for _ in range(3):
        whole.grad = torch.randn(3, 2, dtype=torch.complex64, generator=generator)
        parts.grad = torch.view_as_real(whole.grad).clone()
        ours.step()
        theirs.step()
    assert torch.equal(torch.view_as_real(whole), parts)
    again = made(kind, [whole])
    again.load_state_dict(copy.deepcopy(ours.state_dict()))
    with ours.evaluated(), theirs.evaluated():
        torch.testing.assert_close(torch.view_as_real(whole), parts)


@every_class
def test_hooks_of_state_dicts_are_heard(kind: Any) -> None:
    one = nn.Parameter(torch.ones(3))
    optimizer, seen = made(kind, [one]), []
    one.grad = torch.ones(3)
    optimizer.step()
    optimizer.register_state_dict_pre_hook(lambda own: seen.append(own is optimizer))
    optimizer.register_state_dict_post_hook(lambda own, state: {**state, "more": 1})
    state = optimizer.state_dict()
    other = made(kind, [nn.Parameter(torch.ones(3))])

    def rescued(own: Any, given: dict[str, Any]) -> dict[str, Any]:
        return {"state": {0: given["kept"][0]}, "param_groups": given["param_groups"]}

    other.register_load_state_dict_pre_hook(rescued)
    other.register_load_state_dict_post_hook(lambda own: seen.append(next(iter(own.state.values()))["carry"].dtype))
    other.load_state_dict({"kept": state["state"], "param_groups": state["param_groups"], "state": {}})
    assert seen == [True, torch.float64]
    assert state["more"] == 1
    assert torch.equal(next(iter(other.state.values()))["carry"], state["state"][0]["carry"])


@every_class
def test_groups_come_later_and_what_is_refused_stays_out(kind: Any) -> None:
    one, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = made(kind, [one])
    for wrong, said in (({"lr": -1.0}, "lr of"), ({"lr": torch.ones(2)}, "a tensor of one, not of 2")):
        with pytest.raises(OptionError, match=said):
            optimizer.add_param_group({"params": [other], **wrong})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [one]})
    with pytest.raises(ValueError, match="non-leaf"):
        optimizer.add_param_group({"params": [other * 2]})
    optimizer.add_param_group({"params": [other]})
    one.grad, other.grad = torch.ones(2), torch.ones(2)
    optimizer.step()
    assert torch.equal(one, other)
    assert not torch.equal(one, torch.ones(2))
    optimizer.zero_grad(set_to_none=False)
    assert torch.equal(one.grad, torch.zeros(2))
    optimizer.zero_grad()
    assert one.grad is None


@every_class
def test_parameters_may_have_names_types_and_layouts_of_their_own(kind: Any) -> None:
    torch.manual_seed(0)
    layout = torch.randn(4, 3, 2)[..., 0]
    own = {"a": nn.Parameter(layout), "b": nn.Parameter(torch.ones(3, dtype=torch.float64))}
    plain = [nn.Parameter(one.detach().contiguous().clone()) for one in own.values()]
    named, other = made(kind, [*own.items()]), made(kind, plain)
    assert not own["a"].is_contiguous()
    for _ in range(3):
        for one, twin in zip(own.values(), plain, strict=True):
            one.grad, twin.grad = one.detach().cos(), twin.detach().cos()
        named.step()
        other.step()
    assert named.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    assert all(torch.equal(one, twin) for one, twin in zip(own.values(), plain, strict=True))


def test_schedulers_warn_of_the_wrong_order_alone(recwarn: pytest.WarningsRecorder) -> None:
    module = network()
    optimizer = made(optim.Momentum, module.parameters())
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for _ in range(3):
        descend(module, optimizer, 1)
        cycle.step()
        plateau.step(1.0)
    assert optimizer.param_groups[0]["momentum"] != optimizer.defaults["momentum"]
    assert not recwarn.list
    early = torch.optim.lr_scheduler.StepLR(made(optim.Adam, module.parameters()), 1)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        early.step()
