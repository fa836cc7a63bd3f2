"""The measurements of the ground around a model, as a record holds them: whatever is damaged is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .history import History, mapping, number, quantile, sequence

__all__ = [
    "Boundary",
    "Relief",
    "Rule",
    "Slice",
    "Steps",
    "Surface",
    "latest",
    "numbers",
    "read_boundaries",
    "read_rules",
    "read_slices",
    "read_spectrum",
    "read_steps",
    "read_surfaces",
    "relief",
]

Array = NDArray[np.float64]

_FEW = 100
_STEEP = 6.0  # from this ratio of the highest to the lowest loss on, heights are logarithms


@dataclass(frozen=True)
class Surface:
    """Losses `(b, a)` on a grid of steps along two directions, NaN where not finite, and a path over it.

    path : `(points, 3)`: steps along both directions and the loss there; labels : what each of its points is.
    """

    directions: tuple[str, str]
    a: Array
    b: Array
    losses: Array
    path: Array
    labels: tuple[str, ...]
    of: str
    unit: str


@dataclass(frozen=True)
class Slice:
    """Losses along one direction, on the rows learned from and on held-out ones, and where they have kinks.

    rows : how many rows the losses are of, 0 where unknown.
    """

    direction: str
    rows: int
    steps: Array
    losses: Array
    holdout: Array
    kinks: Array


@dataclass(frozen=True)
class Steps:
    """The loss after one step of each rate, and before it; edge : 2/λ₁, beyond which steps along λ₁ grow."""

    rates: Array
    losses: Array
    before: float
    edge: float
    where: str


@dataclass(frozen=True)
class Boundary:
    """Which class is predicted where, `(y, x)`, by its place among the names; points : rows `(n, 3)`: x, y, class."""

    x: Array
    y: Array
    classes: NDArray[np.int64]
    names: tuple[str, ...]
    axes: tuple[str, str]
    points: Array
    share: float


@dataclass(frozen=True)
class Rule:
    """Advice in a sentence, the numbers it comes from, and its source."""

    name: str
    sentence: str
    numbers: tuple[tuple[str, float], ...]
    source: str


@dataclass(frozen=True)
class Relief:
    """How losses become heights from 0 to 1: between limits, in logarithms where they span much, cut at the top."""

    limits: tuple[float, float]
    log: bool
    cut: bool

    def height(self, losses: Any) -> Array:
        """Give heights from 0 to 1, NaN where a loss is."""
        low, high = self._bent(self.limits)
        return np.clip((self._bent(losses) - low) / (high - low), 0.0, 1.0)

    def loss(self, height: float) -> float:
        """Give the loss at a height."""
        low, high = self._bent(self.limits)
        bent = float(low + height * (high - low))
        return math.exp(bent) if self.log else bent

    def _bent(self, losses: Any) -> Array:
        array = np.asarray(losses, dtype=np.float64)
        return np.log(np.maximum(array, 1e-300)) if self.log else array


def relief(losses: Array) -> Relief:
    """Choose heights that show the valley: a few spikes are cut instead of flattening all else.

    >>> relief(np.array([1.0, 2.0, 3.0])).limits
    (1.0, 3.0)
    >>> relief(np.array([0.1, 0.2, 9.0])).log
    True
    """
    finite = losses[np.isfinite(losses)]
    low, top = float(finite.min()), float(finite.max())
    log = low > 0 and top / low > _STEEP
    bent = np.log(finite) if log else finite
    bulk = quantile(bent, 0.95) - float(bent.min())
    reach = float(bent.min()) + 1.2 * bulk
    cut = bool(bulk > 0 and float(bent.max()) > reach)
    if cut:
        top = math.exp(reach) if log else reach
    if not top > low:
        top = low + (abs(low) or 1.0) * 1e-3
    return Relief((low, top), log, cut)


def latest(history: History, kind: str) -> Mapping[str, Any]:
    """The last measurement of a kind, an empty one where there is none."""
    found = history.measured.get(kind, ())
    return found[-1] if found else {}


def numbers(holder: Mapping[str, Any], key: str) -> Array:
    """The list of numbers under `key`, NaN for what is no finite number, an empty array where there is none."""
    return np.array([number(value) for value in sequence(holder, key)], dtype=np.float64)


def read_surfaces(history: History) -> list[Surface]:
    """Every surface that can be drawn, those first that hold most of their path.

    Of those along the same directions the last one counts.
    """
    found: dict[tuple[str, str], Surface] = {}
    for event in history.measured.get("surface", ()):
        surface = _surface(event)
        if surface is not None:
            found.pop(surface.directions, None)
            found[surface.directions] = surface
    return sorted(found.values(), key=_path_beside)


def _path_beside(surface: Surface) -> float:
    """Give the share of the path that leaves the plane; 1 where there is no path."""
    places, axes = surface.path[:, :2].T, (surface.a, surface.b)
    inside = [(place >= axis[0]) & (place <= axis[-1]) for place, axis in zip(places, axes, strict=True)]
    return 1.0 - float((inside[0] & inside[1]).mean()) if len(surface.path) else 1.0


def _surface(event: Mapping[str, Any]) -> Surface | None:
    """Read a surface, None where its parts do not fit each other."""
    a, b = numbers(event, "a"), numbers(event, "b")
    rows = [row for row in sequence(event, "losses") if _is_list(row)]
    if not (_rises(a) and _rises(b)) or len(rows) != b.size or any(len(row) != a.size for row in rows):
        return None
    losses = np.array([[number(loss) for loss in row] for row in rows])
    if np.isfinite(losses).sum() < 4:
        return None
    steps = [step for step in sequence(event, "path") if _is_list(step) and len(step) >= 2]
    path = np.array([[number(part) for part in (*step, None)[:3]] for step in steps]).reshape(-1, 3)
    kept = np.flatnonzero(np.isfinite(path[:, :2]).all(axis=1))
    labels = tuple(str(steps[at][3]) if len(steps[at]) > 3 else "" for at in kept)
    names = [str(name) for name in sequence(event, "directions")]
    directions = (names[0], names[1]) if len(names) == 2 else ("first direction", "second direction")
    unit = str(event.get("unit") or "")
    return Surface(directions, a, b, losses, path[kept], labels, str(event.get("of") or ""), unit)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _rises(values: Array) -> bool:
    return values.size >= 2 and bool(np.isfinite(values).all() and (np.diff(values) > 0).all())


def read_slices(history: History, *, few: bool = False) -> list[Slice]:
    """Every slice that can be drawn, of those along the same direction on the same rows the last.

    few : those on at most a hundred rows, where the pieces of a loss with kinks can be seen, instead of all others.
    """
    found: dict[tuple[str, int], Slice] = {}
    for event in history.measured.get("slice", ()):
        steps, losses, holdout = (numbers(event, key) for key in ("t", "losses", "holdout_losses"))
        if _rises(steps) and steps.size == losses.size and np.isfinite(losses).sum() > 1:
            name, rows = str(event.get("direction") or "a direction"), number(event.get("rows"))
            held = holdout if holdout.size == steps.size else np.empty(0)
            kinks = numbers(event, "kinks")
            many = int(rows) if math.isfinite(rows) else 0
            found[name, many] = Slice(name, many, steps, losses, held, kinks[np.isfinite(kinks)])
    return [one for one in found.values() if (0 < one.rows <= _FEW) == few]


def read_steps(history: History) -> Steps | None:
    """The sweep of step sizes, None where there is none that can be drawn."""
    event = latest(history, "step_sizes")
    rates, losses = numbers(event, "rates"), numbers(event, "losses")
    if rates.size != losses.size:
        return None
    order = np.argsort(rates, kind="stable")
    order = order[rates[order] > 0]
    if np.isfinite(losses[order]).sum() < 2:
        return None
    before, edge = number(event.get("before")), number(event.get("edge"))
    return Steps(rates[order], losses[order], before, edge, str(event.get("at") or ""))


def read_spectrum(history: History) -> tuple[Array, bool]:
    """The spectral density `(points, 3)`: eigenvalue, density, its spread (0 where unknown); empty if none is known.

    The second value tells whether eigenvalues are in logarithms, the density then for each decade.
    """
    event = latest(history, "spectrum")
    grid, density, spread = (numbers(event, key) for key in ("grid", "density", "spread"))
    log = event.get("scale") == "log"
    if not _rises(grid) or density.size != grid.size or (log and grid[0] <= 0):
        return np.empty((0, 3)), log
    wide = np.nan_to_num(spread) if spread.size == grid.size else np.zeros(grid.size)
    table = np.stack([grid, density, wide], axis=1)
    table = table[np.isfinite(table).all(axis=1)]
    return (table if len(table) > 1 else table[:0]), log


def read_boundaries(history: History) -> list[Boundary]:
    """The decision boundaries that can be drawn, of those over the same axes the last."""
    found: dict[tuple[str, str], Boundary] = {}
    for event in history.measured.get("boundary", ()):
        boundary = _boundary(event)
        if boundary is not None:
            found[boundary.axes] = boundary
    return list(found.values())


def _boundary(event: Mapping[str, Any]) -> Boundary | None:
    """Read a boundary, None where its parts do not fit each other."""
    x, y = numbers(event, "x"), numbers(event, "y")
    rows = [row for row in sequence(event, "classes") if _is_list(row)]
    names = tuple(str(name) for name in sequence(event, "names"))
    if not (_rises(x) and _rises(y)) or len(rows) != y.size or any(len(row) != x.size for row in rows):
        return None
    places = np.array([[number(place) for place in row] for row in rows])
    if not (names and np.isfinite(places).all() and places.min() >= 0 and places.max() < len(names)):
        return None
    points = [point for point in sequence(event, "points") if _is_list(point) and len(point) == 3]
    table = np.array([[number(part) for part in point] for point in points]).reshape(-1, 3)
    known = np.isfinite(table).all(axis=1) & (table[:, 2] >= 0) & (table[:, 2] < len(names))
    titles = [str(name) for name in sequence(event, "axes")]
    axes = (titles[0], titles[1]) if len(titles) == 2 else ("first coordinate", "second coordinate")
    return Boundary(x, y, places.astype(np.int64), names, axes, table[known], number(event.get("share")))


def read_rules(history: History) -> list[Rule]:
    """The advice of the newest measurement."""
    rules = [rule for rule in sequence(latest(history, "advice"), "rules") if isinstance(rule, Mapping)]
    return [
        Rule(
            str(rule.get("rule") or ""),
            str(rule["sentence"]),
            tuple((str(key), number(value)) for key, value in mapping(rule, "numbers").items()),
            str(rule.get("source") or ""),
        )
        for rule in rules
        if rule.get("sentence")
    ]
