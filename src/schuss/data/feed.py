"""Source and encoder together: the held-out rows, and chunks of the others in training order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..errors import OptionError
from .chunk import CHUNK_ROWS, Chunk, concatenate_rows, cut, join, size_of, take
from .holdout import SCORE, SELECT
from .reader import Counts, Pieces, Reader
from .shuffle import ahead, shuffled
from .source import Cursor
from .twins import share_of_twins

__all__ = ["ORDERS", "Feed", "MemoryFeed", "StreamFeed", "open_feed"]

ORDERS = ("shuffle", "once", "replace", "keep")

AHEAD = 4
"""Chunks that are decoded and encoded ahead of training."""

_NO_ROWS = np.empty(0, np.int64)


class Feed(Protocol):
    """Chunks to learn from, and the rows that judge.

    counts : what became of the rows read; epochs_at_most : 1 for data that can be read only once.
    """

    counts: Counts
    epochs_at_most: int | None

    @property
    def training_rows(self) -> int:
        """Rows of one epoch, estimated until the first one is over."""
        ...

    @property
    def select(self) -> Chunk | None:
        """The held-out rows seen so far that choose between runs; None where there are none."""
        ...

    @property
    def score(self) -> Chunk | None:
        """The held-out rows seen so far that report how good the chosen run is; None where there are none."""
        ...

    def chunks(self, epoch: int) -> Iterator[Chunk]:
        """Yield the training rows of an epoch in its order."""
        ...


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
            yield take(self.training, places[start : start + CHUNK_ROWS])

    def twins(self) -> float | None:
        """Give the share of the held-out rows that have an identical training row; None without held-out rows."""
        held = [chunk.rows for chunk in (self.select, self.score) if chunk is not None]
        if not held:
            return None
        return share_of_twins(concatenate_rows(held), self.training.rows)


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

    for chunk in shuffled(training(), rng):
        yield chunk, read.copy()
        read.clear()
    yield None, read


def open_feed(reader: Reader, *, order: str, memory: int, on_rows: Callable[[int], None] | None = None) -> Feed:
    """Read the source into memory if its encoded rows fit into `memory` bytes, else give a feed that reads it again.

    on_rows : called with the number of rows read so far.
    """
    counts = Counts()
    found = list(reader.held_out_pieces(counts))
    pieces = reader.pieces(counts)
    size = 0
    for piece in pieces:
        found.append(piece)
        size += sum(size_of(chunk) for chunk in piece)
        if on_rows is not None:
            on_rows(counts.read)
        if size > memory:
            return _stream(reader, order, counts, found, pieces)
    # Joined one after the other, each list freed at once: at most one copy of the training rows beside the pieces.
    select, score = (_or_none([piece[use] for piece in found]) for use in (SELECT, SCORE))
    training = [piece.training for piece in found]
    found.clear()
    return MemoryFeed(join(training), select, score, counts, order, reader.seed)


def _stream(reader: Reader, order: str, counts: Counts, found: list[Pieces], rest: Iterator[Pieces]) -> StreamFeed:
    """Make a feed of what was read already and what is left."""
    if order == "replace":
        raise OptionError("option '--order replace' draws from all rows, and these do not fit into memory")
    known = [piece.select for piece in found], [piece.score for piece in found]

    def begun() -> Iterator[Pieces]:
        while found:
            piece = found.pop(0)
            yield piece._replace(select=take(piece.select, _NO_ROWS), score=take(piece.score, _NO_ROWS))
        yield from rest

    source = reader.source
    read = counts.read - counts.from_file
    share = counts.training / max(read, 1)
    expected = source.rows or reader.expected_rows or read * 4
    training_rows = max(round(expected * share), counts.training)
    return StreamFeed(reader, training_rows, order, begun(), counts, None if source.rereadable else 1, *known)


def _or_none(chunks: list[Chunk]) -> Chunk | None:
    """Join chunks and keep the result in place of its parts; None where there is no row."""
    if not any(len(chunk.targets) for chunk in chunks):
        return None
    chunks[:] = [join(chunks)]
    return chunks[0]
