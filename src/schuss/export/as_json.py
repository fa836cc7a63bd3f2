"""A model as JSON that a person can read and twenty lines of any language can predict with."""

from __future__ import annotations

import json
from typing import Any

from .terms import Categories, Layers, Numbers, Terms

__all__ = ["FORMAT", "to_json"]

FORMAT = "schuss-linear-1"
NETWORK_FORMAT = "schuss-network-1"


def to_json(terms: Terms) -> str:
    """Write terms as JSON; docs/export.md says what each entry means."""
    outputs = [terms.target] if terms.classes is None else terms.classes[-terms.outputs :]
    content = {
        "format": FORMAT if terms.layers is None else NETWORK_FORMAT,
        "task": terms.task,
        "target": terms.target,
        "loss": terms.loss,
        "link": terms.link,
        "classes": terms.classes,
        "outputs": outputs,
    }
    content |= _first(terms) if terms.layers is None else _networks(terms, terms.layers)
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)


def _first(terms: Terms) -> dict[str, Any]:
    """Say what is added up: the scores of a linear model, or the sums of a network's first layer."""
    return {"intercept": terms.intercept.tolist(), "columns": [_column(column) for column in terms.columns]}


def _networks(terms: Terms, layers: Layers) -> dict[str, Any]:
    """Say what each network makes of the columns."""
    found, begin = [], 0
    for own in layers.networks:
        end = begin + len(own[0][0])
        rest = [{"weights": weights.tolist(), "bias": bias.tolist()} for weights, bias in own]
        found.append(_first(_units(terms, begin, end)) | {"layers": rest})
        begin = end
    told = {"activation": layers.activation, "scale": layers.scale, "shift": layers.shift}
    return told | {"networks": found}


def _units(terms: Terms, begin: int, end: int) -> Terms:
    """Give the terms of some units of the first layers."""
    columns = []
    for column in terms.columns:
        cut = {name: getattr(column, name)[..., begin:end] for name in ("weights", "missing")}
        cut |= {"other": column.other[begin:end]} if isinstance(column, Categories) else {}
        columns.append(column._replace(**cut))
    return terms._replace(intercept=terms.intercept[begin:end], columns=columns)


def _column(column: Numbers | Categories) -> dict[str, Any]:
    """Say what a column adds to the scores."""
    if isinstance(column, Categories):
        return {
            "name": column.name,
            "kind": "category",
            "weights": dict(zip(column.known, column.weights.tolist(), strict=True)),
            "missing": column.missing.tolist(),
            "other": column.other.tolist(),
        }
    missing = column.weights * column.centre[:, None] + column.missing
    arrays = {"weights": column.weights, "low": column.low, "high": column.high, "missing": missing}
    if column.vector:
        return {"name": column.name, "kind": "vector"} | {name: array.tolist() for name, array in arrays.items()}
    return {"name": column.name, "kind": "number"} | {name: array[0].tolist() for name, array in arrays.items()}
