"""Rows that do not fit into memory: read and encoded ahead of training, anew in every epoch or from a cache."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from .cache import CacheError, RowCache
from .chunk import CHUNK_ROWS, Chunk, SparseRows, feature_count, nothing_like
from .draft import Draft, like, training_rows, without
from .encoder import Encoder
from .held import Held
from .index import Index
from .known import Known
from .moments import Moments
from .parted import BATCH_ROWS
from .reader import Counts, Pieces, Reader
from .room import Pool
from .saved import Saved, load_chunk, together
from .shuffle import Shuffle, ahead, chunk_length, shuffled
from .source import Cursor
from .spans import Parted, Span
from .whole import Whole

__all__ = ["PROBE_BYTES", "StreamFeed", "depth_of", "hold", "training_only"]

AHEAD = 4
AHEAD_BYTES = 1 << 24
"""Chunks of 8,192 rows that are made ready ahead of training, and what they may take (one chunk in any case)."""

PROBE_BYTES = 1 << 26
"""Rows read before training begins where it is clear that not all will fit into memory: they tell class shares."""

WHOLE_BYTES = 1 << 30
"""Rows that take more are not gone through as a whole: each pass would take seconds."""


class _Made(NamedTuple):
    """A chunk (none after the last one), the pieces whose held-out rows were read for it, and the pause asked for."""

    chunk: Chunk | None
    read: list[Pieces]
    pause: Saved | None


@dataclass
class StreamFeed:
    """Rows encoded ahead of training in a thread of their own, read anew in every epoch or from a cache on the disk.

    spans : what is read in random order in later epochs, none for the order of the source; tell : called with what a
    person should know; row_bytes : what a row takes; index : where the slices of the source begin, filled in the first
    epoch; cache : gets the rows of the first epoch; known : of rows read before training began, None after a resume;
    lost_cache : an empty one, to be filled anew after a resume; cached : the row of the cache that each span begins at,
    None where it holds them in the order of the source; light : whether rows are quickly learned from, so that narrow
    ones come in long chunks.
    """

    reader: Reader
    training_rows: int
    order: str
    counts: Counts
    epochs_at_most: int | None
    spans: list[Span]
    tell: Callable[[str], None]
    row_bytes: float
    held: tuple[Held, Held]
    index: Index
    cache: RowCache | None = None
    known: Known | None = None
    moments: Moments | None = None
    lost_cache: RowCache | None = None
    cached: list[int] | None = None
    light: bool = False
    _begun: Iterator[Pieces] | None = None
    _lost: str | None = None
    _first_epoch_over: bool = False
    _shuffle: Saved | None = None
    _paused: Saved | None = None
    _asked: bool = False
    _wanted: threading.Event = field(default_factory=threading.Event)

    @property
    def select(self) -> Chunk | None:
        """The held-out rows seen so far that choose between runs."""
        return self.held[0].rows

    @property
    def score(self) -> Chunk | None:
        """The held-out rows seen so far that report how good the chosen run is."""
        return self.held[1].rows

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk."""
        encoder = self.reader.encoder
        return chunk_length(encoder.width, light=self.light and not encoder.sparse and self.order != "keep")

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
            yield training_only(kept.pop())
        for chunk in self.cache.read(0, cached) if self.cache is not None else ():
            yield training_only(chunk)
        maker = _Maker()
        for piece in left:
            self.index.add(piece.slice, alone=True)
            if self.cache is not None and isinstance(piece.training, Draft):
                rows = maker.made(piece.training)
                piece = piece.finished()._replace(training=rows)
            self._keep(piece.training)
            yield piece

    def _keep(self, training: Chunk | Draft) -> None:
        """Put rows of the first epoch into the cache; one that fails is done without."""
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
        shuffle, self._shuffle = Shuffle(rng, self._shuffle, length=self.chunk_rows), None
        self._paused, self._asked = None, False
        first, self._begun = self._begun, None
        made = self._anew(epoch, shuffle) if first is None else self._beside(first, shuffle)
        for chunk, read, pause in ahead(made, depth_of(self.row_bytes, self.chunk_rows)):
            for piece in read:
                hold(self.held, piece)
            self._tell_losses()
            self._paused = pause
            if chunk is not None:
                yield chunk
        if first is not None:
            self._first_epoch_over = True
            self.training_rows = self.counts.training
        self._paused = Saved({}, {})

    def _beside(self, pieces: Iterator[Pieces], shuffle: Shuffle) -> Iterator[_Made]:
        """Yield the chunks of the first epoch, each with the pieces whose held-out rows were read for it.

        Which held-out rows have been seen must depend on the chunk, not on how far a thread has read ahead.
        """
        read: list[Pieces] = []

        def training() -> Iterator[Chunk | Draft]:
            for piece in pieces:
                yield piece.training
                read.append(piece.finished()._replace(training=like(piece.training)))

        for chunk in shuffle.chunks(training()):
            yield _Made(chunk, read.copy(), self._pause(shuffle, first=True))
            read.clear()
        yield _Made(None, read, None)

    def _anew(self, epoch: int, shuffle: Shuffle) -> Iterator[_Made]:
        """Yield the chunks of a later epoch."""
        for chunk in shuffle.chunks(self._again(epoch, shuffle.taken)):
            yield _Made(chunk, [], self._pause(shuffle, first=False))

    def _again(self, epoch: int, taken: int) -> Iterator[Chunk | Draft]:
        """Yield the training rows of an epoch after the first one, span by span, but for those that were taken."""
        order = np.random.default_rng([self.reader.seed, epoch, 1]).permutation(len(self.spans)).tolist()
        edges = self.index.edges(self.spans, self.counts.training)
        if self.cache is None and self.lost_cache is not None and taken == 0:
            yield from self._refilling(self._read_again(order, edges, 0), order, edges)
        elif self.cache is None:
            yield from self._read_again(order, edges, taken)
        elif not self.spans:
            yield from self.cache.read(0, self.cache.rows)
        else:
            for place in order:
                yield from self._cached_span(self.cache, edges, place)

    def _cached_span(self, cache: RowCache, edges: list[int], place: int) -> Iterator[Chunk]:
        """Yield the rows of a span from the cache."""
        begin = edges[place] if self.cached is None else self.cached[place]
        return cache.read(begin, begin + edges[place + 1] - edges[place])

    def _refilling(self, rows: Iterator[Chunk | Draft], order: list[int], edges: list[int]) -> Iterator[Chunk | Draft]:
        """Yield all training rows, which come span by span in an order, and put them into a cache for later epochs."""
        cache, self.lost_cache = self.lost_cache, None
        assert cache is not None
        maker, whole = _Maker(), cache.has_room(round(self.training_rows * self.row_bytes))
        for training in rows:
            if not whole:
                yield training
                continue
            made = maker.made(training) if isinstance(training, Draft) else training
            try:
                cache.write(made)
            except CacheError as error:
                whole = False
                self._lose(f"their cache cannot be written ({error})")
            yield made
        if whole:
            self.cache = cache
            begins = np.cumsum([0] + [edges[place + 1] - edges[place] for place in order])
            self.cached = begins[np.argsort(order)].tolist() if order else None

    def _read_again(self, order: list[int], edges: list[int], taken: int) -> Iterator[Chunk | Draft]:
        """Yield training rows from the source itself."""
        spans = [self.spans[place] for place in order]
        lengths = [edges[place + 1] - edges[place] for place in order]
        begins = [edges[place] for place in order]
        if not spans:  # from part to part
            spans = [Span(Cursor(part), None) for part in range(len(self.reader.source.parts))]
            edges = self.index.edges(spans, self.counts.training)
            lengths, begins = np.diff(edges).tolist(), edges
        while spans and taken >= lengths[0]:
            taken -= lengths[0]
            del spans[0], lengths[0], begins[0]
        if not spans:
            return
        entry = self.index.entry(begins[0] + taken)
        rows, skipped = spans[0].rows, entry.begin.row - spans[0].start.row
        spans[0] = Span(entry.begin, None if rows is None else rows - skipped)
        skip = entry.skip
        for piece in replace(self.reader, on_bad=None).pieces(Counts(read=entry.read), [*spans]):
            dropped = min(skip, training_rows(piece.training))
            skip -= dropped
            yield without(piece.training, dropped)

    def whole(self) -> Whole | None:
        """Give all training rows for full passes, from the cache or read anew: the same blocks."""
        counts = self.counts
        size = counts.values * (8 if self.reader.encoder.sparse else 4) + 8 * counts.training
        if self.epochs_at_most == 1 or not self._first_epoch_over or size > WHOLE_BYTES:
            return None
        return Whole(self._blocks, self.training_rows, counts.values)

    def _blocks(self) -> Iterator[Chunk]:
        cache = self.cache
        if cache is not None and self.cached is None:
            return cache.read(0, cache.rows)
        if cache is not None:
            edges = self.index.edges(self.spans, self.counts.training)
            spans = (self._cached_span(cache, edges, place) for place in range(len(self.spans)))
            return ahead(shuffled(chain.from_iterable(spans), None), depth_of(self.row_bytes))
        pieces = replace(self.reader, on_bad=None).pieces(Counts())
        return ahead(shuffled((piece.training for piece in pieces), None), depth_of(self.row_bytes))

    def pause(self, *, over: bool = False) -> Saved | None:
        """Say how to go on after the chunk given last; None if a later one must be waited for, and is asked to say it.

        The thread that reads ahead is beyond that chunk already, and keeps no copies of where it has been.

        over : whether no chunk will be asked for any more.
        """
        place = Saved({}, {}) if over and self._first_epoch_over else self._paused
        if place is None:
            if not self._asked:
                self._asked = True
                self._wanted.set()
            return None
        self._asked = False
        values = {"kind": "stream", "training_rows": self.training_rows, "row_bytes": self.row_bytes}
        parts = {"select": self.held[0].saved(), "score": self.held[1].saved(), "place": place}
        if self.moments is not None:
            parts["moments"] = self.moments.saved()
        marks = getattr(self.reader.source, "marks", None)
        if marks is not None:
            parts["marks"] = Saved({}, {"table": marks.table})
        if self._first_epoch_over:
            parts["counts"] = self.counts.saved()
            parts["index"] = Saved({}, {"slices": self.index.table})
        return together(values, **parts)

    def _pause(self, shuffle: Shuffle, *, first: bool) -> Saved | None:
        """Say how to go on after the chunk that leaves the shuffle now, if that was asked for."""
        if not self._wanted.is_set():
            return None
        self._wanted.clear()
        if not first:
            return together({}, shuffle=shuffle.saved())
        begun, counts = self.index.holding(shuffle.taken), self.counts
        sums = {"summed": counts.summed, "squared_norm": counts.squared_norm, "goals": counts.goals}
        return together(
            {"begin": list(begun.begin), "taken": shuffle.taken},
            shuffle=shuffle.saved(),
            counts=replace(begun.before, **sums).saved(),
            index=Saved({}, {"slices": self.index.table}),
        )

    @classmethod
    def resumed(
        cls,
        saved: Saved,
        reader: Reader,
        *,
        order: str,
        spans: list[Span],
        cache: RowCache | None = None,
        light: bool = False,
    ) -> StreamFeed:
        """Go on from a pause: with the rows that come next, read from the source."""
        place = saved.part("place")
        told = place if "counts" in place.values else saved
        counts = Counts.resumed(told.part("counts"))
        slices = told.part("index").arrays["slices"]
        _require_slices_of(reader, slices)
        index = Index(slices)
        if "marks" in saved.values:
            marks: Any = getattr(reader.source, "marks", None)
            marks.load(saved.part("marks").arrays["table"])
        held = Held.resumed(saved.part("select")), Held.resumed(saved.part("score"))
        for one in held:
            if one.rows is not None:
                _require_rows_of(reader.encoder, one.rows)
        values = saved.values
        rows, row_bytes = values["training_rows"], values["row_bytes"]
        feed = cls(reader, rows, order, counts, None, spans, lambda sentence: None, row_bytes, held, index)
        feed.lost_cache, feed.light = cache, light
        if "moments" in values:
            feed.moments = Moments.resumed(saved.part("moments"))
        if "shuffle" in place.values:
            feed._shuffle = place.part("shuffle").loaded()
            _require_shuffle_of(reader.encoder, feed._shuffle, feed.chunk_rows)
        if "begin" in place.values:
            feed._begun = feed._rest(Cursor(*place.values["begin"]), place.values["taken"])
        else:
            feed._first_epoch_over = True
        return feed

    def _rest(self, begin: Cursor, taken: int) -> Iterator[Pieces]:
        """Yield the pieces of the first epoch from a slice on, without the training rows that have been taken."""
        counts, seen = self.counts, [held.seen for held in self.held]
        reader = replace(self.reader, source=Parted(self.reader.source, self.spans))
        for piece in reader.pieces(counts, begin=begin):
            self.index.add(piece.slice, alone=True)
            rows = training_rows(piece.training)
            training = without(piece.training, min(max(taken - (counts.training - rows), 0), rows))
            if counts.select <= seen[0] and counts.score <= seen[1]:
                nothing = nothing_like(piece.select)
                yield Pieces(training, nothing, nothing)
            else:
                yield piece._replace(training=training)


