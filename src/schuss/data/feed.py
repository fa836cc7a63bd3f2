"""Source and encoder together: the held-out rows, and chunks of the others in training order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .chunk import CHUNK_ROWS, Chunk, Rows, SparseRows, concatenate_rows, row_count, take_rows
from .columns.hashing import mix
from .encoder import Encoder
from .holdout import SCORE, SELECT, TRAIN, Holdout, uses_of_rows
from .source import Batch, Cursor, Source

__all__ = ["ORDERS", "Counts", "Feed", "MemoryFeed", "StreamFeed", "open_feed"]

ORDERS = ("shuffle", "once", "replace", "keep")
BUFFER_ROWS = 16 * CHUNK_ROWS
"""Rows among which a stream is shuffled: large enough that a row group of sorted rows is spread over many chunks."""

AHEAD = 4
"""Chunks that are decoded and encoded ahead of training."""

_NO_ROWS = np.empty(0, np.int64)

T = TypeVar("T")


@dataclass
class Counts:
    """Where every row went: `read = training + held out + skipped`, in one pass over the source.

    squared_norm : sum of ‖x‖² over the training rows; goals : total weight of each class over them, for regression
    (total weight, weighted sum of the targets); unseen : values unlike the sample's, by column.
    """

    read: int = 0
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


class Feed(Protocol):
    """Chunks to learn from, and the rows that judge.

    training_rows : rows of one epoch, estimated until the first one is over; select, score : the held-out rows seen so far
    (None where there are none); counts : what became of the rows read; epochs_at_most : 1 for data that can be read only once.
    """

    training_rows: int
    counts: Counts
    epochs_at_most: int | None

    @property
    def select(self) -> Chunk | None: ...

    @property
    def score(self) -> Chunk | None: ...

    def chunks(self, epoch: int) -> Iterator[Chunk]:
        """Yield the training rows of an epoch in its order."""
        ...


@dataclass(frozen=True)
class Reader:
    """Reads a source once through: encodes, splits off the held-out rows, counts.

    class_weights : `(classes,)` factors for the rows of each class, or None.
    total_rows : rows of the whole source where they are known; expected_rows : an estimate where they are not.
    """

    source: Source
    encoder: Encoder
    holdout: Holdout
    seed: int
    class_weights: NDArray[np.float32] | None = None
    total_rows: int | None = None
    expected_rows: int | None = None

    def pieces(self, counts: Counts, spans: list[tuple[Cursor, int | None]] | None = None) -> Iterator[Pieces]:
        """Yield every batch's rows by use; `spans` are (start, rows) in the order of reading, by default all in order."""
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

    def _split(self, batch: Batch, counts: Counts) -> Pieces:
        """Encode a batch and part its rows by use."""
        where = self.source.parts[batch.part]
        encoded = self.encoder.encode(batch.table, where=where, first_row=batch.row)
        uses = uses_of_rows(
            self.holdout, batch.table, batch.part, batch.row, counts.read, self.total_rows, self.seed
        )  # fmt: skip
        if encoded.kept is not None:
            uses = uses[encoded.kept]
        weights = encoded.weights
        if self.class_weights is not None:
            weights = weights * self.class_weights[encoded.targets]
        whole = Chunk(encoded.rows, encoded.targets, weights)
        pieces = Pieces(*(_take(whole, uses == use) for use in (TRAIN, SELECT, SCORE)))
        counts.read += batch.table.num_rows
        counts.skipped += batch.table.num_rows - len(uses)
        counts.training += len(pieces.training.targets)
        counts.select += len(pieces.select.targets)
        counts.score += len(pieces.score.targets)
        _add_up(counts, pieces.training, self.encoder.classes)
        for name, count in encoded.unseen.items():
            counts.unseen[name] = counts.unseen.get(name, 0) + count
        return pieces


def _add_up(counts: Counts, training: Chunk, classes: list[Any] | None) -> None:
    """Add the training rows of a batch to the sums."""
    rows = training.rows
    values = rows.values if isinstance(rows, SparseRows) else rows.ravel()
    counts.squared_norm += float(np.dot(values, values))
    if classes is None:
        sums = np.array([training.weights.sum(dtype=np.float64), np.dot(training.weights, training.targets)])
    else:
        sums = np.bincount(training.targets, training.weights, minlength=len(classes))
    counts.goals = sums if len(counts.goals) == 0 else counts.goals + sums


def _span(batches: Iterator[Batch], part: int, rows: int | None) -> Iterator[Batch]:
    """Yield batches of one part, until so many rows have come."""
    for batch in batches:
        if batch.part != part:
            return
        yield batch._replace(table=batch.table.slice(0, rows))
        if rows is not None:
            rows -= batch.table.num_rows
            if rows <= 0:
                return


def _take(chunk: Chunk, which: NDArray[Any]) -> Chunk:
    """Take rows by a mask or by places; a mask that takes all copies nothing."""
    if which.dtype == np.bool_:
        if which.all():
            return chunk
        which = np.flatnonzero(which)
    return Chunk(take_rows(chunk.rows, which), chunk.targets[which], chunk.weights[which])


