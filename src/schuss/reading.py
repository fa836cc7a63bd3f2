"""The rows of a training: how much of them memory keeps, and where the others wait for the next epoch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .data.cache import RowCache
from .data.feed import Feed, open_feed
from .preparation import Prepared
from .race.record import Recorder

__all__ = ["rows_of"]

ROWS_MEMORY = 192 << 20
"""Encoded rows are kept in memory if they fit into this many bytes; others are read again in every epoch."""

ARRAYS_MEMORY = 1 << 30
"""The same for rows that lie in memory already, and for those that are drawn with replacement."""


@contextmanager
def rows_of(prepared: Prepared, record: Recorder) -> Iterator[Feed]:
    """Open the feed of a training; what it has to say is recorded, and its cache is gone in the end."""
    settings = prepared.settings
    source = prepared.source
    in_memory = source.rereadable and all(stamp.get("path") is None for stamp in source.fingerprint())
    cache = None
    if settings.cache != "off" and settings.epochs != 1 and source.rereadable and not in_memory:
        beside = tempfile.gettempdir() if prepared.folder is None else prepared.folder.path
        cache = RowCache(Path(beside if settings.cache == "auto" else settings.cache))
    try:
        yield open_feed(
            prepared.reader,
            order=settings.order,
            memory=ARRAYS_MEMORY if in_memory or settings.order == "replace" else ROWS_MEMORY,
            cache=cache,
            tell=lambda sentence: record("notice", message=sentence),
        )
    finally:
        if cache is not None:
            cache.close()
