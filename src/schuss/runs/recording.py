"""The record of a training in its folder, also of one that comes to a bad end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError, TrainingError, UnknownClassError
from ..race.record import Event, Recorder
from .folder import BAD_ROWS, MODEL, RECORD, REPORT, RunFolder

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
    if folder.is_publishing:  # whoever opens the folder next gives the rest their names
        return
    raced = any(event["event"] == "runs" for event in events)
    if folder.finished or not raced or isinstance(error, UnknownClassError):
        folder.discard()
        return
    folder.draft(MODEL).unlink(missing_ok=True)
    _draw(events, folder)
    folder.publish(RECORD, REPORT)


def write_out(folder: RunFolder, record: Recorder, save: Callable[[Path], None]) -> None:
    """Write model and report, and only then let all files of the run take their places, the model last.

    save : writes the model to a path. Where the report cannot be written the model takes its place without it, and the
    error says so: training may have taken hours, and drawing a report anew takes less than a second.
    """
    save(folder.draft(MODEL))
    names = [RECORD, *([BAD_ROWS] if folder.draft(BAD_ROWS).exists() else [])]
    done = record.events[-1].get("outcome") != "interrupted"
    try:
        _draw(record.events, folder)
    except Exception as error:
        kept = _kept_unreported(folder, record, *names, MODEL)
        if done:
            folder.checkpoints.clear()
        if isinstance(error, OutputError | MemoryError):
            raise OutputError(f"{str(error) or 'there is not enough memory for the report'}; {kept}") from error
        error.add_note(kept)
        raise
    record.close()
    folder.publish(*names, REPORT, MODEL)
    if done:
        folder.checkpoints.clear()


def _kept_unreported(folder: RunFolder, record: Recorder, *names: str) -> str:
    """Let a run take its place without a report, and say where it is."""
    record.close()
    place = folder.publish_unreported(*names)
    older = "" if place == folder.path else "; the run that was there stays"
    return f"the model is kept in {place}, and schuss report {place} draws its report{older}"


def _draw(events: list[Event], folder: RunFolder) -> None:
    """Draw the report of a record, to be published."""
    from ..report import write_report

    write_report(events, folder.draft(REPORT))
