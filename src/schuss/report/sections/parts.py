"""What the sections share: a picture drawn for desk and phone, a long table folded away, a fact where it is known."""

from __future__ import annotations

import math
from collections.abc import Callable

from .. import layout
from ..history import History, number
from ..layout import Picture
from ..markup import Markup
from ..svg import Figure
from ..tables import Table

__all__ = ["folded", "known", "picture"]


def picture(
    name: str, draw: Callable[..., Figure], history: History, caption: str, summary: str, table: Table | None
) -> Markup:
    """Write a figure that is drawn both for desk and for phone."""
    return layout.figure(Picture(name, draw(history), draw(history, narrow=True), caption, summary, table))


def folded(table: Table, most: int, summary: str) -> Markup:
    """Write a table, folded away if it has more than `most` rows."""
    whole = layout.table(table)
    return layout.details(summary, whole) if len(table.rows) > most else whole


def known(words: Callable[[float], str], value: object) -> str:
    """Write a number in words, nothing where it is not known."""
    return words(number(value)) if math.isfinite(number(value)) else ""
