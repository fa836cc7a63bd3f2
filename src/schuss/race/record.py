"""The record: what happened, an event a line, written as it happens."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

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
    """Keeps the events, writes each to `record.jsonl` at once where there is a folder, and tells a listener."""

    def __init__(self, path: Path | None = None, listener: Callable[[Event], None] | None = None) -> None:
        self.events: list[Event] = []
        self.listener = listener
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = path.open("w", encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                raise OutputError(f"cannot write '{path}': {(error.strerror or str(error)).lower()}") from error

    def __call__(self, event: str, **content: Any) -> None:
        """Record an event."""
        entry = plain({"event": event, **content})
        self.events.append(entry)
        if self._file is not None:
            try:
                self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                self._file.flush()
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise OutputError(f"cannot write '{self._file.name}': {reason}") from error
        if self.listener is not None:
            self.listener(entry)

    def tell(self, event: str, **content: Any) -> None:
        """Tell the listener alone: of progress, which is not worth keeping."""
        if self.listener is not None:
            self.listener(plain({"event": event, **content}))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


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
