"""Kernels kept as machine code: found again without numba, never stale, never damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import njit

from schuss import descent
from schuss.kernels import compiler, example, store
from schuss.kernels.options import kernel

SCRIPT = """
import sys
import numpy as np
from schuss.kernels import store
x, y = np.array([1.0, 2.0, 4.0], sys.argv[1]), np.zeros(3)
store.run("example:scale", (), x, 0.5, y)
assert y.tolist() == [0.5, 1.0, 2.0]
print("numba" in sys.modules)
"""


def scale_elsewhere(folder: Path, kind: str = "f8", **environment: str) -> bool:
    """Run a kernel in a new process; say whether it needed numba."""
    environment = {**os.environ, "SCHUSS_CACHE": str(folder), **environment}
    command = [sys.executable, "-W", "error", "-c", SCRIPT, kind]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() == "True"


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A process that has no kernel yet, and an empty folder."""
    monkeypatch.setenv("SCHUSS_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "_ready", {})
    return tmp_path


def scale(x: np.ndarray) -> list[float]:
    y = np.zeros(len(x))
    store.run("example:scale", (), x, 0.5, y)
    return y.tolist()


def test_a_new_process_finds_kernels_without_numba(tmp_path: Path) -> None:
    assert scale_elsewhere(tmp_path)
    assert not scale_elsewhere(tmp_path)
    assert scale_elsewhere(tmp_path, "f4"), "another type is another kernel"
    assert not scale_elsewhere(tmp_path, "f4")
    assert not scale_elsewhere(tmp_path)


def test_a_damaged_file_is_compiled_again(fresh: Path) -> None:
    assert scale(np.ones(2)) == [0.5, 0.5]
    (path,) = fresh.rglob("*.kernel")
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b"other\n" + whole):
        path.write_bytes(damaged)
        store._ready.clear()
        assert scale(np.ones(2)) == [0.5, 0.5]
        assert store._read(path) is not None


def test_a_folder_that_cannot_be_written_to(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHUSS_CACHE", str(fresh / "file" / "below"))
    (fresh / "file").write_text("in the way")
    assert scale(np.ones(1)) == [0.5]
    assert [path.name for path in fresh.iterdir()] == ["file"]


def test_uncompiled(tmp_path: Path) -> None:
    assert scale_elsewhere(tmp_path, NUMBA_DISABLE_JIT="1")
    assert not list(tmp_path.rglob("*.kernel"))


@pytest.mark.parametrize("room", ["descent", "kernels"])
def test_an_edited_source_has_a_folder_of_its_own(room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def folder() -> Path:
        store._fingerprint.cache_clear()
        return store.cache_folder()

    now = folder()
    copy = tmp_path / "copy"
    owner = descent if room == "descent" else store
    assert owner.__file__ is not None
    shutil.copytree(Path(owner.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    if room == "descent":
        monkeypatch.setattr(store, "descent", SimpleNamespace(__file__=str(copy / "__init__.py")))
    else:
        monkeypatch.setattr(store, "__file__", str(copy / "store.py"))
    assert folder() == now, "the sources count, not where they lie"
    edited = copy / ("losses/binary.py" if room == "descent" else "dense.py")
    edited.write_text(edited.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    assert folder() != now
    monkeypatch.undo()
    assert folder() == now


def test_the_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHUSS_CACHE", str(tmp_path))
    assert store.cache_folder().parent == tmp_path
    monkeypatch.delenv("SCHUSS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.cache_folder().parent == tmp_path / "schuss"


class Left(NamedTuple):
    """A formula."""


class Right(NamedTuple):
    """Another one, equal to it as a tuple."""


def test_equal_tuples_of_different_types_are_different_kernels() -> None:
    assert Left() == Right()
    assert store._types_of(((Left(), 1.0),)) != store._types_of(((Right(), 1.0),))
    assert store._digest((Left(),), ()) != store._digest((Right(),), ())
    assert store._digest(((0.0, 0.0),), ()) != store._digest(((0.0,),), ())


def test_arrays_must_be_contiguous() -> None:
    with pytest.raises(TypeError, match=r"C-contiguous arrays, got strides \(16,\)"):
        scale(np.ones(4)[::2])


@kernel()
def allocates(x):
    x[0] = np.ones(len(x)).sum()


@njit
def prints(x):
    print(x[0])


@pytest.mark.parametrize(("needy", "reason"), [(allocates, "No implementation of function"), (prints, "needs Python")])
def test_a_kernel_that_needs_python_is_refused(needy: Any, reason: str) -> None:  # it would end a process without numba
    with pytest.raises(Exception, match=reason):
        compiler.compile_kernel(needy, (), ((np.dtype("f8"), 1),))


def test_machine_code_holds_the_kernel_alone() -> None:
    code = compiler.compile_kernel(example.scale, (), ((np.dtype("f8"), 1), (float, 0), (np.dtype("f8"), 1)))
    assert len(code.object_code) < 10_000
    assert code.symbol.isascii()


def test_the_address_of_an_array_is_numpys() -> None:
    whole = np.arange(12.0).reshape(3, 4)
    fixed = whole.copy()
    fixed.flags.writeable = False
    for array in (whole, whole[1:], whole[:0], fixed, fixed[1:]):
        assert store.address_of(array) == array.ctypes.data
    for strided in (whole[:, 1:], fixed.T):
        with pytest.raises(TypeError, match=r"C-contiguous arrays, got strides \("):
            store.address_of(strided)
