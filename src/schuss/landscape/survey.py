"""A survey: every tool applied to one trained model, as events for the record. What they mean stands with each tool."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk
from schuss.objective import LinearObjective, Objective

from .boundary import decision_boundary
from .curvature import Eigenpairs, eigenpairs, products_at, ravine
from .density import Spectrum, spectral_density, spectrum
from .directions import across, filter_normalised, path_directions, random_direction
from .noise import RARE, noise_scale, noise_scale_by_batches, touched
from .sharpness import basin_radii, bits_needed, ellipsoid_volume, keskar_sharpness
from .slices import few_rows, kinks, slice_along, surface
from .steps import rates_around, step_sizes
from .trace import xtrace

__all__ = ["Event", "Ground", "curvature", "rows_touched", "surfaces", "survey"]

Array = NDArray[np.float64]
Event = dict[str, Any]

LEADING = 10
"""Eigenvalues that are looked for: the ravine is judged by the first and the tenth."""

STEEPEST, FLATTEST, RANDOM = "steepest curvature", "flattest curvature", "random"
TO_MODEL = "from the start to the model"
TO_ANOTHER = "from the model to another network"

TRACE_PRODUCTS = 60
EPSILON = 1e-3
RISE = 0.01
"""What counts as leaving a basin: a loss higher by this share of the model's own."""

POINTS_DRAWN = 400
CLASSES_DRAWN = 20
FEATURES_SPANNED = 2000
KINKED_ROWS = (1, 3, 100)


@dataclass(frozen=True)
class Ground:
    """What is surveyed.

    objective : the training loss, of a fixed sample of rows; weights, start : where training ended and began; unit :
    losses are multiplied by, in a unit of that name; held_out : the loss without penalty of rows that the model has not
    learned from; path : places on the way from start to end, with labels; smooth : whether there is curvature;
    batch_size : of the training, for comparison; filters : see `filter_normalised`; blocks : see `bits_needed`; rows :
    those of the sample, to see how often features are touched; classify : what gives the classes of rows, named by
    classes, over features of these names; another : a second solution.
    """

    objective: Objective
    weights: Array
    start: Array
    unit: float = 1.0
    unit_name: str = ""
    held_out: Objective | None = None
    path: tuple[tuple[Array, str], ...] = ()
    smooth: bool = True
    batch_size: int | None = None
    filters: Sequence[Any] | None = None
    blocks: Sequence[Any] | None = None
    rows: Chunk | None = None
    classify: Callable[[Array], NDArray[np.intp]] | None = None
    classes: Sequence[str] = ()
    features: Sequence[str] = ()
    another: Array | None = None


def survey(ground: Ground, *, resolution: int = 41, seed: int = 0) -> Iterator[Event]:
    """Look at a model with every tool that applies to it: one event each.

    Losses are in the unit of the record and with the penalty; curvature and rates are in the units of training.
    """
    leading = _leading(ground, seed) if ground.smooth else None
    yield from surfaces(ground, leading, resolution=resolution, seed=seed)
    yield from _slices(ground, leading, seed)
    yield _steps(ground, seed)
    if leading is not None:
        whole = spectrum(ground.objective, ground.weights, seed=seed)
        yield curvature(ground, leading, whole, seed)
        drawn = spectral_density(whole)
        yield {"event": "spectrum", "probes": len(whole.nodes), **drawn.__dict__}
        yield _sharpness(ground, whole, seed)
    yield _noise(ground, seed)
    if ground.rows is not None:
        yield rows_touched(ground.rows)
        yield from _boundary(ground, seed)


def _leading(ground: Ground, seed: int) -> Eigenpairs:
    """Find the largest eigenvalues where training ended."""
    return eigenpairs(products_at(ground.objective, ground.weights), ground.weights.shape, LEADING, seed=seed)


def surfaces(
    ground: Ground, leading: Eigenpairs | None, *, resolution: int, seed: int, most: int = 2
) -> Iterator[Event]:  # fmt: skip
    """Draw the loss over the plane of the training and a second direction, and over that of the path itself.

    The model is at (0, 0) and the start at (−1, 0); along the second direction the loss is at ±1 about as high as at
    the start, so that both walls of the valley are seen.
    """
    to_model = ground.weights - ground.start
    moved = bool(np.linalg.norm(to_model) > 0)
    first = to_model if moved else random_direction(ground.weights, seed)
    second, name = _second(ground, leading, seed)
    planes = [(first, across(second, first), (TO_MODEL if moved else RANDOM, name))]
    places = np.stack([place for place, _ in ground.path]) if ground.path else np.empty((0, *ground.weights.shape))
    if len(places) > 3:
        found, _ = path_directions(places, ground.weights)
        if len(found) == 2:
            planes.append((*found, ("first direction of the path", "second direction of the path")))
    for first, second, names in planes[:most]:
        yield _surface(ground, first, second, names, places, resolution)


