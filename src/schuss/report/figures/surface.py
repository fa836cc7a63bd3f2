"""The loss surface in three dimensions: drawn once from one side, and the numbers that a script turns it with.

The script `surface.js` projects with the same formula: the picture stays where it is when the script takes over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import svg
from ..ground import Relief, Surface, read_surfaces, relief
from ..history import RecordLike, as_history
from ..markup import Markup, element
from ..palette import ground_colour
from ..svg import Figure
from ..words import figure, shorten
from . import axes

__all__ = ["height_ticks", "loss_surface", "surface_data", "surface_words"]

Array = NDArray[np.float64]

_AZIMUTHS = tuple(-0.62 + quarter * math.pi / 2 for quarter in range(4))  # radians: which corner is in front
_ELEVATION = 0.56  # radians: how far above it one stands
_HEIGHT = 1.05  # of the box, whose floor is 2 × 2
_DISTANCE = 6.0  # of the eye from the middle of the box: the larger, the more parallel the lines
_CELLS = 24  # along an axis, at most
_CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


@dataclass(frozen=True)
class _View:
    """Where a point of the box lies on the paper."""

    azimuth: float
    middle: svg.Point
    scale: float
    width: float

    @staticmethod
    def onto(width: float, height: float, right: float, azimuth: float) -> _View:
        """Put the box into the middle of the paper, a little to the right of it for the words at its axis."""
        low, high = (float(_lifted(away, z)) for away, z in ((-math.sqrt(2), 0.0), (math.sqrt(2), 1.0)))
        scale = min(width / 3.2, height / 2.8)
        middle = width / 2 + right, height / 2 + scale * ((low + high) / 2 + 0.06)
        return _View(azimuth, middle, scale, width)

    @property
    def front(self) -> tuple[float, float]:
        """The corner of the floor that is in front."""
        return min(_CORNERS, key=lambda corner: float(_turned(*corner, self.azimuth)[1]))

    @property
    def left(self) -> tuple[float, float]:
        """The corner of the floor that is farthest to the left."""
        return min(_CORNERS, key=lambda corner: float(_turned(*corner, self.azimuth)[0]))

    def within(self, x: float, text: str, size: float) -> float:
        """Move the middle of words so far that they stay on the paper, by an average character."""
        half = 0.28 * size * len(text)
        return min(max(x, half), max(self.width - half, half))

    def at(self, x: ArrayLike, y: ArrayLike, height: ArrayLike) -> Array:
        """Give the pixels `(…, 2)` of points whose heights are from 0 to 1."""
        right, away = _turned(x, y, self.azimuth)
        near = _nearness(away, (np.asarray(height, np.float64) - 0.5) * _HEIGHT)
        places = self.middle[0] + self.scale * right * near, self.middle[1] - self.scale * _lifted(away, height)
        return np.stack(np.broadcast_arrays(*places), axis=-1)


def _lifted(away: ArrayLike, height: ArrayLike) -> Array:
    """Give how far above the middle of the paper a point lies, for a scale of 1."""
    z = (np.asarray(height, np.float64) - 0.5) * _HEIGHT
    return (z * math.cos(_ELEVATION) + np.asarray(away) * math.sin(_ELEVATION)) * _nearness(away, z)


def _nearness(away: ArrayLike, z: ArrayLike) -> Array:
    """Give how much larger a thing is drawn for being near."""
    away, z = np.asarray(away, np.float64), np.asarray(z, np.float64)
    return _DISTANCE / (_DISTANCE + away * math.cos(_ELEVATION) - z * math.sin(_ELEVATION))


def _turned(x: ArrayLike, y: ArrayLike, azimuth: float) -> tuple[Array, Array]:
    """Turn points of the floor: how far to the right, and how far away from the eye."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    cosine, sine = math.cos(azimuth), math.sin(azimuth)
    return x * cosine - y * sine, x * sine + y * cosine


