"""Pictures along one direction: slices through the loss, one step of every size, the spectrum of the Hessian."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .. import svg
from ..ground import Slice, latest, numbers, read_slices, read_spectrum, read_steps, relief
from ..history import RecordLike, as_history, mapping, number
from ..markup import Markup, element
from ..palette import rate_colour
from ..svg import Figure
from ..words import figure, plural, setting, shorten
from . import axes, key
from .axes import Axis, Limits, Plot
from .curves import Curve, Frame, chart, power_label
from .key import Sign

__all__ = ["curvature_spectrum", "loss_slices", "losses_of_few_rows", "precision_needed", "slice_name", "step_sizes"]

Array = NDArray[np.float64]

_SIZE = (440.0, 340.0)


def loss_slices(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw the loss along straight lines through the model; dashed on held-out rows, ticks where there are kinks.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.

    Example
    -------
    >>> along = {"event": "slice", "direction": "random", "rows": 500, "t": [-1, 0, 1], "losses": [0.9, 0.2, 0.8]}
    >>> loss_slices([along]).empty
    False
    """
    return _draw_slices(read_slices(as_history(record)), narrow)


def losses_of_few_rows(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw the loss of one row, of a few, of a hundred along a straight line: the pieces of a loss with kinks.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.

    Example
    -------
    >>> along = {"event": "slice", "direction": "random", "rows": 3, "t": [-1, 0, 1], "losses": [0.9, 0.2, 0.2]}
    >>> losses_of_few_rows([{**along, "kinks": [0.0]}]).empty
    False
    """
    return _draw_slices(read_slices(as_history(record), few=True), narrow)


def _draw_slices(slices: list[Slice], narrow: bool) -> Figure:
    """Draw slices in one frame."""
    if not slices:
        return svg.blank("The record holds no slice.")
    every = np.concatenate([losses for one in slices for losses in (one.losses, one.holdout)])
    heights = relief(every)
    low, top = heights.limits
    limits = (low / (top / low) ** 0.04, top) if heights.log else (low - 0.04 * (top - low), top)
    span = (min(float(one.steps[0]) for one in slices), max(float(one.steps[-1]) for one in slices))
    curves, kinks, signs = [], [], []
    for place, one in enumerate(slices):
        colour = rate_colour(place / max(len(slices) - 1, 1) if len(slices) > 1 else 0.3)
        name = slice_name(one)
        said = f"{name}: the lowest loss is {figure(float(np.nanmin(one.losses)))}"
        shown = "" if narrow else shorten(name, 36)
        curves.append(Curve(shown, np.column_stack([one.steps, one.losses]), colour, 2.2, (), said))
        signs.append(key.line_sign(shorten(name, 40), colour, 2.2))
        if one.holdout.size:
            held = np.column_stack([one.steps, one.holdout])
            curves.append(Curve("", held, colour, 1.6, (4, 3), f"{name}, on held-out rows"))
        kinks.append((one.kinks, colour))
    frame = Frame("steps along the direction", "loss", span, limits, y_log=heights.log, label=axes.loss_label)
    drawn = chart(curves, frame, narrow=narrow, linked=False)
    marks = [mark for places, colour in kinks for mark in _kink_marks(drawn.plots[0], places, colour)]
    if not narrow:
        return Figure(drawn.width, drawn.height, (*drawn.parts, *marks), drawn.plots)
    lines = key.rows(signs, drawn.width)  # where there is no room for names at the ends of the curves
    below = element("g", {"transform": f"translate(0 {key.ROW * len(lines):g})"}, *drawn.parts, *marks)
    return Figure(drawn.width, drawn.height + key.ROW * len(lines), (*key.draw(lines), below))


def _kink_marks(plot: Plot, places: Array, colour: str) -> list[Markup]:
    pixels = (float(plot.x.at(place)) for place in places if plot.x.limits[0] <= place <= plot.x.limits[1])
    return [svg.line([(x, plot.y.start), (x, plot.y.start - 7)], colour, 1.2) for x in pixels]


def slice_name(one: Slice) -> str:
    """The direction of a slice, or of how few rows it is."""
    return plural(one.rows, "row") if 0 < one.rows <= 100 else one.direction


def step_sizes(record: RecordLike) -> Figure:
    """Draw the loss after one step along the gradient of each size; the edge of stability is a dashed line.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.

    Example
    -------
    >>> sweep = {"rates": [0.1, 1.0, 10.0], "losses": [0.6, 0.3, 4.0], "before": 0.7, "edge": 2.0}
    >>> step_sizes([{"event": "step_sizes", **sweep}]).empty
    False
    """
    steps = read_steps(as_history(record))
    if steps is None:
        return svg.blank("The record holds no sweep of step sizes.")
    first = steps.before if math.isfinite(steps.before) else float(steps.losses[np.isfinite(steps.losses)][0])
    finite = np.minimum(steps.losses, first + abs(first - float(np.nanmin(steps.losses))) + 1e-12)
    low, top = float(np.nanmin(finite)), float(np.nanmax(finite))
    margin = 0.08 * (top - low) or 0.05 * (abs(low) or 1.0)
    limits = (low - margin, top + margin)
    best = int(np.nanargmin(steps.losses))
    curve = Curve(
        "",
        np.column_stack([steps.rates, steps.losses]),
        "accent",
        2.2,
        (),
        f"the best step is {setting(float(steps.rates[best]))}, to a loss of {figure(float(steps.losses[best]))}",
        marks=True,
    )
    frame = Frame("learning rate of the step", "loss after one step", (float(steps.rates[0]), float(steps.rates[-1])),
                  limits, x_log=True, label=power_label)  # fmt: skip
    return chart([curve], frame, size=_SIZE, linked=False, behind=lambda plot: _edge(plot, steps.edge))


def _edge(plot: Plot, edge: float) -> list[Markup]:
    """Draw where the edge of stability is."""
    if not plot.x.limits[0] < edge < plot.x.limits[1]:
        return []
    x = float(plot.x.at(edge))
    left = x > (plot.x.start + plot.x.end) / 2
    name = svg.words(
        f"2/λ₁ = {setting(edge)}", (x + (-6 if left else 6), plot.y.end + 8), size=12, anchor="end" if left else "start"
    )
    return [svg.line([(x, plot.y.start), (x, plot.y.end)], "constant", 1.2, (5, 3.4)), name]


def curvature_spectrum(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw the eigenvalues of the Hessian that are known one by one, and above them how dense all of them lie.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.

    Example
    -------
    >>> curvature_spectrum([{"event": "curvature", "eigenvalues": [2.0, 0.5, 0.1]}]).empty
    False
    """
    history = as_history(record)
    known = numbers(latest(history, "curvature"), "eigenvalues")
    known = known[np.isfinite(known)]
    density, log = read_spectrum(history)
    known = known[known > 0] if log else known
    if not known.size and not len(density):
        return svg.blank("The record holds no curvature.")
    width = 360.0 if narrow else 920.0
    signs = _spectrum_key(known, density, width)
    top = key.ROW * len(signs) + 38
    across = _eigenvalues_axis(known, density, log, (58.0, width - 16))
    plot = Plot(across, _density_axis(density, log, top))
    ticks = axes.log_ticks(plot.x.limits, 5) if log else axes.linear_ticks(plot.x.limits, 4 if narrow else 8)
    parts = [
        *key.draw(signs),
        *(_density_names(plot, log) if len(density) else []),
        *axes.bottom(
            plot, ticks, power_label if log else axes.even_labels(ticks), "curvature λ (eigenvalue of the Hessian)"
        ),
        *_density(plot, density),
        *(_stem(plot, value, place) for place, value in enumerate(known.tolist())),
    ]
    return Figure(width, plot.y.start + 52, tuple(parts), (plot,))


def _spectrum_key(known: Array, density: Array, width: float) -> list[list[Sign]]:
    signs = []
    if known.size:
        signs.append(key.line_sign(f"the {known.size} largest, one by one", "negative", 2.0))
    if len(density):
        signs.append(key.line_sign("all, as a density", "accent", 2.0))
    return key.rows(signs, width)


def _eigenvalues_axis(known: Array, density: Array, log: bool, pixels: Limits) -> Axis:
    ends = np.concatenate([known, density[[0, -1], 0] if len(density) else []])
    if log:
        return Axis((float(ends.min()) / 1.2, float(ends.max()) * 1.2), *pixels, log=True)
    low, high = min(float(ends.min()), 0.0), max(float(ends.max()), 0.0)
    margin = 0.03 * (high - low) or 1.0
    return Axis((low - margin, high + margin), *pixels)


def _density_axis(density: Array, log: bool, top: float) -> Axis:
    """Shares of a decade as they are; densities in logarithms, four decades at most below the highest."""
    if not len(density):
        return Axis((0.0, 1.0), top + 250, top)
    highest = float(density[:, 1].max())
    if log or not highest > 0:
        reach = float((density[:, 1] + density[:, 2]).max())
        return Axis((0.0, 1.08 * reach or 1.0), top + 250, top)
    positive = density[:, 1][density[:, 1] > 0]
    return Axis((max(float(positive.min()), 1e-4 * highest) / 1.5, 2 * highest), top + 250, top, log=True)


def _density_names(plot: Plot, log: bool) -> list[Markup]:
    if not plot.y.log:
        ticks = axes.linear_ticks(plot.y.limits, 4)
        name = "share of all eigenvalues, by decade" if log else "density of all eigenvalues"
        return [*axes.left(plot, ticks, axes.even_labels(ticks)), axes.title(plot, name, 58)]
    ticks = axes.log_ticks(plot.y.limits, 5)
    return [*axes.left(plot, ticks, power_label), axes.title(plot, "density of all eigenvalues", 58)]


def _density(plot: Plot, density: Array) -> list[Markup]:
    if not len(density):
        return []
    grid, middle, wide = density.T
    low, high = np.clip([middle - wide, middle + wide], *plot.y.limits)
    band = np.concatenate([plot.at(grid, high), plot.at(grid, low)[::-1]])
    line = plot.at(grid, np.clip(middle, *plot.y.limits))
    return [svg.area(band, "accent", 0.2), svg.line(line, "accent", 2.0)]


def _stem(plot: Plot, value: float, place: int) -> Markup:
    x = float(plot.x.at(value))
    tall = plot.y.start - 46.0
    said = f"eigenvalue {place + 1} is {figure(value)}"
    stem = svg.line([(x, plot.y.start), (x, tall)], "negative", 1.6)
    return svg.told(said, stem, svg.marker("circle", (x, tall), 7, "negative"))


def precision_needed(record: RecordLike) -> Figure:
    """Draw the loss with the weights rounded to so many bits: a flat minimum needs few.

    Parameters
    ----------
    record
        The events of a record, the folder of a run, or the path of a `record.jsonl`.

    Example
    -------
    >>> bits = {"bits": [2, 4, 8], "losses": [0.9, 0.3, 0.2], "needed": 8}
    >>> precision_needed([{"event": "sharpness", "bits": bits}]).empty
    False
    """
    table = mapping(latest(as_history(record), "sharpness"), "bits")
    bits, losses = numbers(table, "bits"), numbers(table, "losses")
    if bits.size != losses.size or np.isfinite(losses).sum() < 2 or not np.isfinite(bits).all():
        return svg.blank("The record does not hold the loss of rounded weights.")
    heights = relief(losses)
    low, top = heights.limits
    limits = (low / (top / low) ** 0.06, top) if heights.log else (low - 0.06 * (top - low), top)
    needed = number(table.get("needed"))
    curve = Curve("", np.column_stack([bits, losses]), "accent", 2.2, (), "loss of rounded weights", marks=True)
    frame = Frame("bits of each weight", "loss", (float(bits.min()), float(bits.max())), limits, y_log=heights.log,
                  label=lambda tick: f"{tick:g}")  # fmt: skip
    return chart([curve], frame, size=_SIZE, linked=False, behind=lambda plot: _needed(plot, needed))


def _needed(plot: Plot, bits: float) -> list[Markup]:
    if not (math.isfinite(bits) and plot.x.limits[0] <= bits <= plot.x.limits[1]):
        return []
    x = float(plot.x.at(bits))
    line = svg.line([(x, plot.y.start), (x, plot.y.end)], "constant", 1.2, (5, 3.4))
    return [line, svg.words(f"{bits:g} bits are enough", (x + 6, plot.y.end + 8), size=12)]
