"""What each column is: its role, found from a sample of the rows."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import DataError, OptionError
from .columns.compute import pc
from .columns.convert import (
    as_numbers,
    as_strings,
    in_one_piece,
    is_numeric,
    is_sparse_list,
    is_stringy,
    string_codes,
)
from .columns.numbers import LARGEST, NARROWEST
from .columns.place import Place, fitting
from .columnwise import columnwise
from .target import finite_numbers

# Whole numbers with more distinct values than this in the sample are quantities, not classes.
CLASSES_AT_MOST = 20
# A sentence gives the reasons of so many columns that are left out.
REASONS = 10
# A string column is text when its values have this many words on average ...
TEXT_WORDS = 2.5
# ... and are this diverse: "Married, spouse absent" has three words but comes back all the time.
TEXT_DISTINCT = 0.2
# Words are counted in so many different values.
WORDY_SAMPLE = 10_000
# A string column whose values are this diverse names the rows instead of describing them.
IDENTIFIER_DISTINCT = 0.95
# Fewer values than this say nothing about how diverse a column is.
ENOUGH_TO_JUDGE = 20

_IDENTIFIER_NAME = re.compile(r"(^|[\W_])(id|idx|index|uid|uuid|guid|key|row|rownum|rowid)$|^(unnamed: \d+)?$", re.I)


class Role(StrEnum):
    """What a column is to the model."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    TEXT = "text"
    DATETIME = "date/time"
    VECTOR = "vector"
    SPARSE = "sparse"
    TARGET = "target"
    WEIGHT = "weight"
    GROUP = "group"
    IGNORED = "ignored"


FEATURE_ROLES = frozenset(
    {Role.NUMBER, Role.BOOLEAN, Role.CATEGORY, Role.TEXT, Role.DATETIME, Role.VECTOR, Role.SPARSE}
)


@dataclass(frozen=True)
class Column:
    """A column, its role, and why it is left out where it is."""

    name: str
    role: Role
    note: str = ""


@dataclass(frozen=True)
class Schema:
    """The roles of all columns, the task, and what the user should be told about both."""

    columns: tuple[Column, ...]
    task: str
    target: str | None
    notices: tuple[str, ...] = ()

    def features(self) -> list[Column]:
        """Give the columns that features are made of."""
        return [column for column in self.columns if column.role in FEATURE_ROLES]

    def named(self, role: Role) -> str | None:
        """Give the name of the one column with `role`, or None."""
        return next((column.name for column in self.columns if column.role is role), None)


def infer_schema(
    sample: pa.Table,
    *,
    name: str,
    target: str | None,
    task: str = "auto",
    weight: str | None = None,
    group: str | None = None,
    overrides: Mapping[str, Role] | None = None,
) -> Schema:
    """Find the role of each column, and the task, from a sample of the rows.

    Parameters
    ----------
    sample : the rows to judge by; at most a few hundred thousand.
    name : what messages call the data.
    target, weight, group : columns with these roles, or None.
    task : "auto", "classification" or "regression".
    overrides : the role of columns for which the user knows better.

    Raises
    ------
    DataError
        When a column is missing, the target is constant or all missing, or no column can be a feature.
    OptionError
        When the task is unknown.

    >>> table = pa.table({"age": [39, 50, 38, 53], "job": ["a", "b", "a", "b"], "y": [True, False, True, True]})
    >>> schema = infer_schema(table, name="people.csv", target="y")
    >>> [(column.name, str(column.role)) for column in schema.columns], schema.task
    ([('age', 'number'), ('job', 'category'), ('y', 'target')], 'classification')
    """
    overrides = overrides or {}
    if task not in ("auto", "classification", "regression"):
        raise OptionError(f"task must be auto, classification or regression, not '{task}'")
    twice = next((column for column, times in Counter(sample.column_names).items() if times > 1), None)
    if twice is not None:
        raise DataError(f"{name} has several columns named '{twice}'")
    if len(sample) == 0:
        raise DataError(f"{name} has no rows")
    if target is None:
        raise OptionError(f"{name} needs a target: name one of its columns ({listed(sample.column_names)})")
    special = {
        column: role for column, role in ((target, Role.TARGET), (weight, Role.WEIGHT), (group, Role.GROUP)) if column
    }
    for wanted in [*special, *overrides]:
        _require_column(wanted, sample.column_names, name)
    goals, place = in_one_piece(sample.column(target)), Place(name, 0, target)
    with fitting(goals, place, Role.TARGET):
        found, notice = _judge_task(goals, place, task)
    names = sample.column_names
    columns = tuple(columnwise(lambda at: _column(sample, name, names[at], special, overrides), sample.columns))
    left_out = [column for column in columns if column.note and column.name not in overrides]
    notices = ([notice] if notice else []) + _left_out(left_out)
    schema = Schema(columns, found, target, tuple(notices))
    if not schema.features():
        noted = [f"'{column.name}': {column.note}" for column in columns if column.note]
        more = [f"and {len(noted) - REASONS:,} more"] if len(noted) > REASONS else []
        reasons = ", ".join([*noted[:REASONS], *more])
        raise DataError(f"{name} has no column to learn from" + (f" ({reasons})" if reasons else ""))
    return schema


