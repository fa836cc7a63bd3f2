"""What is known of the ground under networks: planes of any module, the edge of stability."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from schuss.landscape import eigenpairs, products_at, surface
from schuss.torch.objective import ModuleObjective


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Layers this small gain nothing from a second thread, and wait for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def half_squares(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """½ squared loss of one-hot targets, a row."""
    wanted = nn.functional.one_hot(targets.long(), outputs.shape[1]).to(outputs.dtype)
    return ((outputs - wanted) ** 2).sum(dim=1) / 2


def rows_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def digits(rows: int) -> tuple[np.ndarray, np.ndarray]:
    found = load_digits()
    return (found.data - found.data.mean(axis=0))[:rows] / 16, found.target[:rows]


class Skip(nn.Module):
    """No plain sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(x + self.one(x).relu())


def tied() -> nn.Module:
    first = nn.Linear(64, 64)
    return nn.Sequential(first, nn.ReLU(), first, nn.Linear(64, 10))


MODULES = {
    "layers": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 10)),
    "one layer": lambda: nn.Sequential(nn.Linear(64, 10)),
    "convolutions": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 10),
    ),
    "normalised first": lambda: nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 10)),
    "tied": tied,
    "no sequence": Skip,
}  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_a_plane_is_the_loss_of_each_of_its_points(name: str, weighted: bool) -> None:
    torch.manual_seed(0)
    rows, targets = digits(60)
    weights = np.random.default_rng(1).uniform(0.5, 2, 60) if weighted else None
    objective = ModuleObjective(MODULES[name](), rows_loss, rows, targets, weights=weights, l2=0.1)
    first, second = np.random.default_rng(2).normal(size=(2, len(objective.start)))
    steps = np.linspace(-1, 1, 4)
    seen = surface(objective, objective.start, first, second, steps, steps)
    points = [objective.start + a * first + b * second for b in steps for a in steps]
    np.testing.assert_allclose(seen.losses.ravel(), objective.values(np.stack(points)), rtol=1e-10)
    before = objective.start.copy()
    assert objective.values(before[None])[0] == pytest.approx(seen.center_loss, rel=1e-12)  # nothing was written over


def steepest(objective: ModuleObjective, weights: np.ndarray) -> float:
    found = eigenpairs(products_at(objective, weights), weights.shape, 1, tolerance=1e-2, products=60)
    return float(found.values[0])


@pytest.mark.parametrize(("rate", "edge"), [(0.5, True), (0.02, False)])
def test_descent_sharpens_the_ground_up_to_the_edge_of_stability(rate: float, edge: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 10))
    objective = ModuleObjective(net, half_squares, *digits(200), dtype=torch.float32)
    weights, at = objective.start, []
    for step in range(1200):
        if step % 400 == 0:
            at.append(rate * steepest(objective, weights) / 2)
        weights = weights - rate * objective.value_and_gradient(weights)[1]
    at.append(rate * steepest(objective, weights) / 2)
    if edge:
        assert at[0] < 0.6
        assert 0.9 < at[-1] < 1.1
    else:
        assert max(at) < 0.1
