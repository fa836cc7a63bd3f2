"""Whether the parts of an encoder that comes from a file fit together: sizes that agree, counts that are possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns.categories import CategoryColumn
from .columns.dates import DateColumn
from .columns.numbers import NumberColumn
from .columns.sparse import SparseColumn
from .columns.text import TextColumn
from .schema import FEATURE_ROLES, Role, Schema
from .target import TargetEncoder

MOST_BITS = 30
"""Hashed features of a column number at most 2 to this power."""

_MODERATE = 1e12

# The encoder of the values of each role.
_ENCODERS = {
    Role.NUMBER: NumberColumn,
    Role.BOOLEAN: NumberColumn,
    Role.VECTOR: NumberColumn,
    Role.CATEGORY: CategoryColumn,
    Role.TEXT: TextColumn,
    Role.DATETIME: DateColumn,
    Role.SPARSE: SparseColumn,
}


def require_sound(part: Any) -> None:
    """Raise ValueError unless the sizes and counts of a part of an encoder agree."""
    sound = True
    match part:
        case NumberColumn():
            sound = _is_sound_number(part)
        case CategoryColumn():
            sound = _is_sound_category(part)
        case TextColumn():
            sound = _is_sound_text(part)
        case SparseColumn():
            sound = _is_sound_sparse(part)
        case DateColumn():
            sound = len(part.parts) > 0
        case TargetEncoder():
            sound = _is_sound_target(part)
        case Schema():
            sound = _is_sound_schema(part)
    if not sound:
        raise ValueError(f"the parts of a {type(part).__name__} do not fit together")


def require_columns_of(schema: Schema, columns: Sequence[Any], classes: Sequence[Any] | None, hash_bits: int) -> None:
    """Raise ValueError unless each column of features has its encoder, in order, and the task is that of the target."""
    wanted = [(column.name, _ENCODERS[column.role]) for column in schema.features()]
    if [(column.name, type(column)) for column in columns] != wanted or not wanted:
        raise ValueError("its encoders are not those of its columns")
    if (classes is not None) != (schema.task == "classification") or not 0 < hash_bits <= MOST_BITS:
        raise ValueError("its encoder does not fit its task")


def _are_long(arrays: Sequence[NDArray[Any]], length: int) -> bool:
    return all(len(array) == length for array in arrays)


def _are_moderate(arrays: Sequence[NDArray[Any]]) -> bool:
    """Whether numbers are as small as shares, deviations and counts of words are: their products are float32."""
    return all(bool((np.abs(array) <= _MODERATE).all()) for array in arrays)


def _is_sound_number(column: NumberColumn) -> bool:
    width, gaps = len(column.moments.mean), column.gaps
    return (
        width > 0
        and (column.vector or width == 1)
        and _are_long([*column.moments, column.low, column.high], width)
        and _are_long(column.scale, width + len(gaps))
        and _ascend_below(gaps, width)
    )


def _is_sound_category(column: CategoryColumn) -> bool:
    features = len(column.known) + column.gap + column.buckets
    return (
        0 < column.buckets <= 1 << MOST_BITS
        and column.buckets.bit_count() == 1
        and len(set(column.known)) == len(column.known)
        and _are_long([column.shares, *column.scale], features)
        and _are_moderate([column.shares, *column.scale])
    )


def _is_sound_text(column: TextColumn) -> bool:
    return (
        0 < column.bits <= MOST_BITS
        and len(column.idf) == 1 << column.bits
        and len(column.named) == len(column.names)
        and _are_moderate([column.idf, np.array([column.terms])])
        and _ascend_below(column.named, 1 << column.bits)
    )


def _is_sound_sparse(column: SparseColumn) -> bool:
    arrays = [column.shares, column.mean, column.deviation, *column.scale]
    return _are_long(arrays, len(column.unit)) and bool((column.unit > 0).all()) and column.first in (0, 1)


def _is_sound_target(target: TargetEncoder) -> bool:
    classes = target.classes
    if classes is None:
        return target.scale > 0 or not target.positive
    of_one_kind = all(type(label) is type(classes[0]) for label in classes) and type(classes[0]) in (str, int, bool)
    return len(classes) > 1 and of_one_kind and list(classes) == sorted(set(classes))


def _is_sound_schema(schema: Schema) -> bool:
    names = [column.name for column in schema.columns]
    roles = [column.role for column in schema.columns]
    once = all(roles.count(role) <= 1 for role in Role if role not in FEATURE_ROLES | {Role.IGNORED})
    return (
        schema.task in ("classification", "regression")
        and len(set(names)) == len(names)
        and once
        and schema.named(Role.TARGET) == schema.target is not None
    )


def _ascend_below(indices: NDArray[np.int64], limit: int) -> bool:
    """Whether indices ascend from 0 on and are below a limit."""
    bounded = np.concatenate([[-1], indices, [limit]])
    return bool((np.diff(bounded) > 0).all())
