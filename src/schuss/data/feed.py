"""Source and encoder together: the held-out rows, and chunks of the others in training order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from typing import Any, Protocol

import numpy as np

from ..errors import DataError, OptionError
from . import shuffle
from .cache import RowCache
from .chunk import CHUNK_ROWS, Chunk, SparseRows, concatenate_rows, cut, long_chunk, size_of
from .draft import Draft, training_rows
from .held import Held
from .index import Index
from .known import Known, known_of
from .moments import ENOUGH_ROWS, Moments, moments_of
from .reader import Counts, Reader
from .room import Chunks, Pool, permutation
from .saved import Saved
from .shuffle import ahead
from .spans import Parted, Span, spans_of
from .stream_feed import PROBE_BYTES, StreamFeed, depth_of, hold, training_only
from .twins import share_of_twins
from .whole import Whole

__all__ = ["ORDERS", "Feed", "MemoryFeed", "StreamFeed", "Whole", "bad_rows_before", "open_feed", "resume_feed"]

ORDERS = ("shuffle", "once", "replace", "keep")


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
    def known(self) -> Known | None:
        """Targets and weights of training rows, before training begins."""
        ...

    @property
    def moments(self) -> Moments | None:
        """The moments of some of the training rows, of those that were read first where not all are at hand."""
        ...

    @property
    def select(self) -> Chunk | None:
        """The held-out rows seen so far that choose between runs; None where there are none."""
        ...

    @property
    def score(self) -> Chunk | None:
        """The held-out rows seen so far that report how good the chosen run is; None where there are none."""
        ...

    def chunks(self, epoch: int) -> Iterator[Any]:
        """Yield the training rows of an epoch in its order: chunks, or the rounds of workers who read them."""
        ...

    def whole(self) -> Whole | None:
        """Give all training rows for full passes; None where these would take too long."""
        ...

    def pause(self, *, over: bool = False) -> Saved | None:
        """Say how to go on after the chunk given last; None if a later one must be waited for, and asked after.

        over : whether no chunk will be asked for any more.
        """
        ...


@dataclass
class MemoryFeed:
    """All encoded rows in memory: each epoch is a full permutation.

    given : how many rows of the epoch have been given; light : whether rows are quickly learned from, so that narrow
    ones come in long chunks.
    """

    training: Chunk
    select: Chunk | None
    score: Chunk | None
    counts: Counts
    order: str
    seed: int
    epochs_at_most: int | None = None
    given: int = 0
    light: bool = False

    def __post_init__(self) -> None:
        self._taker = Chunks(self.chunk_rows)

    @property
    def training_rows(self) -> int:
        """Rows of one epoch."""
        return len(self.training.targets)

    @property
    def known(self) -> Known:
        """Targets and weights of training rows."""
        return known_of(self.training)

    @property
    def moments(self) -> Moments:
        """The moments of some of the training rows."""
        return moments_of(self.training.rows, most=ENOUGH_ROWS)

    @cached_property
    def chunk_rows(self) -> int:
        """Rows of a chunk."""
        return long_chunk(self.training_rows, size_of(self.training)) if self.light else CHUNK_ROWS

    def chunks(self, epoch: int) -> Iterator[Chunk]:
        """Yield the training rows of an epoch in its order, from the first chunk on that has not been given."""
        for chunk in self._chunks(epoch, self.given):
            self.given += len(chunk.targets)
            yield chunk
        self.given = 0

    def _chunks(self, epoch: int, first: int) -> Iterator[Chunk]:
        """Yield the training rows of an epoch from row `first` of its order on."""
        if self.order == "keep":
            yield from cut(self.training, first, self.chunk_rows)
            return
        rng = np.random.default_rng([self.seed, 0 if self.order == "once" else epoch])
        count = self.training_rows
        places = rng.integers(0, count, count, np.int32) if self.order == "replace" else permutation(count, rng)
        starts = range(first, count, self.chunk_rows)
        taken = (self._taker.take(self.training, places[start : start + self.chunk_rows]) for start in starts)
        if len(starts) < 2:  # a thread costs more than it gains
            yield from taken
        else:
            yield from ahead(taken, depth_of(size_of(self.training) / count, self.chunk_rows))

    def pause(self, *, over: bool = False) -> Saved:
        """Say how to go on: the rows are read anew."""
        return Saved({"kind": "memory", "rows": self.given}, {})

    def whole(self) -> Whole:
        """Give all training rows for full passes; the memory of chunks, of which none are held then, is given back."""
        self._taker = Chunks(self.chunk_rows)
        return Whole(
            partial(cut, self.training), self.training_rows, _extent(self.training)[1], chunks=(self.training,)
        )

    def twins(self) -> float | None:
        """Give the share of the held-out rows that have an identical training row; None without held-out rows."""
        held = [chunk.rows for chunk in (self.select, self.score) if chunk is not None]
        if not held:
            return None
        return share_of_twins(concatenate_rows(held), self.training.rows)


def open_feed(
    reader: Reader,
    *,
    order: str,
    memory: int,
    cache: RowCache | None = None,
    light: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
    on_rows: Callable[[int], None] | None = None,
) -> Feed:
    """Read the source into memory if its encoded rows fit into `memory` bytes, else give a feed that reads it again.

    cache : where rows that do not fit are written for later epochs, if its disk has room for them; light : whether rows
    are quickly learned from, see `MemoryFeed`; tell : called with what a person should know; on_rows : called with the
    number of rows read so far.
    """
    counts = Counts()
    held = Held(), Held()
    for piece in reader.held_out_pieces(counts):
        hold(held, piece)
    spans = _spans(reader, order)
    index = Index()
    pieces = replace(reader, source=Parted(reader.source, spans)).pieces(counts)
    pool: Pool | None = None
    size = 0
    for piece in pieces:
        index.add(piece.slice)
        pool = pool or Pool(piece.training, limit=memory, most=np.iinfo(np.int32).max)
        left = _add(pool, piece.training)
        hold(held, piece)
        size += _extent(piece.training)[0]
        if on_rows is not None:
            on_rows(counts.read)
        large = bool(left) or _too_large(reader, counts, size, memory)
        _sum_up(counts, pool.rows, left, reader, to_the_end=large)
        if large:
            feed = _stream(reader, order, counts, held, size / max(counts.training, 1), tell, spans, index)
            feed.light = light
            feed.known = reader.known or known_of(pool.rows)
            if pool.count:
                feed.moments = moments_of(pool.rows.rows, most=ENOUGH_ROWS)
            if reader.known is not None and reader.encoder.classes is not None:
                counts.goals = np.bincount(*reader.known, minlength=len(reader.encoder.classes)).astype(np.float64)
            # The held-out rows of this piece are known already.
            feed.begin(pool.rows, chain(map(training_only, left), pieces), cache)
            return feed
    if pool is None:
        raise DataError(f"{reader.source.parts[0]} has no rows")
    _sum_up(counts, pool.rows, [], reader, to_the_end=True)
    return MemoryFeed(pool.rows, held[0].rows, held[1].rows, counts, order, reader.seed, light=light)


def resume_feed(
    reader: Reader, saved: Saved, *, order: str, memory: int, cache: RowCache | None = None, light: bool = False
) -> Feed:
    """Give the feed that was paused; raises KeyError or ValueError where `saved` is not a pause of one.

    cache : is filled in the next whole epoch, if that reads the source in its own order.
    """
    if saved.values["kind"] == "stream":
        spans = _spans(reader, order)
        return StreamFeed.resumed(saved, reader, order=order, spans=spans, cache=cache, light=light)
    feed = open_feed(reader, order=order, memory=memory, light=light)
    if not isinstance(feed, MemoryFeed):
        raise ValueError("the rows fitted into memory, and do so no longer")
    feed.given = saved.values["rows"]
    return feed


def bad_rows_before(saved: Saved) -> int:
    """Say how many bad rows had been found before the place where a feed that was paused goes on."""
    if saved.values["kind"] == "memory":
        return 0
    if saved.values["kind"] == "cluster":
        return int(saved.values["counts"]["bad"])
    place = saved.values["place"]
    return int(place.get("counts", saved.values.get("counts", {})).get("bad", 0))


def _spans(reader: Reader, order: str) -> list[Span]:
    """Give the spans to shuffle, none where there is only one or the order of the source is wanted."""
    if order in ("keep", "once") or reader.holdout.kind == "last":
        return []
    spans = spans_of(reader.source, shuffle.BUFFER_ROWS // 2)
    return spans if len(spans) > 1 else []


def _too_large(reader: Reader, counts: Counts, size: int, memory: int) -> bool:
    """Whether rows do not fit into memory, or enough have been read to see that they will not."""
    expected = reader.source.rows or (reader.expected_rows or 0) / 2  # an estimate may be twice too high
    given = max(counts.given, 1)
    return size > memory or (size > min(PROBE_BYTES, memory) and size / given * expected > memory)


def _add(pool: Pool, training: Chunk | Draft) -> list[Chunk]:
    """Add rows to a pool, and give those for which there is no room."""
    many = training_rows(training)
    added = pool.add(training)
    left: list[Chunk] = []
    if added < many and isinstance(training, Draft):
        rest = Pool(training, limit=0, least=many - added, most=many)
        rest.add(training, added)
        left = list(cut(rest.rows))
    elif isinstance(training, Chunk):
        left = list(cut(training, added))
    return left


def _sum_up(counts: Counts, kept: Chunk, left: list[Chunk], reader: Reader, *, to_the_end: bool) -> None:
    """Add rows to the sums, 8,192 at a time: these must not depend on how many come together from the source."""
    classes = None if reader.encoder.classes is None else len(reader.encoder.classes)
    for rows in cut(kept, counts.summed):
        if to_the_end or len(rows.targets) == CHUNK_ROWS:
            counts.add_up(rows, classes)
    for rows in left:
        counts.add_up(rows, classes)


def _stream(
    reader: Reader, order: str, counts: Counts, held: tuple[Held, Held], row_bytes: float, tell: Callable[[str], None],
    spans: list[Span], index: Index,
) -> StreamFeed:  # fmt: skip
    """Make a feed of a source of which so much has been read."""
    if order == "replace":
        raise OptionError("option '--order replace' draws from all rows, and these do not fit into memory")
    source = reader.source
    given = counts.given - counts.from_file
    expected = source.rows or reader.expected_rows or given * 4
    training_rows = max(round(expected * counts.training / max(given, 1)), counts.training)
    once = None if source.rereadable else 1
    return StreamFeed(reader, training_rows, order, counts, once, spans, tell, row_bytes, held, index)


def _extent(training: Chunk | Draft) -> tuple[int, int]:
    """Give the bytes of rows, and how many values they store."""
    if isinstance(training, Chunk):
        rows = training.rows
        return size_of(training), len(rows.values) if isinstance(rows, SparseRows) else rows.size
    row = 4 * training.width + training.targets.itemsize + training.weights.itemsize
    return training.many * row, training.many * training.width
