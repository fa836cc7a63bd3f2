"""Rare features: one rate for all is too large for the common ones or too small for the rare ones."""

from __future__ import annotations

import numpy as np

from schuss.baselines import mini_batch
from schuss.data.chunk import Chunk
from schuss.descent.losses import LogLoss
from schuss.descent.optimizers import OPTIMIZERS
from schuss.objective import LinearObjective
from schuss.report.figures.curves import Curve, Frame

from . import drawing
from .sample import measured

FEATURES = 200
RATES = tuple(np.geomspace(0.01, 10, 10).tolist())


def words(rows: int = 4000, seed: int = 0) -> tuple[LinearObjective, np.ndarray]:
    """Rows of words, the j-th in a share of 0.9 / j^1.2, each for or against by 3; and how often each comes."""
    rng = np.random.default_rng(seed)
    share = 0.9 / np.arange(1, FEATURES + 1) ** 1.2
    x = (rng.random((rows, FEATURES)) < share).astype(float)
    scores = x @ rng.choice([-3.0, 3.0], FEATURES)
    y = (rng.random(rows) < 1 / (1 + np.exp(-scores))).astype(np.int32)
    return LinearObjective(Chunk(x, y, np.ones(rows)), LogLoss(), 1e-4), x.mean(axis=0)


def descents(epochs: int = 1, rates: tuple[float, ...] = RATES) -> dict[str, tuple[float, np.ndarray, np.ndarray]]:
    """For SGD and Adagrad at its own best rate: the rate, the loss by rows read, and the weights at the end."""
    objective, _ = words()
    start = np.zeros((FEATURES + 1, 1))
    found = {}
    for name in ("sgd", "adagrad"):
        tried = []
        for rate in rates:
            last = []

            def steps(rate: float = rate, name: str = name, last: list[np.ndarray] = last):
                rng = np.random.default_rng(0)
                for step in mini_batch(objective, start, rng, batch=4, rate=rate, rule=OPTIMIZERS[name]()):
                    last[:] = [step.weights]
                    yield step

            line = measured(objective, steps(), epochs * objective.pass_rows)
            tried.append((rate, line, last[0]))
        found[name] = min(tried, key=lambda one: one[1][-1, 1])
    return found


def draw() -> None:
    """Make the figures."""
    found = descents()
    lines = [
        Curve(f"{name} {rate:.2g}", line, colour, 2.2)
        for (name, (rate, line, _)), colour in zip(found.items(), ("rate-9", "rate-3"), strict=True)
    ]
    frame = Frame("rows read", "loss (nats)", (10, 4000), (0.2, 0.72), x_log=True)
    drawing.curves("rare", "Loss against rows read for SGD and Adagrad, each at its best rate", lines, frame)
    colours = {"sgd": "rate-9", "adagrad": "rate-3"}
    lines = [Curve(name, sizes(weights), colours[name], 2.4, marks=True) for name, (_, _, weights) in found.items()]
    frame = Frame(
        "share of the rows that have the word", "size of its weight", (0.001, 0.4), (0, 3.2), x_log=True,
        label=lambda value: f"{value:.1%}",
    )  # fmt: skip
    label = "Size of the weights learned, by how often a word comes; the truth is 3"
    drawing.curves("rare-weights", label, lines, frame)


def sizes(weights: np.ndarray, group: int = 20) -> np.ndarray:
    """Mean size of the weights of so many words that come about equally often: `(groups, 2)`, how often and size."""
    _, often = words()
    order = np.argsort(often)
    return np.column_stack(
        [values[order].reshape(-1, group).mean(axis=1) for values in (often, np.abs(weights[:-1, 0]))]
    )
