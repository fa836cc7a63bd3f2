"""The pictures of a comparison: held-out loss of each method against seconds and against rows read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..palette import rate_colour
from ..svg import Figure
from ..words import duration, figure, short_count
from .curves import Curve, Frame, chart, power_label
from .scale import loss_scale

__all__ = ["loss_by_rows", "loss_by_seconds"]

_SOONEST = 1e-3  # seconds
_NAMES = {
    "squared_error": "mean squared error",
    "absolute_error": "mean absolute error",
    "log_loss": "log loss (nats)",
}
_DASHES: dict[str, tuple[float, ...]] = {"search": (1, 1.6), "all rows": (6, 2), "sample": (), "race": ()}


def loss_by_seconds(comparison: Mapping[str, Any], *, narrow: bool = False) -> Figure:
    """Draw the held-out loss of each method against the seconds it had; the race is thick."""
    return _drawn(comparison, 0, _SOONEST, "seconds", power_label, narrow)


def loss_by_rows(comparison: Mapping[str, Any], *, narrow: bool = False) -> Figure:
    """Draw the held-out loss of each method against the rows it had read; the race's runs share each row."""
    return _drawn(comparison, 1, 1.0, "rows read", short_count, narrow)


def _drawn(
    comparison: Mapping[str, Any], column: int, least: float, name: str, label: Any, narrow: bool
) -> Figure:  # fmt: skip
    rungs: Sequence[Mapping[str, Any]] = comparison["rungs"]
    lines = [
        np.array([[math.inf if value is None else value for value in point] for point in rung["points"]], np.float64)
        for rung in rungs
    ]
    across = [line[line[:, column] > 0][:, column] for line in lines]
    first = max(min((float(one.min()) for one in across if one.size), default=least), least)
    last = max((float(one.max()) for one in across if one.size), default=10 * first)
    ends = [float(line[-1, 2]) for line in lines]
    seen = [float(loss) for line in lines for loss in line[len(line) // 2 :, 2]]
    shown = loss_scale(seen, float(comparison["select_constant_loss"]), ends)
    frame = Frame(name, f"held-out {_loss_name(comparison)}", (first, max(last, 2 * first)), shown.limits,
                  x_log=True, y_log=shown.log, label=label)  # fmt: skip
    curves = [
        Curve(
            str(rung["name"]),
            line[:, [column, 2]],
            "ink" if rung["kind"] == "race" else rate_colour(place / max(len(rungs) - 2, 1)),
            3.4 if rung["kind"] == "race" else 1.7,
            _DASHES.get(str(rung["kind"]), ()),
            f"{rung['name']} ({rung['setting']}): loss {figure(float(line[-1, 2]))} after "
            f"{duration(float(line[-1, 0]))} and {short_count(float(line[-1, 1]))} rows",
        )
        for place, (rung, line) in enumerate(zip(rungs, lines, strict=True))
    ]
    return chart(curves, frame, narrow=narrow, extend=True)


def _loss_name(comparison: Mapping[str, Any]) -> str:
    name = str(comparison["loss"])
    return _NAMES.get(name, name.replace("_", " "))
