"""What the model learned: the largest weights as signed bars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import svg
from ..history import History, RecordLike, as_history, number, sequence
from ..markup import Markup
from ..svg import Figure
from ..words import figure, shorten
from . import axes
from .axes import Axis, Plot

__all__ = ["Weight", "largest_weights", "read_weights"]

_DRAWN = 20


@dataclass(frozen=True)
class Weight:
    """A weight between a feature and an output.

    weight : as it was trained; moved : by how much a standard deviation of the feature moves the score, the weight
    itself where the record does not tell; in_data_units : the weight in the data's units.
    """

    feature: str
    output: str
    weight: float
    moved: float
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
    return sorted(weights, key=lambda weight: -abs(weight.moved)), only


def _weight(entry: Mapping[str, Any], only: str) -> Weight:
    output = str(entry.get("output") if entry.get("output") is not None else "")
    weight, importance = number(entry.get("weight")), number(entry.get("importance"))
    moved = 0.0 if "importance" in entry and math.isnan(importance) else math.copysign(importance, weight)
    return Weight(
        str(entry.get("feature")),
        "" if output == only else output,
        weight,
        moved if "importance" in entry else weight,
        number(entry.get("in_data_units")),
        str(entry.get("unit") or ""),
    )


def largest_weights(record: RecordLike, *, narrow: bool = False) -> Figure:
    """Draw the weights by how much a standard deviation of their feature moves the score, also in the data's units.

    Parameters
    ----------
    record
        The events of a record, or the path of a `record.jsonl`.
    narrow
        Draw for a phone's width.

    Example
    -------
    >>> weight = {"feature": "age", "weight": 0.4, "importance": 0.4, "in_data_units": 0.03, "unit": "per unit of age"}
    >>> largest_weights([{"event": "finish", "weights": [weight]}]).empty
    False
    """
    history = as_history(record)
    weights = [weight for weight in read_weights(history)[0] if weight.moved or not weight.weight]
    if not weights:
        return svg.blank("The record holds no weights.")
    return _draw_narrow(weights[:_DRAWN]) if narrow else _draw_wide(weights[:_DRAWN])


def _draw_wide(weights: list[Weight]) -> Figure:
    high, top = 27, 32
    names = [shorten(weight.name, 36) for weight in weights]
    units = [shorten(weight.units, 34) if weight.units else "" for weight in weights]
    left = 16 + 7.3 * max(map(len, names))
    right = 920 - 12 - 6.8 * max(19, *map(len, units))
    rows = Axis((len(weights) - 0.5, -0.5), top + high * len(weights), top)
    plot = Plot(Axis(_reach(weights), left, right), rows)
    parts = [*_bars(plot, weights, 0.62), axes.title(plot, "what a standard deviation of the feature moves")]
    parts.append(svg.words("in the data's units", (right + 12, top - 12), centred=False))
    for row, (weight, name, unit) in enumerate(zip(weights, names, units, strict=True)):
        y = float(rows.at(row))
        label = svg.words(name, (left - 12, y), "ink", 12, anchor="end")
        parts.append(svg.told(f"{weight.name}: {weight.units}", label, svg.words(unit, (right + 12, y), size=12)))
    return Figure(920, top + high * len(weights) + 4, tuple(parts), (plot,))


def _draw_narrow(weights: list[Weight]) -> Figure:
    high, top = 40, 32
    rows = Axis((len(weights) - 0.5, -0.5), top + high * len(weights), top)
    plot = Plot(Axis(_reach(weights), 2, 358), rows)
    parts = [*_bars(plot, weights, 0.34), axes.title(plot, "what a standard deviation of the feature moves")]
    for row, weight in enumerate(weights):
        label = svg.words(shorten(weight.name, 46), (2, float(rows.at(row - 0.42))), "ink", 12)
        parts.append(svg.told(f"{weight.name}: {weight.units}", label))
    return Figure(360, top + high * len(weights) + 4, tuple(parts), (plot,))


def _reach(weights: list[Weight]) -> axes.Limits:
    """Give the limits of the bars' axis: zero and all weights, with room for their labels."""
    low, high = min(0.0, *(w.moved for w in weights)), max(0.0, *(w.moved for w in weights))
    room = 0.16 * (high - low) or 1.0
    return low - room * (low < 0), high + room * (high > 0 or low == high)


def _bars(plot: Plot, weights: list[Weight], thick: float) -> list[Markup]:
    zero = float(plot.x.at(0.0))
    parts = [svg.line([(zero, plot.y.start), (zero, plot.y.end)], "rule")]
    for row, weight in enumerate(weights):
        up = weight.moved >= 0
        end, top = plot.at(weight.moved, row - thick / 2).tolist()
        deep = float(plot.y.at(row + thick / 2)) - top
        bar = svg.rectangle((min(zero, end), top), abs(end - zero), deep, "positive" if up else "negative")
        place = (end + (6 if up else -6), top + deep / 2)
        value = svg.words(signed(weight.moved), place, size=11, anchor="start" if up else "end")
        said = f"{weight.name}: {signed(weight.moved)} by a standard deviation; {weight.units}"
        parts.append(svg.told(said, bar, value))
    return parts
