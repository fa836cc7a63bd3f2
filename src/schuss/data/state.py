"""Encoders as JSON and arrays, and back, bit for bit; nothing in a state can run code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns.categories import CategoryColumn
from .columns.dates import DateColumn
from .columns.kind import Scale
from .columns.moments import Moments
from .columns.numbers import NumberColumn
from .columns.sparse import SparseColumn
from .columns.text import TextColumn
from .schema import Column, Role, Schema
from .target import TargetEncoder

# All that a state may hold besides arrays, tuples and plain values.
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *(NumberColumn, CategoryColumn, TextColumn, DateColumn, SparseColumn),
        *(Moments, Scale, Schema, Column, Role, TargetEncoder),
    )
}


def pack(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Give `value` as JSON; its arrays go into `arrays` under names that begin with `name`."""
    if isinstance(value, np.ndarray):
        arrays[name] = np.ascontiguousarray(value)
        return {"array": name}
    if isinstance(value, Role):
        return {"kind": "Role", "value": value.value}
    names = _fields(value)
    if names is not None:
        packed = {field: pack(getattr(value, field), f"{name}.{field}", arrays) for field in names}
        return {"kind": type(value).__name__, **packed}
    if isinstance(value, tuple):
        return [pack(item, f"{name}.{at}", arrays) for at, item in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def unpack(packed: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Build what `pack` was given.

    Raises KeyError, TypeError or ValueError at what `pack` cannot have made.
    """
    if isinstance(packed, list):
        return tuple(unpack(item, arrays) for item in packed)
    if not isinstance(packed, dict):
        return packed
    if "array" in packed:
        return arrays[packed["array"]]
    values = {field: unpack(item, arrays) for field, item in packed.items() if field != "kind"}
    return _KINDS[packed["kind"]](**values)


def _fields(value: Any) -> tuple[str, ...] | None:
    """Name the fields of a dataclass or a named tuple."""
    if is_dataclass(value):
        return tuple(field.name for field in fields(value))
    return getattr(value, "_fields", None)
