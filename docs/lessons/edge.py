"""At the edge of stability: descent by all rows sharpens the ground until its steps are just short enough.

python docs/figures.py edge
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from schuss.landscape import eigenpairs, products_at
from schuss.report.figures.curves import Curve, Frame
from schuss.torch import ModuleObjective

from . import drawing

RATES = ((0.5, 0.0), (0.2, 0.0), (0.05, 0.0), (0.3, 0.9))
"""Rates and momenta."""

COLOURS = ("accent", "rate-2", "rate-9", "negative")


def half_squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """½ ‖s − e_y‖², one number a row."""
    return ((outputs - nn.functional.one_hot(targets.long(), outputs.shape[1]).to(outputs.dtype)) ** 2).sum(dim=1) / 2


def network(hidden: tuple[int, ...], activation: type[nn.Module], seed: int) -> nn.Sequential:
    """A network for the digits, as PyTorch begins it."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, units in zip((64, *hidden), hidden, strict=False):
        layers += [nn.Linear(inputs, units), activation()]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], 10))


def digits(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The first digits, centred."""
    X, y = load_digits(return_X_y=True)
    return (X - X.mean(axis=0))[:rows] / 16, y[:rows]


def descend(
    rate: float, momentum: float = 0.0, *, rows: int = 1000, hidden: tuple[int, ...] = (100, 100), steps: int = 3000,
    looks: int = 30, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """Step, loss, and λ₁ in units of the largest stable one, (2 + 2β)/η, at so many looks `(looks + 1, 3)`.

    (Cohen et al. 2021, *Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability*.)
    """
    objective = ModuleObjective(network(hidden, nn.Tanh, seed), half_squares, *digits(rows), dtype=torch.float32)
    weights, move, seen = objective.start, np.zeros_like(objective.start), []
    for step in range(steps + 1):
        loss, gradient = objective.value_and_gradient(weights)
        if step % (steps // looks) == 0:
            top = eigenpairs(products_at(objective, weights), weights.shape, 1, tolerance=2e-2, products=40).values[0]
            seen.append((step, loss, top * rate / (2 + 2 * momentum)))
        move = momentum * move - rate * gradient
        weights = weights + move
    return np.array(seen)


def draw() -> None:
    """Make the figures."""
    runs = [(rate, momentum, descend(rate, momentum)) for rate, momentum in RATES]
    names = [f"{rate:g}" if not momentum else f"{rate:g}, β {momentum:g}" for rate, momentum, _ in runs]
    frame = Frame("step", "λ₁ over the edge", (0, 3000), (0.0, 1.4), label=lambda value: f"{value:g}")
    fallen = replace(frame, y_name="loss", y=(1e-3, 1.0), y_log=True)
    for name, column, one, label in (
        ("edge-sharpness", 2, frame, "The sharpness of the ground while descent goes on"),
        ("edge-loss", 1, fallen, "The loss while descent goes on"),
    ):
        lines = [
            Curve(curve, seen[:, [0, column]], colour, 2.2)
            for curve, colour, (_, _, seen) in zip(names, COLOURS, runs, strict=True)
        ]
        drawing.curves(name, label, lines, one)
    table = [
        (name, f"{seen[0, 2]:.2f}", f"{seen[-5:, 2].mean():.2f}", f"{seen[-1, 1]:.2g}")
        for name, (_, _, seen) in zip(names, runs, strict=True)
    ]
    drawing.table("edge-table", ("rate", "λ₁ over the edge, start", "at the end", "loss at the end"), table)


if __name__ == "__main__":
    draw()
