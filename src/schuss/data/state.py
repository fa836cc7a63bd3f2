"""Encoders as JSON and arrays, and back, bit for bit; nothing in a state can run code.

Objects of one kind in a tuple, such as the encoders of columns, are kept field by field, and what is an array in each
as one array for all: 20,000 columns of numbers take 4 MB; object by object it was 40 MB in 220,000 arrays, and twice
as many columns were more than a file may hold.
"""

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
    """Give `value` as JSON; its arrays go into `arrays` under names that begin with `name`.

    >>> arrays = {}
    >>> pack((Scale(np.zeros(1), np.ones(1)), Scale(np.zeros(1), np.ones(1))), "scales", arrays)["groups"][0]["centre"]
    {'arrays': 'scales.Scale.centre', 'lengths': [1, 1]}
    >>> {name: array.tolist() for name, array in arrays.items()}
    {'scales.Scale.centre': [0.0, 0.0], 'scales.Scale.factor': [1.0, 1.0]}
    """
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
        if value and all(_fields(item) for item in value):
            return {"groups": _groups(value, name, arrays)}
        return [pack(item, f"{name}.{at}", arrays) for at, item in enumerate(value)]
    return value.item() if isinstance(value, np.generic) else value


def _groups(values: tuple[Any, ...], name: str, arrays: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Pack objects by kind, each with its places."""
    places: dict[type[Any], list[int]] = {}
    for at, value in enumerate(values):
        places.setdefault(type(value), []).append(at)
    return [
        {"places": those, **_pack_alike([values[at] for at in those], f"{name}.{kind.__name__}", arrays)}
        for kind, those in places.items()
    ]


def _pack_alike(values: list[Any], name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Pack what stands in one place of several objects."""
    kinds = {value.dtype if isinstance(value, np.ndarray) else type(value) for value in values}
    names = _fields(values[0])
    if len(kinds) == 1 and isinstance(values[0], np.ndarray):
        arrays[name] = np.concatenate(values)
        return {"arrays": name, "lengths": [len(value) for value in values]}
    if len(kinds) == 1 and names is not None:
        lists = {field: [getattr(value, field) for value in values] for field in names}
        packed = {field: _pack_alike(those, f"{name}.{field}", arrays) for field, those in lists.items()}
        return {"kind": type(values[0]).__name__, **packed}
    return [pack(value, f"{name}.{at}", arrays) for at, value in enumerate(values)]


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
    if "groups" in packed:
        return _ungrouped(packed["groups"], arrays)
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


def _ungrouped(groups: list[dict[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> tuple[Any, ...]:
    """Put objects that were packed by kind at their places."""
    found: dict[int, Any] = {}
    for group in groups:
        alike = {field: item for field, item in group.items() if field != "places"}
        values = _unpack_kind(alike, arrays)
        if len(values) != len(group["places"]) or not found.keys().isdisjoint(group["places"]):
            raise ValueError("the places of its columns do not fit together")
        found.update(zip(group["places"], values, strict=True))
    if [*range(len(found))] != sorted(found):
        raise ValueError("the places of its columns do not fit together")
    return tuple(found[at] for at in range(len(found)))


def _unpack_alike(packed: Any, arrays: Mapping[str, NDArray[Any]], hint: Any) -> list[Any]:
    """Unpack what stands in one place of several objects, where each must be of a type."""
    if isinstance(packed, list):
        return [unpack(item, arrays, hint) for item in packed]
    if "arrays" in packed:
        return _parted(unpack({"array": packed["arrays"]}, arrays, hint), packed["lengths"])
    values = _unpack_kind(packed, arrays)
    if not all(conforms(value, hint) for value in values):
        raise TypeError(f"a value of its encoder is of type {packed['kind']}")
    return values


def _unpack_kind(packed: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Build several objects of one kind."""
    kind = _KINDS[packed["kind"]]
    hints = _hints(kind)
    lists = {field: _unpack_alike(item, arrays, hints[field]) for field, item in packed.items() if field != "kind"}
    if len({len(those) for those in lists.values()}) != 1:
        raise ValueError(f"the parts of its {kind.__name__} are not equally many")
    values = [kind(**dict(zip(lists, row, strict=True))) for row in zip(*lists.values(), strict=True)]
    for value in values:
        require_sound(value)
    return values


def _parted(whole: NDArray[Any], lengths: list[int]) -> list[NDArray[Any]]:
    """Cut an array into pieces of some lengths."""
    if any(type(length) is not int or length < 0 for length in lengths) or sum(lengths) != len(whole):
        raise ValueError("the lengths of its arrays do not fit together")
    ends = np.cumsum(lengths)
    return [whole[end - length : end] for end, length in zip(ends.tolist(), lengths, strict=True)]


_hints = cache(get_type_hints)


def array_names(packed: Any) -> Iterator[str]:
    """Give the names of the arrays that a state needs."""
    if isinstance(packed, list):
        for item in packed:
            if isinstance(item, list | dict):
                yield from array_names(item)
    elif isinstance(packed, dict):
        own = packed.get("array", packed.get("arrays"))
        yield from array_names([*packed.values()]) if own is None else [own]


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
