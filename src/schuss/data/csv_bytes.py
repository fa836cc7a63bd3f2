"""Bytes of CSV text that are not UTF-8, as characters that no text has: Arrow gives rows of bad bytes to nobody."""

from __future__ import annotations

import codecs
import re
from typing import Any

__all__ = ["Utf8Stream", "as_utf8", "as_written", "holds_stand_ins"]

# The last characters of Unicode, which are for private use: U+10FF80 stands for the byte 0x80, U+10FFFF for 0xFF.
_STAND_INS = 0x10FF00
_STAND_IN = re.compile(rb"\xf4\x8f[\xbe\xbf][\x80-\xbf]")
_ERRORS = "schuss.stand-ins"


def as_utf8(text: bytes) -> bytes:
    r"""Put stand-ins where bytes are not UTF-8.

    >>> as_written(as_utf8(b"gr\xfcn")), as_utf8("grün".encode()) == "grün".encode()
    (b'gr\xfcn', True)
    """
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("utf-8", _ERRORS).encode()
    return text


def as_written(text: bytes) -> bytes:
    """Put the bytes back that stand-ins stand for."""
    return _STAND_IN.sub(lambda found: bytes([ord(found[0].decode()) - _STAND_INS]), text)


def holds_stand_ins(text: bytes) -> bool:
    """Whether there are any."""
    return b"\xf4\x8f" in text and _STAND_IN.search(text) is not None


class Utf8Stream:
    """A byte stream with stand-ins where its bytes are not UTF-8."""

    closed = False

    def __init__(self, raw: Any) -> None:
        self._raw, self._ready = raw, b""
        self._decoder = codecs.getincrementaldecoder("utf-8")(_ERRORS)

    def read(self, size: int) -> bytes:
        """Give at most `size` bytes, none at the end."""
        while not self._ready:
            block = self._raw.read(size)
            self._ready = self._decoder.decode(block, final=not block).encode()
            if not block:
                break
        found, self._ready = self._ready[:size], self._ready[size:]
        return found

    def readable(self) -> bool:
        """Say that this can be read, which Arrow asks."""
        return True

    def close(self) -> None:
        """Do nothing: whoever opened the stream closes it."""


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(_STAND_INS + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _stand_in)
