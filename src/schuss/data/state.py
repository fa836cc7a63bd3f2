"""Encoders as JSON and arrays, and back, bit for bit; nothing in a state can run code."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from .columns.categories import CategoryColumn
from .columns.dates import DateColumn
from .columns.kind import ColumnEncoder, Scale
from .columns.moments import Moments
from .columns.numbers import NumberColumn
from .columns.sparse import SparseColumn
from .columns.text import TextColumn
from .schema import Column, Role, Schema
from .soundness import require_sound
from .target import TargetEncoder

_COLUMNS = (NumberColumn, CategoryColumn, TextColumn, DateColumn, SparseColumn)

# All that a state may hold besides arrays, tuples and plain values.
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (*_COLUMNS, Moments, Scale, Schema, Column, Role, TargetEncoder)
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


def unpack(packed: Any, arrays: Mapping[str, NDArray[Any]], hint: Any) -> Any:
    """Build what `pack` was given; `hint` is the type that it must have.

    Raises KeyError, TypeError or ValueError at what `pack` cannot have made, and at parts that do not fit together.
    """
    value = _unpack(packed, arrays)
    if not conforms(value, hint):
        raise TypeError(f"a value of its encoder is of type {type(value).__name__}")
    return value


def _unpack(packed: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(packed, list):  # of thousands of words, mostly
        return tuple([_unpack(item, arrays) if isinstance(item, list | dict) else item for item in packed])
    if not isinstance(packed, dict):
        return packed
    if "array" in packed:
        return arrays[packed["array"]]
    kind = _KINDS[packed["kind"]]
    if kind is Role:
        return Role(packed["value"])
    value = kind(**unpacked({field: item for field, item in packed.items() if field != "kind"}, kind, arrays))
    require_sound(value)
    return value


def unpacked(packed: Mapping[str, Any], kind: type[Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Unpack the fields of a kind of object, each of the type it is annotated with; raises as `unpack` does."""
    hints = _hints(kind)
    return {field: unpack(item, arrays, hints[field]) for field, item in packed.items()}


_hints = cache(get_type_hints)


def array_names(packed: Any) -> Iterator[str]:
    """Give the names of the arrays that a state needs."""
    if isinstance(packed, list):
        for item in packed:
            if isinstance(item, list | dict):
                yield from array_names(item)
    elif isinstance(packed, dict):
        yield from [packed["array"]] if "array" in packed else array_names([*packed.values()])


def conforms(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, as the fields of encoders are annotated.

    >>> conforms(("a", "b"), tuple[str, ...]), conforms(True, int), conforms(np.array([np.nan]), NDArray[np.float64])
    (True, False, False)
    """
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(conforms(value, one) for one in inside)
    if origin is tuple and inside[0] is str:
        return isinstance(value, tuple) and {*map(type, value)} <= {str}
    if origin is tuple:
        return isinstance(value, tuple) and all(conforms(item, inside[0]) for item in value)
    if origin in (np.ndarray, NDArray):  # since NumPy 2.5 NDArray[…] is no ndarray[shape, dtype[…]] any more
        (scalar,) = get_args(inside[-1]) or inside
        right = isinstance(value, np.ndarray) and value.dtype == np.dtype(scalar) and value.ndim == 1
        return right and bool(np.isfinite(value).all())
    if hint is Any:
        return isinstance(value, str | int | float)
    if hint is ColumnEncoder:
        return isinstance(value, _COLUMNS)
    return type(value) is hint or (hint is float and type(value) is int)


def _fields(value: Any) -> tuple[str, ...] | None:
    """Name the fields of a dataclass or a named tuple."""
    if is_dataclass(value):
        return tuple(field.name for field in fields(value))
    return getattr(value, "_fields", None)