def _require_slices_of(reader: Reader, slices: np.ndarray) -> None:
    """Raise ValueError unless slices begin with the first row, and go on in the order of the source."""
    if slices.dtype != np.int64 or slices.ndim != 2 or slices.shape[1] != 4:
        raise ValueError(f"its slices are {slices.dtype} of shape {slices.shape}")
    parts, rows, *counts = slices.T
    ascending = (np.diff(parts) > 0) | ((np.diff(parts) == 0) & (np.diff(rows) > 0))
    grows = all((np.diff(count) >= 0).all() for count in counts)
    known = ((parts >= 0) & (parts < len(reader.source.parts)) & (rows >= 0)).all()
    if not (ascending.all() and grows and known) or slices[:1, 1:].any():
        raise ValueError("its slices are none of its source")


def _require_rows_of(encoder: Encoder, chunk: Chunk) -> None:
    """Raise ValueError unless saved rows are such as an encoder gives: kernels do not look whether they are."""
    rows = chunk.rows
    width = feature_count(rows)
    if isinstance(rows, SparseRows) != encoder.sparse or width != encoder.width:
        raise ValueError(f"its rows have {width:,} features, where there are {encoder.width:,}")
    _require_targets_of(encoder, chunk.targets)


def _require_targets_of(encoder: Encoder, targets: np.ndarray) -> None:
    if targets.dtype != (np.float32 if encoder.classes is None else np.int32):
        raise ValueError(f"its targets are {targets.dtype}")
    if encoder.classes is not None and ((targets < 0) | (targets >= len(encoder.classes))).any():
        raise ValueError("its targets are none of the classes")


