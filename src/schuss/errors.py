"""Every error schuss raises on purpose.

```
SchussError
├── InputError          the user's data, options or files are wrong: one sentence, exit code 2
│   ├── DataError       a source cannot be read or holds a bad value (names file, row, column)
│   │   └── BadRowError one row of it cannot be used, while the others can
│   │       └── UnknownClassError  its class is none of those that are known
│   ├── OptionError     an option has a value it cannot have (names the valid ones)
│   ├── ModelFileError  a model or checkpoint is damaged, or is not one
│   ├── OutputError     the place to write to is taken, full or read-only
│   ├── ResumeError     a run cannot go on: its data or versions are not those that it began with
│   └── ClusterError    the workers cannot be reached, are of other versions, or are lost for good
└── TrainingError       no run of the population could be trained (all diverged)
```

A message is one sentence: what was required, what came, and where.
"""

from __future__ import annotations

__all__ = [
    "BadRowError",
    "ClusterError",
    "DataError",
    "InputError",
    "ModelFileError",
    "OptionError",
    "OutputError",
    "ResumeError",
    "SchussError",
    "TrainingError",
    "UnknownClassError",
]


class SchussError(Exception):
    """Root of every error raised on purpose."""


class InputError(SchussError):
    """What the user gave is wrong; the command line ends with exit code 2."""


class DataError(InputError):
    """A source cannot be read, or holds a value that cannot be used."""


class BadRowError(DataError):
    """One row of a source cannot be used, while the others can.

    where : the file or array; row : its place there, from 0; column : None for the row as a whole.

    >>> BadRowError("flights.csv", 8122, "dep_time", "'ab:cd' is not a number")
    BadRowError("flights.csv, row 8,123, column 'dep_time': 'ab:cd' is not a number")
    """

    def __init__(self, where: str, row: int, column: str | None, complaint: str) -> None:
        complaint = complaint if len(complaint) <= 300 else complaint[:300] + "…"
        at = "" if column is None else f", column {column!r}"
        super().__init__(f"{where}, row {row + 1:,}{at}: {complaint}")
        self.where, self.row, self.column, self.complaint = where, row, column, complaint


class UnknownClassError(BadRowError):
    """The class of a row is none of those that are known."""


class OptionError(InputError):
    """An option has a value it cannot have."""


class ModelFileError(InputError):
    """A file of our own, a model or a checkpoint, is damaged or is not one."""


class OutputError(InputError):
    """The place to write to is taken, full or read-only."""


class ResumeError(InputError):
    """A run cannot go on where it ended: its data or the versions are not those that it began with."""


class ClusterError(InputError):
    """The workers of a training cannot be reached, have other versions, or are lost for good."""


class TrainingError(SchussError):
    """No run of the population could be trained."""