def _join(chunks: list[Chunk]) -> Chunk:
    """Put chunks one after the other."""
    if len(chunks) == 1:
        return chunks[0]
    return Chunk(
        concatenate_rows([chunk.rows for chunk in chunks]),
        np.concatenate([chunk.targets for chunk in chunks]),
        np.concatenate([chunk.weights for chunk in chunks]),
    )


def _or_none(chunks: list[Chunk]) -> Chunk | None:
    """Join chunks and keep the result in place of its parts; None where there is no row."""
    if not any(len(chunk.targets) for chunk in chunks):
        return None
    chunks[:] = [_join(chunks)]
    return chunks[0]


def _chunk_bytes(chunk: Chunk) -> int:
    rows = chunk.rows
    size = rows.indices.nbytes + rows.values.nbytes if isinstance(rows, SparseRows) else rows.nbytes
    return size + chunk.targets.nbytes + chunk.weights.nbytes


def cut(chunk: Chunk) -> Iterator[Chunk]:
    """Cut rows that are in training order into chunks."""
    for start in range(0, len(chunk.targets), CHUNK_ROWS):
        rows = chunk.rows
        stop = start + CHUNK_ROWS
        part: Rows = (
            SparseRows(
                rows.indptr[start : stop + 1] - rows.indptr[start],
                rows.indices[rows.indptr[start] : rows.indptr[min(stop, row_count(rows))]],
                rows.values[rows.indptr[start] : rows.indptr[min(stop, row_count(rows))]],
                rows.width,
            )
            if isinstance(rows, SparseRows)
            else rows[start:stop]
        )
        yield Chunk(part, chunk.targets[start:stop], chunk.weights[start:stop])


@dataclass
class MemoryFeed:
    """All encoded rows in memory: each epoch is a full permutation."""

    training: Chunk
    select: Chunk | None
    score: Chunk | None
    counts: Counts
    order: str
    seed: int
    epochs_at_most: int | None = None

    @property
    def training_rows(self) -> int:
        """Rows of one epoch."""
        return len(self.training.targets)

    def chunks(self, epoch: int) -> Iterator[Chunk]:
        """Yield the training rows of an epoch in its order."""
        if self.order == "keep":
            yield from cut(self.training)
            return
        rng = np.random.default_rng([self.seed, 0 if self.order == "once" else epoch])
        count = self.training_rows
        places = rng.integers(0, count, count) if self.order == "replace" else rng.permutation(count)
        for start in range(0, count, CHUNK_ROWS):
            yield _take(self.training, places[start : start + CHUNK_ROWS])


    def twins(self) -> float | None:
        """Give the share of the held-out rows that have an identical training row; None without held-out rows."""
        held = [chunk.rows for chunk in (self.select, self.score) if chunk is not None]
        if not held:
            return None
        known = np.unique(row_hashes(self.training.rows))
        return float(np.isin(row_hashes(concatenate_rows(held)), known).mean())


@dataclass
class StreamFeed:
    """Rows read anew in every epoch, encoded ahead of training in a thread of their own.

    begun : pieces of the first epoch that were read before it was known that they would not all fit, and what is left.
    """

    reader: Reader
    training_rows: int
    order: str
    begun: Iterator[Pieces] | None
    counts: Counts
    epochs_at_most: int | None
    _select: list[Chunk] = field(default_factory=list)
    _score: list[Chunk] = field(default_factory=list)
    _first_epoch_over: bool = False

    @property
    def select(self) -> Chunk | None:
        """The held-out rows seen so far that choose between runs."""
        return _or_none(self._select)

    @property
    def score(self) -> Chunk | None:
        """The held-out rows seen so far that report how good the chosen run is."""
        return _or_none(self._score)

    def chunks(self, epoch: int) -> Iterator[Chunk]:
        """Yield the training rows of an epoch in its order."""
        if self.begun is not None:
            pieces, self.begun = self.begun, None
        else:
            pieces = self.reader.pieces(Counts(), self._spans(epoch))
        rng = np.random.default_rng([self.reader.seed, 0 if self.order == "once" else epoch])
        for chunk, held_out in ahead(_beside(pieces, None if self.order == "keep" else rng), AHEAD):
            if not self._first_epoch_over:
                self._select += [select for select, _ in held_out]
                self._score += [score for _, score in held_out]
            if chunk is not None:
                yield chunk
        if not self._first_epoch_over:
            self._first_epoch_over = True
            self.training_rows = self.counts.training

    def _spans(self, epoch: int) -> list[tuple[Cursor, int | None]] | None:
        """Shuffle the places from which a source can be read at no cost (row groups, files)."""
        anchors = list(getattr(self.reader.source, "anchors", ()))
        if self.order in ("keep", "once") or self.reader.holdout.kind == "last" or len(anchors) < 2:
            return None  # the first epoch comes in the order of the source; the last rows are known by counting
        spans = [
            (anchor, following.row - anchor.row if following is not None and following.part == anchor.part else None)
            for anchor, following in zip(anchors, [*anchors[1:], None], strict=True)
        ]
        rng = np.random.default_rng([self.reader.seed, epoch, 1])
        return [spans[i] for i in rng.permutation(len(spans))]


