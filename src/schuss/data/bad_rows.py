"""Rows that cannot be used, where these may be skipped: found by readers and encoders, left out, counted and listed."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import BadRowError, DataError

__all__ = ["BadRow", "BadRows", "Skipping", "faults", "refuse_too_many"]

SHOWN = 1000
"""Characters of a row that are kept."""

_TOGETHER = 256
_ENOUGH = 10_000


class BadRow(NamedTuple):
    """A row that cannot be used, or a value in it.

    part, row : where it stands in its source, both from 0; column : None for the row as a whole; text : of the row or
    of the value.
    """

    part: int
    row: int
    column: str | None
    reason: str
    text: str

    def sentence(self, name: str) -> str:
        """Say what is wrong where in the file of this name."""
        return str(BadRowError(name, self.row, self.column, self.reason))


class BadRows:
    """What could not be read of a source, from when its reader finds it until whoever uses the rows asks for it.

    The reader gives such a row as one of missing values, so that all rows keep their numbers. It may be ahead of who
    uses the rows, in another thread.
    """

    def __init__(self) -> None:
        self._found: defaultdict[int, dict[tuple[int, str | None], BadRow]] = defaultdict(dict)
        self._lock = threading.Lock()

    def add(self, part: int, error: BadRowError, text: str) -> None:
        """Add a row that was found; one that is known already stays as it is."""
        with self._lock:
            found = BadRow(part, error.row, error.column, error.complaint, text[:SHOWN])
            self._found[part].setdefault((error.row, error.column), found)

    def among(self, part: int, first: int, count: int, columns: Collection[str] | None = None) -> list[BadRow]:
        """Give those among some rows, one each, in order; with `columns`, what is wrong with others is passed over."""
        with self._lock:
            found = [row for (at, _), row in self._found[part].items() if first <= at < first + count]
        wanted = [row for row in found if columns is None or row.column is None or row.column in columns]
        return list({row.row: row for row in sorted(wanted, key=lambda row: row.row)}.values())

    def clear(self) -> None:
        """Forget all rows."""
        with self._lock:
            self._found.clear()

    def forget(self, part: int, first: int, count: int) -> None:
        """Forget some rows, which have been used."""
        with self._lock:
            if known := self._found.get(part):
                self._found[part] = {key: row for key, row in known.items() if not first <= key[0] < first + count}


@dataclass
class Skipping:
    """How bad rows are skipped, and how many have been.

    share : of the rows that may be bad; on_bad : called with the name of the file and each bad row.
    """

    share: float = 0.01
    on_bad: Callable[[str, BadRow], None] | None = None
    read: int = 0
    bad: int = 0
    first: str = ""

    def count(self, name: str, rows: int, found: Sequence[BadRow]) -> None:
        """Count rows of a file, and those among them that are bad; raises DataError when these are too many."""
        self.read += rows
        self.bad += len(found)
        for row in found:
            self.first = self.first or row.sentence(name)
            if self.on_bad is not None:
                self.on_bad(name, row)
        refuse_too_many(self.bad, self.read, self.share, self.first, at_end=False)

    def end(self) -> None:
        """Raise DataError when too many of all rows were bad."""
        refuse_too_many(self.bad, self.read, self.share, self.first, at_end=True)


def faults(lines: Sequence[bytes], parse: Callable[[Sequence[bytes]], object]) -> dict[int, BadRowError]:
    """Find the lines that cannot be parsed, and why: pieces that fail as a whole are halved down to single lines.

    >>> def whole(lines):
    ...     for line in lines:
    ...         if not line.isdigit():
    ...             raise BadRowError("t", 0, None, f"{line} is no number")
    >>> list(faults([b"1", b"x", b"3", b"y"], whole))
    [1, 3]
    """
    found: dict[int, BadRowError] = {}
    waiting = [(start, min(start + _TOGETHER, len(lines))) for start in range(0, len(lines), _TOGETHER)][::-1]
    while waiting:
        start, stop = waiting.pop()
        try:
            parse(lines[start:stop])
        except BadRowError as error:
            if stop - start == 1:
                found[start] = error
                continue
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]
    return found


def refuse_too_many(bad: int, read: int, share: float, first: str, *, at_end: bool) -> None:
    """Raise DataError where more rows are bad than may be skipped; in the middle only where enough have been read."""
    if bad > share * read and (at_end or read >= _ENOUGH):
        raise DataError(
            f"{bad:,} of {read:,} rows cannot be used, more than '--max-bad-rows {share:g}' allows; the first: {first}"
        )
