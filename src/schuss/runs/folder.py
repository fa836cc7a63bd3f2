"""The folder of a run: what is being written has other names until all of it is finished."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..errors import DataError, OutputError
from ..files import PART, remove_leftovers, sync_folder
from ..race.record import read_record
from .checkpoints import Checkpoints

__all__ = ["BAD_ROWS", "LANDSCAPE", "MODEL", "RECORD", "REPORT", "RunFolder"]

RECORD, REPORT, MODEL = "record.jsonl", "report.html", "model.safetensors"
BAD_ROWS, LANDSCAPE = "bad_rows.jsonl", "landscape.jsonl"

NEW = "new"
"""The folder in that of a finished run where a newer one is kept whose report could not be written."""


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

    @property
    def was_interrupted(self) -> bool:
        """Whether the record that stands there ends with an interruption: the model is the best one so far."""
        try:
            events = read_record(self.path / RECORD)
        except (OSError, DataError):
            return False
        return bool(events) and events[-1].get("outcome") == "interrupted"

    @property
    def is_publishing(self) -> bool:
        """Whether files have begun to take their places: the record has, and the model has not."""
        return self.draft(MODEL).exists() and (self.path / RECORD).exists() and not self.draft(RECORD).exists()

    def make(self) -> None:
        """Make the folder if there is none, and clear away what was being written when a process was killed."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in (REPORT, MODEL):
                self.draft(name).unlink(missing_ok=True)
            remove_leftovers(self.path)
        except OSError as error:
            raise self._unwritable(error) from None
        for name in (RECORD, REPORT, MODEL):
            if (self.path / name).is_dir():  # known before training, not after it
                raise OutputError(f"'{self.path / name}' is a folder, where a file is to be written")

    def draft(self, name: str) -> Path:
        """Give the name of a file while it is being written."""
        return self.path / (name + PART)

    def publish(self, *names: str) -> None:
        """Give files their own names, the record first: from then on nothing holds the others back, not even a kill.

        What an older run may have left beside them goes, its landscape first: no new record ever stands beside it.
        """
        others = [name for name in (REPORT, BAD_ROWS) if name not in names]
        try:
            (self.path / LANDSCAPE).unlink(missing_ok=True)
            for name in (RECORD, *(name for name in names if name != RECORD)):
                self.draft(name).replace(self.path / name)
            for name in others:
                (self.path / name).unlink(missing_ok=True)
            sync_folder(self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    def publish_unreported(self, *names: str) -> Path:
        """Give files their own names where the report is missing; give the folder in which they are.

        That is another one, within, where a finished run stands: it is whole, and stays.
        """
        if not self.finished or self.was_interrupted:
            self.publish(*names)
            return self.path
        within = RunFolder(self.path / NEW, force=True)
        within.make()
        try:
            for name in names:
                self.draft(name).replace(within.draft(name))
        except OSError as error:
            raise self._unwritable(error) from error
        within.publish(*names)
        return within.path

    def _settle(self) -> None:
        """Finish what a process had begun to publish, and was killed or held up by its disk."""
        if not self.is_publishing:
            return
        try:
            for name in (BAD_ROWS, REPORT, MODEL):
                if self.draft(name).exists():
                    self.draft(name).replace(self.path / name)
            sync_folder(self.path)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write to '{self.path}': {(error.strerror or str(error)).lower()}")

    def discard(self) -> None:
        """Remove what was being written, and the folder if nothing else is in it."""
        for name in (BAD_ROWS, RECORD, REPORT, MODEL):
            self.draft(name).unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty
            self.path.rmdir()
