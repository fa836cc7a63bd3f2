"""Named arrays and plain values in one file that runs no code and is refused unless it is exactly as it was written.

The file has the format of safetensors: the length of a header in 8 bytes, the header in JSON, the bytes of the arrays.
Of all that this format allows, only what `write_sealed` writes is read:

```
{"__metadata__": {"sha256": "…", "kind": "model", "values": "{…}"}, "weights": {"dtype": "F32", "shape": […], …}, …}
```

The SHA-256 is that of the whole file, its own 64 digits as zeros. It finds what was damaged by accident; whoever forges
a file can make the sum fit. So nothing is believed: sizes are compared with the size of the file before anything is set
aside for them, and what the values mean is for the caller to check before he asks for the arrays.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import ModelFileError, OutputError
from .files import nearest

__all__ = ["Declared", "Sealed", "open_sealed", "write_sealed"]

_BEGIN = b'{"__metadata__":{"sha256":"'
_DIGITS = slice(8 + len(_BEGIN), 8 + len(_BEGIN) + 64)
_NO_DIGITS = b"0" * 64

# JSON takes up to 100 bytes of memory for each of its values: these bounds keep a header near half a gigabyte, and
# have room for a thousand columns of a thousand categories each.
_LONGEST_HEADER = 64 << 20
_MOST_VALUES = 4 << 20
_MOST_DIMENSIONS = 8
_BLOCK = 1 << 20

_NAME = re.compile(r"\w+([.]\w+)*", re.ASCII)
_LONGEST_NAME = 200
_DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


class Declared(NamedTuple):
    """What a file says of one of its arrays."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Sealed:
    """An open file whose sum and sizes are right.

    values : the plain values in it; arrays : what it says of each of its arrays, none of which has been read yet.
    """

    def __init__(self, file: BinaryIO, begin: int, values: dict[str, Any], arrays: dict[str, Declared]) -> None:
        self.values, self.arrays = values, arrays
        self._file = file
        sizes = [_bytes(array) for array in arrays.values()]
        self._starts = dict(zip(arrays, begin + np.cumsum([0, *sizes])[:-1], strict=True))

    def load(self, name: str) -> NDArray[Any]:
        """Read one array."""
        array = np.empty(self.arrays[name].shape, self.arrays[name].dtype)
        self._file.seek(int(self._starts[name]))
        left = _raw(array)
        while left:
            count = self._file.readinto(left)  # pyright: ignore[reportAttributeAccessIssue] — an unbuffered file has it
            if not count:
                raise ValueError("it was cut off while it was read")
            left = left[count:]
        return array


