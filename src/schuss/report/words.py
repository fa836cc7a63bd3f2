"""Numbers and names as people read them."""

from __future__ import annotations

import math
import re
import unicodedata
from pathlib import PurePath

__all__ = [
    "amount",
    "bytes_in_words",
    "clean",
    "count",
    "duration",
    "figure",
    "no_better",
    "percent",
    "plural",
    "setting",
    "short_count",
    "short_path",
    "shorten",
]

MINUS = "\N{MINUS SIGN}"
UNKNOWN = "\N{EN DASH}"
_MARKS = 8
"""So many characters for each cell are looked at, since marks that combine with others take no cell of their own."""

# Not allowed in XML, or able to turn the text around: controls, surrogates, noncharacters, bidirectional overrides.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


def clean(value: object) -> str:
    r"""Make a string of the data safe to show: characters that cannot be printed become a replacement sign.

    >>> clean("a\tb")
    'a b'
    """
    text = value if isinstance(value, str) else str(value)
    return _UNPRINTABLE.sub(lambda found: " " if found[0] in "\t\n\r" else "\N{REPLACEMENT CHARACTER}", text)


def shorten(value: object, cells: int) -> str:
    """Cut a name in its middle to a width in character cells (East Asian characters are two cells wide).

    >>> shorten("a_rather_long_column_name", 12)
    'a_rathe…name'
    """
    text = str(value) or "(no name)"
    most = _MARKS * cells
    if len(text) > 2 * most:  # a value may be a book; its width is not asked of every character
        text = text[:most] + text[-most:]
    elif _width(text) <= cells:
        return text
    tail = _take(text[::-1], max(1, (cells - 1) * 2 // 5))[::-1]
    return _take(text, cells - 1 - _width(tail)) + "…" + tail


def _width(text: str) -> int:
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _take(text: str, cells: int) -> str:
    used = 0
    for end, character in enumerate(text):
        used += _cell(character)
        if used > cells:
            return text[:end]
    return text


def figure(value: float, digits: int = 4) -> str:
    """Write a measured number with so many significant digits.

    >>> figure(0.32137), figure(12345.678), figure(-0.0000123), figure(float("nan"))
    ('0.3214', '12,346', '−1.23e−5', '–')
    """
    if not math.isfinite(value):
        return UNKNOWN
    if value and not 1e-4 <= abs(value) < 1e9:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{places}f}".replace("-", MINUS)


def amount(value: float) -> str:
    """Write a value of the data: four significant digits at most.

    >>> amount(12.0), amount(0.125), amount(1301.0)
    ('12', '0.125', '1,301')
    """
    text = figure(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def setting(value: object) -> str:
    """Write a setting as it can be typed again: `0.03`, `1e-05`, `linear`.

    >>> setting(0.0316227), setting(1e-5), setting(32.0), setting(None)
    ('0.03162', '1e-5', '32', '–')
    """
    if value is None:
        return UNKNOWN
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return str(value)
    return re.sub(r"e([+-])0*", lambda found: "e-" if found[1] == "-" else "e", f"{value:.4g}")


def count(value: float) -> str:
    """Write a whole number with thousands separators.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{round(value):,}" if math.isfinite(value) else UNKNOWN


def short_count(value: float) -> str:
    """Write a large number for an axis.

    >>> short_count(950), short_count(20_000), short_count(2_500_000)
    ('950', '20k', '2.5M')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def plural(value: float, noun: str) -> str:
    """A count and its noun, which takes an s unless there is one.

    >>> plural(1, "run"), plural(16, "run")
    ('1 run', '16 runs')
    """
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def percent(share: float, digits: int = 1) -> str:
    """Write a share as a percentage that never rounds up to all or down to nothing.

    >>> percent(0.78314), percent(0.99999), percent(1.0), percent(0.00001)
    ('78.3%', '>99.9%', '100%', '<0.1%')
    """
    if not math.isfinite(share):
        return UNKNOWN
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    text = f"{100 * share:.{digits}f}"
    least = 10.0**-digits
    if share > 0 and float(text) == 0:
        return f"<{least:.{digits}f}%"
    if share < 1 and float(text) == 100:
        return f">{100 - least:.{digits}f}%"
    return f"{text}%".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Write a length of time.

    >>> duration(0.842), duration(75), duration(7322)
    ('0.84 s', '1 min 15 s', '2 h 2 min')
    """
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0.95:
        return f"{seconds:.2g} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def bytes_in_words(size: float) -> str:
    """Write a size in memory or on disk.

    >>> bytes_in_words(411_041_792)
    '392 MiB'
    """
    if not math.isfinite(size):
        return UNKNOWN
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 2**power:
            return f"{size / 2**power:.3g} {unit}"
    return f"{size:.0f} bytes"


def no_better(learning_rate: object) -> str:
    """Say that a model is no better than a constant, and what to do where the learning rate was stated."""
    if isinstance(learning_rate, int | float):
        why = f"the learning rate {setting(learning_rate)} was asked for, --learning-rate auto races over many"
    else:
        why = "nothing useful was learned from these columns"
    return f"the model is no better than a constant: {why}"


def short_path(place: object) -> str:
    """The last part of a path or URL.

    >>> short_path("data/2013/flights.parquet")
    'flights.parquet'
    """
    text = str(place)
    return PurePath(text.replace("\\", "/")).name or text
