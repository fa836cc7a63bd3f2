"""Four learning rates in one picture."""

from __future__ import annotations

import numpy as np

from schuss.baselines import mini_batch
from schuss.objective import LinearObjective
from schuss.report.figures.curves import Curve, Frame

from . import drawing
from .problems import digits

RATES = {"much too high": 10.0, "high": 3.0, "low": 0.002, "good": 0.5}
EPOCHS = 20


def four(objective: LinearObjective, *, epochs: int = EPOCHS, seed: int = 0) -> dict[str, np.ndarray]:
    """The loss over all rows along mini-batch descent with each rate: `(points, 2)`, epochs and losses."""
    start = np.zeros((objective.rows.rows.shape[1] + 1, 10))
    every = objective.pass_rows // 4
    found = {}
    for name, rate in RATES.items():
        steps = mini_batch(objective, start, np.random.default_rng(seed), rate=rate)
        points, due = [], 0
        for step in steps:
            if step.rows >= due:
                points.append((step.rows / objective.pass_rows, float(objective.values(step.weights[None])[0])))
                due += every
            if step.rows >= epochs * objective.pass_rows:
                break
        found[name] = np.array(points)
    return found


def draw() -> None:
    """Make the figure."""
    found = four(digits())
    colours = {"much too high": "negative", "high": "rate-9", "low": "rate-2", "good": "ink"}
    lines = [
        Curve(f"{name}: {RATES[name]:g}", found[name], colours[name], 3.4 if name == "good" else 1.8) for name in found
    ]
    frame = Frame("epochs", "loss (nats)", (0, EPOCHS), (0, 3.0), label=lambda value: f"{value:g}")
    drawing.curves("four-rates", "Loss against epochs for four learning rates", lines, frame)
