"""A source read once through: values converted, rows parted by what each is for, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import DataError
from ..kernels import store
from .bad_rows import BadRow, refuse_too_many
from .chunk import Chunk, SparseRows, between, take
from .draft import Draft, stored_values, training_rows
from .encoder import Encoder, Prepared
from .holdout import AT_MOST, SCORE, SELECT, TRAIN, Holdout, uses_of_rows
from .known import Known
from .parted import BATCH_ROWS
from .saved import Saved
from .shuffle import ahead
from .source import Batch, Cursor, Source
from .unusable import Check, checks_of_encoder, usable_rows

__all__ = ["Counts", "Pieces", "Reader", "Slice"]

# Rows come in pieces of so many bytes: what is held out of a dense piece takes no more.
_PIECE_BYTES, _LEAST_ROWS = 1 << 23, 256
_LEFT_OUT = 3
# Of wide rows so many bytes are converted at once, counted as float64.
_CONVERTED_BYTES = 1 << 27
# The same of sparse rows, counted as they will be: words and texts take no more before.
_SPARSE_CONVERTED_BYTES = 1 << 24
# Squares that are added up in float32, before the sums are in float64.
_SUMMED = 65_536


@dataclass
class Counts:
    """Where every row went: `read = training + held out + skipped`, in one pass over the source.

    from_file : how many of these rows a file of held-out rows gave; values : what the training rows store;
    unseen : values unlike the sample's, by column; bad : how many of the skipped rows could not be used, and what was
    wrong with the first of them.

    What is learned of the training rows before training begins, of which no more are summed up then:
    summed : how many these are; squared_norm : sum of their ‖x‖²; goals : total weight of each class, for regression
    (total weight, weighted sum of the targets).
    """

    read: int = 0
    from_file: int = 0
    training: int = 0
    select: int = 0
    score: int = 0
    skipped: int = 0
    values: int = 0
    bad: int = 0
    first_bad: str = ""
    unseen: dict[str, int] = field(default_factory=dict)
    summed: int = 0
    squared_norm: float = 0.0
    goals: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def saved(self) -> Saved:
        """Give everything, to go on from."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "goals"}
        return Saved(values, {"goals": self.goals})

    @property
    def given(self) -> int:
        """How many rows have been given by use or skipped; of those read, some of a slice may be still to come."""
        return self.training + self.select + self.score + self.skipped

    def went(self) -> dict[str, int]:
        """Say what became of the rows of one pass, as far as it went; the bad ones are among those skipped."""
        went = {"trained": self.training, "held_out": self.select + self.score, "skipped": self.skipped}
        return {"read": self.given, **went, "bad": self.bad}

    @classmethod
    def resumed(cls, saved: Saved) -> Counts:
        """Go on from what was saved."""
        return cls(**saved.values, goals=saved.arrays["goals"])

    def take_in(self, other: Counts) -> None:
        """Add what was counted in other rows of the same source."""
        for name in (each.name for each in fields(self)):
            if isinstance(mine := getattr(self, name), int | float):
                setattr(self, name, mine + getattr(other, name))
        for name, count in other.unseen.items():
            self.unseen[name] = self.unseen.get(name, 0) + count
        self.first_bad = self.first_bad or other.first_bad
        # Where no row has been counted there are no classes yet.
        known = [goals for goals in (self.goals, other.goals) if len(goals)]
        self.goals = np.sum(known, axis=0) if known else self.goals

    def add_up(self, training: Chunk, classes: int | None) -> None:
        """Add training rows to the sums; `classes` is how many there are, None for regression."""
        rows = training.rows
        values = rows.values if isinstance(rows, SparseRows) else rows.reshape(-1)
        for start in range(0, len(values), _SUMMED):
            block = values[start : start + _SUMMED]
            self.squared_norm += float(np.dot(block, block))
        if classes is None:
            sums = np.array([training.weights.sum(dtype=np.float64), np.dot(training.weights, training.targets)])
        else:
            sums = np.bincount(training.targets, training.weights, minlength=classes).astype(np.float64)
        self.goals = sums if len(self.goals) == 0 else self.goals + sums
        self.summed += len(training.targets)


class Slice(NamedTuple):
    """Rows that are converted together: where they begin, and what had been counted before them."""

    begin: Cursor
    before: Counts


class Pieces(NamedTuple):
    """Rows of one slice by what they are for; the held-out ones of a draft are there when it has been finished."""

    training: Chunk | Draft
    select: Chunk
    score: Chunk
    slice: Slice | None = None

    def finished(self) -> Pieces:
        """Have the held-out rows made that are not yet, after the training rows."""
        if isinstance(self.training, Draft):
            self.training.finish()
        return self


