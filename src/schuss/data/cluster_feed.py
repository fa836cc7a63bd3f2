"""Rows that workers read: a training gets rounds, which say whose turn it is with which rows, and no rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cluster.workers import Workers
from ..errors import ClusterError, DataError, InputError, OptionError
from .bad_rows import refuse_too_many
from .chunk import Chunk, cut
from .held import Held
from .known import Known
from .reader import Counts, Reader
from .room import permutation
from .saved import Saved, together
from .share import Report, UnseenError, read_span, sees
from .source import Source
from .spans import Span, spans_of
from .whole import Whole

__all__ = ["Chosen", "ClusterFeed", "Piece", "Round", "open_cluster_feed", "resume_cluster_feed", "spans_for"]

LARGEST_SPAN = 65_536
"""Small row groups are read together, up to so many rows: each entry opens a file anew."""

SPANS_EACH = 4
"""Spans for each worker at least, if the data can be entered in so many places: they are dealt out anew every epoch,
and in the end some workers wait for others, for a span's length at most."""

KEPT = 1 << 30
"""Bytes of rows for each worker that stay for later epochs; of more, all are read anew in each of them.

This must not depend on what memory a cluster happens to have, since only rows that stay are finished with.
"""

ROUNDS = 16
LEAST, MOST, MOST_EACH = 256, 1 << 17, 1 << 14
"""Rounds in an epoch, by measurement (`benchmarks/cluster.py`), and between which numbers of rows that holds.

The driver takes about a millisecond for each worker in every round: the more there are, the longer they learn alone.
"""


class Piece(NamedTuple):
    """Rows of a span, from `start` to before `stop`; seed : of their order in this epoch, None for the order stored."""

    span: int
    start: int
    stop: int
    seed: tuple[int, ...] | None

    def places(self) -> NDArray[np.integer]:
        """Give their places in the span, in the order in which they are learned from."""
        places = np.arange(self.start, self.stop, dtype=np.int32)
        if self.seed is None:
            return places
        return places[permutation(len(places), np.random.default_rng(self.seed))]


class Chosen(NamedTuple):
    """Rows at some places, in their order."""

    where: NDArray[np.integer]

    def places(self) -> NDArray[np.integer]:
        """Give the places."""
        return self.where


class Round(NamedTuple):
    """What each worker learns from until their models are averaged.

    shares : its pieces, for each worker that has some; rows : what stands for the rows of each of these pieces.
    """

    shares: list[list[Piece]] | list[list[Chosen]]
    rows: list[list[Any]]


