"""What the commands share: exit codes, what is said on standard error, how values are passed on."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data.bad_rows import BadRow

__all__ = [
    "DEFECT",
    "DONE",
    "INTERRUPTED",
    "WRONG_INPUT",
    "Skipped",
    "as_json_text",
    "complain",
    "given",
    "notice",
    "on_one_line",
    "place",
    "tell",
]

DONE, DEFECT, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def complain(code: int, sentence: str) -> int:
    """Print a sentence on standard error, and give the exit code back."""
    tell(sentence)
    return code


def tell(sentence: str) -> None:
    """Print one line on standard error."""
    print(f"schuss: {on_one_line(sentence)}", file=sys.stderr)


def on_one_line(text: str) -> str:
    r"""Show characters of the data that would steer a terminal, or break a line, by their code.

    >>> on_one_line("two\nlines")
    'two\\nlines'
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def notice(sentence: str) -> None:
    """Tell of something that is not wrong, but that a person should know."""
    tell(f"notice: {sentence}")


class Skipped:
    """Counts bad rows, and says so on standard error."""

    def __init__(self) -> None:
        self.rows, self.first = 0, ""

    def add(self, name: str, row: BadRow) -> None:
        """Count a row of a file."""
        self.rows += 1
        self.first = self.first or row.sentence(name)

    def tell(self, became: str) -> None:
        """Say how many there were, and what became of them."""
        if self.rows:
            notice(f"{self.rows:,} rows could not be used and {became}; the first: {self.first}")


def place(data: tuple[str, ...]) -> str | list[str]:
    """Give DATA as `open_source` wants it."""
    return data[0] if len(data) == 1 else list(data)


def as_json_text(value: dict[str, Any]) -> str:
    """Write a result as JSON."""
    from ..race.record import plain

    return json.dumps(plain(value))


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Leave out the options that were not given."""
    return {name: value for name, value in options.items() if value is not None}
