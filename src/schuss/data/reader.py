"""A source read once through: encoded, parted by what each row is for, counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .chunk import Chunk, SparseRows, take
from .encoder import Encoder
from .holdout import AT_MOST, SCORE, SELECT, TRAIN, Holdout, uses_of_rows
from .source import Batch, Cursor, Source

__all__ = ["Counts", "Pieces", "Reader"]


@dataclass
class Counts:
    """Where every row went: `read = training + held out + skipped`, in one pass over the source.

    from_file : how many of these rows a file of held-out rows gave; squared_norm : sum of ‖x‖² over the training rows;
    goals : total weight of each class over them, for regression (total weight, weighted sum of the targets);
    unseen : values unlike the sample's, by column.
    """

    read: int = 0
    from_file: int = 0
    training: int = 0
    select: int = 0
    score: int = 0
    skipped: int = 0
    squared_norm: float = 0.0
    goals: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    unseen: dict[str, int] = field(default_factory=dict)


class Pieces(NamedTuple):
    """Encoded rows of one batch by what they are for."""

    training: Chunk
    select: Chunk
    score: Chunk


@dataclass(frozen=True)
class Reader:
    """Reads a source once through: encodes, splits off the held-out rows, counts.

    held_out : where all held-out rows come from; None if they are among those of the source.
    class_weights : `(classes,)` factors for the rows of each class, or None.
    mean_weight : of the sample's rows; weights are divided by it, so that their unit does not change the learning rate.
    total_rows : rows of the whole source where they are known; expected_rows : an estimate where they are not.
    """

    source: Source
    encoder: Encoder
    holdout: Holdout
    seed: int
    class_weights: NDArray[np.float32] | None = None
    total_rows: int | None = None
    expected_rows: int | None = None
    held_out: Source | None = None
    mean_weight: float = 1.0

    def pieces(self, counts: Counts, spans: list[tuple[Cursor, int | None]] | None = None) -> Iterator[Pieces]:
        """Yield every batch's rows by use; `spans` are (start, rows) in the order of reading, None for all in order."""
        columns = list(self.encoder.columns)
        if self.holdout.column is not None and self.holdout.column not in columns:
            columns.append(self.holdout.column)
        if spans is None:
            for batch in self.source.batches(columns=columns):
                yield self._split(batch, counts)
            return
        for start, rows in spans:
            for batch in _span(self.source.batches(start, columns=columns), start.part, rows):
                yield self._split(batch, counts)

    def held_out_pieces(self, counts: Counts) -> Iterator[Pieces]:
        """Yield the rows of the file of held-out rows, alternately to select and to score, at most 200,000 of them."""
        if self.held_out is None:
            return
        for batch in self.held_out.batches(columns=self.encoder.columns):
            known = counts.select + counts.score
            if known >= AT_MOST:
                return
            batch = batch._replace(table=batch.table.slice(0, AT_MOST - known))
            whole, _ = self._encode(batch, self.held_out, counts)
            rows = np.arange(known, known + len(whole.targets))
            counts.from_file += batch.table.num_rows
            yield self._part(whole, np.where(rows % 2 == 0, SELECT, SCORE), counts)
        if counts.score == 0:
            raise DataError(f"{self.held_out.parts[0]} has fewer than two rows with a target to judge by")

    def _split(self, batch: Batch, counts: Counts) -> Pieces:
        """Encode a batch and part its rows by use."""
        read = counts.read
        whole, kept = self._encode(batch, self.source, counts)
        uses = uses_of_rows(self.holdout, batch.table, batch.part, batch.row, read, self.total_rows, self.seed)
        return self._part(whole, uses if kept is None else uses[kept], counts)

    def _encode(self, batch: Batch, source: Source, counts: Counts) -> tuple[Chunk, NDArray[np.bool_] | None]:
        """Encode a batch, and say which of its rows have a target (None for all)."""
        encoded = self.encoder.encode(batch.table, where=source.parts[batch.part], first_row=batch.row)
        weights = encoded.weights if self.mean_weight == 1.0 else encoded.weights / np.float32(self.mean_weight)
        if self.class_weights is not None:
            weights = weights * self.class_weights[encoded.targets.astype(np.intp)]
        counts.read += batch.table.num_rows
        counts.skipped += batch.table.num_rows - len(encoded.targets)
        for name, count in encoded.unseen.items():
            counts.unseen[name] = counts.unseen.get(name, 0) + count
        return Chunk(encoded.rows, encoded.targets, weights), encoded.kept

    def _part(self, whole: Chunk, uses: NDArray[np.uint8], counts: Counts) -> Pieces:
        """Part rows by use and count them."""
        pieces = Pieces(*(take(whole, uses == use) for use in (TRAIN, SELECT, SCORE)))
        counts.training += len(pieces.training.targets)
        counts.select += len(pieces.select.targets)
        counts.score += len(pieces.score.targets)
        _add_up(counts, pieces.training, self.encoder.classes)
        return pieces


def _add_up(counts: Counts, training: Chunk, classes: list[Any] | None) -> None:
    """Add the training rows of a batch to the sums."""
    rows = training.rows
    values = rows.values if isinstance(rows, SparseRows) else rows.ravel()
    blocks = np.array_split(values, len(values) // 65_536 + 1)  # float32 sums of more terms would be rough
    counts.squared_norm += sum(float(np.dot(block, block)) for block in blocks)
    if classes is None:
        sums = np.array([training.weights.sum(dtype=np.float64), np.dot(training.weights, training.targets)])
    else:
        sums = np.bincount(training.targets, training.weights, minlength=len(classes)).astype(np.float64)
    counts.goals = sums if len(counts.goals) == 0 else counts.goals + sums


def _span(batches: Iterator[Batch], part: int, rows: int | None) -> Iterator[Batch]:
    """Yield batches of one part, until so many rows have come (None: to its end)."""
    for batch in batches:
        if batch.part != part or rows == 0:
            return
        if rows is not None:
            batch = batch._replace(table=batch.table.slice(0, rows))
            rows -= batch.table.num_rows
        yield batch