def _column(
    sample: pa.Table, place: str, name: str, special: Mapping[str, Role], overrides: Mapping[str, Role]
) -> Column:
    """Give a column the role it must have, the one the user wants, or the one its values suggest."""
    if name in special:
        return Column(name, special[name])
    if name in overrides:
        return Column(name, overrides[name], "as asked" if overrides[name] is Role.IGNORED else "")
    values = in_one_piece(sample.column(name))
    with fitting(values, Place(place, 0, name), "feature"):
        return _judge(name, values)


def _left_out(columns: list[Column]) -> list[str]:
    """Say which columns are left out: one notice for each reason, however many columns there are."""
    names: dict[str, list[str]] = {}
    for column in columns:
        names.setdefault(column.note, []).append(column.name)
    return [
        f"{'column' if len(same) == 1 else 'each of'} {listed(same)} is left out: {reason}"
        for reason, same in names.items()
    ]


def _require_column(wanted: str, columns: list[str], name: str) -> None:
    """Refuse a column that is not there, naming the nearest ones, or all if they are few."""
    if wanted in columns:
        return
    lower = {column.lower(): column for column in columns}
    nearest = [lower[match] for match in difflib.get_close_matches(wanted.lower(), lower, n=3)]
    hint = f"did you mean {listed(nearest)}?" if nearest else f"its columns are {listed(columns)}"
    raise DataError(f"{name} has no column '{wanted}'; {hint}")


def require_columns(wanted: Iterable[str], names: Iterable[str], where: str, why: str = "") -> None:
    """Refuse data that lacks columns; `where` says which data it is, `why` what needs them."""
    there = set(names)
    lacking = [name for name in wanted if name not in there]
    if lacking:
        raise DataError(f"{where} lacks the column{'s' * (len(lacking) > 1)} {listed(lacking)}{why}")


def listed(names: list[str]) -> str:
    """List names, cut after twenty."""
    more = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
    return ", ".join(f"'{name}'" for name in names[:20]) + more


def _judge(name: str, values: pa.Array) -> Column:
    """Find the role of one column from its values."""
    kind = values.type
    if values.null_count == len(values):
        return Column(name, Role.IGNORED, "all its values are missing")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _judge_list(name, values)
    if pa.types.is_boolean(kind) or is_numeric(kind):
        return _judge_number(name, values)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        constant = values.null_count == 0 and len(values.unique()) == 1
        return Column(name, Role.IGNORED, "it is constant") if constant else Column(name, Role.DATETIME)
    if is_stringy(kind):
        return _judge_string(name, as_strings(values))
    return Column(name, Role.IGNORED, f"values of type {_cut(kind)} cannot be used")


def _cut(kind: pa.DataType) -> str:
    """Name a type: lists in lists in lists may have a name without end."""
    name = str(kind)
    return name if len(name) <= 100 else f"{name[:100]}…"


def _judge_list(name: str, values: pa.Array) -> Column:
    """Take lists of pairs for sparse rows, lists of numbers for vectors if all are equally long."""
    if is_sparse_list(values.type):
        return Column(name, Role.SPARSE)
    if not is_numeric(values.type.value_type):
        return Column(name, Role.IGNORED, f"lists of {_cut(values.type.value_type)} cannot be used")
    lengths = pc.list_value_length(values).unique().drop_null().to_pylist()
    if len(lengths) > 1:
        return Column(name, Role.IGNORED, "its lists have different lengths")
    if lengths == [0]:
        return Column(name, Role.IGNORED, "all its lists are empty")
    return Column(name, Role.VECTOR)