def _best_side(surface: Surface, heights: Relief) -> float:
    """Choose from which corner to look: that with the low ground in front, which hides the least."""
    tall = heights.height(surface.losses)
    known = np.isfinite(tall)
    x, y = np.broadcast_arrays(_places(surface.a)[None, :], _places(surface.b)[:, None])
    lean = [float((tall[known] * _turned(x[known], y[known], azimuth)[1]).sum()) for azimuth in _AZIMUTHS]
    return _AZIMUTHS[lean.index(max(lean))]


def loss_surface(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw the loss over a plane through the model in three dimensions, with the path of the training on it.

    Heights are logarithms where the losses span much, and are cut where a few spikes would flatten all else. Cells
    whose loss is not finite stay blank. The path is drawn where it passes over or under the plane.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.

    Example
    -------
    >>> losses = [[2.0, 1.5, 2.0], [1.0, 0.5, 1.0], [2.0, 1.5, 2.0]]
    >>> loss_surface([{"event": "surface", "a": [-1, 0, 1], "b": [-1, 0, 1], "losses": losses}]).empty
    False
    """
    surfaces = read_surfaces(as_history(record))
    if not surfaces:
        return svg.blank("The record holds no loss surface.")
    width, height = (360.0, 330.0) if narrow else (920.0, 580.0)
    heights = relief(surfaces[0].losses)
    view = _View.onto(width, height, 10.0 if narrow else 0.0, _best_side(surfaces[0], heights))
    return Figure(width, height, tuple(_draw(surfaces[0], heights, view, 11.0 if narrow else svg.TEXT)))


def _draw(surface: Surface, heights: Relief, view: _View, size: float) -> list[Markup]:
    return [
        *_box(view),
        *_cells(surface, heights, view),
        *_path(surface, heights, view),
        *_floor_names(surface, view, size),
        *_height_axis(surface, heights, view, size),
    ]


def _box(view: _View) -> list[Markup]:
    """Draw the floor and the edges that rise from it, but for the one in front."""
    around = np.array([*_CORNERS, _CORNERS[0]])
    floor = view.at(around[:, 0], around[:, 1], 0.0)
    posts = [view.at(x, y, [0.0, 1.0]) for x, y in _CORNERS if (x, y) != view.front]
    return [svg.line(floor, "rule"), *(svg.line(post, "rule") for post in posts)]


def _places(values: Array) -> Array:
    """Put the steps along a direction on the floor, from −1 to 1."""
    return 2 * (values - values[0]) / (values[-1] - values[0]) - 1


def _thinned(surface: Surface) -> tuple[Array, Array, Array]:
    """Give the places and the losses of at most so many cells as the still picture can show."""
    a, b = _each(surface.a.size), _each(surface.b.size)
    return _places(surface.a)[a], _places(surface.b)[b], surface.losses[np.ix_(b, a)]


def _each(size: int) -> NDArray[np.int64]:
    """Give places of a list at even distances, as many as cells can be drawn, and the last one."""
    return np.array(sorted({*range(0, size, math.ceil((size - 1) / _CELLS)), size - 1}))


def _cells(surface: Surface, heights: Relief, view: _View) -> list[Markup]:
    """Draw the cells from the back to the front, so that what is near covers what is far."""
    x, y, losses = _thinned(surface)
    tall = heights.height(losses)
    corners = [[f"{px:.1f} {py:.1f}" for px, py in row] for row in view.at(x[None, :], y[:, None], tall).tolist()]
    middles = ((tall[:-1, :-1] + tall[:-1, 1:] + tall[1:, 1:] + tall[1:, :-1]) / 4).tolist()
    columns, rows = range(x.size - 1), range(y.size - 1)
    if math.sin(view.azimuth) > 0:  # away grows with x
        columns = columns[::-1]
    if math.cos(view.azimuth) > 0:
        rows = rows[::-1]
    found = []
    for row in rows:
        (near, far), middle = corners[row : row + 2], middles[row]
        for column in columns:
            if math.isfinite(middle[column]):
                outline = f"M{near[column]} {near[column + 1]} {far[column + 1]} {far[column]}Z"
                found.append(element("path", {"d": outline, "fill": f"var(--{ground_colour(middle[column])})"}))
    return [element("g", {"stroke": "var(--paper)", "stroke-opacity": 0.35, "stroke-width": 0.7}, *found)]


def _path(surface: Surface, heights: Relief, view: _View) -> list[Markup]:
    """Draw the path of the training over the surface, and where it ended."""
    points = path_heights(surface, heights)
    if not len(points):
        return []
    line = view.at(points[:, 0], points[:, 1], points[:, 2] + 0.012)
    end = tuple(line[-1].tolist())
    return [
        svg.line(line, "casing", 4.4),
        svg.line(line, "path", 2.2),
        svg.told("the start of the path", svg.marker("circle", tuple(line[0].tolist()), 8, "path", "casing", 1.6)),
        svg.told("the model", svg.marker("circle", (end[0], end[1]), 12, "negative", "path", 2.0)),
    ]


def path_heights(surface: Surface, heights: Relief) -> Array:
    """Give the path on the surface `(points, 3)`: places on the floor and heights, which are NaN beside the grid.

    Between two points of the path it lies on the surface too, so a long step follows the hills.
    """
    if not len(surface.path):
        return np.empty((0, 3))
    steps = np.stack([_places_of(surface.path[:, 0], surface.a), _places_of(surface.path[:, 1], surface.b)], axis=1)
    pieces = [steps[:1]]
    for start, end in pairwise(steps):
        # A model that is nearly zero has a tiny grid, which a step may pass a billion times over.
        many = math.ceil(min(max(float(np.abs(end - start).max()) * 25, 1), 200))
        pieces.append(start + (end - start) * np.arange(1, many + 1)[:, None] / many)
    walk = np.concatenate(pieces)
    tall = _between(_places(surface.a), _places(surface.b), heights.height(surface.losses), walk)
    found = np.column_stack([walk, tall])
    inside = np.flatnonzero(np.isfinite(tall))
    return found[inside[0] : inside[-1] + 1] if inside.size else found[:0]


def _places_of(values: Array, axis: Array) -> Array:
    return 2 * (values - axis[0]) / (axis[-1] - axis[0]) - 1


def _between(x: Array, y: Array, heights: Array, points: Array) -> Array:
    """Give the heights at points between those of a grid, linearly along both axes; NaN beside the grid."""
    column = np.clip(np.searchsorted(x, points[:, 0], side="right") - 1, 0, x.size - 2)
    row = np.clip(np.searchsorted(y, points[:, 1], side="right") - 1, 0, y.size - 2)
    right = (points[:, 0] - x[column]) / (x[column + 1] - x[column])
    up = (points[:, 1] - y[row]) / (y[row + 1] - y[row])
    low = heights[row, column] * (1 - right) + heights[row, column + 1] * right
    high = heights[row + 1, column] * (1 - right) + heights[row + 1, column + 1] * right
    inside = (np.abs(points) <= 1 + 1e-9).all(axis=1)
    return np.where(inside, low * (1 - up) + high * up, np.nan)


def _floor_names(surface: Surface, view: _View, size: float) -> list[Markup]:
    """Write the directions and the first, middle and last step along the two edges in front."""
    front, parts = view.front, []
    for axis, (name, values) in enumerate(zip(surface.directions, (surface.a, surface.b), strict=True)):
        # The outer side of an edge is where the other coordinate goes on beyond it.
        beside = front[1 - axis]
        for place, value in ((-1.0, values[0]), (0.0, (values[0] + values[-1]) / 2), (1.0, values[-1])):
            # Both edges end at the corner in front: on a phone, what stands there would touch.
            along = 0.9 * place if place == front[axis] else place
            parts.append(_beside(view, axis, along, 1.13 * beside, axes.loss_label(float(value)), "muted", size - 1))
        parts.append(_beside(view, axis, 0.0, 1.42 * beside, shorten(name, 44), "ink", size))
    return parts


def _beside(view: _View, axis: int, along: float, beside: float, text: str, colour: str, size: float) -> Markup:
    x, y = (along, beside) if axis == 0 else (beside, along)
    at = view.at(x, y, 0.0).tolist()
    return svg.words(text, (view.within(at[0], text, size), at[1]), colour, size, anchor="middle")


def _height_axis(surface: Surface, heights: Relief, view: _View, size: float) -> list[Markup]:
    """Draw the axis of the losses at the edge that is farthest to the left."""
    x, y = view.left
    parts = [svg.line(view.at(x, y, [0.0, 1.0]), "muted")]
    for height, label in height_ticks(heights):
        at = view.at(x, y, height).tolist()
        parts.append(svg.line([at, (at[0] - 4, at[1])], "muted"))
        parts.append(svg.words(label, (at[0] - 8, at[1]), size=size - 1, anchor="end"))
    top = view.at(x, y, 1.0).tolist()
    name = _loss(surface)
    return [*parts, svg.words(name, (view.within(top[0], name, size), top[1] - 16), "ink", size, anchor="middle")]


def _loss(surface: Surface) -> str:
    return f"loss ({surface.unit})" if surface.unit else "loss"


def height_ticks(heights: Relief) -> list[tuple[float, str]]:
    """Give round losses between the lowest and the highest, as heights and in words."""
    ticks = axes.log_ticks(heights.limits, 5) if heights.log else axes.linear_ticks(heights.limits, 4)
    label = axes.loss_label if heights.log else axes.even_labels(ticks)
    places = heights.height(np.array(ticks)).tolist()
    return [(place, label(tick)) for place, tick in zip(places, ticks, strict=True)]


def surface_data(surface: Surface) -> str:
    """Write what the script turns as JSON: the floor, heights in ten-thousandths, the path, the axes' words."""
    heights = relief(surface.losses)
    tall = np.round(10_000 * heights.height(surface.losses))  # in thousandths slopes, and so shades, are uneven
    path = path_heights(surface, heights)
    data: dict[str, Any] = {
        "x": _rounded(_places(surface.a)),
        "y": _rounded(_places(surface.b)),
        "z": [[int(value) if math.isfinite(value) else None for value in row] for row in tall.tolist()],
        "path": [_rounded(point) if math.isfinite(point[2]) else None for point in path.tolist()],
        "ticks": [[round(place, 4), label] for place, label in height_ticks(heights)],
        "names": [shorten(name, 44) for name in surface.directions],
        "ends": [
            [axes.loss_label(float(v)) for v in (s[0], (s[0] + s[-1]) / 2, s[-1])] for s in (surface.a, surface.b)
        ],
        "steps": [[float(steps[0]), float(steps[-1])] for steps in (surface.a, surface.b)],
        "span": {"low": heights.limits[0], "high": heights.limits[1], "log": heights.log, "cut": heights.cut},
        "loss": _loss(surface),
        "view": [round(_best_side(surface, heights), 4), _ELEVATION, _HEIGHT, _DISTANCE],
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _rounded(values: Sequence[float] | Array) -> list[float]:
    return [round(float(value), 4) for value in values]


def surface_words(surface: Surface) -> str:
    """Say for those who do not see it how high and how low the surface is, where, and how it rises along its axes."""
    finite = np.where(np.isfinite(surface.losses), surface.losses, np.nan)
    low, high = (np.unravel_index(int(find(finite)), finite.shape) for find in (np.nanargmin, np.nanargmax))

    def place(at: Any) -> str:
        row, column = at
        steps = f"{axes.loss_label(float(surface.a[column]))}, {axes.loss_label(float(surface.b[row]))}"
        return f"{figure(float(finite[row, column]))} at ({steps})"

    return f"The lowest loss of the grid is {place(low)}, the highest {place(high)}.{_rises(surface, finite, low)}"


def _rises(surface: Surface, finite: Array, low: Any) -> str:
    """Say how high the loss is at the ends of both lines through the lowest place."""
    row, column = (int(place) for place in low)
    ends = [
        [figure(float(loss)) for loss in (line[0], line[-1]) if math.isfinite(loss)]
        for line in (finite[row], finite[:, column])
    ]
    said = [
        f"{' and '.join(losses)} along '{name}'"
        for losses, name in zip(ends, surface.directions, strict=True)
        if losses
    ]
    return f" From there it comes to {', to '.join(said)}." if said else ""