def _beside(
    pieces: Iterator[Pieces], rng: np.random.Generator | None
) -> Iterator[tuple[Chunk | None, list[tuple[Chunk, Chunk]]]]:
    """Yield the chunks of training rows, each with the held-out rows (select, score) that were read for it.

    Which held-out rows have been seen must depend on the chunk, not on how far a thread has read ahead.
    """
    read: list[tuple[Chunk, Chunk]] = []

    def training() -> Iterator[Chunk]:
        for piece in pieces:
            read.append((piece.select, piece.score))
            yield piece.training

    for chunk in _shuffled(training(), rng):
        yield chunk, read.copy()
        read.clear()
    yield None, read


def _shuffled(chunks: Iterator[Chunk], rng: np.random.Generator | None) -> Iterator[Chunk]:
    """Shuffle a stream of rows within a buffer: when it is full, half of its rows leave in random order."""
    buffer: list[Chunk] = []
    held = 0
    limit = CHUNK_ROWS if rng is None else BUFFER_ROWS
    for chunk in chunks:
        buffer.append(chunk)
        held += len(chunk.targets)
        if held < limit:
            continue
        pool = _join(buffer)
        leaving = held // CHUNK_ROWS * CHUNK_ROWS if rng is None else held // 2 // CHUNK_ROWS * CHUNK_ROWS
        places = np.arange(held) if rng is None else rng.permutation(held)
        for start in range(0, leaving, CHUNK_ROWS):
            yield _take(pool, places[start : start + CHUNK_ROWS])
        buffer = [_take(pool, places[leaving:])]
        held -= leaving
    if held:
        pool = _join(buffer)
        places = np.arange(held) if rng is None else rng.permutation(held)
        for start in range(0, held, CHUNK_ROWS):
            yield _take(pool, places[start : start + CHUNK_ROWS])


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """Yield items that a thread of its own produces up to `depth` ahead; its exceptions are raised here.

    >>> list(ahead(iter([1, 2, 3]), 2))
    [1, 2, 3]
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=produce, name="schuss-reader", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        thread.join()


def open_feed(reader: Reader, *, order: str, memory: int, on_rows: Callable[[int], None] | None = None) -> Feed:
    """Read the source into memory if its encoded rows fit into `memory` bytes, else make a feed that reads it each epoch.

    on_rows : called with the number of rows read so far.
    """
    counts = Counts()
    pieces = reader.pieces(counts)
    found: list[Pieces] = []
    size = 0
    for piece in pieces:
        found.append(piece)
        size += sum(_chunk_bytes(chunk) for chunk in piece)
        if on_rows is not None:
            on_rows(counts.read)
        if size > memory:
            return _stream(reader, order, counts, found, pieces)
    # Joined one after the other, each list freed at once: at most one copy of the training rows beside the pieces.
    select, score = (_or_none([piece[use] for piece in found]) for use in (SELECT, SCORE))
    training = [piece.training for piece in found]
    found.clear()
    joined = _join(training) if training else None
    assert joined is not None
    return MemoryFeed(joined, select, score, counts, order, reader.seed)


def _stream(reader: Reader, order: str, counts: Counts, found: list[Pieces], rest: Iterator[Pieces]) -> StreamFeed:
    """Make a feed of what was read already and what is left."""
    known = [piece.select for piece in found], [piece.score for piece in found]

    def begun() -> Iterator[Pieces]:
        while found:
            piece = found.pop(0)
            yield piece._replace(select=_take(piece.select, _NO_ROWS), score=_take(piece.score, _NO_ROWS))
        yield from rest

    source = reader.source
    share = counts.training / max(counts.read, 1)
    expected = source.rows or reader.expected_rows or counts.read * 4
    return StreamFeed(
        reader, max(round(expected * share), counts.training), order, begun(), counts, None if source.rereadable else 1,
        *known,
    )  # fmt: skip


def row_hashes(rows: Rows) -> NDArray[np.uint64]:
    """Hash each row by its features: a sum of their bits times odd constants, modulo 2^64."""
    if isinstance(rows, SparseRows):
        terms = (rows.values.view(np.uint32).astype(np.uint64) + np.uint64(1)) * _constants(rows.indices)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
        return sums[rows.indptr[1:]] - sums[rows.indptr[:-1]]
    constants = _constants(np.arange(rows.shape[1]))
    hashes = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), 1024):
        bits = rows[start : start + 1024].view(np.uint32).astype(np.uint64)
        hashes[start : start + 1024] = (bits * constants).sum(axis=1, dtype=np.uint64)
    return hashes


def _constants(features: NDArray[Any]) -> NDArray[np.uint64]:
    """Give each feature an odd number of its own."""
    return mix(features.astype(np.uint64) + np.uint64(1)) | np.uint64(1)