def _judge_number(name: str, values: pa.Array) -> Column:
    """Numbers are numbers unless they are constant or only count the rows."""
    numbers, missing = as_numbers(values, Place(name, 0, name))
    there = numbers[~missing] if missing is not None else numbers
    if np.issubdtype(there.dtype, np.floating) and _holds_nan(there):
        there = there[~np.isnan(there)]
    if len(there) == 0:
        return Column(name, Role.IGNORED, "all its values are missing")
    # One value and missing ones do tell rows apart, so they are not constant.
    if len(there) == len(values) and len(there) > 1 and _is_constant(there):
        return Column(name, Role.IGNORED, "it is constant")
    if abs(float(there[0])) > LARGEST and LARGEST < float(np.abs(there).min()) < np.inf:
        return Column(name, Role.IGNORED, f"all its numbers are larger than {LARGEST:g}")
    if _IDENTIFIER_NAME.search(name) and len(there) >= ENOUGH_TO_JUDGE and _all_different_whole(there):
        return Column(name, Role.IGNORED, "it identifies the rows")
    return Column(name, Role.BOOLEAN if pa.types.is_boolean(values.type) else Role.NUMBER)


def _holds_nan(numbers: NDArray[np.floating]) -> bool:
    """Whether a number is NaN, by the least of them: NaN where one is, in a third of the time of asking each."""
    with np.errstate(invalid="ignore"):  # a NaN may be of the kind that signals
        return bool(np.isnan(numbers.min(initial=0)))


def _is_constant(numbers: NDArray[Any]) -> bool:
    """Whether numbers are all the same, or so close together that they have no scale."""
    least, most = float(numbers.min()), float(numbers.max())
    return least == most or most - least < NARROWEST


def _all_different_whole(numbers: NDArray[Any]) -> bool:
    whole = np.issubdtype(numbers.dtype, np.integer) or bool((numbers == np.floor(numbers)).all())
    return whole and bool((np.diff(np.sort(numbers)) > 0).all())


def _judge_string(name: str, strings: pa.DictionaryArray) -> Column:
    """Strings are text if wordy and diverse, identifiers if diverse, else categories."""
    counts = np.bincount(string_codes(strings) + 1, minlength=len(strings.dictionary) + 1)
    missing, counts = counts[0], counts[1:]
    present, distinct = counts.sum(), np.count_nonzero(counts)
    if distinct == 1 and missing == 0 and len(strings) > 1:
        return Column(name, Role.IGNORED, "it is constant")
    if present < ENOUGH_TO_JUDGE or distinct < TEXT_DISTINCT * present:
        return Column(name, Role.CATEGORY)
    words = pc.count_substring_regex(strings.dictionary.slice(0, WORDY_SAMPLE), r"\S+").to_numpy(zero_copy_only=False)
    counts = counts[:WORDY_SAMPLE]
    if words @ counts >= TEXT_WORDS * counts.sum():
        return Column(name, Role.TEXT)
    if distinct >= IDENTIFIER_DISTINCT * present:
        return Column(name, Role.IGNORED, "nearly all its values are different")
    return Column(name, Role.CATEGORY)


def _judge_task(values: pa.Array, place: Place, task: str) -> tuple[str, str | None]:
    """Find the task from the target, and say so where it was not asked for; raises DataError if nothing varies."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_nested(kind) or pa.types.is_temporal(kind):
        raise place.refusal(f"values of type {kind} cannot be the target")
    strings = as_strings(values)
    codes = string_codes(strings)
    distinct = int(np.count_nonzero(np.bincount(codes[codes >= 0])))
    if distinct < 2:
        what = "has no value" if distinct == 0 else f"is constant ('{strings.drop_null()[0].as_py()}')"
        raise place.refusal(f"the target {what} in the {len(values):,} rows looked at")
    if task != "regression" and distinct == len(values) >= ENOUGH_TO_JUDGE and is_stringy(kind):
        raise place.refusal(
            f"the target is different text in each of the {distinct:,} rows looked at, which are no classes"
        )
    if task != "auto":
        return task, None
    found, why = _task_of(values, kind, distinct, place)
    other = "regression" if found == "classification" else "classification"
    return found, f"the task is {found} since the target '{place.column}' holds {why}; --task {other} overrides this"


def _task_of(values: pa.Array, kind: pa.DataType, distinct: int, place: Place) -> tuple[str, str]:
    """Give the task that the values of a target suggest, and why."""
    if not is_numeric(kind):
        return "classification", f"{distinct:,} {'truth values' if pa.types.is_boolean(kind) else 'different texts'}"
    numbers, _ = finite_numbers(values, place)
    if (numbers != np.floor(numbers)).any():
        return "regression", "numbers with fractions"
    if distinct > CLASSES_AT_MOST:
        return "regression", f"{distinct:,} different whole numbers"
    return "classification", f"{distinct:,} different whole numbers"
