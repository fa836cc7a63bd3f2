"""Sealed files: what was written comes back, others can read it, and what was forged is refused before it is read."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from schuss import sealed
from schuss.errors import ModelFileError, OutputError
from schuss.sealed import open_sealed, write_sealed

VALUES = {"name": "Grüße", "lone": "\ud800", "list": [1, 2.5, None, True], "nested": {"a": {}}}
ARRAYS = {
    "weights": np.arange(6, dtype="f4").reshape(2, 3),
    "state.step": np.array(7),
    "empty": np.zeros((0, 4), "f8"),
    "flags": np.array([True, False]),
    "counter": np.array([2**64 - 1], "u8"),
}
DIGITS = slice(8 + 27, 8 + 27 + 64)


def written(path: Path, values: Any = VALUES, arrays: Any = ARRAYS) -> bytes:
    with path.open("wb") as file:
        write_sealed(file, "model", values, arrays)
    return path.read_bytes()


def resealed(content: bytes) -> bytes:
    """Make the sum fit, as whoever forges a file would."""
    blank = content[: DIGITS.start] + b"0" * 64 + content[DIGITS.stop :]
    return content[: DIGITS.start] + hashlib.sha256(blank).hexdigest().encode() + content[DIGITS.stop :]


def forged(
    rest: str, *, values: str = "{}", kind: str = "model", data: bytes = b"", length: int | None = None
) -> bytes:
    """Make a file whose header goes on with `rest` after the metadata."""
    metadata = f'"sha256":"{"0" * 64}","kind":"{kind}","values":{json.dumps(values)}'
    header = f'{{"__metadata__":{{{metadata}}}{rest}}}'.encode()
    return resealed(struct.pack("<Q", len(header) if length is None else length) + header + data)


def entry(name: str, dtype: str, shape: Any, begin: Any, end: Any) -> str:
    return "," + json.dumps({name: {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}})[1:-1]


def load(path: Path) -> dict[str, Any]:
    with open_sealed(path, "model") as file:
        return {name: file.load(name) for name in file.arrays}


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    content = written(tmp_path / "m")
    assert written(tmp_path / "again") == content
    with open_sealed(tmp_path / "m", "model") as file:
        assert file.values == VALUES
        assert list(file.arrays) == list(ARRAYS)
        for name, array in ARRAYS.items():
            found = file.load(name)
            assert (found.dtype, found.shape) == (array.dtype, array.shape) == tuple(file.arrays[name])
            np.testing.assert_array_equal(found, array)


def test_it_is_a_file_of_safetensors(tmp_path: Path) -> None:
    content = written(tmp_path / "m")
    arrays = safetensors.numpy.load(content)
    assert arrays.keys() == ARRAYS.keys()
    np.testing.assert_array_equal(arrays["weights"], ARRAYS["weights"])


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    content = written(tmp_path / "m")
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        (tmp_path / "m").write_bytes(changed)
        with pytest.raises(ModelFileError):
            load(tmp_path / "m")


def test_every_cut_is_found(tmp_path: Path) -> None:
    content = written(tmp_path / "m")
    for size in range(len(content)):
        (tmp_path / "m").write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            load(tmp_path / "m")
    (tmp_path / "m").write_bytes(content + b"\0")
    with pytest.raises(ModelFileError):
        load(tmp_path / "m")


TWO = b"\0" * 16
FORGED = {
    "nothing": (b"", "it does not begin as one"),
    "header of 2^60 bytes": (forged("", length=1 << 60), "its header should have 1,152,921,504,606,846,976 bytes"),
    "header longer than the file": (forged("", length=4000), "its header should have 4,000 bytes"),
    "not JSON": (forged(" !"), "Expecting ',' delimiter"),
    "of another kind": (forged("", kind="checkpoint"), "it is a 'checkpoint'"),
    "values that are a list": (forged("", values="[]"), "its values are not named"),
    "values nested deeply": (forged("", values='{"a":' + "[" * 99_999 + "]" * 99_999 + "}"), "nested too deeply"),
    "a million lists": (forged("", values='{"a":[' + "[]," * 4_000_000 + "0]}"), "its header holds more than"),
    "number of 5,000 digits": (forged("", values=f'{{"a":{"9" * 5000}}}'), "4300 digits"),
    "infinite number": (forged("", values='{"a":1e999}'), "it holds the number 1e999"),
    "NaN": (forged("", values='{"a":NaN}'), "it holds the number NaN"),
    "value twice": (forged("", values='{"a":1,"a":2}'), "the key 'a' comes twice"),
    "array twice": (
        forged(entry("a", "F32", [2], 0, 8) + entry("a", "F32", [2], 8, 16), data=TWO),
        "the key 'a' comes twice",
    ),
    "more metadata": (forged(',"__metadata__":{}'), "the key '__metadata__' comes twice"),
    "overlapping": (
        forged(entry("a", "F32", [2], 0, 8) + entry("b", "F32", [3], 4, 16), data=TWO),
        "its array 'b' does not begin where the one before ends",
    ),
    "hole": (
        forged(entry("a", "F32", [2], 0, 8) + entry("b", "F32", [1], 12, 16), data=TWO),
        "its array 'b' does not begin where the one before ends",
    ),
    "bytes left over": (
        forged(entry("a", "F32", [2], 0, 8), data=TWO),
        "its arrays should take 8 bytes, and there are 16",
    ),
    "bytes that are not there": (
        forged(entry("a", "F32", [1 << 40], 0, 1 << 42)),
        "its arrays should take 4,398,046,511,104 bytes, and there are 0",
    ),
    "shape beyond 2^64": (
        forged(entry("a", "F32", [1 << 61, 1 << 61, 4], 0, 0)),
        "its array 'a' has 0 bytes, which is not what its shape needs",
    ),
    "negative shape": (forged(entry("a", "F32", [-2, -2], 0, 16), data=TWO), "its array 'a' has no shape or no place"),
    "true for a size": (forged(entry("a", "U8", [True], 0, 1), data=b"0"), "its array 'a' has no shape or no place"),
    "fraction for a size": (forged(entry("a", "U8", [1.0], 0, 1), data=b"0"), "its array 'a' has no shape or no place"),
    "ninety dimensions": (forged(entry("a", "U8", [1] * 90, 0, 1), data=b"0"), "has no shape or no place"),
    "end before begin": (forged(entry("a", "F32", [0], 8, 0), data=TWO), "does not begin where the one before ends"),
    "unknown type": (forged(entry("a", "OBJECT", [1], 0, 16), data=TWO), "its array 'a' has the type 'OBJECT'"),
    "name with a path": (forged(entry("../../x", "F32", [4], 0, 16), data=TWO), "an array with the name '../../x'"),
    "name with a blank": (forged(entry("a b", "F32", [4], 0, 16), data=TWO), "an array with the name 'a b'"),
    "long name": (forged(entry("a" * 300, "F32", [4], 0, 16), data=TWO), "an array with the name 'aaaaa"),
    "no shape": (
        forged(',"a":{"dtype":"F32","data_offsets":[0,16]}', data=TWO),
        "must have data_offsets, dtype, shape",
    ),
    "an array that is a number": (forged(',"a":5'), "must have data_offsets, dtype, shape and nothing else"),
    "UTF-16 in the header": (resealed(forged("")[:-3] + b"\xff\xfe}"), "can't decode"),
}


@pytest.mark.parametrize(("content", "message"), FORGED.values(), ids=FORGED)
def test_forged_files_are_refused_before_anything_is_set_aside(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "forged"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path} is not a schuss model file: ")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to such a limit")
def test_memory_is_bounded_whatever_a_file_claims(tmp_path: Path) -> None:
    """The largest header that is read at all, of the values that take most room for their length."""
    values = '{"a":[' + "{}," * 1_300_000 + "0]}"
    (tmp_path / "bomb").write_bytes(forged("", values=values))
    code = """
