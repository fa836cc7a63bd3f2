"""The ground around the model: its loss surface, slices, step sizes, curvature, and what they say in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import figures, ground_tables, layout
from ..figures.plane import MAPS
from ..figures.surface import surface_data, surface_words
from ..ground import (
    Surface,
    latest,
    numbers,
    read_boundaries,
    read_slices,
    read_spectrum,
    read_steps,
    read_surfaces,
)
from ..history import History, mapping, number
from ..layout import Picture
from ..markup import Markup
from ..words import count, figure, percent, plural, setting
from .parts import picture

__all__ = ["ground"]

_HEADING = "The ground around the model"


def ground(history: History) -> Markup:
    """Write the section of the ground, nothing where nothing was measured."""
    if not history.measured:
        return Markup()
    surfaces = read_surfaces(history)
    parts = [
        _surface(history, surfaces[0]) if surfaces else Markup(),
        layout.pair(*_maps(history, surfaces), _steps(history), _precision(history), *_boundaries(history)),
        _slices(history),
        _few_rows(history),
        _spectrum(history),
        layout.facts(_facts(history)),
    ]
    if not any(parts):
        return Markup()
    return layout.section("ground", _HEADING, *parts)


def _surface(history: History, surface: Surface) -> Markup:
    caption = (
        f"The loss{_of(surface)} over a plane through the model, whose axes are steps along two directions: "
        f"{surface.directions[0]}, and {surface.directions[1]}."
    )
    if len(surface.path) > 2:
        caption += (
            " The white line is the way of the training, laid onto the surface where it passes, the ball its end."
        )
    elif len(surface.path) == 2:
        caption += " The white line leads from the start straight to the model, which is the ball."
    drawings = figures.loss_surface(history), figures.loss_surface(history, narrow=True)
    table = ground_tables.surface_table(surface)
    caption += " Point at the surface for its losses."
    shown = Picture("surface", *drawings, caption, "", table, said=surface_words(surface))
    return layout.turning(shown, surface_data(surface))


def _of(surface: Surface) -> str:
    return f" of the {surface.of}" if surface.of else ""


def _maps(history: History, surfaces: list[Surface]) -> list[Markup]:
    return [_map(history, surface, which) for which, surface in enumerate(surfaces[:MAPS])]


def _map(history: History, surface: Surface, which: int) -> Markup:
    caption = (
        "The same from above, with lines of equal loss."
        if which == 0
        else f"Another plane through the model: {surface.directions[0]}, {surface.directions[1]}."
    )
    caption += " Point at a colour or at the path for its losses."
    words = surface_words(surface)
    table = ground_tables.path_table(surface) if which == 0 else ground_tables.surface_table(surface)
    drawn = figures.loss_map(history, which=which)
    name = "map" if which == 0 else f"map-{which + 1}"
    return layout.figure(Picture(name, drawn, None, caption, "", table, said=words))


def _slices(history: History) -> Markup:
    slices = read_slices(history)
    if not slices:
        return Markup()
    caption = "The loss along straight lines through the model, which is at 0."
    if any(one.direction.startswith("from the start") for one in slices):
        caption += " The start is at −1 of the line that comes from it."
    if any(one.holdout.size for one in slices):
        caption += " Dashed: the same on held-out rows."
    return picture("slices", figures.loss_slices, history, caption, "", ground_tables.slices_table(slices))


def _few_rows(history: History) -> Markup:
    slices = read_slices(history, few=True)
    if not slices:
        return Markup()
    caption = "The same loss of a few rows only: straight pieces, which more and more rows make round."
    kinks = sum(one.kinks.size for one in slices)
    summary = f"{plural(kinks, 'kink')} {'is' if kinks == 1 else 'are'} marked on the axis." if kinks else ""
    table = ground_tables.slices_table(slices)
    return picture("few-rows", figures.losses_of_few_rows, history, caption, summary, table)


def _steps(history: History) -> Markup:
    steps = read_steps(history)
    if steps is None:
        return Markup()
    where = f" from the {steps.where}" if steps.where else ""
    best = int(np.nanargmin(steps.losses))
    caption = f"The loss after one step down the gradient{where}, by its size."
    summary = f"The best single step is {setting(float(steps.rates[best]))}."
    if math.isfinite(steps.edge):
        summary += (
            f" Beyond 2/λ₁ = {setting(steps.edge)} steps along the steepest direction grow: the edge of stability."
        )
    table = ground_tables.steps_table(steps)
    return layout.figure(Picture("steps", figures.step_sizes(history), None, caption, summary, table))


def _spectrum(history: History) -> Markup:
    curvature = latest(history, "curvature")
    known = numbers(curvature, "eigenvalues")
    density, _ = read_spectrum(history)
    if not np.isfinite(known).any() and not len(density):
        return Markup()
    caption = "How much the loss curves, and along how many directions: the eigenvalues of its Hessian at the model."
    if len(density) and density[:, 2].any():
        caption += " The band is how far the probes of the density differ."
    table = ground_tables.curvature_table(curvature)
    return picture("spectrum", figures.curvature_spectrum, history, caption, _ravine(curvature), table)


def _ravine(curvature: Mapping[str, Any]) -> str:
    ravine = mapping(curvature, "ravine")
    tenth, median = number(ravine.get("first_to_tenth")), number(ravine.get("first_to_median"))
    said = [f"{figure(ratio, 3)} times the {name} one" for ratio, name in ((tenth, "tenth"), (median, "median"))
            if math.isfinite(ratio)]  # fmt: skip
    return f"The largest eigenvalue is {' and '.join(said)}." if said else ""


def _precision(history: History) -> Markup:
    bits = mapping(latest(history, "sharpness"), "bits")
    if numbers(bits, "bits").size < 2:
        return Markup()
    needed = number(bits.get("needed"))
    caption = "The loss with every weight rounded to so many bits: a flat minimum needs few."
    summary = f"{plural(needed, 'bit')} a weight keep the loss." if math.isfinite(needed) else ""
    table = ground_tables.bits_table(bits)
    return layout.figure(Picture("precision", figures.precision_needed(history), None, caption, summary, table))


def _boundaries(history: History) -> list[Markup]:
    found = []
    for which, boundary in enumerate(read_boundaries(history)[:MAPS]):
        caption = f"Which class is predicted where, over {boundary.axes[0]} and {boundary.axes[1]}."
        if math.isfinite(boundary.share):
            caption += f" This plane holds {percent(boundary.share)} of the variance of the rows."
        drawn = figures.decision_boundary(history, which=which)
        name = "boundary" if which == 0 else f"boundary-{which + 1}"
        shares = np.bincount(boundary.classes.ravel(), minlength=len(boundary.names)) / boundary.classes.size
        order = [at for at in np.argsort(-shares, kind="stable").tolist() if shares[at] > 0]
        summary = ", ".join(f"{boundary.names[at]} on {percent(float(shares[at]))}" for at in order)
        found.append(layout.figure(Picture(name, drawn, None, caption, f"Of the plane: {summary}.")))
    return found


def _facts(history: History) -> list[tuple[str, str]]:
    """What was measured and is one number."""
    curvature, sharp = latest(history, "curvature"), latest(history, "sharpness")
    noise, touched = latest(history, "noise"), latest(history, "touched")
    radius = number(mapping(mapping(sharp, "basin"), "radius").get("0.5"))
    rise = number(mapping(sharp, "basin").get("rise"))
    pairs = [
        ("trace of the Hessian", _pm(curvature.get("trace"), curvature.get("trace_error"))),
        ("share of negative curvature", _percent(curvature.get("negative_mass"))),
        (f"sharpness after Keskar, ε = {setting(number(sharp.get('epsilon')))}", _figure(sharp.get("keskar"))),
        (f"distance at which the loss has risen by {figure(rise, 2)}, median of random directions", _figure(radius)),
        ("logarithm of the volume of the basin", _figure(sharp.get("log_volume"))),
        ("gradient noise scale at the start, in rows", _figure(noise.get("scale_at_start"))),
        ("gradient noise scale at the end, in rows", _pm(noise.get("scale"), noise.get("error"))),
        ("batch size", _count(noise.get("batch_size"))),
        ("rows that touch the median feature", _percent(mapping(touched, "quantiles").get("0.5"))),
        (f"features in less than {percent(number(touched.get('rare_below')), 0)} of the rows",
         _percent(touched.get("rare_share"))),
    ]  # fmt: skip
    return [(name, value) for name, value in pairs if value]


def _figure(value: object) -> str:
    return figure(number(value), 3) if math.isfinite(number(value)) else ""


def _percent(value: object) -> str:
    return percent(number(value)) if math.isfinite(number(value)) else ""


def _count(value: object) -> str:
    return count(number(value)) if math.isfinite(number(value)) else ""


def _pm(value: object, error: object) -> str:
    spread = f" ± {figure(number(error), 2)}" if math.isfinite(number(error)) and number(error) > 0 else ""
    return _figure(value) and _figure(value) + spread
