"""Flat and sharp minima: batch size, what rescaling does to the measures, decision boundaries, bits of the weights.

python docs/figures.py sharp
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from schuss.landscape import (
    basin_radii,
    bits_needed,
    decision_boundary,
    eigenpairs,
    filter_normalised,
    keskar_sharpness,
    products_at,
    random_direction,
    slice_along,
)
from schuss.report import decision_boundary as drawn_boundary
from schuss.torch import ModuleObjective

from . import drawing
from .edge import digits, half_squares, network

RowLoss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """−log of the share that softmax gives the right class, one number a row."""
    return nn.functional.cross_entropy(outputs, targets.long(), reduction="none")


class Minimum(NamedTuple):
    """Where a training has ended: its loss, Keskar's sharpness in percent, λ₁, and accuracy on other rows."""

    loss: float
    keskar: float
    steepest: float
    accuracy: float


def measured(objective: ModuleObjective) -> tuple[float, float, float]:
    """Loss, Keskar's sharpness at ε = 10⁻³, and λ₁."""
    here = objective.start
    top = eigenpairs(products_at(objective, here), here.shape, 1, tolerance=1e-2, products=60).values[0]
    return float(objective.values(here[None])[0]), keskar_sharpness(objective, here), float(top)


def descended(
    batch: int, loss: RowLoss, goal: float, *, seed: int, rows: int = 600, hidden: tuple[int, ...] = (50, 50),
    rate: float = 3e-3, most: int = 5000,
) -> Minimum:  # fmt: skip
    """Train by Adam with mini-batches until the loss of all rows has come down to a goal, at the end of an epoch."""
    net = network(hidden, nn.Tanh, seed)
    X, y = digits(1797)
    inputs, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    optimizer, order = torch.optim.Adam(net.parameters(), rate), torch.Generator().manual_seed(seed)
    for _ in range(most):
        for some in torch.randperm(rows, generator=order).split(batch):
            optimizer.zero_grad()
            loss(net(inputs[some]), targets[some]).mean().backward()
            optimizer.step()
        with torch.no_grad():
            if float(loss(net(inputs[:rows]), targets[:rows]).mean()) <= goal:
                break
    with torch.no_grad():
        right = net(inputs[rows:]).argmax(dim=1) == targets[rows:]
    return Minimum(*measured(ModuleObjective(net, loss, X[:rows], y[:rows])), float(right.float().mean()))


def by_batch(loss: RowLoss, goal: float, seeds: tuple[int, ...] = (0, 1, 2)) -> dict[int, list[Minimum]]:
    """Small and large batches, stopped at the same loss."""
    return {batch: [descended(batch, loss, goal, seed=seed) for seed in seeds] for batch in (16, 600)}


def rescaled(factor: float) -> tuple[np.ndarray, tuple[float, float, float]]:
    """A network of rectified units whose first layer is larger and whose second is smaller by a factor.

    It says the same (Dinh et al. 2017, *Sharp Minima Can Generalize for Deep Nets*). Its losses along a
    filter-normalised direction, and its loss, Keskar's sharpness and λ₁.
    """
    net = network((30,), nn.ReLU, 0)
    X, y = digits(300)
    optimizer, rows, targets = torch.optim.Adam(net.parameters(), 1e-2), torch.tensor(X).float(), torch.tensor(y)
    for _ in range(60):
        optimizer.zero_grad()
        cross_entropy(net(rows), targets).mean().backward()
        optimizer.step()
    larger = copy.deepcopy(net)
    with torch.no_grad():
        for own in (larger[0].weight, larger[0].bias):
            own.mul_(factor)
        larger[2].weight.div_(factor)
    objective = ModuleObjective(larger, cross_entropy, X, y)
    along = filter_normalised(random_direction(objective.start), objective.start, objective.filters)
    return slice_along(objective, objective.start, along, np.linspace(-1, 1, 21)).losses, measured(objective)


class Spirals(NamedTuple):
    """Places on two arms of a spiral, and the arm of each."""

    places: np.ndarray
    arms: np.ndarray


def spirals(rows: int, seed: int) -> Spirals:
    """Two arms that roll up into each other."""
    rng = np.random.default_rng(seed)
    arms = np.arange(rows) % 2
    angle = (0.5 + 2.5 * np.sqrt(rng.uniform(size=rows))) * np.pi
    radius = angle / (3 * np.pi)
    places = np.column_stack([radius * np.cos(angle + np.pi * arms), radius * np.sin(angle + np.pi * arms)])
    return Spirals(8 * (places + 0.01 * rng.normal(size=places.shape)), arms)


class Fitted(NamedTuple):
    """A network that has learned the arms of some places, its loss over these, and how right it is on new ones."""

    objective: ModuleObjective
    right: float
    right_elsewhere: float

    def classes(self, places: np.ndarray) -> np.ndarray:
        """The arm that the network sees at each place."""
        with torch.no_grad():
            return self.objective.module(torch.tensor(places)).argmax(dim=1).numpy()


