"""The folder of a run: what is being written has other names until all of it is finished."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..errors import OutputError
from ..files import PART, remove_leftovers, sync_folder
from .checkpoints import Checkpoints

__all__ = ["BAD_ROWS", "LANDSCAPE", "MODEL", "RECORD", "REPORT", "RunFolder"]

RECORD, REPORT, MODEL = "record.jsonl", "report.html", "model.safetensors"
BAD_ROWS, LANDSCAPE = "bad_rows.jsonl", "landscape.jsonl"


class RunFolder:
    """A folder that holds at most one finished run, which stays whole until the next one is.

    A run is finished when its model is there and it has no checkpoints. While it trains, its files end in `.part`; what
    a killed run has left behind under such names hinders nobody.

    checkpoints : those of the run.

    Raises OutputError when there is a run that may not be written over, and when the folder cannot be made.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        self.path, self.checkpoints = path, Checkpoints(path)
        self._settle()
        if not force and self.checkpoints.files:
            raise OutputError(f"'{path}' holds an unfinished run: schuss resume {path} goes on, --force begins anew")
        if not force and self.finished:
            raise OutputError(f"'{path}' holds a finished run; --force writes over it, --out names another folder")

    @property
    def finished(self) -> bool:
        """Whether there is a model, of a finished run or the best one so far."""
        return (self.path / MODEL).exists()

    def make(self) -> None:
        """Make the folder if there is none, and clear away what was being written when a process was killed."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in (REPORT, MODEL):
                self.draft(name).unlink(missing_ok=True)
            remove_leftovers(self.path)
        except OSError as error:
            raise OutputError(f"cannot write to '{self.path}': {(error.strerror or str(error)).lower()}") from None

    def draft(self, name: str) -> Path:
        """Give the name of a file while it is being written."""
        return self.path / (name + PART)

    def publish(self, *names: str) -> None:
        """Give files their own names, the record first: from then on nothing holds the others back, not even a kill.

        What an older run may have left beside them goes, its landscape first: no new record ever stands beside it.
        """
        try:
            (self.path / LANDSCAPE).unlink(missing_ok=True)
            for name in (RECORD, *(name for name in names if name != RECORD)):
                self.draft(name).replace(self.path / name)
            if BAD_ROWS not in names:
                (self.path / BAD_ROWS).unlink(missing_ok=True)
            sync_folder(self.path)
        except OSError as error:
            raise OutputError(f"cannot write to '{self.path}': {(error.strerror or str(error)).lower()}") from error

    def _settle(self) -> None:
        """Finish what a killed process had begun to publish."""
        waiting = [name for name in (BAD_ROWS, REPORT, MODEL) if self.draft(name).exists()]
        if MODEL in waiting and (self.path / RECORD).exists() and not self.draft(RECORD).exists():
            for name in waiting:
                self.draft(name).replace(self.path / name)
            sync_folder(self.path)

    def discard(self) -> None:
        """Remove what was being written, and the folder if nothing else is in it."""
        for name in (BAD_ROWS, RECORD, REPORT, MODEL):
            self.draft(name).unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty
            self.path.rmdir()