def _require_shuffle_of(encoder: Encoder, saved: Saved, length: int) -> None:
    """Raise ValueError unless a shuffle of such rows can go on from what was saved."""
    if "layout" not in saved.values:
        return
    _require_rows_of(encoder, load_chunk(saved.part("layout")))
    Shuffle(np.random.default_rng(0), saved, length=length)
    buckets = saved.part("buckets")
    counts = buckets.part("turns").arrays["counts"]
    targets = buckets.part("own").arrays["targets"].reshape(len(counts), -1)
    _require_targets_of(encoder, targets[np.arange(targets.shape[1]) < counts[:, None]])


class _Maker:
    """Makes rows of drafts, each good until the next one."""

    def __init__(self) -> None:
        self._pool: Pool | None = None

    def made(self, draft: Draft) -> Chunk:
        """Give the rows of a draft."""
        self._pool = self._pool or Pool(draft, limit=PROBE_BYTES, most=BATCH_ROWS)
        self._pool.count = 0
        self._pool.add(draft)
        return self._pool.rows


def depth_of(row: float, length: int = CHUNK_ROWS) -> int:
    """Give the chunks to make ready ahead, of so many rows with so many bytes each: no more rows where they are long.

    >>> depth_of(120), depth_of(120, 65_536), depth_of(3144)
    (4, 1, 1)
    """
    return max(min(int(AHEAD_BYTES / (row * length)), AHEAD * CHUNK_ROWS // max(length, CHUNK_ROWS)), 1)


def hold(held: tuple[Held, Held], piece: Pieces) -> None:
    """Keep the held-out rows of a piece, whose training rows have been made."""
    for one, chunk in zip(held, piece.finished()[1:3], strict=True):
        one.add(chunk)


def training_only(chunk: Chunk) -> Pieces:
    """Give a piece of which nothing is held out."""
    none = nothing_like(chunk)
    return Pieces(chunk, none, none)