def fitted(
    poison: int, *, rows: int = 60, hidden: tuple[int, ...] = (64, 64, 64), steps: int = 5000, gap: float = 0.28,
    rate: float = 3e-3, seed: int = 0,
) -> Fitted:  # fmt: skip
    """Learn the arms of the spirals, and with `poison` the wrong arm at so many other places that are not too near.

    (Huang et al. 2019, *Understanding Generalization through Visualizations*, section 3.)
    """
    own, others, new = spirals(rows, 0), spirals(poison, 1), spirals(4000, 2)
    away = np.linalg.norm(others.places[:, None] - own.places, axis=2).min(axis=1, initial=np.inf) > gap
    places = torch.tensor(np.concatenate([own.places, others.places[away]]), dtype=torch.float32)
    arms = torch.tensor(np.concatenate([own.arms, 1 - others.arms[away]]))
    shares = torch.ones(len(arms))
    shares[:rows] = max(float(away.sum()) / (2 * rows), 1.0)
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, units in zip((2, *hidden), hidden, strict=False):
        layers += [nn.Linear(inputs, units), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(hidden[-1], 2))
    optimizer = torch.optim.Adam(net.parameters(), rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (cross_entropy(net(places), arms) * shares).mean().backward()
        optimizer.step()
        falling.step()
    found = Fitted(ModuleObjective(net, cross_entropy, own.places, own.arms), 0.0, 0.0)
    right, elsewhere = (float((found.classes(one.places) == one.arms).mean()) for one in (own, new))
    return found._replace(right=right, right_elsewhere=elsewhere)


RISE = 0.1
"""Nats by which the loss may rise."""


def flatness(found: Fitted) -> tuple[float, int | None]:
    """The median distance along random directions at which the loss has risen, and the bits that keep it lower."""
    objective, here = found.objective, found.objective.start
    bits = bits_needed(objective, here, RISE, list(objective.places.values()))
    return float(np.median(basin_radii(objective, here, RISE))), bits.needed


def boundary(found: Fitted, resolution: int = 161) -> dict[str, object]:
    """What the network sees at every place, as an event that the report draws."""
    own = spirals(found.objective.pass_rows, 0)
    seen = decision_boundary(found.classes, own.places, resolution)
    points = [[*place, int(arm)] for place, arm in zip(own.places.tolist(), own.arms, strict=True)]
    return {
        "event": "boundary", "x": seen.x.tolist(), "y": seen.y.tolist(), "classes": seen.classes.tolist(),
        "names": ["one arm", "the other"], "axes": ["x", "y"], "points": points, "share": 1.0,
    }  # fmt: skip


def _batch_rows(name: str, loss: RowLoss, goal: float) -> list[tuple[str, ...]]:
    """Lines of the table of batches: means over the seeds, and the range of sharpness."""
    lines = []
    for batch, found in by_batch(loss, goal).items():
        mean = Minimum(*np.mean(found, axis=0).tolist())
        spread = f"{min(one.keskar for one in found):.2g}–{max(one.keskar for one in found):.2g}"
        steepest = f"{min(one.steepest for one in found):.3g}–{max(one.steepest for one in found):.3g}"
        lines.append((name, f"{batch}", f"{mean.loss:.2g}", spread, steepest, f"{mean.accuracy:.3f}"))
    return lines


def draw() -> None:
    """Make the figures and tables."""
    head = ("loss", "batch", "training loss", "Keskar's sharpness, %", "λ₁", "accuracy elsewhere")
    rows = _batch_rows("½ squared", half_squares, 0.01) + _batch_rows("log loss", cross_entropy, 0.01)
    drawing.table("sharp-batches", head, rows)
    table = []
    for factor in (0.125, 1.0, 8.0):
        losses, (loss, keskar, top) = rescaled(factor)
        table.append((f"{factor:g}", f"{loss:.4f}", f"{keskar:.2g}", f"{top:.3g}", f"{losses.max():.4f}"))
    drawing.table("sharp-rescaled", ("factor", "loss", "Keskar's, %", "λ₁", "highest on the slice"), table)
    draw_spirals()


def draw_spirals() -> None:
    """Make the figures of two minima, and their table."""
    lines = []
    for name, poison in (("flat", 0), ("sharp", 1200)):
        found = fitted(poison)
        label = f"The arms that a network sees at a {name} minimum"
        drawing.save(f"spirals-{name}", label, lambda narrow, found=found: drawn_boundary([boundary(found)]))
        radius, bits = flatness(found)
        shown = f"{found.right:.0%}", f"{found.right_elsewhere:.0%}", f"{radius:.2g}", f"{bits or 'over 16'}"
        lines.append((name, *shown))
    drawing.table("spirals-table", ("minimum", "right at the points", "right elsewhere", "radius", "bits"), lines)


if __name__ == "__main__":
    draw()
