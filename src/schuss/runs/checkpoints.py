"""The checkpoints of a run: two files, of which one is always whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..data.saved import Saved, together
from ..errors import ModelFileError, OutputError
from ..files import remove_leftovers, replacing, sync_folder
from ..race.record import Recorder
from ..sealed import open_sealed, write_sealed

__all__ = ["CHECKPOINT", "Checkpointer", "Checkpoints"]

CHECKPOINT = "checkpoint"
"""The folder of the checkpoints in that of a run, and the kind of their files."""

FORMAT = 3
"""Changed whenever an older schuss could not read the file."""

KEPT = 2

PATIENCE = 10.0
"""So many times as long as writing a checkpoint takes, the next one waits at least."""


class Checkpoints:
    """The files in the folder `checkpoint` of a run, numbered as they come."""

    def __init__(self, run: Path) -> None:
        self.folder = run / CHECKPOINT

    @property
    def files(self) -> list[Path]:
        """The files, the newest first."""
        return sorted(self.folder.glob("[0-9]*.safetensors"), reverse=True)

    def write(self, saved: Saved) -> None:
        """Write the newest one, and only then remove those that are too old.

        Raises OutputError when it cannot be written; the older ones stay then.
        """
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True)
                sync_folder(self.folder.parent)
            remove_leftovers(self.folder)
            number = int(self.files[0].stem) + 1 if self.files else 1
            with replacing(self.folder / f"{number:08d}.safetensors") as file:
                write_sealed(file, CHECKPOINT, {"format": FORMAT, **saved.values}, saved.arrays)
            for old in self.files[KEPT:]:
                old.unlink()
        except OSError as error:
            raise OutputError(f"cannot write to '{self.folder}': {(error.strerror or str(error)).lower()}") from error

    def newest(self, tell: Callable[[str], None]) -> Saved | None:
        """Read the newest one that is whole; None if there is none. What is damaged is told of."""
        for file in self.files:
            try:
                with open_sealed(file, CHECKPOINT) as sealed:
                    if sealed.values["format"] != FORMAT:
                        raise ValueError(f"it has format {sealed.values['format']}, where this schuss reads {FORMAT}")
                    return Saved(sealed.values, {name: sealed.load(name) for name in sealed.arrays})
            except ModelFileError as error:
                tell(f"{error}; what was written before it is used instead")
        return None

    def clear(self) -> None:
        """Remove all of them."""
        with suppress(OSError):
            for file in self.files:
                file.unlink()
            remove_leftovers(self.folder)
            self.folder.rmdir()


class Checkpointer:
    """Writes down a training: every so many seconds, and when an end is asked for.

    basis : gives what does not change any more, at the first time; record : what has happened goes with the rest.
    A checkpoint that cannot be written is told of, and training goes on.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        every: float,
        basis: Callable[[], Saved],
        record: Recorder,
        stop_requested: Callable[[], bool],
    ) -> None:
        self._checkpoints, self._every, self._record, self._stop = checkpoints, every, record, stop_requested
        self._basis, self._known = basis, None
        self._last, self._wait = time.monotonic(), every
        self._failure: str | None = None

    def due(self, share: float = 1.0) -> bool:
        """Whether it is time for the next one, or a share of that time is over."""
        return time.monotonic() - self._last >= share * self._wait or self._stop()

    def write(self, now: Saved, events: int | None = None) -> None:
        """Write what a training is now, with the first so many events of its record, or all."""
        begun = time.monotonic()
        self._known = self._known or self._basis()
        lines = np.frombuffer(self._record.lines(events), np.uint8)
        parts = {name: now.part(name) for name in now.values}
        try:
            self._checkpoints.write(together({}, basis=self._known, record=Saved({}, {"lines": lines}), **parts))
            self._failure = None
        except OutputError as error:
            if str(error) != self._failure:
                self._failure = str(error)
                self._record("notice", message=f"no checkpoint, training goes on without: {error}")
        self._last = time.monotonic()
        self._wait = max(self._every, PATIENCE * (self._last - begun))
