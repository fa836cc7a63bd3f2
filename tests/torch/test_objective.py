"""The losses of modules as objectives: against autograd on whole Hessians, linear objectives and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.cases import LOSSES_BY_NAME, problem
from torch import nn

from schuss.descent.losses import Softmax
from schuss.errors import OptionError
from schuss.objective import LinearObjective, in_float64
from schuss.torch import ModuleObjective, objective

functional = nn.functional


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3))


def rows(count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 5, generator=generator), torch.randint(3, (count,), generator=generator)


def of_network(**options: Any) -> ModuleObjective:
    return ModuleObjective(network(), functional.cross_entropy, *rows(), **options)


def whole(ours: ModuleObjective, l2: float = 0.0) -> Any:
    """F as one expression of the flat vector."""
    module, (x, y) = network().double().eval(), rows()

    def value(vector: torch.Tensor) -> torch.Tensor:
        parts = {name: vector[place].view(ours.shapes[name]) for name, place in ours.places.items()}
        penalty = sum(part.square().sum() for part in parts.values() if part.ndim > 1)
        return functional.cross_entropy(torch.func.functional_call(module, parts, (x.double(),)), y) + l2 / 2 * penalty

    return value


@pytest.fixture
def in_batches_of_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "ROWS_AT_ONCE", 8)


@pytest.mark.usefixtures("in_batches_of_eight")
def test_value_gradient_and_products_are_those_of_autograd() -> None:
    ours = of_network(l2=0.3)
    theirs, rng = whole(ours, 0.3), np.random.default_rng(2)
    at = torch.tensor(ours.start + 0.1 * rng.normal(size=ours.start.shape), requires_grad=True)
    value = theirs(at)
    gradient = torch.autograd.grad(value, at)[0]
    hessian = torch.autograd.functional.hessian(theirs, at.detach())
    point = at.detach().numpy()
    found = ours.value_and_gradient(point)
    assert found[0] == pytest.approx(value.item(), rel=1e-12)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.values(point[None]), [value.item()], rtol=1e-12)
    product = ours.curvature_at(point)
    for direction in rng.normal(size=(3, *point.shape)):
        np.testing.assert_allclose(product(direction), hessian @ torch.tensor(direction), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(ours.hessian_product(point, direction), product(direction), rtol=1e-12, atol=1e-14)


def test_a_graph_that_is_too_large_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = of_network()
    direction = np.random.default_rng(3).normal(size=ours.start.shape)
    wanted = ours.curvature_at(ours.start)(direction)
    monkeypatch.setattr(objective, "GRAPH_BYTES", 0)
    np.testing.assert_allclose(ours.curvature_at(ours.start)(direction), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("in_batches_of_eight")
def test_a_linear_layer_is_the_linear_objective() -> None:
    chunk = in_float64(problem("softmax", rows=50))
    chunk = chunk._replace(weights=np.random.default_rng(0).uniform(0.5, 2, 50).astype(np.float32))
    outputs = LOSSES_BY_NAME["softmax"].outputs
    linear = LinearObjective(chunk, Softmax(), 0.2)
    ours = ModuleObjective(
        nn.Linear(5, outputs), lambda s, y: functional.cross_entropy(s, y, reduction="none"), chunk.rows,
        chunk.targets.astype(np.int64), weights=chunk.weights, l2=0.2,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    weights, along = rng.normal(size=(2, 6, outputs))

    def flat(matrix: np.ndarray) -> np.ndarray:
        return np.concatenate([matrix[:-1].T.ravel(), matrix[-1]])

    value, gradient = linear.value_and_gradient(weights)
    found = ours.value_and_gradient(flat(weights))
    assert found[0] == pytest.approx(value, rel=1e-6)  # of which the linear one sums losses in float32
    np.testing.assert_allclose(found[1], flat(gradient), rtol=1e-6, atol=1e-8)
    product = ours.hessian_product(flat(weights), flat(along))
    np.testing.assert_allclose(product, flat(linear.hessian_product(weights, along)), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours.data_gradient(flat(weights)), linear.data_gradient(weights), rtol=1e-6, atol=1e-8)
    some = np.array([3, 3, 40])
    np.testing.assert_allclose(
        ours.part(some).value_and_gradient(flat(weights))[1],
        flat(linear.part(some).value_and_gradient(weights)[1]), rtol=1e-6, atol=1e-8,
    )  # fmt: skip


def test_values_along_directions_are_those_of_the_points() -> None:
    ours, rng = of_network(l2=0.1), np.random.default_rng(0)
    directions, points = rng.normal(size=(2, *ours.start.shape)), rng.normal(size=(150, 2))
    found = ours.values_along(ours.start, directions, points)
    np.testing.assert_allclose(found, ours.values(ours.start + points @ directions), rtol=1e-12)
    one = ours.module_at(ours.start + points[7] @ directions)
    penalty = sum(part.square().sum().item() for part in one.parameters() if part.ndim > 1)
    loss = functional.cross_entropy(one(rows()[0].double()), rows()[1]).item()
    assert found[7] == pytest.approx(loss + 0.05 * penalty, rel=1e-12)


def test_filters_are_what_each_output_has() -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(3, 2))
    ours = ModuleObjective(module, functional.mse_loss, np.zeros((4, 2, 2, 2)), np.zeros((4, 2)))
    lengths = [place.stop - place.start for place in ours.filters]
    assert lengths == [8, 8, 8, 3, 3]
    np.testing.assert_allclose(ours.start[ours.filters[1]], module[0].weight[1].detach().ravel(), rtol=1e-7)
    np.testing.assert_allclose(ours.start[ours.filters[4]], module[2].weight[1].detach().ravel(), rtol=1e-7)


def test_the_module_stays_as_it_was() -> None:
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    ours = ModuleObjective(module, functional.cross_entropy, *rows())
    ours.value_and_gradient(ours.start + 1.0)
    assert module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert next(module.parameters()).dtype == torch.float32


def test_inputs_may_be_several() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table, self.line = nn.Embedding(4, 2), nn.Linear(3, 2)

        def forward(self, words: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
            return self.table(words) * self.line(numbers)

    inputs = {"words": torch.tensor([0, 3, 1]), "numbers": torch.arange(9.0).view(3, 3)}
    ours = ModuleObjective(Both(), functional.mse_loss, inputs, np.ones((3, 2)))
    other = ModuleObjective(Both(), functional.mse_loss, tuple(inputs.values()), np.ones((3, 2)))
    assert ours.values(ours.start[None]) == other.values(ours.start[None])
    found, step = ours.data_gradient(ours.start), 1e-6
    moved = inputs["numbers"].double().clone()
    moved[1, 2] += step
    rise = ModuleObjective(Both(), functional.mse_loss, inputs | {"numbers": moved}, np.ones((3, 2)))
    change = (rise.values(ours.start[None]) - ours.values(ours.start[None]))[0] / step
    assert found["numbers"][1, 2] == pytest.approx(change, rel=1e-4)
    np.testing.assert_array_equal(found["words"], 0)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(OptionError, match=r"the loss of 30 rows is a tensor of shape \(30, 3\), not one number"):
        ModuleObjective(network(), lambda s, y: s, *rows()).values(np.zeros((1, 69)))
    with pytest.raises(OptionError, match="the module has 69 parameters"):
        of_network().values(np.zeros((1, 3)))
    with pytest.raises(OptionError, match="not one number a row"):
        weighted = of_network(weights=np.ones(30))
        weighted.values(weighted.start[None])
