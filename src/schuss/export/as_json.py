"""A model as JSON that a person can read and twenty lines of any language can predict with."""

from __future__ import annotations

import json
from typing import Any

from .terms import Categories, Numbers, Terms

__all__ = ["FORMAT", "to_json"]

FORMAT = "schuss-linear-1"


def to_json(terms: Terms) -> str:
    """Write terms as JSON; docs/export.md says what each entry means."""
    outputs = [terms.target] if terms.classes is None else terms.classes[-len(terms.intercept) :]
    content = {
        "format": FORMAT,
        "task": terms.task,
        "target": terms.target,
        "loss": terms.loss,
        "link": terms.link,
        "classes": terms.classes,
        "outputs": outputs,
        "intercept": terms.intercept.tolist(),
        "columns": [_column(column) for column in terms.columns],
    }
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)


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
