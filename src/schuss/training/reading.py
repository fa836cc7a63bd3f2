"""The rows of a training: how much memory keeps, where others wait for the next epoch, where bad ones are listed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from ..cluster import workers_of
from ..cluster.workers import Workers
from ..data.bad_rows import BadRow
from ..data.cache import RowCache
from ..data.cluster_feed import open_cluster_feed, resume_cluster_feed, spans_for
from ..data.feed import Feed, bad_rows_before, open_feed, resume_feed
from ..data.saved import Saved, understood
from ..data.spans import Span
from ..errors import OutputError
from ..model.model import outputs_of
from ..race.record import Recorder
from ..runs.folder import BAD_ROWS, RunFolder
from .lineup import FEW_OUTPUTS
from .preparation import Prepared

__all__ = ["rows_again", "rows_of"]

ROWS_MEMORY = 192 << 20
"""Encoded rows are kept in memory if they fit into this many bytes; others are read again in every epoch."""

ARRAYS_MEMORY = 1 << 30
"""The same for rows that lie in memory already, and for those that are drawn with replacement."""


@contextmanager
def rows_of(prepared: Prepared, record: Recorder, interrupted: Callable[[], bool]) -> Iterator[Feed]:
    """Open the feed of a training; what it has to say is recorded, and its cache is gone in the end."""
    settings, reader = prepared.settings, prepared.reader
    with ExitStack() as ending:
        cache = _cache(prepared, ending)
        if settings.on_bad_row == "skip" and prepared.folder is not None:
            reader = replace(reader, on_bad=ending.enter_context(_listing(prepared.folder)))
        if settings.workers is not None:
            yield open_cluster_feed(reader, *_shared(prepared, ending, interrupted), order=settings.order)
            return
        yield open_feed(
            reader,
            order=settings.order,
            memory=_memory(prepared),
            cache=cache,
            light=_is_light(prepared),
            tell=record.say,
        )


@contextmanager
def rows_again(prepared: Prepared, saved: Saved, interrupted: Callable[[], bool]) -> Iterator[Feed]:
    """Open the feed of a training that goes on; its cache of rows that do not fit into memory must be filled anew."""
    settings, reader = prepared.settings, prepared.reader
    with ExitStack() as ending:
        cache = _cache(prepared, ending)
        if settings.on_bad_row == "skip" and prepared.folder is not None:
            listing = _listing(prepared.folder, _listed(prepared.folder, bad_rows_before(saved)))
            reader = replace(reader, on_bad=ending.enter_context(listing))
        if settings.workers is not None:
            shared = _shared(prepared, ending, interrupted)
            with understood():
                feed = resume_cluster_feed(reader, *shared, saved, order=settings.order)
            yield feed
            return
        with understood():
            memory, light = _memory(prepared), _is_light(prepared)
            feed = resume_feed(reader, saved, order=settings.order, memory=memory, cache=cache, light=light)
        yield feed


def _shared(prepared: Prepared, ending: ExitStack, interrupted: Callable[[], bool]) -> tuple[Workers, list[Span]]:
    """Give the workers of a training, and the spans that they share."""
    settings = prepared.settings
    count = settings.workers or 1
    spans = spans_for(prepared.source, count)
    return ending.enter_context(workers_of(count, settings.cluster, interrupted)), spans


def _cache(prepared: Prepared, ending: ExitStack) -> RowCache | None:
    """Give an empty cache, gone when all ends; None where the options or the data want none."""
    settings = prepared.settings
    if settings.cache == "off" or settings.epochs == 1 or not prepared.source.rereadable or _is_in_memory(prepared):
        return None
    beside = tempfile.gettempdir() if prepared.folder is None else prepared.folder.path
    cache = RowCache(Path(beside if settings.cache == "auto" else settings.cache))
    ending.callback(cache.close)
    return cache


def _listed(folder: RunFolder, count: int) -> list[str]:
    """Give the first so many bad rows that a run has listed."""
    draft = folder.draft(BAD_ROWS)
    lists = [path for path in (draft, folder.path / BAD_ROWS) if count and path.exists()]
    return [f"{line}\n" for line in lists[0].read_text(encoding="utf-8").split("\n")[:count]] if lists else []


def _is_in_memory(prepared: Prepared) -> bool:
    source = prepared.source
    return source.rereadable and all(stamp.get("path") is None for stamp in source.fingerprint())


def _memory(prepared: Prepared) -> int:
    """Say how many bytes of encoded rows are kept in memory."""
    return ARRAYS_MEMORY if _is_in_memory(prepared) or prepared.settings.order == "replace" else ROWS_MEMORY


def _is_light(prepared: Prepared) -> bool:
    """Whether all runs together learn from a narrow row in some microseconds at most."""
    return prepared.settings.network is None and outputs_of(prepared.encoder.classes) <= FEW_OUTPUTS


@contextmanager
def _listing(folder: RunFolder, before: Sequence[str] = ()) -> Iterator[Callable[[str, BadRow], None]]:
    """Give what writes a bad row down: file, row (from 1), column, reason, and the text of the row or the value.

    before : lines of a list that goes on.
    """
    try:
        with folder.draft(BAD_ROWS).open("w", encoding="utf-8", errors="backslashreplace", buffering=1) as file:
            file.writelines(before)

            def write(name: str, row: BadRow) -> None:
                told = {"file": name, "row": row.row + 1, "column": row.column, "reason": row.reason, "text": row.text}
                file.write(json.dumps(told, ensure_ascii=False) + "\n")

            yield write
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"cannot write '{folder.draft(BAD_ROWS)}': {reason}") from error
