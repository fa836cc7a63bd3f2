"""The ravine: where plain descent zigzags, momentum overshoots, and Nesterov's look ahead brakes in time."""

from __future__ import annotations

import numpy as np

from schuss.report import svg
from schuss.report.figures.axes import Plot
from schuss.report.figures.curves import Curve, Frame, chart
from schuss.report.markup import Markup
from schuss.report.svg import Figure

from . import drawing

STEEP = np.array([1.0, 40.0])
"""Curvatures along the ravine and across it."""

START = np.array([-9.0, 1.5])
RATE = 1.9 / STEEP[1]
"""Plain descent is stable below 2 / 40."""

BOX = np.array([[-10.0, -2.0], [7.0, 2.0]])
"""The lower left and the upper right corner of the map."""

METHODS = {
    "plain descent": {},
    "momentum 0.9": {"momentum": 0.9},
    "Nesterov 0.9": {"momentum": 0.9, "ahead": True},
}
RATES = {"plain descent": RATE, "momentum 0.9": 1 / STEEP[1], "Nesterov 0.9": 1 / STEEP[1]}
COLOURS = {"plain descent": "rate-9", "momentum 0.9": "rate-6", "Nesterov 0.9": "rate-2"}


def height(place: np.ndarray) -> np.ndarray:
    """½ (x² + 40 y²)."""
    return 0.5 * (STEEP * place**2).sum(axis=-1)


def path(rate: float, *, momentum: float = 0.0, ahead: bool = False, steps: int = 120) -> np.ndarray:
    """Where a descent goes: v ← μ v + g, and w ← w − η v, or with Nesterov's look ahead w ← w − η (g + μ v)."""
    place, velocity, places = START, np.zeros(2), [START]
    for _ in range(steps):
        slope = STEEP * place
        velocity = momentum * velocity + slope
        place = place - rate * (slope + momentum * velocity if ahead else velocity)
        places.append(place)
    return np.array(places)


def paths(steps: int = 120) -> dict[str, np.ndarray]:
    """Where each of the three goes."""
    return {name: path(RATES[name], steps=steps, **settings) for name, settings in METHODS.items()}


def overshoot(places: np.ndarray) -> float:
    """How far a path goes beyond the minimum along the ravine, in units of where it began."""
    return float(max(places[:, 0].max(), 0.0) / -START[0])


def steps_to(places: np.ndarray, share: float = 1e-4) -> int:
    """Steps after which a path stays below a share of the height it began at."""
    above = np.flatnonzero(height(places) > share * height(START))
    return int(above[-1]) + 1 if above.size else 0


def _map(narrow: bool) -> Figure:
    """The ravine from above, with lines of equal height and the three paths."""
    lines = [Curve(name, places[:60], COLOURS[name], 1.8, marks=True) for name, places in paths().items()]

    def contours(plot: Plot) -> list[Markup]:
        turn = np.linspace(0, 2 * np.pi, 120)
        parts = []
        for level in (0.5, 2, 5, 10, 20, 40, 70):
            ring = np.sqrt(2 * level / STEEP) * np.column_stack([np.cos(turn), np.sin(turn)])
            ring[(ring < BOX[0]).any(axis=1) | (ring > BOX[1]).any(axis=1)] = np.nan
            parts.append(svg.line(plot.at(ring[:, 0], ring[:, 1]), "dropped", 0.8))
        parts.append(svg.marker("cross", tuple(plot.at(0, 0).tolist()), 8, "none", "ink", 1.8))
        return parts

    frame = Frame(
        "along the ravine",
        "across the ravine",
        (BOX[0, 0], BOX[1, 0]),
        (BOX[0, 1], BOX[1, 1]),
        label=lambda value: f"{value:g}",
    )
    width, tall = drawing.NARROW if narrow else drawing.WIDE
    return chart(lines, frame, narrow=narrow, size=(width, tall * 0.85), behind=contours)


def draw() -> None:
    """Make the figures and the table."""
    drawing.save("ravine", "Three descents in a ravine seen from above, with lines of equal height", _map)
    found = paths(160)
    steps = np.arange(161)
    lines = [Curve(name, np.column_stack([steps, height(line)]), COLOURS[name], 2.0) for name, line in found.items()]
    frame = Frame("steps", "height", (0, 160), (1e-9, 200), y_log=True, label=lambda value: f"{value:g}")
    drawing.curves("ravine-height", "Height against steps for the three descents", lines, frame)
    found = {"plain descent": (RATE, found["plain descent"])}
    for momentum in (0.8, 0.9, 0.95):
        for name, ahead in ((f"momentum {momentum}", False), (f"Nesterov {momentum}", True)):
            found[name] = 1 / STEEP[1], path(1 / STEEP[1], momentum=momentum, ahead=ahead, steps=400)
    rows = [(name, f"{rate:.3g}", f"{overshoot(line):.0%}", steps_to(line)) for name, (rate, line) in found.items()]
    drawing.table("ravine-table", ("", "rate", "overshoot", "steps to a ten-thousandth"), rows)