@dataclass
class ClusterFeed:
    """Rows that workers read and keep, span by span.

    training_rows : of one epoch, estimated until all have been read; between : rows that each worker learns from
    between two averages; keeping : whether rows stay with the workers for later epochs; lengths : `(spans,)` training
    rows of each, -1 where it has not been read; given : how many rounds of the epoch have been given.
    """

    reader: Reader
    workers: Workers
    spans: list[Span]
    order: str
    keeping: bool
    counts: Counts
    held: tuple[Held, Held]
    lengths: NDArray[np.int64]
    training_rows: int = 0
    between: int = 1
    known: Known | None = None
    moments: None = None
    given: int = 0
    epochs_at_most: int | None = None
    _jobs: dict[int, Any] = field(default_factory=dict)
    _rows: dict[int, Any] = field(default_factory=dict)
    _reader: Any = None

    def __post_init__(self) -> None:
        """Put the reader where every worker reaches it; what it calls on bad rows stays here."""
        source: Any = replace(self.reader.source)  # pyright: ignore — of files; a reading that has begun stays here
        self._reader = self.workers.put(replace(self.reader, source=source, on_bad=None))

    @property
    def select(self) -> Chunk | None:
        """The held-out rows seen so far that choose between runs."""
        return self.held[0].rows

    @property
    def score(self) -> Chunk | None:
        """The held-out rows seen so far that report how good the chosen run is."""
        return self.held[1].rows

    def begin(self) -> list[int]:
        """Have the first span of each worker read, and take in what is told of them; give their numbers."""
        order, count = self._order(0), self.workers.count
        self.read_ahead(order[: 2 * count])
        return [span for span in order[:count] if self.length_of(span) >= 0]

    def chunks(self, epoch: int) -> Iterator[Round]:
        """Yield the rounds of an epoch, from the first one on that has not been given."""
        order = self._order(epoch)
        ahead, skipped = 2 * self.workers.count, self.given
        for number, (pieces, begun, over) in enumerate(self._rounds(order, epoch)):
            if number < skipped:
                continue
            self.read_ahead(order[: begun + ahead])
            self.given += 1
            yield Round(pieces, [[self._rows_of(piece.span) for piece in share] for share in pieces])
            for span in () if self.keeping else over:
                del self._rows[span]
        self.given = 0
        self.training_rows = self.counts.training
        self._refuse_too_many(at_end=True)

    def _order(self, epoch: int) -> list[int]:
        """Give the numbers of the spans in the order of an epoch."""
        if self.order == "keep":
            return list(range(len(self.spans)))
        rng = np.random.default_rng([self.reader.seed, 0 if self.order == "once" else epoch, 1])
        return rng.permutation(len(self.spans)).tolist()

    def _rounds(self, order: list[int], epoch: int) -> Iterator[tuple[list[list[Piece]], int, list[int]]]:
        """Yield the pieces of each round, how many spans have been begun, and those that are over with it.

        A worker that is through with a span takes the next one of all: by rows, not by time, the same ones every time.
        """
        waiting = deque(order)
        slots: list[tuple[int, int]] = [(-1, 0)] * self.workers.count
        while True:
            shares: list[list[Piece]] = []
            over: list[int] = []
            for number, (span, at) in enumerate(slots):
                share, left = [], self.between
                while left and (span >= 0 or waiting):
                    if span < 0:
                        span, at = waiting.popleft(), 0
                    stop = min(at + left, self.length_of(span))
                    if stop > at:
                        seed = (self.reader.seed, epoch, span, at) if self.order == "shuffle" else None
                        share.append(Piece(span, at, stop, seed))
                    left, at = left - (stop - at), stop
                    if at == self.length_of(span):
                        over.append(span)
                        span = -1
                slots[number] = span, at
                shares += [share] if share else []
            if not shares:
                return
            yield shares, len(order) - len(waiting), over

    def read_ahead(self, spans: list[int]) -> None:
        """Have these spans read, if that has not been asked for."""
        for span in spans:
            if span not in self._jobs and span not in self._rows:
                shuffled, first = self.order != "keep", self.lengths[span] < 0
                self._jobs[span] = self.workers.begin(
                    read_span, self._reader, span, self.spans[span], shuffled, bool(first)
                )

    def length_of(self, span: int) -> int:
        """Count the training rows of a span, which is read and counted if it has not been."""
        if self.lengths[span] < 0:
            self._rows_of(span)
        return int(self.lengths[span])

    def _rows_of(self, span: int) -> Any:
        """Give what stands for the rows of a span."""
        if span not in self._rows:
            self.read_ahead([span])
            try:
                [(rows, report)] = self.workers.end([self._jobs.pop(span)])
            except UnseenError as error:
                raise self._unseen(span) from error
            if self.lengths[span] < 0:
                self._take_in(span, report)
            elif report.counts.training != self.lengths[span]:
                raise DataError(f"{self._name(span)} was changed while it was read: its rows are others now")
            self._rows[span] = rows
        return self._rows[span]

    def _unseen(self, span: int) -> InputError:
        """Say what it means that a worker does not find the file of a span."""
        file = sees(self.reader, self.spans[span])
        if file is None:
            return DataError(f"{self._name(span)} does not exist any more: it was there when training began")
        return ClusterError(
            f"a worker cannot see {file.path}, which this machine does: all machines must find it under the same path"
        )

    def _name(self, span: int) -> str:
        return self.reader.source.parts[self.spans[span].start.part]

    def _take_in(self, span: int, report: Report) -> None:
        """Take in what is told of a span that was read for the first time."""
        self.lengths[span] = report.counts.training
        self.counts.take_in(report.counts)
        for one, chunk in zip(self.held, (report.select, report.score), strict=True):
            if chunk is not None:
                one.add(chunk)
        if report.known is not None and self.known is not None:
            self.known = Known(*(np.concatenate(pair) for pair in zip(self.known, report.known, strict=True)))
        elif report.known is not None:
            self.known = report.known
        for name, row in report.bad:
            if self.reader.on_bad is not None:
                self.reader.on_bad(name, row)
        self._refuse_too_many(at_end=False)

    def _refuse_too_many(self, *, at_end: bool) -> None:
        counts = self.counts
        refuse_too_many(counts.bad, counts.read, self.reader.most_bad, counts.first_bad, at_end=at_end)

    def whole(self) -> Whole | None:
        """Give all training rows for full passes, done where the rows are; None where they do not stay there."""
        if not self.keeping or (self.lengths < 0).any():
            return None
        return Whole(lambda: (), self.training_rows, self.counts.values, self._everywhere)

    def _everywhere(self, work: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
        """Have work done with all rows, those of so many spans together as there are workers."""
        spans, count = range(len(self.spans)), self.workers.count
        self.read_ahead([*spans])
        put = [self.workers.put(argument) for argument in arguments]
        rows = [self._rows_of(span) for span in spans]
        jobs = [self.workers.begin(_with_rows, work, len(put), *put, *rows[one::count]) for one in range(count)]
        return (told for _, told in self.workers.end(jobs))

    def pause(self, *, over: bool = False) -> Saved:
        """Say how to go on after the round given last: spans are read anew."""
        values = {"kind": "cluster", "given": self.given, "keeping": self.keeping}
        values |= {"training_rows": self.training_rows, "between": self.between}
        parts = {"counts": self.counts.saved(), "select": self.held[0].saved(), "score": self.held[1].saved()}
        return together(values, **parts, spans=Saved({}, {"lengths": self.lengths.copy()}))


def _with_rows(work: Callable[..., Any], count: int, *given: Any) -> tuple[None, Any]:
    """Do work with the rows of some spans, which come after so many other arguments."""
    arguments, spans = given[:count], given[count:]
    return None, work(lambda: (chunk for rows in spans if rows is not None for chunk in cut(rows)), *arguments)


def spans_for(source: Source, workers: int) -> list[Span]:
    """Cut a source into spans, several for each worker.

    Raises OptionError where it cannot be entered in as many places as there are workers.
    """
    if not getattr(source, "files", ()):
        raise OptionError(f"option '--workers' needs files that can be read in parts, which {source.name} is not")
    least = min(LARGEST_SPAN, (source.rows or 0) // (SPANS_EACH * workers))
    spans = spans_of(source, least)
    if len(spans) < workers:
        spans = spans_of(source, 1)
    if len(spans) < workers and getattr(source, "counted", None) is not None:
        rows: int = source.count_rows()  # pyright: ignore[reportAttributeAccessIssue] — of a text
        spans = spans_of(source, min(LARGEST_SPAN, rows // (SPANS_EACH * workers)))
    if len(spans) < workers:
        raise OptionError(
            f"option '--workers' takes at most {len(spans)} here, not {workers}: {source.name} has no more files, row "
            "groups or blocks of some MB of text to share out (packed text and text with quotes cannot be cut)"
        )
    return spans


def open_cluster_feed(reader: Reader, workers: Workers, spans: list[Span], *, order: str) -> ClusterFeed:
    """Have the first span of each worker read, which tells class shares, and give a feed of all of them."""
    counts, held = Counts(), (Held(), Held())
    for piece in reader.held_out_pieces(counts):
        for one, chunk in zip(held, piece.finished()[1:3], strict=True):
            one.add(chunk)
    lengths = np.full(len(spans), -1)
    feed = ClusterFeed(reader, workers, spans, order, False, counts, held, lengths)
    first = feed.begin()
    read = max(counts.read - counts.from_file, 1)
    expected = reader.source.rows or round(read * len(spans) / len(first))
    feed.training_rows = max(round(expected * counts.training / read), counts.training)
    feed.between = rows_between(feed.training_rows, workers.count)
    size = counts.values * (8 if reader.encoder.sparse else 4) + 8 * counts.training
    feed.keeping = size / max(counts.training, 1) * feed.training_rows < KEPT * workers.count
    return feed


def rows_between(training_rows: int, workers: int) -> int:
    """Give the rows that each worker learns from between two averages: a 16th of its epoch, a multiple of 32."""
    share = training_rows / (workers * ROUNDS)
    return int(min(max(share, LEAST), max(MOST, MOST_EACH * workers))) // 32 * 32


def resume_cluster_feed(
    reader: Reader, workers: Workers, spans: list[Span], saved: Saved, *, order: str
) -> ClusterFeed:
    """Give the feed that was paused; raises KeyError or ValueError where `saved` is not a pause of one."""
    values, lengths = saved.values, saved.part("spans").arrays["lengths"]
    if values["kind"] != "cluster" or lengths.shape != (len(spans),):
        raise ValueError(f"its rows were not shared out in {len(spans)} spans")
    held = Held.resumed(saved.part("select")), Held.resumed(saved.part("score"))
    counts, rest = Counts.resumed(saved.part("counts")), (values["training_rows"], values["between"])
    feed = ClusterFeed(reader, workers, spans, order, values["keeping"], counts, held, lengths.copy(), *rest)
    feed.given = values["given"]
    return feed
