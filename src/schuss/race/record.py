"""The record: what happened, an event a line, written as it happens."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from io import FileIO
from pathlib import Path
from typing import Any

from ..errors import DataError, OutputError

__all__ = ["Event", "Recorder", "plain", "read_record"]

Event = dict[str, Any]


def plain(value: Any) -> Any:
    """Give a value as JSON can hold it: NumPy numbers as Python's, numbers that are not finite as None.

    >>> plain({"loss": float("nan"), "rows": [1, 2.5]})
    {'loss': None, 'rows': [1, 2.5]}
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class Recorder:
    """Keeps the events, writes each to `record.jsonl` at once where there is a folder, and tells a listener.

    A full disk is no reason to lose a training: what could not be written is written with the next event, and at the
    latest by `close`.
    """

    def __init__(
        self, path: Path | None = None, listener: Callable[[Event], None] | None = None, before: bytes = b""
    ) -> None:
        """Begin a record, with the lines of one that goes on."""
        self.events: list[Event] = list(_events(before.split(b"\n")[:-1]))
        self.listener = listener
        self._path, self._file = path, None if path is None else _begin(path)
        self._waiting, self._length = before, 0
        self._write()

    def __call__(self, event: str, **content: Any) -> None:
        """Record an event."""
        entry = plain({"event": event, **content})
        self.events.append(entry)
        self._waiting += _line(entry)
        self._write()
        if self.listener is not None:
            self.listener(entry)

    def say(self, sentence: str) -> None:
        """Record what a person should know."""
        self("notice", message=sentence)

    def _write(self) -> OSError | None:
        """Write what waits, after what is there in whole lines; give what went wrong."""
        if self._file is None:
            return None
        try:
            self._file.seek(self._length)
            self._file.truncate()
            left = memoryview(self._waiting)
            while left:
                left = left[self._file.write(left) :]
            self._length += len(self._waiting)
            self._waiting = b""
        except OSError as error:
            return error
        return None

    def lines(self, events: int | None = None) -> bytes:
        """Give the first so many events, or all, as they are written."""
        return b"".join(map(_line, self.events[:events]))

    def tell(self, event: str, **content: Any) -> None:
        """Tell the listener alone: of progress, which is not worth keeping."""
        if self.listener is not None:
            self.listener(plain({"event": event, **content}))

    def close(self) -> None:
        """Have everything safely on the disk, and close the file; raises OutputError when that cannot be done."""
        file, failure = self._file, self._write()
        if file is None:
            return
        self._file = None
        try:
            with file:
                os.fsync(file.fileno())
        except OSError as error:
            failure = failure or error
        if failure is not None:
            raise OutputError(f"cannot write '{self._path}': {(failure.strerror or str(failure)).lower()}") from failure


def _begin(path: Path) -> FileIO:
    """Open a new file."""
    try:
        return FileIO(path, "w")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {(error.strerror or str(error)).lower()}") from error


def _line(entry: Event) -> bytes:
    return (json.dumps(entry, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def read_record(path: Path) -> list[Event]:
    """Read a record; a last line that was cut off when the run ended is left out.

    Raises DataError where the file is not a record.
    """
    lines = path.read_bytes().split(b"\n")  # a line may have been cut off within a character
    try:
        return list(_events(lines[:-1]))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is not a record of schuss: {error}") from error


def _events(lines: Iterable[bytes]) -> Iterable[Event]:
    for number, line in enumerate(lines, start=1):
        event = json.loads(line)
        if not isinstance(event, dict) or "event" not in event:
            raise TypeError(f"line {number} is not an event")
        yield event
