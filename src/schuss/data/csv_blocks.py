"""CSV text in blocks of whole lines, converted by several threads at once.

Arrow's own reader of a stream converts one block after the other. Where no field is quoted, every line end is the end
of a row, and blocks can be cut and converted apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, TypeVar

import numpy as np

from schuss.data.files import block_bytes

T = TypeVar("T")

_BLOCK_BYTES = 1 << 21  # 1 MiB: an epoch takes 5 % more of the processors, 4 MiB: as much as 1 MiB
_LONGEST_LINE = 1 << 24


class NotByLinesError(Exception):
    """A block holds a quote, or no line ends: it cannot be cut into lines without parsing what came before."""


def line_blocks(stream: BinaryIO, quoting: bool = True, begin: int = 0, columns: int = 1) -> Iterator[bytes]:
    r"""Yield text in blocks of whole lines; raises NotByLinesError at the first that cannot be cut.

    quoting : whether a quote may begin a field that goes on over several lines; a first line of quoted names does not;
    begin : the byte at which the stream has been entered, where a block begins: the next ones are cut as they were;
    columns : how many fields a row has.

    >>> import io
    >>> list(line_blocks(io.BytesIO(b'"a","b"\n1,2\n3,4')))
    [b'"a","b"\n1,2\n', b'3,4']
    """
    size = block_bytes(_BLOCK_BYTES, columns)
    rest, first, wanted = b"", begin == 0, size - begin % size
    while block := stream.read(wanted):
        wanted = size
        end = block.rfind(b"\n") + 1
        names = block.find(b"\n") + 1 if first else 0
        quoted = block.find(b'"', names) >= 0 or block.count(b'"', 0, names) % 2 == 1
        if (quoting and quoted) or len(rest) > _LONGEST_LINE:
            raise NotByLinesError
        if end:
            yield b"".join([rest, memoryview(block)[:end]])
            rest = b""
        rest, first = rest + block[end:], False
    if rest:
        yield rest


def rows_in(block: bytes) -> int:
    r"""Count the rows of whole lines without quotes: the lines that are not empty, as Arrow counts them.

    >>> rows_in(b"1,2\r\n\r\n3,4\n\n5,6")
    3
    """
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero((text == 10) | (text == 13) if b"\r" in block else text == 10)
    return int(np.count_nonzero(np.diff(ends, prepend=-1, append=len(text)) > 1))


def converted_ahead(blocks: Iterator[bytes], convert: Callable[[int, bytes], T], threads: int) -> Iterator[T]:
    """Yield `convert(place, block)` for each block, in order, while the next ones are converted."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, "schuss-csv") as pool:
        try:
            for place, block in enumerate(blocks):
                waiting.append(pool.submit(convert, place, block))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except NotByLinesError:
            while waiting:
                yield waiting.popleft().result()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
