"""Where a value stands, for messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...errors import BadRowError, DataError, UnknownClassError

DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
POINT_WANTED = "a decimal comma, where a point is read: tr , . < OLD > NEW, if a file has no other commas"
NOT_FINITE = "is not a finite number; what is beyond 1.8e308 is read as inf"


def not_a_number(text: str) -> str:
    """Complain of a text among numbers.

    >>> not_a_number("ab:cd")
    "'ab:cd' is not a number"
    """
    hint = f", it has {POINT_WANTED}" if DECIMAL_COMMA.fullmatch(text.strip()) else ""
    return f"{text!r} is not a number{hint}"


class Place(NamedTuple):
    """A column of some rows: row 0 of the values is row `first_row` (from 0) of `where`."""

    where: str
    first_row: int
    column: str

    def error(self, row: int | np.integer, complaint: str) -> BadRowError:
        """Make the error for the value at `row` (from 0, within these values).

        >>> Place("flights.csv", 8000, "dep_time").error(122, "'ab:cd' is not a number")
        BadRowError("flights.csv, row 8,123, column 'dep_time': 'ab:cd' is not a number")
        """
        return BadRowError(self.where, self.first_row + int(row), self.column, complaint)

    def unknown_class(self, row: int | np.integer, complaint: str) -> UnknownClassError:
        """Make the error for a class at `row` that nobody knows."""
        return UnknownClassError(self.where, self.first_row + int(row), self.column, complaint)

    def refusal(self, complaint: str) -> DataError:
        """Make the error for the column as a whole."""
        return DataError(f"{self.where}, column {self.column!r}: {complaint}")


@contextmanager
def fitting(values: pa.Array, place: Place, role: str) -> Iterator[None]:
    """Turn the refusal of Arrow to treat values as their column's role requires into DataError."""
    try:
        yield
    except UnicodeDecodeError:
        raise place.refusal("its values are not valid UTF-8 text") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise place.refusal(f"values of type {values.type} do not fit its role, '{role}'") from error