def _second(ground: Ground, leading: Eigenpairs | None, seed: int) -> tuple[Array, str]:
    """Choose a direction that says much: the steepest, or a random one where there is no curvature."""
    if leading is not None and leading.values[0] > 0:
        return leading.vectors[0], STEEPEST
    drawn = random_direction(ground.weights, seed)
    if ground.weights.any():
        drawn = filter_normalised(drawn, ground.weights, ground.filters)
    return drawn, RANDOM


def _surface(
    ground: Ground, first: Array, second: Array, names: tuple[str, str], places: Array, resolution: int
) -> Event:
    """Draw one plane."""
    second = second * _reach(ground, second)
    if names[0] == TO_MODEL:
        a = np.linspace(-1.25, 0.75, resolution)
    else:
        first = first * _reach(ground, first)
        a = np.linspace(-1.25, 1.25, resolution)
    seen = surface(ground.objective, ground.weights, first, second, a, np.linspace(-1.25, 1.25, resolution), places)
    labels = [label for _, label in ground.path]
    path = [
        [*place, ground.unit * loss, label]
        for place, loss, label in zip(seen.path.tolist(), seen.path_losses.tolist(), labels, strict=True)
    ]
    return {
        "event": "surface",
        "of": "training rows",
        "rows": ground.objective.pass_rows,
        "directions": list(names),
        "a": seen.a,
        "b": seen.b,
        "losses": ground.unit * seen.losses,
        "path": path,
        "center_loss": ground.unit * seen.center_loss,
        "unit": ground.unit_name,
    }


def _reach(ground: Ground, direction: Array) -> float:
    """Give how far along a direction the loss stays below that of the start, on both sides of the model."""
    length = max(float(np.linalg.norm(ground.weights)), 1.0) / max(float(np.linalg.norm(direction)), 1e-300)
    tried = length * np.geomspace(1e-4, 1e2, 49)
    with np.errstate(over="ignore", invalid="ignore"):
        sides = ground.objective.values_along(ground.weights, direction[None], np.concatenate([-tried, tried])[:, None])
        start, end = ground.objective.values(np.stack([ground.start, ground.weights]))
    limit = max(start, end + RISE * abs(end), end + 1e-12)
    beyond = ~(sides.reshape(2, -1).max(axis=0) <= limit)
    return float(tried[beyond.argmax()]) if beyond.any() else float(length)


def _slices(ground: Ground, leading: Eigenpairs | None, seed: int) -> Iterator[Event]:
    """Draw the loss along some lines, of training and of held-out rows."""
    lines: list[tuple[str, Array]] = []
    if np.linalg.norm(ground.weights - ground.start) > 0:
        lines.append((TO_MODEL, ground.weights - ground.start))
    if leading is not None:
        lines += [(STEEPEST, leading.vectors[0]), (FLATTEST, leading.vectors[-1])] if len(leading.values) > 1 else []
    if ground.weights.any():
        drawn = random_direction(ground.weights, seed)
        lines.append((RANDOM, filter_normalised(drawn, ground.weights, ground.filters)))
    if ground.another is not None:
        lines.append((TO_ANOTHER, ground.another - ground.weights))
    for name, direction in lines:
        reach = 1.0 if name in (TO_MODEL, TO_ANOTHER) else _reach(ground, direction)
        yield _slice(ground, ground.objective, name, direction * reach, held_out=True)
    if not ground.smooth and lines and isinstance(ground.objective, LinearObjective):
        name, direction = lines[0]
        for count in KINKED_ROWS:
            if count <= ground.objective.pass_rows:
                yield _slice(ground, few_rows(ground.objective, count), name, direction, held_out=False)


def _slice(ground: Ground, objective: Objective, name: str, direction: Array, *, held_out: bool) -> Event:
    """Draw one line; few rows of a loss with kinks with where these are."""
    t = np.linspace(-1.5, 1.5, 121)
    drawn = slice_along(objective, ground.weights, direction, t)
    others = bent = None
    if held_out and ground.held_out is not None:
        others = ground.unit * slice_along(ground.held_out, ground.weights, direction, t).losses
    if not held_out and isinstance(objective, LinearObjective) and isinstance(objective.rows, Chunk):
        bent = kinks(objective.rows, objective.loss, ground.weights, direction, float(t[0]), float(t[-1]))
    return {
        "event": "slice",
        "direction": name,
        "rows": objective.pass_rows,
        "t": t,
        "losses": ground.unit * drawn.losses,
        "holdout_losses": others,
        "kinks": bent,
    }


def _steps(ground: Ground, seed: int) -> Event:
    """Try steps of all lengths from where training began, where the gradient says most."""
    edge = None
    if ground.smooth:
        top = eigenpairs(products_at(ground.objective, ground.start), ground.start.shape, 1, seed=seed)
        edge = 2 / float(top.values[0]) if top.values[0] > 0 else None
    rates = rates_around(edge or 1.0)
    return {
        "event": "step_sizes",
        "at": "start",
        "rates": rates,
        "losses": ground.unit * step_sizes(ground.objective, ground.start, rates),
        "before": ground.unit * float(ground.objective.values(ground.start[None])[0]),
        "edge": edge,
    }


