"""Pictures of a plane seen from above: the losses on it with contour lines and the path, and which class is where."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import svg
from ..ground import Boundary, Relief, Surface, read_boundaries, read_surfaces, relief
from ..history import RecordLike, as_history
from ..markup import Markup, element, short
from ..palette import GROUND_STEPS
from ..svg import Figure
from ..words import figure, shorten
from . import axes, key
from .axes import Axis, Plot
from .key import Sign
from .surface import height_ticks

__all__ = ["MAPS", "decision_boundary", "loss_map"]

MAPS = 4
"""So many planes of a kind are drawn at most."""

Array = NDArray[np.float64]

_LEFT, _SIDE, _FOOT = 62.0, 362.0, 52.0


def loss_map(record: RecordLike, *, which: int = 0) -> Figure:
    """Draw the loss over a plane through the model from above, with contour lines and the path of the training.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.
    which
        Of several surfaces, the newest of which is 0.

    Example
    -------
    >>> losses = [[2.0, 1.5, 2.0], [1.0, 0.5, 1.0], [2.0, 1.5, 2.0]]
    >>> loss_map([{"event": "surface", "a": [-1, 0, 1], "b": [-1, 0, 1], "losses": losses}]).empty
    False
    """
    surfaces = read_surfaces(as_history(record))
    if not 0 <= which < len(surfaces):
        return svg.blank("The record holds no loss surface.")
    surface = surfaces[which]
    heights = relief(surface.losses)
    tall = heights.height(surface.losses)
    signs = _scale_signs(heights, surface.unit)
    plot = _square(surface.a, surface.b, signs)
    parts = [
        *key.draw(signs),
        *_bands(plot, surface, tall, heights),
        *_contours(plot, surface, tall, [height for height, _ in height_ticks(heights)]),
        *_frame(plot, surface.directions),
        *_path(plot, surface),
    ]
    return _on_paper(plot, parts)


def _square(x: Array, y: Array, signs: Sequence[Sequence[Sign]]) -> Plot:
    top = key.ROW * len(signs) + 38
    across = Axis((float(x[0]), float(x[-1])), _LEFT, _LEFT + _SIDE)
    return Plot(across, Axis((float(y[0]), float(y[-1])), top + _SIDE, top))


def _on_paper(plot: Plot, parts: list[Markup]) -> Figure:
    return Figure(440.0, plot.y.start + _FOOT, tuple(parts), (plot,))


def _scale_signs(heights: Relief, unit: str) -> list[list[Sign]]:
    least, most = (figure(loss, 3) for loss in heights.limits)
    more, log = " or more" if heights.cut else "", ", in logarithms" if heights.log else ""
    scale = key.scale_sign(
        f"loss {least} to {most}{more}{unit and ' ' + unit}{log}",
        [f"ground-{step}" for step in range(0, GROUND_STEPS, 2)],
    )
    return [[scale]]


def _frame(plot: Plot, names: Sequence[str]) -> list[Markup]:
    across, upwards = axes.linear_ticks(plot.x.limits, 5), axes.linear_ticks(plot.y.limits, 5)
    parts = [
        svg.words(axes.even_labels(upwards)(tick), (plot.x.start - 6, float(plot.y.at(tick))), anchor="end")
        for tick in upwards
    ]
    parts += axes.bottom(plot, across, axes.even_labels(across), shorten(names[0], 50))
    return [*parts, axes.title(plot, shorten(names[1], 50), _LEFT)]


def _bands(plot: Plot, surface: Surface, tall: Array, heights: Relief) -> list[Markup]:
    """Fill the plane by heights, each band over the ones below it; what is not finite stays paper."""
    places = plot.at(surface.a[None, :], surface.b[:, None])
    edges = [figure(heights.loss(step / GROUND_STEPS), 3) for step in range(GROUND_STEPS + 1)]
    found = []
    for step, least, most in zip(range(GROUND_STEPS), edges, edges[1:], strict=False):
        inside = above(places, tall, step / GROUND_STEPS)
        if inside:
            highest = f"{least} or more" if heights.cut and step == GROUND_STEPS - 1 else f"{least} to {most}"
            band = element("path", {"d": inside, "fill": f"var(--ground-{step})"})
            found.append(svg.told(f"loss {highest}{surface.unit and ' ' + surface.unit}", band))
    return found


def above(places: Array, heights: Array, level: float) -> str:
    """Write where a surface is at or above a level as the data of a path: whole cells, and the parts of the others.

    places : the pixels `(rows, columns, 2)` of the heights `(rows, columns)`; cells with a gap are left out.
    """
    tall, ends = _around(heights), _around(places)
    whole = np.asarray((tall >= level).all(axis=0))
    parts = [spans(whole, places[0, :, 0], places[:, 0, 1])]
    partly = np.isfinite(tall).all(axis=0) & (tall >= level).any(axis=0) & ~whole
    for row, column in np.argwhere(partly).tolist():
        corners, levels = ends[:, row, column].tolist(), tall[:, row, column].tolist()
        points: list[list[float]] = []
        for start in range(4):
            end = (start + 1) % 4
            if levels[start] >= level:
                points.append(corners[start])
            if (levels[start] >= level) != (levels[end] >= level):
                points.append(_crossing(corners[start], corners[end], levels[start], levels[end], level))
        parts.append(f"{_outline(points)}Z")
    return "".join(parts)


def _around(values: Array) -> Array:
    """Give the values at the four corners of each cell, in their order around it."""
    return np.stack([values[:-1, :-1], values[:-1, 1:], values[1:, 1:], values[1:, :-1]])


def _crossing(start: list[float], end: list[float], low: float, high: float, level: float) -> list[float]:
    """Give the point of an edge at which it has a height."""
    part = (level - low) / (high - low)
    return [start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])]


def _outline(points: Sequence[Sequence[float]]) -> str:
    return "M" + " ".join(f"{x:.1f} {y:.1f}" for x, y in points)


def spans(inside: NDArray[np.bool_], x: Array, y: Array) -> str:
    """Write the cells `(rows, columns)` that are inside as the data of a path, a rectangle for each run in a row.

    x, y : the pixels of the cells' edges.

    >>> spans(np.array([[True, True, False]]), np.array([0.0, 4.0, 8.0, 12.0]), np.array([10.0, 5.0]))
    'M0 10H8V5H0Z'
    """
    padded = np.zeros((inside.shape[0], inside.shape[1] + 2), np.int8)
    padded[:, 1:-1] = inside
    turns = np.diff(padded, axis=1)
    across, down = ([short(place, 1) for place in axis.tolist()] for axis in (x, y))
    return "".join(
        [
            f"M{across[start]} {down[row]}H{across[end]}V{down[row + 1]}H{across[start]}Z"
            for (row, start), (_, end) in zip(
                np.argwhere(turns > 0).tolist(), np.argwhere(turns < 0).tolist(), strict=True
            )
        ]
    )


def _contours(plot: Plot, surface: Surface, tall: Array, levels: Sequence[float]) -> list[Markup]:
    """Draw the lines of equal height."""
    places = plot.at(surface.a[None, :], surface.b[:, None])
    data = "".join(crossings(places, tall, level) for level in levels if 0 < level < 1)
    return [element("path", {"d": data, **svg.stroke("casing", 0.9), "stroke-opacity": 0.45})]


def crossings(places: Array, heights: Array, level: float) -> str:
    """Write where a surface crosses a level as the data of a path, a piece for each cell it passes through.

    places : the pixels `(rows, columns, 2)` of the heights `(rows, columns)`. The crossing of a cell with a saddle is
    drawn one way of two.
    """
    tall, ends = _around(heights), _around(places)
    inside = tall >= level
    passed = np.isfinite(tall).all(axis=0) & inside.any(axis=0) & ~inside.all(axis=0)
    found = []
    for row, column in np.argwhere(passed).tolist():
        corners, levels = ends[:, row, column].tolist(), tall[:, row, column].tolist()
        points = [
            _crossing(corners[start], corners[end], levels[start], levels[end], level)
            for start, end in ((0, 1), (1, 2), (2, 3), (3, 0))
            if (levels[start] >= level) != (levels[end] >= level)
        ]
        found += [_outline(points[at : at + 2]) for at in range(0, len(points) - 1, 2)]
    return "".join(found)


def _path(plot: Plot, surface: Surface) -> list[Markup]:
    """Draw the path of the training; parts beside the plane are cut."""
    if not len(surface.path):
        return []
    points = plot.at(surface.path[:, 0], surface.path[:, 1])
    inside = (points[:, 0] >= plot.x.start - 1) & (points[:, 0] <= plot.x.end + 1)
    inside &= (points[:, 1] <= plot.y.start + 1) & (points[:, 1] >= plot.y.end - 1)
    line = np.where(inside[:, None], points, math.nan)
    parts = [svg.line(line, "casing", 4.0), svg.line(line, "path", 2.0)]
    for place, at in enumerate(points.tolist()):
        if inside[place]:
            last = place == len(points) - 1
            words = f"{surface.labels[place] or 'a point of the path'}: loss {figure(float(surface.path[place, 2]))}"
            dot = svg.marker("circle", (at[0], at[1]), 12 if last else 6, "negative" if last else "path",
                             "path" if last else "casing", 2.0 if last else 1.2)  # fmt: skip
            parts.append(svg.told(words, dot))
    return parts


def decision_boundary(record: RecordLike, *, which: int = 0) -> Figure:
    """Draw which class is predicted where, over a plane of the rows.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.
    which
        Of several boundaries, the first of which is 0.

    Example
    -------
    >>> plane = {"x": [0, 1, 2], "y": [0, 1], "classes": [[0, 1, 1], [0, 0, 1]], "names": ["no", "yes"]}
    >>> decision_boundary([{"event": "boundary", **plane}]).empty
    False
    """
    found = read_boundaries(as_history(record))
    if not 0 <= which < len(found):
        return svg.blank("The record holds no decision boundary.")
    boundary = found[which]
    colours = _class_colours(len(boundary.names))
    samples = (svg.rectangle((0, -6), 14, 12, colour) for colour in colours)
    signs = [Sign(shorten(name, 20), sample, 14.0) for name, sample in zip(boundary.names, samples, strict=True)]
    plot = _square(boundary.x, boundary.y, key.rows(signs, 440.0))
    parts = [
        *key.draw(key.rows(signs, 440.0)),
        *_regions(plot, boundary, colours),
        *_rows(plot, boundary, colours),
        *_frame(plot, boundary.axes),
    ]
    return _on_paper(plot, parts)


def _class_colours(many: int) -> list[str]:
    if many == 2:
        return ["heat-2", "heat-7"]
    return [f"ground-{round(place * (GROUND_STEPS - 1) / max(many - 1, 1))}" for place in range(many)]


def _regions(plot: Plot, boundary: Boundary, colours: Sequence[str]) -> list[Markup]:
    """Fill where each class is predicted; the values are in the middles of their cells."""
    x, y = plot.x.at(_edges(boundary.x)), plot.y.at(_edges(boundary.y))
    parts = []
    for place, colour in enumerate(colours):
        runs = spans(boundary.classes == place, x, y)
        if runs:
            area = element("path", {"d": runs, "fill": f"var(--{colour})", "fill-opacity": 0.45})
            parts.append(svg.told(boundary.names[place], area))
    return [element("g", {"shape-rendering": "crispEdges"}, *parts)]


def _rows(plot: Plot, boundary: Boundary, colours: Sequence[str]) -> list[Markup]:
    """Draw some rows, each in the colour of its class."""
    limits = plot.x.limits, plot.y.limits
    parts = []
    for x, y, place in boundary.points.tolist():
        if limits[0][0] <= x <= limits[0][1] and limits[1][0] <= y <= limits[1][1]:
            at = plot.at(x, y).tolist()
            parts.append(svg.marker("circle", (at[0], at[1]), 5.5, colours[int(place)], "path", 1.1))
    return parts


def _edges(middles: Array) -> Array:
    """Give the edges of cells by their middles; the outer ones end where the axis does."""
    return np.concatenate([middles[:1], (middles[1:] + middles[:-1]) / 2, middles[-1:]])
