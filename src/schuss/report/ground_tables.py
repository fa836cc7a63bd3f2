"""The numbers behind the figures of the ground, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .figures.axes import loss_label
from .figures.lines import slice_name
from .ground import Slice, Steps, Surface, numbers
from .history import evenly
from .tables import Table
from .words import count, figure, setting, shorten

__all__ = ["bits_table", "curvature_table", "path_table", "slices_table", "steps_table", "surface_table"]

_CELLS = 25
_PLACES = 60


def surface_table(surface: Surface) -> Table:
    """The losses of the grid, at most 25 by 25 of them."""
    across, down = evenly(surface.a.size, _CELLS), evenly(surface.b.size, _CELLS)
    head = ("step", *(loss_label(value) for value in surface.a[across].tolist()))
    rows = [
        (loss_label(float(surface.b[row])), *(figure(loss) for loss in surface.losses[row, across].tolist()))
        for row in down.tolist()
    ]
    left = across.size < surface.a.size or down.size < surface.b.size
    caption = f"Loss by steps along {surface.directions[0]} (across) and {surface.directions[1]} (down)"
    return Table(caption, head, rows, rest="Some rows and columns of the grid are left out here." if left else "")


def path_table(surface: Surface) -> Table | None:
    """Where the training passed over the plane, and the losses there."""
    if not len(surface.path):
        return None
    kept = evenly(len(surface.path), _PLACES)
    rows = [
        (shorten(surface.labels[at], 60) if surface.labels[at] else count(at), *map(figure, surface.path[at].tolist()))
        for at in kept.tolist()
    ]
    head = ("point", shorten(surface.directions[0], 40), shorten(surface.directions[1], 40), "loss")
    return Table("The path of the training in this plane", head, rows)


def slices_table(slices: Sequence[Slice]) -> Table:
    """The losses along each direction, one below the other."""
    rows = []
    for one in slices:
        for at in evenly(one.steps.size, _PLACES // 2 + 1).tolist():
            held = figure(float(one.holdout[at])) if one.holdout.size else ""
            step = loss_label(float(one.steps[at]))
            rows.append((shorten(slice_name(one), 60), step, figure(float(one.losses[at])), held))
    return Table("Losses along straight lines", ("direction", "step", "loss", "on held-out rows"), rows)


def steps_table(steps: Steps) -> Table:
    """The loss after one step of each size."""
    rows = [
        (setting(rate), figure(loss)) for rate, loss in zip(steps.rates.tolist(), steps.losses.tolist(), strict=True)
    ]
    return Table("Loss after one step", ("learning rate", "loss"), rows, frozenset())


def curvature_table(curvature: Mapping[str, Any]) -> Table | None:
    """The eigenvalues that are known one by one, with their residuals."""
    known, residuals = numbers(curvature, "eigenvalues"), numbers(curvature, "residuals")
    if not np.isfinite(known).any():
        return None
    rows = [
        (count(at + 1), figure(value), figure(float(residuals[at]), 2) if at < residuals.size else "")
        for at, value in enumerate(known.tolist())
        if math.isfinite(value)
    ]
    return Table(
        "The largest eigenvalues of the Hessian", ("place", "eigenvalue", "residual ‖Hv − λv‖"), rows, frozenset()
    )


def bits_table(bits: Mapping[str, Any]) -> Table:
    """The loss with weights of so many bits."""
    pairs = zip(numbers(bits, "bits").tolist(), numbers(bits, "losses").tolist(), strict=False)
    return Table(
        "Loss of rounded weights", ("bits", "loss"), [(count(b), figure(loss)) for b, loss in pairs], frozenset()
    )
