"""What a worker reads: one span of a source, its rows encoded, and what is told of them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from pyarrow.fs import FileType

from ..errors import DataError
from .bad_rows import BadRow
from .chunk import CHUNK_ROWS, Chunk, cut, join, take
from .draft import Draft, training_rows
from .files import File, translated
from .held import Held
from .known import Known, known_of
from .reader import Counts, Reader
from .room import Pool, permutation
from .source import Cursor
from .spans import Span

__all__ = ["Report", "UnseenError", "read_span", "sees"]


class UnseenError(DataError):
    """Whoever reads a span does not find its file."""


class Report(NamedTuple):
    """What is told of a span that was read.

    bad : the rows that could not be used, with the file of each; known : targets of training rows, evenly spread;
    select, score : the held-out rows. These are told when a span is read for the first time.
    """

    counts: Counts
    bad: list[tuple[str, BadRow]]
    known: Known | None = None
    select: Chunk | None = None
    score: Chunk | None = None


def read_span(reader: Reader, number: int, span: Span, shuffled: bool, first: bool) -> tuple[Chunk | None, Report]:
    """Read the rows of a span; give those to learn from, and what is told of it.

    shuffled : whether they come in random order, which depends on the seed and the span's number alone; first : whether
    the span is read for the first time. Rows of the same span are the same wherever and whenever it is read.
    """
    if sees(reader, span) is None:
        raise UnseenError(f"{reader.source.parts[span.start.part]} does not exist")
    bad: list[tuple[str, BadRow]] = []
    # How many bad rows are too many is for all spans together to say.
    own = replace(reader, most_bad=1.0, on_bad=lambda name, row: bad.append((name, row)))
    counts, held, training = Counts(), (Held(), Held()), []
    for piece in own.pieces(counts, [(Cursor(*span.start), span.rows)]):
        training.append(_made(piece.training))
        for one, chunk in zip(held, piece.finished()[1:3], strict=True):
            one.add(chunk)
    if not training:
        return None, Report(counts, bad)
    rows = join(training)
    classes = None if reader.encoder.classes is None else len(reader.encoder.classes)
    for chunk in cut(rows):
        counts.add_up(chunk, classes)
    if shuffled:
        rows = take(rows, permutation(len(rows.targets), np.random.default_rng([reader.seed, number])))
    if not first:
        return rows, Report(counts, [])
    return rows, Report(counts, bad, known_of(rows, CHUNK_ROWS), held[0].rows, held[1].rows)


def sees(reader: Reader, span: Span) -> File | None:
    """Give the file of a span if this machine has it."""
    file: File = reader.source.files[span.start.part]  # pyright: ignore[reportAttributeAccessIssue] — spans are of files
    with translated(file.name):
        return None if file.filesystem.get_file_info(file.path).type == FileType.NotFound else file


def _made(training: Chunk | Draft) -> Chunk:
    """Have the training rows of a piece made."""
    if isinstance(training, Chunk):
        return training
    many = training_rows(training)
    pool = Pool(training, limit=0, least=many, most=many)
    pool.add(training)
    return pool.rows
