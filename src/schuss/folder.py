"""The folder of a run: what is being written has other names until all of it is finished."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from .errors import OutputError
from .files import sync_folder

__all__ = ["BAD_ROWS", "MODEL", "RECORD", "REPORT", "RunFolder"]

RECORD, REPORT, MODEL = "record.jsonl", "report.html", "model.safetensors"
BAD_ROWS = "bad_rows.jsonl"
PART = ".part"


class RunFolder:
    """A folder that holds at most one finished run, which stays whole until the next one is.

    A run is finished when its model is there. While it trains, its files end in `.part`; what a killed run has left
    behind under such names hinders nobody.

    Raises OutputError when there is a finished run that may not be written over, and when the folder cannot be made.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        self.path = path
        if self.finished and not force:
            raise OutputError(f"'{path}' holds a finished run; --force writes over it, --out names another folder")

    @property
    def finished(self) -> bool:
        """Whether there is a finished run."""
        return (self.path / MODEL).exists()

    def make(self) -> None:
        """Make the folder if there is none."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to '{self.path}': {(error.strerror or str(error)).lower()}") from None

    def draft(self, name: str) -> Path:
        """Give the name of a file while it is being written."""
        return self.path / (name + PART)

    def publish(self, *names: str) -> None:
        """Give files their own names, in this order."""
        for name in names:
            self.draft(name).replace(self.path / name)
        sync_folder(self.path)

    def discard(self) -> None:
        """Remove what was being written, and the folder if nothing else is in it."""
        for name in (BAD_ROWS, RECORD, REPORT, MODEL):
            self.draft(name).unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty
            self.path.rmdir()
