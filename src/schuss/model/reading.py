"""The rows that a model is asked about, so many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from ..data.bad_rows import Skipping
from ..data.encoder import Encoder
from ..data.schema import require_columns
from ..data.source import Batch
from ..data.unusable import checks_of_encoder, usable_rows

if TYPE_CHECKING:
    from ..data.source import Source

__all__ = ["Piece", "pieces", "require"]


class Piece(NamedTuple):
    """Rows that are worked on at once: what they come from, the first one's place there, which could not be used."""

    table: pa.RecordBatch
    where: str
    first_row: int
    skipped: list[int]


def pieces(encoder: Encoder, source: Source, skipping: Skipping, target: str | None, step: int) -> Iterator[Piece]:
    """Give all rows that can be used, at most `step` at once, with the column of the target if one is named."""
    checks = [] if source.bad is None else checks_of_encoder(encoder, target=target is not None, weighted=False)
    columns = [column.name for column in encoder.features] + ([] if target is None else [target])
    for batch in source.batches(columns=columns):
        for start in range(0, len(batch.table), step):
            piece = batch.table.slice(start, step)
            where, first_row = source.parts[batch.part], batch.row + start
            keep, bad = usable_rows(Batch(piece, batch.part, first_row), source, checks, columns)
            skipping.count(where, len(piece), bad)
            piece = piece.filter(pa.array(keep)) if bad else piece
            yield Piece(piece, where, first_row, [row.row - first_row for row in bad])
    skipping.end()


def require(names: list[str], source: Source) -> None:
    """Refuse a source that lacks columns."""
    require_columns(names, source.schema.names, source.parts[0], " that the model needs")
