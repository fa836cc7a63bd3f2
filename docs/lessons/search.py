"""Guess, try, follow the slope; the step-size table; what a gradient costs.

python docs/figures.py search [--cifar FOLDER]
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from schuss.baselines import backtracking, follow, random_local_search, random_search
from schuss.data.chunk import Chunk
from schuss.landscape.steps import RATES, step_sizes
from schuss.objective import LinearObjective
from schuss.report.figures.curves import Curve, Frame

from . import drawing
from .problems import Images, images

LOOKS = 1000
ROWS = 10_000


class Found(NamedTuple):
    """What a method found with so many looks at the rows."""

    name: str
    points: list[tuple[int, float]]
    loss: float
    accuracy: float


def compare(data: Images, *, looks: int = LOOKS, rows: int = ROWS, seed: int = 0) -> list[Found]:
    """Guess, try and follow the slope with the same number of looks at the multiclass hinge loss.

    Weights are drawn with a standard deviation of 0.0001, steps too, from a start of 0.001, on pixels as they are: the
    recipe of the introduction whose figures on CIFAR-10 are 15.5 % and 21.4 %.
    """
    objective = data.hinge(rows)
    shape = (data.train.shape[1] + 1, 10)
    rng = np.random.default_rng(seed)
    start = 1e-3 * rng.normal(size=shape)
    small = {"scales": (1e-4, 1e-4)}
    searches = [
        ("random search", random_search(objective, 1e-4 * rng.normal(size=shape), rng, candidates=1, **small)),
        ("random local search", random_local_search(objective, start, rng, candidates=1, **small)),
        ("the gradient", backtracking(objective, start, rng)),
    ]
    found = []
    for name, steps in searches:
        end = follow(steps, rows=looks * objective.pass_rows)
        points = [(point.rows // objective.pass_rows, point.loss) for point in end.points]
        found.append(Found(name, points, end.points[-1].loss, data.accuracy(end.weights)))
    return found


def step_table(data: Images, *, rows: int = ROWS, seed: int = 0) -> tuple[float, np.ndarray]:
    """The loss at random weights, and after one step of each rate."""
    objective = data.hinge(rows)
    weights = 1e-4 * np.random.default_rng(seed).normal(size=(data.train.shape[1] + 1, 10))
    return float(objective.values(weights[None])[0]), step_sizes(objective, weights)


class Costs(NamedTuple):
    """Times in units of a loss."""

    parameters: float
    both: float


def costs(rows: int = 4000, features: int = 512, outputs: int = 256, repeats: int = 15) -> Costs:
    """Time a gradient for the parameters, and one for parameters and data, in units of a loss: medians of ratios."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(rows, features)), rng.normal(size=(features, outputs)) / features**0.5
    y = rng.normal(size=(rows, outputs))

    def loss() -> np.ndarray:
        scores = x @ w
        return ((scores - y) ** 2).sum()

    def gradient(data: bool) -> None:
        error = x @ w - y
        (error**2).sum()
        x.T @ error
        if data:
            error @ w.T

    def seconds(call: object) -> float:
        begun = time.process_time()  # whatever else the machine does
        call()  # type: ignore[operator]
        return time.process_time() - begun

    calls = (loss, lambda: gradient(False), lambda: gradient(True))
    with threadpool_limits(1):  # threads that wait for each other would count
        times = np.array([[seconds(call) for call in calls] for _ in range(repeats)])
    ratios = np.median(times[:, 1:] / times[:, :1], axis=0)
    return Costs(*ratios.tolist())


def numerical_price(objective: LinearObjective) -> int:
    """Losses that a centred numerical gradient takes."""
    assert isinstance(objective.rows, Chunk)
    return 2 * (objective.rows.rows.shape[1] + 1) * 10


def draw(cifar: Path | None = None) -> None:
    """Make the figures and tables of the page."""
    data = images(cifar)
    found = compare(data, looks=LOOKS, rows=ROWS if cifar is None else len(data.train))  # as the introduction has it
    colours = ("rate-2", "rate-5", "ink")
    lines = [
        Curve(one.name, one.points, colour, 3.4 if colour == "ink" else 1.8)
        for one, colour in zip(found, colours, strict=True)
    ]
    top = 1.1 * max(one.points[0][1] for one in found)
    frame = Frame("looks at the rows", "multiclass hinge loss", (1, LOOKS), (found[-1].loss / 1.3, top), True, True)
    drawing.curves(
        "search", f"Loss against looks at the rows, by guessing, trying and the gradient: {data.name}", lines, frame
    )
    rows = [(one.name, f"{one.loss:,.2f}", f"{one.accuracy:.1%}") for one in found]
    drawing.table("search-table", (data.name, "loss", "test accuracy"), rows)
    before, after = step_table(data)
    steps = [(f"10<sup>{round(np.log10(rate))}</sup>", f"{loss:,.4f}") for rate, loss in zip(RATES, after, strict=True)]
    drawing.table("steps-table", ("rate", "loss after one step"), [("no step", f"{before:,.4f}"), *steps])
    cost = costs()
    drawing.table(
        "costs-table",
        ("", "time"),
        [
            ("the loss", "1"),
            ("the gradient for the parameters", f"{cost.parameters:.1f}"),
            ("the gradient for parameters and data", f"{cost.both:.1f}"),
            ("the numerical gradient of 512 × 256 weights", f"{2 * 512 * 256:,}"),
        ],
    )
