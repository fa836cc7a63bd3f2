"""Out of a poor minimum: what noise does for annealing and for descent by single rows."""

from __future__ import annotations

import numpy as np

from schuss.baselines import follow, random_local_search, simulated_annealing
from schuss.report.figures.curves import Curve, Frame

from . import drawing

POOR, GOOD = -1.32, 1.5


class Sharp:
    """A mean over rows with a sharp poor valley at the left and a broad deep one at the right.

    Row i adds a slope of its own, εᵢ w with Σ εᵢ = 0: the mean does not know of it, the gradient of one row does.
    """

    l2 = 0.0

    def __init__(self, rows: int = 400, noise: float = 2.0, seed: int = 0) -> None:
        slopes = np.random.default_rng(seed).normal(size=rows)
        self.slopes = noise * (slopes - slopes.mean()) / slopes.std()

    @property
    def pass_rows(self) -> int:
        """How many rows there are."""
        return len(self.slopes)

    def values(self, candidates: np.ndarray) -> np.ndarray:
        """The mean over the rows."""
        w = candidates.reshape(len(candidates))
        return 0.15 * (w - 1.5) ** 2 - 0.9 * np.exp(-(((w + 1.4) / 0.25) ** 2))

    def slope(self, w: np.ndarray) -> np.ndarray:
        """The slope of the mean, at many places."""
        u = (w + 1.4) / 0.25
        return 0.3 * (w - 1.5) + 0.9 * np.exp(-(u**2)) * 2 * u / 0.25


def descend(sharp: Sharp, *, batch: int | None, runs: int = 200, steps: int = 4000, rate: float = 0.05) -> np.ndarray:
    """Where so many runs from the poor valley end, by all rows (None) or by a batch, the rate falling to zero."""
    rng = np.random.default_rng(1)
    places = np.full(runs, POOR)
    for step in range(steps):
        slopes = sharp.slope(places)
        if batch is not None:
            slopes = slopes + sharp.slopes[rng.integers(0, sharp.pass_rows, (runs, batch))].mean(axis=1)
        places = places - rate * (1 - step / steps) * slopes
    return places


def search(sharp: Sharp, *, warm: bool, runs: int = 40, steps: int = 1500) -> np.ndarray:
    """Where local search or annealing ends, from the poor valley, with small steps."""
    start, small = np.full((1, 1), POOR), {"candidates": 1, "scales": (0.15, 0.15)}
    ends = []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        if warm:
            walk = simulated_annealing(sharp, start, rng, temperature=0.4, cooling=0.998, **small)
        else:
            walk = random_local_search(sharp, start, rng, **small)
        ends.append(float(follow(walk, most=steps).weights[0, 0]))
    return np.array(ends)


def escaped(places: np.ndarray) -> float:
    """The share that ended in the good valley."""
    return float((places > 0).mean())


def shares(runs: int = 200) -> dict[str, float]:
    """The share of the runs of each method that leave the poor valley for the good one."""
    sharp = Sharp()
    return {
        "descent by all rows": escaped(descend(sharp, batch=None, runs=runs)),
        "descent by 100 rows": escaped(descend(sharp, batch=100, runs=runs)),
        "descent by 10 rows": escaped(descend(sharp, batch=10, runs=runs)),
        "descent by one row": escaped(descend(sharp, batch=1, runs=runs)),
        "random local search": escaped(search(sharp, warm=False, runs=max(runs // 5, 10))),
        "simulated annealing": escaped(search(sharp, warm=True, runs=max(runs // 5, 10))),
    }


def draw() -> None:
    """Make the figure and the table."""
    w = np.linspace(-2.4, 3.2, 400)
    line = np.column_stack([w, Sharp().values(w[:, None])])
    frame = Frame("the weight", "loss", (-2.4, 3.2), (-0.2, 2.6), label=lambda value: f"{value:g}")
    curve = Curve("", line, "accent", 2.4)
    drawing.curves("minima", "A loss with a sharp poor minimum and a broad deep one", [curve], frame)
    rows = [(name, f"{share:.0%}") for name, share in shares().items()]
    drawing.table("minima-table", ("", "left the poor minimum"), rows)