def curvature(ground: Ground, leading: Eigenpairs, whole: Spectrum | None = None, seed: int = 0) -> Event:
    """Say how steep the ground is; without the whole spectrum only what the largest eigenvalues tell."""
    values, median, trace, error = leading.values, math.nan, math.nan, math.nan
    smallest = negative = None
    if whole is not None:
        median = whole.median_positive(1e-10 * float(values[0]))
        negative = whole.share_below(-1e-6 * float(values[0]))
        smallest = float(whole.nodes.min())
        trace, error = (whole.size * one for one in whole.mean(lambda nodes: nodes))
        if not whole.exact:
            product = products_at(ground.objective, ground.weights)
            trace, error, _ = xtrace(product, whole.size, TRACE_PRODUCTS, seed)
    return {
        "event": "curvature",
        "eigenvalues": values,
        "residuals": leading.residuals,
        "converged": leading.converged,
        "smallest": smallest,
        "trace": trace,
        "trace_error": error,
        "parameters": ground.weights.size,
        "exact": whole is not None and whole.exact,
        "ravine": ravine(values, median)._asdict(),
        "negative_mass": negative,
    }


def _sharpness(ground: Ground, whole: Spectrum, seed: int) -> Event:
    """Say how sharp the minimum is, by all measures."""
    own = float(ground.objective.values(ground.weights[None])[0])
    rise = max(RISE * abs(own), 1e-12)
    radii = basin_radii(ground.objective, ground.weights, rise, seed=seed)
    quantiles = {f"{at:g}": float(np.quantile(radii, at)) for at in (0.05, 0.5, 0.95)}
    bits = bits_needed(ground.objective, ground.weights, rise, ground.blocks)
    volume, dimensions = _volume(whole, rise)
    return {
        "event": "sharpness",
        "keskar": keskar_sharpness(ground.objective, ground.weights, EPSILON),
        "epsilon": EPSILON,
        "basin": {"rise": ground.unit * rise, "radius": quantiles, "directions": len(radii)},
        "log_volume": volume,
        "dimensions": dimensions,
        "bits": {
            "bits": list(bits.bits),
            "losses": ground.unit * bits.losses,
            "needed": bits.needed,
            "rise": ground.unit * rise,
        },
    }


def _volume(whole: Spectrum, rise: float) -> tuple[float | None, int]:
    """Give the volume of the ellipsoid over the directions that curve upwards, and how many these are."""
    values = whole.nodes[0] if whole.exact else np.empty(0)
    values = values[values > 1e-10 * values.max(initial=0.0)]
    return (ellipsoid_volume(values, rise) if len(values) else None), len(values)


def _noise(ground: Ground, seed: int) -> Event:
    """Compare the noise of a gradient with the gradient."""
    if isinstance(ground.objective, LinearObjective):
        at_start, at_end = (noise_scale(ground.objective, place) for place in (ground.start, ground.weights))
    else:
        objective: Any = ground.objective
        large = max(min(512, objective.pass_rows // 2), 2)
        sizes = {"small": max(large // 32, 1), "large": large, "draws": 40, "seed": seed}
        at_start, at_end = (
            noise_scale_by_batches(objective, place, **sizes) for place in (ground.start, ground.weights)
        )
    return {
        "event": "noise",
        "scale": at_end.scale,
        "error": at_end.error,
        "scale_at_start": at_start.scale,
        "batch_size": ground.batch_size,
    }


def rows_touched(rows: Chunk) -> Event:
    """Say how often features take part."""
    found = touched(rows.rows)
    return {
        "event": "touched",
        "quantiles": found.quantiles() if len(found.shares) else {},
        "rare_share": found.rare,
        "rare_below": RARE,
        "features": len(found.shares),
    }


def _boundary(ground: Ground, seed: int) -> Iterator[Event]:
    """Draw where a classifier changes its mind, for dense rows and not too many classes."""
    rows, classify = ground.rows, ground.classify
    if rows is None or classify is None or not isinstance(rows.rows, np.ndarray):
        return
    if not 2 <= len(ground.classes) <= CLASSES_DRAWN or not 2 <= rows.rows.shape[1] <= FEATURES_SPANNED:
        return
    many = min(POINTS_DRAWN, len(rows.targets))
    drawn = np.sort(np.random.default_rng(seed).choice(len(rows.targets), many, replace=False))
    found = decision_boundary(classify, rows.rows.astype(np.float64))
    points = [
        [*place, int(label)] for place, label in zip(found.points[drawn].tolist(), rows.targets[drawn], strict=True)
    ]
    two = rows.rows.shape[1] == 2 and len(ground.features) == 2
    yield {
        "event": "boundary",
        "x": found.x,
        "y": found.y,
        "classes": found.classes,
        "names": list(ground.classes),
        "axes": list(ground.features) if two else ["first principal direction", "second principal direction"],
        "points": points,
        "share": found.share,
    }
