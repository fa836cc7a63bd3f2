"""Hidden layers: what they learn, how gradients vanish in them, units that die, and which pixels matter.

python docs/figures.py hidden
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

import schuss
from schuss.data.chunk import Chunk
from schuss.descent.losses import Softmax
from schuss.descent.optimizers import rule_named
from schuss.population.architecture import Architecture
from schuss.population.network.layers import Layers, evaluate
from schuss.population.network.network import Network
from schuss.population.network.rows import batches
from schuss.population.population import Run
from schuss.report.figures.curves import Curve, Frame

from . import drawing

UNITS = (None, 1, 2, 3, 4, 8, 16)
DEPTH = 10
STARTS = {
    "sigmoid, glorot": ("sigmoid", "glorot", "negative"),
    "tanh, normal:0.05": ("tanh", "normal:0.05", "rate-9"),
    "tanh, glorot": ("tanh", "glorot", "rate-2"),
    "relu, he": ("relu", "he", "ink"),
}
RATES = (0.1, 0.5, 1.0, 1.5, 2.0)
SHADES = " ░▒▓█"


def ring(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points within a circle, and around it."""
    X = np.random.default_rng(seed).uniform(-1, 1, (rows, 2))
    return X, (np.hypot(*X.T) > 0.8).astype(int)


def widths(
    units: tuple[int | None, ...] = UNITS, *, rows: int = 1000, epochs: int = 60
) -> list[tuple[str, float, float]]:
    """Hidden units, and accuracy and log loss on 4,000 new points."""
    found = []
    for width in units:
        model = schuss.train(ring(rows, 0), network=width, epochs=epochs, runs=8, threads=1).model
        scores = model.evaluate(ring(4000, 1))
        found.append(("none" if width is None else f"{width}", scores["accuracy"], scores["loss"]))
    return found


def digits() -> Chunk:
    """scikit-learn's digits, standardised."""
    X, y = load_digits(return_X_y=True)
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1.0)
    return Chunk(X.astype(np.float32), y.astype(np.int32), np.ones(len(y), np.float32))


def slopes_by_layer(activation: str, init: str, *, depth: int = DEPTH, units: int = 64) -> np.ndarray:
    """The root mean square of the loss's derivatives along the units of each layer, at the start."""
    rows = digits()
    architecture = Architecture(64, 10, (units,) * depth, activation)
    start = {name: torch.from_numpy(one)[None] for name, one in architecture.start(init, seed=0, run=0).items()}
    gradients = {name: torch.empty_like(one) for name, one in start.items()}
    (batch,) = batches(rows, len(rows.targets), architecture, "cpu")
    layers = Layers(architecture)
    scores, trace = layers.scores(start, batch.rows)
    derivatives = evaluate(Softmax(), scores, batch.targets)[1] * (batch.weights / batch.many)
    layers.backward(start, batch.rows, trace, derivatives, gradients)
    return np.array([float(gradients[f"w{layer}"].square().mean().sqrt()) for layer in range(depth + 1)])


def dead_units(activation: str, rates: tuple[float, ...] = RATES, *, epochs: int = 5) -> list[tuple[float, float]]:
    """The share of units of the second layer that are zero for every row, and the loss, after training at each rate."""
    rows = digits()
    architecture = Architecture(64, 10, (64, 64), activation)
    population, layers = Network(rule_named("sgd"), Softmax(), architecture, 32), Layers(architecture)
    runs = tuple(Run(number, "sgd", rate, 0.0, "constant", 32, "auto") for number, rate in enumerate(rates))
    state = population.begin_leg(population.start(runs), 1)
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(rows.targets))
        state, _ = population.advance(state, Chunk(rows.rows[order], rows.targets[order], rows.weights))
    losses = np.average(population.losses(state, rows), axis=0)
    found = []
    for run in runs:
        out = rows.rows
        for weights, bias in architecture.layers(population.take(state, run.number).weights)[:2]:
            out = layers.activation.value(out @ weights + bias)
        dead = (out <= 0).all(axis=0).mean()
        found.append((float(dead), float(losses[run.number])))
    return found


def _said(loss: float) -> str:
    return f"{loss:.3g}" if np.isfinite(loss) else "diverged"


def pixels(*, epochs: int = 30) -> np.ndarray:
    """How much each pixel moves the scores of a network, `(8, 8)`: the root mean square slope over rows and classes."""
    model = schuss.train(load_digits(return_X_y=True), network=64, epochs=epochs, runs=4, threads=1).model
    return np.sqrt((model.scorer.reach.astype(float) ** 2).mean(axis=1)).reshape(8, 8)


def draw() -> None:
    """Make the figures and tables."""
    rows = [(name, f"{accuracy:.3f}", f"{loss:.3f}") for name, accuracy, loss in widths()]
    drawing.table("hidden-units", ["hidden units", "accuracy", "log loss"], rows)
    lines = [
        Curve(name, np.stack([np.arange(DEPTH + 1), np.log10(slopes_by_layer(activation, init))], 1), colour, 2.4)
        for name, (activation, init, colour) in STARTS.items()
    ]
    frame = Frame("layer", "gradient, root mean square", (0, DEPTH), (-12, 0), label=lambda value: f"1e{value:g}")
    drawing.curves("vanishing", "Size of the gradient in each of eleven layers, for four starts", lines, frame)
    dead, leaky = dead_units("relu"), dead_units("leaky_relu")
    table = [
        (f"{rate:g}", f"{share:.0%}", _said(loss), _said(other))
        for rate, (share, loss), (_, other) in zip(RATES, dead, leaky, strict=True)
    ]
    drawing.table("dead", ["rate", "dead units, relu", "loss, relu", "loss, leaky_relu"], table)
    shares = pixels()
    shades = (shares / shares.max() * (len(SHADES) - 1)).round().astype(int)
    picture = "\n".join("".join(2 * SHADES[shade] for shade in line).rstrip() for line in shades)
    (drawing.MADE / "pixels.md").write_text(f"```text\n{picture}\n```\n", encoding="utf-8")


if __name__ == "__main__":
    draw()