@dataclass(frozen=True)
class Reader:
    """Reads a source once through: converts, splits off the held-out rows, counts.

    held_out : where all held-out rows come from; None if they are among those of the source.
    class_weights : `(classes,)` factors for the rows of each class, or None.
    mean_weight : of the sample's rows; weights are divided by it, so that their unit does not change the learning rate.
    total_rows : rows of the whole source where they are known; expected_rows : an estimate where they are not.
    most_bad : share of the rows that may be bad, where they may be skipped; on_bad : called with the name of the file
    and each of them; known : targets of rows from all of the source, where the first ones would mislead.
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
    most_bad: float = 0.01
    on_bad: Callable[[str, BadRow], None] | None = None
    known: Known | None = None

    def pieces(
        self, counts: Counts, spans: list[tuple[Cursor, int | None]] | None = None, *, begin: Cursor = Cursor()
    ) -> Iterator[Pieces]:
        """Yield every batch's rows by use; `spans` are (start, rows) in the order of reading, None for all in order.

        begin : where a slice begins that is the first one to be given, cut as all others are as if those before it had
        been given too; `counts` are those before it.

        The training rows of a piece must have been made when the next piece is asked for.
        """
        room = _Room(self.encoder)
        columns = list(self.encoder.columns)
        if self.holdout.column is not None and self.holdout.column not in columns:
            columns.append(self.holdout.column)
        if spans is None:
            source = self.source
            first = begin == Cursor()
            batches = source.batches(columns=columns) if first else source.onwards(begin, columns=columns)
        else:
            batches = (b for start, rows in spans for b in self.source.span(start, rows, columns=columns))
        for batch, prepared in self._converted(self._slices(batches, begin)):
            yield from self._split(batch, prepared, counts, room)
        refuse_too_many(counts.bad, counts.read, self.most_bad, counts.first_bad, at_end=True)

    def held_out_pieces(self, counts: Counts) -> Iterator[Pieces]:
        """Yield the rows of the file of held-out rows, alternately to select and to score, at most 200,000 of them."""
        if self.held_out is None:
            return
        room = _Room(self.encoder)
        for batch in self.held_out.batches(columns=self.encoder.columns):
            known = counts.select + counts.score
            if known >= AT_MOST:
                return
            batch = batch._replace(table=batch.table.slice(0, AT_MOST - known))
            before = counts.select + counts.score
            counts.from_file += batch.table.num_rows
            keep = self._usable(batch, self.held_out, counts)
            prepared = self.prepared(batch._replace(table=_only(batch.table, keep)), self.held_out.parts[batch.part])
            _count(prepared, counts)
            order = np.arange(prepared.length) if prepared.missing is None else np.cumsum(~prepared.missing) - 1
            yield from self._part(prepared, np.where((before + order) % 2 == 0, SELECT, SCORE), counts, room)
        if counts.score == 0:
            raise DataError(f"{self.held_out.parts[0]} has fewer than two rows with a target to judge by")

    def _slices(self, batches: Iterator[Batch], begin: Cursor) -> Iterator[Batch]:
        """Yield batches slice by slice, without those before `begin`."""
        if self.encoder.sparse:
            step = self._sparse_rows(_SPARSE_CONVERTED_BYTES)
        else:
            step = max(_CONVERTED_BYTES // (8 * self.encoder.width), _LEAST_ROWS)
        for table, part, row in batches:
            for start in range(0, len(table), step):
                if (part, row + start) >= begin:
                    yield Batch(table.slice(start, step), part, row + start)

    def _converted(self, slices: Iterator[Batch]) -> Iterator[tuple[Batch, Prepared | None]]:
        """Convert slices, the next one in a thread of its own; none where bad rows must be left out before that.

        Decoding, converting, encoding and learning then take about the same time each.
        """
        if self.source.bad is not None:
            return ((batch, None) for batch in slices)
        converted = ((batch, self.prepared(batch, self.source.parts[batch.part])) for batch in slices)
        several = (self.total_rows or self.expected_rows or BATCH_ROWS + 1) > BATCH_ROWS
        return ahead(converted, 1) if several else converted

    def _split(self, batch: Batch, prepared: Prepared | None, counts: Counts, room: _Room) -> Iterator[Pieces]:
        """Part the rows of a slice by use."""
        table, part, row = batch
        here = Slice(Cursor(part, row), replace(counts, unseen=dict(counts.unseen)))
        uses = uses_of_rows(self.holdout, table, part, row, counts.read, self.total_rows, self.seed)
        keep = self._usable(batch, self.source, counts)
        if prepared is None:
            prepared = self.prepared(batch._replace(table=_only(table, keep)), self.source.parts[part])
        _count(prepared, counts)
        for piece in self._part(prepared, uses if keep is None else uses[keep], counts, room):
            yield piece._replace(slice=here)

    def _usable(self, batch: Batch, source: Source, counts: Counts) -> NDArray[np.bool_] | None:
        """Say which rows of a batch can be used, None for all of them; count and tell of the others."""
        if source.bad is None:
            return None
        keep, found = usable_rows(batch, source, self._checks, batch.table.schema.names)
        name = source.parts[batch.part]
        counts.read += len(found)
        counts.skipped += len(found)
        counts.bad += len(found)
        for row in found:
            counts.first_bad = counts.first_bad or row.sentence(name)
            if self.on_bad is not None:
                self.on_bad(name, row)
        refuse_too_many(counts.bad, counts.read, self.most_bad, counts.first_bad, at_end=False)
        return keep if found else None

    @cached_property
    def _checks(self) -> list[Check]:
        return checks_of_encoder(self.encoder, target=True, weighted=True)

    def prepared(self, batch: Batch, where: str = "sample") -> Prepared:
        """Convert and check a batch; its weights are those to learn with."""
        prepared = self.encoder.prepare(batch.table, where=where, first_row=batch.row)
        weights = prepared.weights if self.mean_weight == 1.0 else prepared.weights / np.float32(self.mean_weight)
        if self.class_weights is not None:
            weights = weights * self.class_weights[prepared.targets.astype(np.intp)]
        return prepared._replace(weights=weights)

    def _part(self, prepared: Prepared, uses: NDArray[np.uint8], counts: Counts, room: _Room) -> Iterator[Pieces]:
        """Part rows by use, and count them; rows without a target are left out."""
        if prepared.missing is not None:
            uses = np.where(prepared.missing, _LEFT_OUT, uses)
        uses = uses.astype(np.uint8, copy=False)
        for piece in self._sparse_pieces(prepared, uses) if self.encoder.sparse else room.pieces(prepared, uses):
            counts.training += training_rows(piece.training)
            counts.values += stored_values(piece.training)
            counts.select += len(piece.select.targets)
            counts.score += len(piece.score.targets)
            yield piece

    def _sparse_pieces(self, prepared: Prepared, uses: NDArray[np.uint8]) -> Iterator[Pieces]:
        """Make sparse rows piece by piece."""
        step = self._sparse_rows(_PIECE_BYTES)
        for start in range(0, prepared.length, step):
            rows = slice(start, min(start + step, prepared.length))
            yield self._sparse_piece(prepared, rows, uses[rows])

    def _sparse_piece(self, prepared: Prepared, rows: slice, uses: NDArray[np.uint8]) -> Pieces:
        """Make sparse rows in the order of their uses: those to learn from come first, and are never copied again."""
        ends = np.cumsum(np.bincount(uses, minlength=3))
        order = None if ends[TRAIN] == len(uses) else np.argsort(uses, kind="stable")
        every = slice(None) if order is None else order
        targets, weights = prepared.targets[rows][every], prepared.weights[rows][every]
        whole = Chunk(self.encoder.sparse_rows(prepared, rows, order), targets, weights)
        select, score = (take(whole, np.arange(ends[use - 1], ends[use])) for use in (SELECT, SCORE))
        return Pieces(between(whole, 0, ends[TRAIN]), select, score)

    def _sparse_rows(self, size: int) -> int:
        """Give how many sparse rows take so many bytes: each entry has an index and a value."""
        return int(min(max(size / (8 * max(self.encoder.density, 1.0)), _LEAST_ROWS), BATCH_ROWS))


def _count(prepared: Prepared, counts: Counts) -> None:
    """Count converted rows."""
    counts.read += prepared.length
    counts.skipped += 0 if prepared.missing is None else int(prepared.missing.sum())
    for name, count in prepared.unseen.items():
        counts.unseen[name] = counts.unseen.get(name, 0) + count


def _only(table: pa.RecordBatch, keep: NDArray[np.bool_] | None) -> pa.RecordBatch:
    """Leave out the rows that cannot be used."""
    return table if keep is None else table.filter(pa.array(keep))


class _Room:
    """Room for what goes with the dense rows of a piece, used again for the next one."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._rows_at_once = min(max(_PIECE_BYTES // (4 * encoder.width), _LEAST_ROWS), BATCH_ROWS)
        length = 0 if encoder.sparse else self._rows_at_once
        self._targets = np.empty(length, np.float32 if encoder.classes is None else np.int32)
        self._weights = np.empty(length, np.float32)
        self._places, self._ends = np.empty(length, np.int64), np.empty(3, np.int64)

    def pieces(self, prepared: Prepared, uses: NDArray[np.uint8]) -> Iterator[Pieces]:
        """Part the rows piece by piece."""
        for start in range(0, prepared.length, self._rows_at_once):
            stop = min(start + self._rows_at_once, prepared.length)
            places = self._places[: stop - start]
            given = (uses, start, stop, prepared.targets, prepared.weights)
            store.run("encode:hold_out", (), *given, places, self._targets, self._weights, self._ends)
            selecting, scoring, many = self._ends.tolist()
            held = [self._held_out(0, selecting), self._held_out(selecting, scoring)]
            draft = Draft(self._encoder, prepared, start, places, many, held)
            yield Pieces(draft, draft.select, draft.score)

    def _held_out(self, begin: int, end: int) -> Chunk:
        """Give what goes with held-out rows, and no rows."""
        nothing = np.empty((0, self._encoder.width), np.float32)
        return Chunk(nothing, self._targets[begin:end].copy(), self._weights[begin:end].copy())
