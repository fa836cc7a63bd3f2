"""Values that an encoder would refuse, found row by row where their rows may be skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import BadRowError
from .bad_rows import BadRow
from .columns.convert import Numbers, as_numbers, as_sparse_lists, as_vectors, in_one_piece, is_numeric
from .columns.dates import DateColumn, as_moments
from .columns.numbers import LARGEST, NumberColumn
from .columns.place import Place, fitting
from .columns.sparse import SparseColumn, refuse_bad_pairs
from .encoder import Encoder
from .schema import Role, Schema
from .source import Batch, Source
from .target import finite_numbers, row_weights

__all__ = ["Check", "checks_of_encoder", "checks_of_schema", "checks_of_target", "screened", "usable_rows"]

Check = tuple[str, Callable[[pa.Array, Place], object]]
"""A column, and what raises BadRowError at the first value of it that cannot be used."""

_TOGETHER = 1024


def checks_of_encoder(encoder: Encoder, *, target: bool, weighted: bool) -> list[Check]:
    """Give what refuses the values that an encoder refuses."""
    checks: list[Check] = []
    for column in encoder.features:
        match column:
            case NumberColumn():
                width = len(column.low) if column.vector else None
                checks.append((column.name, partial(_numbers, width=width)))
            case SparseColumn():
                checks.append((column.name, partial(_pairs, first=column.first)))
            case DateColumn():
                checks.append((column.name, as_moments))
    if target:
        checks.append((encoder.schema.named(Role.TARGET) or "", encoder.target.encode))
    weight = encoder.schema.named(Role.WEIGHT)
    return [*checks, (weight, row_weights)] if weighted and weight is not None else checks


def checks_of_schema(schema: Schema) -> list[Check]:
    """Give what refuses the values from which no encoder can take statistics."""
    by_role = {
        **dict.fromkeys((Role.NUMBER, Role.BOOLEAN), partial(_numbers, width=None)),
        Role.SPARSE: partial(_pairs, first=0),
        Role.DATETIME: as_moments,
        Role.WEIGHT: row_weights,
        **({Role.TARGET: finite_numbers} if schema.task == "regression" else {}),
    }
    return [(column.name, by_role[column.role]) for column in schema.columns if column.role in by_role]


def checks_of_target(table: pa.Table, target: str | None) -> list[Check]:
    """Give what refuses the values of a target by which no task can be told."""
    known = target in table.column_names and is_numeric(table.schema.field(target).type)
    return [(target, finite_numbers)] if target is not None and known else []


def screened(table: pa.Table, checks: Sequence[Check], name: str) -> pa.Table:
    """Leave out the rows of a sample that have values that cannot be used."""
    keep = np.ones(len(table), bool)
    for column, check in checks:
        values, place = in_one_piece(table.column(column)), Place(name, 0, column)
        for error in _refused(values, place, check):
            keep[error.row] = False
    return table if keep.all() else table.filter(pa.array(keep))


def usable_rows(
    batch: Batch, source: Source, checks: Sequence[Check], columns: Sequence[str]
) -> tuple[NDArray[np.bool_], list[BadRow]]:
    """Say which rows of a batch can be used, and why the others cannot: they were not read, or `checks` refuse them.

    columns : what is used of the batch; faults of others do not count.
    """
    bad, first, count = source.bad, batch.row, batch.table.num_rows
    keep = np.ones(count, bool)
    if bad is None:
        return keep, []
    keep[[row.row - first for row in bad.among(batch.part, first, count, columns)]] = False
    for column, check in checks:
        values, place = in_one_piece(batch.table.column(column)), Place(source.parts[batch.part], first, column)
        for error in _refused(values, place, check):
            if keep[error.row - first]:
                keep[error.row - first] = False
                bad.add(batch.part, error, str(values[error.row - first]))
    found = bad.among(batch.part, first, count, columns)
    bad.forget(batch.part, first, count)
    return keep, found


def _refused(values: pa.Array, place: Place, check: Callable[[pa.Array, Place], object]) -> Iterator[BadRowError]:
    """Find all values that are refused: first look at all, then at pieces, going on behind each that is found."""
    with fitting(values, place, "feature"):
        try:
            check(values, place)
            return
        except BadRowError:
            pass
        for begin in range(0, len(values), _TOGETHER):
            start, stop = begin, min(begin + _TOGETHER, len(values))
            while start < stop:
                try:
                    check(values.slice(start, stop - start), place._replace(first_row=place.first_row + start))
                    break
                except BadRowError as error:
                    yield error
                    start = error.row - place.first_row + 1


def _numbers(values: pa.Array, place: Place, width: int | None) -> None:
    """Refuse what is no number, infinite, or too large to compute with."""
    numbers = as_numbers(values, place) if width is None else as_vectors(values, place, width)
    wrong = _infinite(numbers)
    if wrong.any():
        row = int(np.argmax(wrong.reshape(len(values), -1).any(axis=1)))
        complaint = "is not a finite number" if width is None else "holds a number that is not finite"
        raise place.error(row, f"{str(values[row])[:60]} {complaint}, or too large")


def _infinite(numbers: Numbers) -> NDArray[Any]:
    if numbers.values.dtype.kind != "f":
        return np.zeros(1, bool)
    wrong = np.abs(numbers.values) > LARGEST
    return wrong if numbers.missing is None else wrong & ~numbers.missing


def _pairs(values: pa.Array, place: Place, first: int) -> None:
    refuse_bad_pairs(as_sparse_lists(values, place), place, first)
