"""What a source of rows is: Arrow record batches from a place, from a cursor on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from .bad_rows import BadRows


class Cursor(NamedTuple):
    """A position between two rows: the next row to read is `row` (from 0) of part `part` (a file or an array)."""

    part: int = 0
    row: int = 0


class Batch(NamedTuple):
    """A record batch and where it came from: its first row is row `row` (from 0) of part `part`."""

    table: pa.RecordBatch
    part: int
    row: int


class Source(Protocol):
    """Rows in a fixed order, as Arrow record batches.

    Attributes
    ----------
    name : short name for messages and for the default output folder ("flights").
    parts : name of each part (file names in reading order, or ["array"]); messages use them.
    schema : the columns that `batches` gives; the same for all parts.
    target : column that the format itself marks as the target (svmlight, npz, `(X, y)`), or None.
    rows : number of rows where it is known without reading the data (Parquet, arrays), else None.
    nbytes : size of the input in bytes where known (files), else None.
    rereadable : whether `batches` may be called more than once (False for standard input and streams).
    bad : which rows could not be read, where these may be skipped: they come as rows of missing values; else None.
    notices : what a person should know before the data are used.
    """

    name: str
    parts: Sequence[str]
    schema: pa.Schema
    target: str | None
    rows: int | None
    nbytes: int | None
    rereadable: bool
    bad: BadRows | None
    notices: list[str]

    def batches(self, cursor: Cursor = Cursor(), *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the rows from `cursor` on, in order; `columns` restricts what is decoded.

        Raises DataError naming part, row (from 1, as a person counts data rows) and column.
        """
        ...

    def onwards(self, cursor: Cursor, *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield the batches that `batches` gives, the very same, from the one on that holds the row at `cursor`."""
        ...

    def span(self, start: Cursor, rows: int | None, *, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """Yield so many rows of one part from `start` on; None for all that it has."""
        ...

    def sample(self, limit: int) -> list[Batch]:
        """Give at most `limit` rows that represent the whole: the first ones, or row groups spread over the files."""
        ...

    def fingerprint(self) -> list[dict[str, object]]:
        """Describe each part so that a change can be noticed (path, size, mtime, ...)."""
        ...
