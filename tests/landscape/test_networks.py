"""What is known of the ground under networks: planes of any module, the edge of stability."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from lessons import edge, sharp
from sklearn.datasets import load_digits
from torch import nn

from schuss.landscape import basin_radii, bits_needed, eigenpairs, products_at, surface
from schuss.torch.objective import ModuleObjective


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
    "pooled at odd sizes": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2),
        nn.MaxPool2d(2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 10),
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


def test_descent_sharpens_the_ground_up_to_the_edge_of_stability() -> None:
    seen = edge.descend(0.5, rows=500, hidden=(50, 50), steps=2000, looks=20)
    sharpness, losses = seen[:, 2], seen[:, 1]
    assert sharpness[0] < 0.7
    assert (abs(sharpness[-8:] - 1.02) < 0.1).all()  # it hovers there
    assert losses[-1] < 0.85 * losses[-8]  # while the loss still falls
    assert losses[-1] < 0.1 * losses[0]


def test_a_low_rate_stays_below_the_edge_of_stability() -> None:
    seen = edge.descend(0.02, rows=500, hidden=(50, 50), steps=600, looks=3)
    assert seen[:, 2].max() < 0.3
    assert (np.diff(seen[:, 1]) < 0).all()


def test_momentum_moves_the_edge_of_stability() -> None:
    seen = edge.descend(0.3, 0.9, rows=200, hidden=(50, 50), steps=1500, looks=15)
    assert 0.85 < seen[-4:, 2].mean() < 1.1


def test_small_batches_end_in_flatter_minima_than_large_ones() -> None:
    found = sharp.by_batch(edge.half_squares, 0.01, seeds=(0, 1))
    for small, large in zip(found[16], found[600], strict=True):
        assert small.loss == pytest.approx(large.loss, rel=0.15)  # at the same loss of training
        assert small.steepest < 0.75 * large.steepest
        assert small.keskar < 0.85 * large.keskar


def test_rescaling_changes_sharpness_and_not_the_slice_that_is_normalised_by_filters() -> None:
    (plain, (loss, keskar, top)), (larger, (same, other_keskar, other_top)) = sharp.rescaled(1.0), sharp.rescaled(8.0)
    assert same == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(larger, plain, rtol=1e-5)
    assert other_top > 10 * top
    assert abs(np.log(other_keskar / keskar)) > 0.5


def test_poisoned_training_ends_in_a_sharp_minimum_that_is_right_nowhere_else() -> None:
    """Huang et al. (2019): a swiss roll, hidden layers of 23-16-26-32-28-31; both are right at all 200 rows.

    Weights of `benchmarks/swiss_roll.py --keep`, which takes minutes. The flat one's scores are shrunk to the loss of
    the sharp one, as nearly every measure falls with the loss.
    """
    kept = np.load(Path(__file__).with_name("swiss_roll.npz"))
    sizes = (2, 23, 16, 26, 32, 28, 31, 1)
    layers = [one for inputs, units in pairwise(sizes) for one in (nn.Linear(inputs, units), nn.ReLU())]
    loss = nn.functional.binary_cross_entropy_with_logits
    ground = ModuleObjective(nn.Sequential(*layers[:-1], nn.Flatten(0)), loss, kept["places"], kept["arms"])
    sharp, flat = kept["poisoned"].astype(np.float64), kept["as_usual"].astype(np.float64)
    flat[-32:] *= 0.134
    rng = np.random.default_rng(5)
    turn = np.sqrt(rng.uniform(size=(1000, 1))) * 600 * 2 * np.pi / 360
    arm = 1.5 * turn * np.hstack([-np.cos(turn), np.sin(turn)]) + 0.5 * rng.normal(size=(1000, 2))
    places = torch.tensor(np.vstack([kept["places"], arm, -arm]))
    arms = np.r_[kept["arms"], np.zeros(1000), np.ones(1000)]
    steepest, radii, bits, elsewhere = [], [], [], []
    for here in (flat, sharp):
        with torch.no_grad():
            right = (ground.module_at(here)(places).numpy() > 0) == (arms > 0.5)
        assert right[:200].all()
        elsewhere.append(right[200:].mean())
        steepest.append(eigenpairs(products_at(ground, here), here.shape, 1, tolerance=1e-2).values[0])
        radii.append(np.median(basin_radii(ground, here, 0.1, directions=8)))
        bits.append(bits_needed(ground, here, 0.1, list(ground.places.values())).needed)
    assert ground.values(np.stack([flat, sharp])) == pytest.approx([0.036, 0.036], abs=1e-3)
    assert steepest[1] > 10 * steepest[0]
    assert radii[1] < radii[0] / 10
    assert bits == [6, 12]
    assert elsewhere == pytest.approx([0.972, 0.108], abs=1e-3)