import resource, sys
import numpy
from schuss.sealed import open_sealed
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_sealed(sys.argv[1], "model") as file:
    assert len(file.values["a"]) == 1_300_001
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "bomb"], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400 << 10


def test_no_such_file(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "none", f"there is no checkpoint file {tmp_path / 'none'}"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ModelFileError, match=message), open_sealed(path, "checkpoint"):
            pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="it is not a regular file"):
        load(tmp_path / "pipe")


def test_what_cannot_be_written() -> None:
    for values, arrays in (
        ({"a": float("nan")}, {}),
        ({}, {"../x": np.ones(1)}),
        ({}, {"a": np.array([object()])}),
        ({}, {"a": np.array(["word"])}),
    ):
        with pytest.raises(ValueError, match=r"Out of range float|no file may hold"):
            write_sealed(io.BytesIO(), "model", values, arrays)


def test_what_could_not_be_read_again_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "_LONGEST_HEADER", 1000)
    with pytest.raises(OutputError, match="more than can be read again"):
        write_sealed(io.BytesIO(), "model", {"a": "b" * 1000}, {})


@given(st.data())
def test_any_change_that_is_sealed_anew_is_read_or_refused(tmp_path_factory: Any, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("m") / "m"
    content = bytearray(written(path))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(resealed(bytes(content)))
    with contextlib.suppress(ModelFileError):
        load(path)