def write_sealed(file: BinaryIO, kind: str, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write values and arrays.

    Parameters
    ----------
    kind : what the file is, such as "model"; only who asks for this kind can read it.
    values : whatever JSON can hold.
    arrays : by names of letters, digits and underscores, with dots between them.

    Raises
    ------
    ValueError
        At a name or a type that no file may hold, and at NaN among the values.
    OutputError
        When the values are more than a file may hold.
    """
    pieces = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = _header(kind, values, pieces)
    if _is_too_large(header):
        raise OutputError(f"the {kind} has {len(header):,} bytes of names and labels, more than can be read again")
    start = struct.pack("<Q", len(header)) + header
    digest = hashlib.sha256(start)
    for array in pieces.values():
        digest.update(_raw(array))
    file.write(start[: _DIGITS.start] + digest.hexdigest().encode() + start[_DIGITS.stop :])
    for array in pieces.values():
        file.write(_raw(array))


@contextmanager
def open_sealed(path: str | Path, kind: str) -> Iterator[Sealed]:
    """Open a file of this kind for reading.

    Raises ModelFileError when there is none or it is not exactly as `write_sealed` wrote it; the same when the body
    raises ValueError, KeyError or TypeError at what is in it.
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would keep whoever opens it waiting
            raise ValueError("it is not a regular file")
        with path.open("rb", buffering=0) as file:
            size = file.seek(0, 2)
            header = _sealed_header(file, size)
            yield Sealed(file, 8 + len(header), *_parsed(header, kind, size - 8 - len(header)))
    except FileNotFoundError:
        raise ModelFileError(f"there is no {kind} file {path}{nearest(path)}") from None
    except OSError as error:
        raise ModelFileError(f"the {kind} file {path} cannot be read: {error.strerror or error}") from error
    except RecursionError:
        raise ModelFileError(f"{path} is not a schuss {kind} file: its values are nested too deeply") from None
    except (ValueError, KeyError, TypeError) as error:
        said = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise ModelFileError(f"{path} is not a schuss {kind} file: {_one_line(said)}") from error


def _header(kind: str, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Give the header with zeros for the sum, filled up so that the arrays begin at a multiple of 8 bytes."""
    told = json.dumps(values, sort_keys=True, allow_nan=False)
    entries: dict[str, Any] = {"__metadata__": {"sha256": _NO_DIGITS.decode(), "kind": kind, "values": told}}
    end = 0
    for name, array in arrays.items():
        if not _is_name(name) or array.dtype not in _CODES or array.ndim > _MOST_DIMENSIONS:
            raise ValueError(f"no file may hold an array {name!r} of type {array.dtype} and shape {array.shape}")
        begin, end = end, end + array.nbytes
        entries[name] = {"dtype": _CODES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % 8)


def _is_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def _is_too_large(header: bytes) -> bool:
    return len(header) > _LONGEST_HEADER or sum(header.count(mark) for mark in (b",", b"[", b"{")) > _MOST_VALUES


def _raw(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _bytes(array: Declared) -> int:
    return math.prod(array.shape) * array.dtype.itemsize


def _sealed_header(file: BinaryIO, size: int) -> bytes:
    """Read the header, and raise ValueError unless the sum of the whole file is what it says."""
    file.seek(0)
    start = file.read(_DIGITS.stop)
    length = int.from_bytes(start[:8], "little")
    if len(start) < _DIGITS.stop or start[8 : _DIGITS.start] != _BEGIN:
        raise ValueError("it does not begin as one")
    if length > _LONGEST_HEADER or length > size - 8:
        raise ValueError(f"its header should have {length:,} bytes, more than {min(_LONGEST_HEADER, size - 8):,}")
    digest = hashlib.sha256(start[: _DIGITS.start] + _NO_DIGITS)
    while block := file.read(_BLOCK):
        digest.update(block)
    if digest.hexdigest().encode() != start[_DIGITS]:
        raise ValueError("it is damaged: its content does not have the SHA-256 that it says")
    file.seek(8)
    header = b""
    while len(header) < length and (block := file.read(length - len(header))):
        header += block
    if len(header) < length or _is_too_large(header):
        raise ValueError("its header holds more than is possible")
    return header


def _parsed(header: bytes, kind: str, size: int) -> tuple[dict[str, Any], dict[str, Declared]]:
    """Read the header of a file whose arrays take `size` bytes; raises ValueError where anything is not as written."""
    entries = _json(header.decode("ascii"))
    told = _with_keys(entries.pop("__metadata__"), {"sha256", "kind", "values"}, "its metadata")
    if told["kind"] != kind or not isinstance(told["values"], str):
        raise ValueError(f"it is a {str(told['kind'])[:40]!r}")
    values = _json(told["values"])
    if not isinstance(values, dict):
        raise ValueError("its values are not named")
    arrays: dict[str, Declared] = {}
    ends = [0]
    for name, entry in entries.items():
        if not _is_name(name):
            raise ValueError(f"it holds an array with the name {name[:40]!r}")
        arrays[name], begin, end = _declared(entry, name)
        if begin != ends[-1]:
            raise ValueError(f"its array '{name}' does not begin where the one before ends")
        ends.append(end)
    if ends[-1] != size:
        raise ValueError(f"its arrays should take {ends[-1]:,} bytes, and there are {size:,}")
    for name, (begin, end) in zip(arrays, pairwise(ends), strict=True):
        if end - begin != _bytes(arrays[name]):
            raise ValueError(f"its array '{name}' has {end - begin:,} bytes, which is not what its shape needs")
    return values, arrays


def _declared(entry: Any, name: str) -> tuple[Declared, int, int]:
    """Read what the header says of one array: its type and shape, where it begins and where it ends."""
    _with_keys(entry, {"dtype", "shape", "data_offsets"}, f"its array '{name}'")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"its array '{name}' has the type {str(dtype)[:40]!r}")
    if not (_are_sizes(shape) and len(shape) <= _MOST_DIMENSIONS and _are_sizes(offsets) and len(offsets) == 2):
        raise ValueError(f"its array '{name}' has no shape or no place")
    return Declared(_DTYPES[dtype], tuple(shape)), *offsets


def _are_sizes(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and 0 <= number < 1 << 62 for number in numbers)


def _with_keys(entry: Any, keys: set[str], what: str) -> dict[str, Any]:
    if not isinstance(entry, dict) or set(entry) != keys:
        raise ValueError(f"{what} must have {', '.join(sorted(keys))} and nothing else")
    return entry


def _json(text: str) -> Any:
    """Parse JSON in which no key comes twice and no number is NaN or infinite."""
    return json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name[:40]!r} comes twice")
        found[name] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds the number {text[:40]}")
    return number


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
