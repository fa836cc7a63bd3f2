"""What the model learned: the largest weights as signed bars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..history import History, RecordLike, as_history, number, sequence
from ..palette import LIGHT
from ..words import figure, shorten
from . import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Weight", "largest_weights", "read_weights"]

_DRAWN = 20


@dataclass(frozen=True)
class Weight:
    """A weight between a feature and an output, per standard deviation of the feature and in the data's units."""

    feature: str
    output: str
    weight: float
    in_data_units: float
    unit: str

    @property
    def name(self) -> str:
        """The feature, and the output where there are several."""
        return f"{self.feature} → {self.output}" if self.output else self.feature

    @property
    def units(self) -> str:
        """The weight in the data's units, in words."""
        if not math.isfinite(self.in_data_units):
            return ""
        return f"{signed(self.in_data_units)} {self.unit.removesuffix(f' of {self.feature}')}".strip()


def signed(value: float) -> str:
    """Write a number with its sign."""
    return f"+{figure(value, 3)}" if value > 0 else figure(value, 3)


def read_weights(history: History) -> tuple[list[Weight], str]:
    """The finite weights of the record, largest first, and the one output they all lead to (`""` if several)."""
    entries = [entry for entry in sequence(history.finish, "weights") if isinstance(entry, Mapping)]
    outputs = {str(entry.get("output") if entry.get("output") is not None else "") for entry in entries}
    only = next(iter(outputs)) if len(outputs) == 1 else ""
    weights = [_weight(entry, only) for entry in entries if math.isfinite(number(entry.get("weight")))]
    return sorted(weights, key=lambda weight: -abs(weight.weight)), only


def _weight(entry: Mapping[str, Any], only: str) -> Weight:
    output = str(entry.get("output") if entry.get("output") is not None else "")
    return Weight(
        str(entry.get("feature")),
        "" if output == only else output,
        number(entry.get("weight")),
        number(entry.get("in_data_units")),
        str(entry.get("unit") or ""),
    )


def largest_weights(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw the weights that are largest per standard deviation of their feature, also in the data's units.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.
    """
    history = as_history(record)
    weights, _ = read_weights(history)
    if not weights:
        return style.blank("The record holds no weights.")
    with style.drawing():
        return _draw_narrow(weights[:_DRAWN]) if narrow else _draw_wide(weights[:_DRAWN])


def _draw_wide(weights: list[Weight]) -> Figure:
    high = 27
    names = [shorten(weight.name, 36) for weight in weights]
    left = 16 + 7.3 * max(map(len, names))
    right = 12 + 6.8 * max(19, *(len(shorten(weight.units, 34)) for weight in weights))
    fig = style.canvas(920, high * len(weights) + 36)
    axes = style.place(fig, left, 4, right, 32)
    _bars(axes, weights, 0.62)
    style.title(axes, "per standard deviation of the feature")
    style.title(axes, "in the data's units", -12, across=1.0)
    for row, (weight, name) in enumerate(zip(weights, names, strict=True)):
        _words(axes, f"name-{row}", name, weight, (0, row), -12, "right", LIGHT["ink"])
        _words(axes, f"unit-{row}", shorten(weight.units, 34), weight, (1, row), 12, "left", LIGHT["muted"])
    return fig


def _draw_narrow(weights: list[Weight]) -> Figure:
    fig = style.canvas(360, 40 * len(weights) + 36)
    axes = style.place(fig, 2, 4, 2, 32)
    _bars(axes, weights, 0.34)
    style.title(axes, "per standard deviation of the feature")
    for row, weight in enumerate(weights):
        _words(axes, f"name-{row}", shorten(weight.name, 46), weight, (0, row - 0.42), 0, "left", LIGHT["ink"])
    return fig


def _bars(axes: Axes, weights: list[Weight], thick: float) -> None:
    reach = max(abs(weight.weight) for weight in weights) or 1.0
    low, high = min(0.0, *(w.weight for w in weights)), max(0.0, *(w.weight for w in weights))
    room = 0.16 * (high - low) or reach
    axes.set(
        xlim=(low - room * (low < 0), high + room * (high > 0)), ylim=(len(weights) - 0.5, -0.5), xticks=[], yticks=[]
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.axvline(0, color=LIGHT["rule"], lw=1)
    for row, weight in enumerate(weights):
        up = weight.weight >= 0
        colour = LIGHT["positive" if up else "negative"]
        (bar,) = axes.barh(row, weight.weight, thick, color=colour, lw=0)
        style.mark(bar, f"bar-{row}", f"{weight.name}: {signed(weight.weight)} per standard deviation; {weight.units}")
        axes.annotate(
            signed(weight.weight),
            (weight.weight, row),
            (6 if up else -6, 0),
            textcoords="offset points",
            ha="left" if up else "right",
            va="center_baseline",
            color=LIGHT["muted"],
            size=11,
        )


def _words(
    axes: Axes, identity: str, words: str, weight: Weight, at: tuple[float, float], aside: float, side: str, colour: str
) -> None:
    label = axes.annotate(
        words,
        at,
        (aside, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha=side,
        va="center_baseline",
        color=colour,
        size=12,
        parse_math=False,
    )
    style.mark(label, identity, f"{weight.name}: {weight.units}")
