"""Source and encoder together: the held-out rows, and chunks of the others in training order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, pairwise
from typing import NamedTuple, Protocol

import numpy as np

from ..errors import DataError, OptionError
from . import shuffle
from .cache import CacheError, RowCache
from .chunk import CHUNK_ROWS, Chunk, SparseRows, concatenate_rows, cut, nothing_like, size_of
from .draft import Draft, like, training_rows
from .held import Held
from .parted import BATCH_ROWS
from .reader import Counts, Pieces, Reader
from .room import Chunks, Pool, permutation
from .shuffle import ahead, shuffled
from .source import Source
from .spans import Marked, Span, spans_of
from .twins import share_of_twins

__all__ = ["ORDERS", "Feed", "MemoryFeed", "StreamFeed", "Whole", "open_feed"]

ORDERS = ("shuffle", "once", "replace", "keep")

AHEAD = 4
AHEAD_BYTES = 1 << 24
"""Chunks that are made ready ahead of training, and what they may take (one chunk in any case)."""

PROBE_BYTES = 1 << 26
"""Rows read before training begins where it is clear that not all will fit into memory: they tell class shares."""

WHOLE_BYTES = 1 << 30
"""Rows that take more are not gone through as a whole: each pass would take seconds."""


class Whole(NamedTuple):
    """All training rows in a fixed order, for full passes.

    blocks : gives them anew, each block good until the next one; rows, values : how many they are, and hold.
    """

    blocks: Callable[[], Iterable[Chunk]]
    rows: int
    values: int


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

    def whole(self) -> Whole | None:
        """Give all training rows for full passes; None where these would take too long."""
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
    _taker: Chunks = field(default_factory=Chunks)

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
        places = rng.integers(0, count, count, np.int32) if self.order == "replace" else permutation(count, rng)
        starts = range(0, count, CHUNK_ROWS)
        taken = (self._taker.take(self.training, places[start : start + CHUNK_ROWS]) for start in starts)
        # A thread costs more than it gains where there is one chunk.
        yield from taken if len(starts) < 2 else ahead(taken, _depth(size_of(self.training) / count))

    def whole(self) -> Whole:
        """Give all training rows for full passes."""
        return Whole(partial(cut, self.training), self.training_rows, _extent(self.training)[1])

    def twins(self) -> float | None:
        """Give the share of the held-out rows that have an identical training row; None without held-out rows."""
        held = [chunk.rows for chunk in (self.select, self.score) if chunk is not None]
        if not held:
            return None
        return share_of_twins(concatenate_rows(held), self.training.rows)


@dataclass
class StreamFeed:
    """Rows encoded ahead of training in a thread of their own, read anew in every epoch or from a cache on the disk.

    spans : what is read in random order in later epochs, none for the order of the source; marks : training rows before
    each of them; tell : called with what a person should know; row_bytes : what a row takes; cache : gets the rows of
    the first epoch.
    """

    reader: Reader
    training_rows: int
    order: str
    counts: Counts
    epochs_at_most: int | None
    spans: list[Span]
    marks: dict[int, int]
    tell: Callable[[str], None]
    row_bytes: float
    held: tuple[Held, Held]
    cache: RowCache | None = None
    _begun: Iterator[Pieces] | None = None
    _size: int = 0
    _values: int = 0
    _lost: str | None = None
    _first_epoch_over: bool = False

    @property
    def select(self) -> Chunk | None:
        """The held-out rows seen so far that choose between runs."""
        return self.held[0].rows

    @property
    def score(self) -> Chunk | None:
        """The held-out rows seen so far that report how good the chosen run is."""
        return self.held[1].rows

    @property
    def depth(self) -> int:
        """Chunks to make ready ahead."""
        return _depth(self.row_bytes)

    def begin(self, kept: Chunk, left: Iterator[Pieces], cache: RowCache | None) -> None:
        """Set out with rows that were kept while all might have fitted into memory, and those that are left.

        A cache takes them over at once, if its disk has room for all; else memory is free when they have been used.
        """
        needed = self.training_rows * self.row_bytes
        if cache is not None and not cache.has_room(round(needed)):
            self._lose(f"the disk of '{cache.folder}' has no room for a cache of {needed / 1e9:.1f} GB")
            cache = None
        self.cache = cache
        self._keep(kept)
        first = [kept] if self.cache is None else []
        self._begun = self._set_out(first, 0 if self.cache is None else self.cache.rows, left)
        self._tell_losses()

    def _set_out(self, kept: list[Chunk], cached: int, left: Iterator[Pieces]) -> Iterator[Pieces]:
        """Yield the pieces of the first epoch, those that the cache has not yet are put into it."""
        while kept:
            yield _training_only(kept.pop())
        for chunk in self.cache.read(0, cached) if self.cache is not None else ():
            yield _training_only(chunk)
        made: Pool | None = None
        for piece in left:
            training = piece.training
            if self.cache is not None and isinstance(training, Draft):
                made = made or Pool(training, limit=PROBE_BYTES, most=BATCH_ROWS)
                made.count = 0
                made.add(training)
                piece = piece.finished()._replace(training=made.rows)
            self._keep(piece.training)
            yield piece

    def _keep(self, training: Chunk | Draft) -> None:
        """Count rows of the first epoch, and put them into the cache; one that fails is done without."""
        size, values = _extent(training)
        self._size += size
        self._values += values
        if self.cache is not None and isinstance(training, Chunk):
            try:
                self.cache.write(training)
            except CacheError as error:
                self._lose(f"their cache cannot be written ({error})")
                self.cache = None

    def _lose(self, reason: str) -> None:
        self._lost = f"the data are read anew in every epoch: {reason}"

    def _tell_losses(self) -> None:
        """Tell of a cache that was lost; a thread that reads ahead leaves that to the one that trains."""
        if self._lost is not None:
            self.tell(self._lost)
            self._lost = None

    def chunks(self, epoch: int) -> Iterator[Chunk]:
        """Yield the training rows of an epoch in its order."""
        rng = None
        if self.order != "keep":
            rng = np.random.default_rng([self.reader.seed, 0 if self.order == "once" else epoch])
        if self._begun is None:
            yield from ahead(shuffled(self._again(epoch), rng), self.depth)
            return
        pieces, self._begun = self._begun, None
        for chunk, held_out in ahead(_beside(pieces, rng), self.depth):
            for piece in held_out:
                _hold(self.held, piece)
            self._tell_losses()
            if chunk is not None:
                yield chunk
        self._first_epoch_over = True
        self.training_rows = self.counts.training

    def whole(self) -> Whole | None:
        """Give all training rows for full passes, from the cache or read anew: the same blocks."""
        if self.epochs_at_most == 1 or not self._first_epoch_over or self._size > WHOLE_BYTES:
            return None
        return Whole(self._blocks, self.training_rows, self._values)

    def _blocks(self) -> Iterator[Chunk]:
        if self.cache is not None:
            return self.cache.read(0, self.cache.rows)
        return ahead(shuffled((piece.training for piece in self.reader.pieces(Counts())), None), self.depth)

    def _again(self, epoch: int) -> Iterator[Chunk | Draft]:
        """Yield the training rows of an epoch after the first one, span by span."""
        order = np.random.default_rng([self.reader.seed, epoch, 1]).permutation(len(self.spans)).tolist()
        if self.cache is None:
            for piece in self.reader.pieces(Counts(), [*(self.spans[place] for place in order)] or None):
                yield piece.training
            return
        if not self.spans:
            yield from self.cache.read(0, self.cache.rows)
        found = sorted(self.marks)  # a span without rows is never reached
        stops = {place: self.marks[after] for place, after in pairwise(found)}
        for place in order:
            if place in self.marks:
                yield from self.cache.read(self.marks[place], stops.get(place, self.cache.rows))


def _beside(pieces: Iterator[Pieces], rng: np.random.Generator | None) -> Iterator[tuple[Chunk | None, list[Pieces]]]:
    """Yield the chunks of training rows, each with the pieces whose held-out rows were read for it.

    Which held-out rows have been seen must depend on the chunk, not on how far a thread has read ahead.
    """
    read: list[Pieces] = []

    def training() -> Iterator[Chunk | Draft]:
        for piece in pieces:
            yield piece.training
            read.append(piece.finished()._replace(training=like(piece.training)))

    for chunk in shuffled(training(), rng):
        yield chunk, read.copy()
        read.clear()
    yield None, read


def open_feed(
    reader: Reader,
    *,
    order: str,
    memory: int,
    cache: RowCache | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
    on_rows: Callable[[int], None] | None = None,
) -> Feed:
    """Read the source into memory if its encoded rows fit into `memory` bytes, else give a feed that reads it again.

    cache : where rows that do not fit are written for later epochs, if its disk has room for them; tell : called
    with what a person should know; on_rows : called with the number of rows read so far.
    """
    counts = Counts()
    held = Held(), Held()
    for piece in reader.held_out_pieces(counts):
        _hold(held, piece)
    spans = [] if order in ("keep", "once") or reader.holdout.kind == "last" else _spans(reader.source)
    marks: dict[int, int] = {}
    source = Marked(reader.source, spans, lambda place: marks.__setitem__(place, counts.training))
    pieces = replace(reader, source=source).pieces(counts)
    pool: Pool | None = None
    size = 0
    for piece in pieces:
        pool = pool or Pool(piece.training, limit=memory, most=np.iinfo(np.int32).max)
        left = _add(pool, piece.training, counts, reader)
        _hold(held, piece)
        size += _extent(piece.training)[0]
        if on_rows is not None:
            on_rows(counts.read)
        if left or _too_large(reader, counts, size, memory):
            feed = _stream(reader, order, counts, held, size / max(counts.training, 1), tell, spans, marks)
            # The held-out rows of this piece are known already.
            feed.begin(pool.rows, chain(map(_training_only, left), pieces), cache)
            return feed
    if pool is None:
        raise DataError(f"{reader.source.parts[0]} has no rows")
    return MemoryFeed(pool.rows, held[0].rows, held[1].rows, counts, order, reader.seed)


def _spans(source: Source) -> list[Span]:
    """Give the spans to shuffle, none where there is only one."""
    spans = spans_of(source, shuffle.BUFFER_ROWS // 2)
    return spans if len(spans) > 1 else []


def _too_large(reader: Reader, counts: Counts, size: int, memory: int) -> bool:
    """Whether rows do not fit into memory, or enough have been read to see that they will not."""
    expected = reader.source.rows or (reader.expected_rows or 0) / 2  # an estimate may be twice too high
    return size > memory or (size > min(PROBE_BYTES, memory) and size / counts.read * expected > memory)


def _training_only(chunk: Chunk) -> Pieces:
    none = nothing_like(chunk)
    return Pieces(chunk, none, none)


def _add(pool: Pool, training: Chunk | Draft, counts: Counts, reader: Reader) -> list[Chunk]:
    """Add rows to a pool and to the sums, and give those for which there is no room."""
    first, many = pool.count, training_rows(training)
    added = pool.add(training)
    left: list[Chunk] = []
    if added < many and isinstance(training, Draft):
        rest = Pool(training, limit=0, least=many - added, most=many)
        rest.add(training, added)
        left = list(cut(rest.rows))
    elif isinstance(training, Chunk):
        left = list(cut(training, added))
    classes = reader.encoder.classes
    for rows in (*cut(pool.rows, first), *left):
        counts.add_up(rows, None if classes is None else len(classes))
    return left


def _stream(
    reader: Reader, order: str, counts: Counts, held: tuple[Held, Held], row_bytes: float, tell: Callable[[str], None],
    spans: list[Span], marks: dict[int, int],
) -> StreamFeed:  # fmt: skip
    """Make a feed of a source of which so much has been read."""
    if order == "replace":
        raise OptionError("option '--order replace' draws from all rows, and these do not fit into memory")
    source = reader.source
    read = counts.read - counts.from_file
    expected = source.rows or reader.expected_rows or read * 4
    training_rows = max(round(expected * counts.training / max(read, 1)), counts.training)
    once = None if source.rereadable else 1
    return StreamFeed(reader, training_rows, order, counts, once, spans, marks, tell, row_bytes, held)


def _depth(row: float) -> int:
    """Give the chunks to make ready ahead, of rows with so many bytes."""
    return max(min(int(AHEAD_BYTES / (row * CHUNK_ROWS)), AHEAD), 1)


def _extent(training: Chunk | Draft) -> tuple[int, int]:
    """Give the bytes of rows, and how many values they store."""
    if isinstance(training, Chunk):
        rows = training.rows
        return size_of(training), len(rows.values) if isinstance(rows, SparseRows) else rows.size
    row = 4 * training.width + training.targets.itemsize + training.weights.itemsize
    return training.many * row, training.many * training.width


def _hold(held: tuple[Held, Held], piece: Pieces) -> None:
    """Keep the held-out rows of a piece, whose training rows have been made."""
    for one, chunk in zip(held, piece.finished()[1:], strict=True):
        one.add(chunk)
