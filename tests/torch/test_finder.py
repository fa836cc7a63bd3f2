"""Learning rates that are found: everything stays as it was, and the answer is that of a closed form and of a race."""

from __future__ import annotations

import copy
import importlib
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from schuss.descent import optimizers as rules
from schuss.errors import OptionError, TrainingError
from schuss.torch import find_learning_rate, optim

finder = importlib.import_module("schuss.torch.finder")
cross_entropy = nn.functional.cross_entropy


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    return x, (x[:, :3] * x[:, 3:]).argmax(1)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def test_module_optimizer_and_random_states_stay_as_they_were() -> None:
    module, (x, y) = network(), rows()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    cross_entropy(module(x), y).backward()
    optimizer.step()
    data = DataLoader(TensorDataset(x, y), 32, shuffle=True, generator=torch.Generator().manual_seed(3))
    tensors, state = copy.deepcopy(module.state_dict()), copy.deepcopy(optimizer.state_dict())
    gradients = [one.grad.clone() for one in module.parameters()]

    def states() -> list[Any]:
        numpys = np.random.get_state()[1].tolist()  # noqa: NPY002
        return [torch.get_rng_state().tolist(), numpys, random.getstate(), data.generator.get_state().tolist()]

    before = states()
    find_learning_rate(module, cross_entropy, data, optimizer=optimizer, points=4)
    assert states() == before
    assert module.training
    assert all(torch.equal(one, tensors[name]) for name, one in module.state_dict().items())
    assert all(torch.equal(one.grad, kept) for one, kept in zip(module.parameters(), gradients, strict=True))
    for place, kept in state["state"].items():
        assert all(torch.equal(optimizer.state_dict()["state"][place][name], one) for name, one in kept.items())


def test_the_answer_does_not_depend_on_the_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for steps in (32, 128):
        monkeypatch.setattr(finder, "FIRST_STEPS", steps)
        found.append(find_learning_rate(network(), cross_entropy, rows(), points=8))
    grid = found[0].rates[1] / found[0].rates[0]
    rates = [one.learning_rate for one in found]
    assert max(rates) / min(rates) < 1.01 * max(grid, 2.0)
    assert found[0].steps[0] == 32
    assert all(one.good[0] <= one.learning_rate <= one.good[1] for one in found)


def test_rates_beyond_the_stable_one_are_not_good() -> None:
    x = torch.randn(512, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1.0, 1.0])
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]])
    found = find_learning_rate(nn.Linear(3, 1), nn.functional.mse_loss, (x, y), optimizer="sgd", batch_size=512)
    edge = 2 / (2 * float(torch.linalg.eigvalsh(x.T @ x / 512)[-1]))  # of full-batch descent on a quadratic
    assert found.good[1] < 2 * edge
    assert not np.isfinite(found.losses[-1][found.rates > 20 * edge]).any()
    assert found.learning_rate > edge / 50


@pytest.mark.parametrize(
    ("theirs", "rule"),
    [
        (lambda p: torch.optim.SGD(p, lr=1), rules.SGD()),
        (lambda p: torch.optim.SGD(p, lr=1, momentum=0.8, dampening=0.1), rules.Momentum(0.8, 0.1)),
        (lambda p: torch.optim.SGD(p, lr=1, momentum=0.8, nesterov=True), rules.Nesterov(0.8)),
        (lambda p: torch.optim.Adam(p, betas=(0.8, 0.9)), rules.Adam(0.8, 0.9, 1e-8)),
        (lambda p: torch.optim.Adam(p, amsgrad=True), rules.AMSGrad()),
        (lambda p: torch.optim.AdamW(p, weight_decay=0.3), rules.AdamW(weight_decay=0.3)),
        (lambda p: torch.optim.RMSprop(p, alpha=0.9), rules.RMSprop(0.9)),
        (lambda p: torch.optim.RMSprop(p, centered=True), rules.CentredRMSprop()),
        (lambda p: torch.optim.Adagrad(p), rules.Adagrad()),
        (lambda p: torch.optim.Adadelta(p), rules.Adadelta()),
        (lambda p: optim.Lion(p, lr=1, beta1=0.5), rules.Lion(0.5)),
    ],
)
def test_the_rule_of_an_optimizer_is_taken_over(theirs: Any, rule: Any) -> None:
    found = finder.rule_of(theirs([nn.Parameter(torch.zeros(1))]))
    assert type(found) is type(rule)
    np.testing.assert_allclose([*found], [*rule], rtol=1e-12)


def test_what_is_wrong_is_said() -> None:
    module = network()
    with pytest.raises(OptionError, match="no rule of schuss is that of LBFGS"):
        find_learning_rate(module, cross_entropy, rows(), optimizer=torch.optim.LBFGS(module.parameters()))
    with pytest.raises(OptionError, match="the loss of 32 rows is a tensor of shape"):
        find_learning_rate(module, lambda s, y: s, rows())
    with pytest.raises(TrainingError, match="every learning rate diverged, also the lowest"):
        find_learning_rate(
            nn.Linear(6, 3), cross_entropy, rows(), optimizer="sgd", learning_rates=(1e38, 1e38), points=2
        )
