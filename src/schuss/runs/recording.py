"""The record of a training in its folder, also of one that comes to a bad end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..errors import TrainingError, UnknownClassError
from ..race.record import Event, Recorder
from .folder import MODEL, RECORD, REPORT, RunFolder

__all__ = ["recording", "write_out"]


@contextmanager
def recording(
    folder: RunFolder | None, listener: Callable[[Event], None] | None, before: bytes = b""
) -> Iterator[Recorder]:
    """Give the recorder; what ends training early is recorded, and reported unless a finished run stands there.

    before : the lines of a record that goes on.
    """
    if folder is not None:
        folder.make()
    record = Recorder(folder.draft(RECORD) if folder else None, listener, before)
    try:
        yield record
    except BaseException as error:
        # The full disk or the listener may be what failed; the first error is the one to tell.
        with suppress(Exception):
            record("error", message="interrupted" if isinstance(error, KeyboardInterrupt) else str(error))
        with suppress(Exception):
            record.close()
        if folder is not None:
            with suppress(Exception):
                _leave(folder, record.events, error)
            if isinstance(error, TrainingError):  # it would come to the same end again
                folder.checkpoints.clear()
        raise
    record.close()


def _leave(folder: RunFolder, events: list[Event], error: BaseException) -> None:
    """Show in the folder what went wrong, unless it holds a finished run, the race had not begun, or begins anew."""
    raced = any(event["event"] == "runs" for event in events)
    if folder.finished or not raced or isinstance(error, UnknownClassError):
        folder.discard()
        return
    folder.draft(MODEL).unlink(missing_ok=True)
    write_out(events, folder)
    folder.publish(RECORD, REPORT)


def write_out(events: list[Event], folder: RunFolder) -> None:
    """Draw the report of a record, to be published."""
    from ..report import write_report

    write_report(events, folder.draft(REPORT))
