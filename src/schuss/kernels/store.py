"""Kernels kept as machine code: compiled once, found by every later process, never stale.

A process that finds all its kernels here does not import numba: importing it and calling a first function from its own
cache take 0.55 s, loading the same machine code with llvmlite 0.03 s. The folder is named by a hash of everything the
code depends on: every formula and every kernel, the versions that compile them, the processor. An edited formula
therefore never meets a stale kernel.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import platform
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np

from .. import descent
from ..errors import OptionError, OutputError
from ..files import replacing
from ..versions import version_of

__all__ = ["MachineCode", "address_of", "cache_folder", "run"]

Native = Callable[[Any, Any, Any], int]

_view, _address = (ctypes.c_char * 0).from_buffer, ctypes.addressof
_NUMBER, _BITS = struct.Struct("d"), struct.Struct("q")
_UNUSED = ctypes.byref(ctypes.c_void_p())
_MARK = b"schuss kernel\n"
_ready: dict[tuple[Any, ...], Native] = {}
_KEPT = 1024
_statics: dict[tuple[int, ...], _Static] = {}
_loaded: list[Any] = []
_lock = threading.Lock()


class MachineCode(NamedTuple):
    """An object file, and the function in it, as numba makes them: f(result, error, arguments), which gives 0.

    Result and error are pointers that stay unused: a kernel writes into its arguments.
    """

    symbol: str
    object_code: bytes


def run(kernel: str, static: tuple[Any, ...], *arguments: Any) -> None:
    """Call a kernel, `"module:function"` of this room, without holding the interpreter's lock.

    static : the kernel's first parameters, by whose types it is compiled (rules, losses, tuples of zeros); of their
    values only the floats of named tuples count, such as the δ of a loss;
    arguments : the others: C-contiguous arrays, which the kernel writes into, integers and floats.

    Raises TypeError for an array that is not contiguous; RuntimeError from a kernel compiled with bounds checks.

    >>> x, y = np.array([1.0, 2.0, 4.0]), np.zeros(3)
    >>> run("example:scale", (), x, 0.5, y)
    >>> y
    array([0.5, 1. , 2. ])
    """
    known = _look_at(static)
    table = known.numbers.copy()
    kinds = tuple([_add(argument, table) for argument in arguments])
    key = (kernel, known.types, kinds)
    native = _ready.get(key)
    if native is None:
        if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
            with np.errstate(all="ignore"):  # machine code does not warn either
                _uncompiled(kernel)(*static, *arguments)
            return
        with _lock:
            native = _ready.get(key) or _prepare(kernel, static, kinds)  # another thread may have been faster
            _ready[key] = native
    if native(_UNUSED, _UNUSED, struct.pack(f"{len(table)}q", *table)):
        raise RuntimeError(f"kernel {kernel} failed; run uncompiled (NUMBA_DISABLE_JIT=1) it says where")


class _Static(NamedTuple):
    """Static parameters, kept so that no other object gets their ids; their types, and the bits of their numbers."""

    parameters: tuple[Any, ...]
    types: tuple[Any, ...]
    numbers: list[int]


def _look_at(static: tuple[Any, ...]) -> _Static:
    """Give what counts of static parameters, which are the same objects from call to call."""
    ids = tuple([id(one) for one in static])
    known = _statics.get(ids)
    if known is None:
        if len(_statics) >= _KEPT:
            _statics.clear()
        numbers = [_BITS.unpack(_NUMBER.pack(number))[0] for one in static for number in numbers_of(one)]
        known = _statics[ids] = _Static(static, _types_of(static), numbers)
    return known


def _types_of(static: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give what counts of static parameters: named tuples of different types may be equal, these are not."""
    return tuple([(type(one), _types_of(one)) if isinstance(one, tuple) else type(one) for one in static])


def numbers_of(static: Any) -> list[float]:
    """Give the numbers of a static parameter that a kernel is told at every call: the floats of a named tuple."""
    return [value for value in static if isinstance(value, float)] if hasattr(static, "_fields") else []


def _add(argument: Any, table: list[int]) -> tuple[Any, int]:
    """Add an argument to the table; give its type and number of dimensions."""
    if isinstance(argument, np.ndarray):
        table.append(address_of(argument))
        table.extend(argument.shape)
        return argument.dtype, argument.ndim
    if isinstance(argument, (float, np.floating)):
        table.append(_BITS.unpack(_NUMBER.pack(argument))[0])
        return float, 0
    table.append(int(argument))
    return int, 0


def address_of(array: np.ndarray) -> int:
    """Give where the memory of an array begins; raises TypeError where it is not C-contiguous."""
    try:
        return _address(_view(array))
    except (TypeError, ValueError):  # a third of the time of array.ctypes.data, which read-only arrays need
        if not array.flags.c_contiguous:
            raise TypeError(f"a kernel takes C-contiguous arrays, got strides {array.strides}") from None
        return array.ctypes.data


def _uncompiled(kernel: str) -> Callable[..., None]:
    """Give the Python function of a kernel."""
    module, _, function = kernel.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), function)


def _prepare(kernel: str, static: tuple[Any, ...], kinds: tuple[tuple[Any, int], ...]) -> Native:
    """Load a kernel from the disk, or compile it and leave it there."""
    path = cache_folder() / f"{kernel.replace(':', '.')}-{_digest(static, kinds)}.kernel"
    code = _read(path)
    if code is None:
        code = _compiled(kernel, static, kinds)
        with suppress(OSError, OutputError):  # a folder that cannot be written to costs time, nothing else
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, code)
    return _load(code)


def _compiled(kernel: str, static: tuple[Any, ...], kinds: tuple[tuple[Any, int], ...]) -> MachineCode:
    """Compile a kernel; a formula of the user's that does not compile is wrong input."""
    from .compiler import compile_kernel

    try:
        return compile_kernel(_uncompiled(kernel), static, kinds)
    except Exception as error:
        own = ", ".join(kind.__qualname__ for kind in _flat(_types_of(static)) if _is_outside(kind))
        if not own:
            raise
        said = next((line.strip(" >") for line in str(error).splitlines() if ">>>" in line), type(error).__name__)
        raise OptionError(f"the formula of {own} does not compile for the lanes of several runs: {said}") from error


def _flat(kinds: Any) -> Iterator[Any]:
    """Give the types in nested tuples of types."""
    for kind in kinds:
        yield from _flat(kind) if isinstance(kind, tuple) else (kind,)


def _is_outside(kind: Any) -> bool:
    """Whether a type is somebody else's, and its formulas therefore not among those of the fingerprint."""
    return kind.__module__.partition(".")[0] not in ("schuss", "builtins", "numpy")


def _digest(static: tuple[Any, ...], kinds: tuple[tuple[Any, int], ...]) -> str:
    """Name the types of a kernel's parameters; formulas from outside of schuss count with their source."""
    arguments = [(_name(kind), dimensions) for kind, dimensions in kinds]
    return hashlib.sha256(repr((_name(_types_of(static)), arguments)).encode()).hexdigest()[:16]


def _name(kind: Any) -> Any:
    """Write types out, as they are called in every process."""
    if isinstance(kind, tuple):
        return [_name(part) for part in kind]
    if isinstance(kind, np.dtype):
        return kind.str
    file = getattr(sys.modules[kind.__module__], "__file__", None) if _is_outside(kind) else None
    source = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    return f"{kind.__module__}.{kind.__qualname__} {source}"


def _read(path: Path) -> MachineCode | None:
    """Read machine code; None for a file that is missing or not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, _, rest = data.removeprefix(_MARK).partition(b"\n")
    if not data.startswith(_MARK) or hashlib.sha256(rest).hexdigest().encode() != digest:
        return None
    symbol, _, object_code = rest.partition(b"\n")
    return MachineCode(symbol.decode(), object_code)


def _write(path: Path, code: MachineCode) -> None:
    """Write machine code with its hash."""
    rest = code.symbol.encode() + b"\n" + code.object_code
    with replacing(path) as draft:
        draft.write(_MARK + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)


def _load(code: MachineCode) -> Native:
    """Make machine code callable; each object file in an engine of its own, so that names cannot clash."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    file = llvm.object_file.ObjectFileRef.from_data(code.object_code)
    engine.add_object_file(file)
    engine.finalize_object()
    _loaded.append((engine, file, code))  # LLVM copies neither the object file nor the bytes
    return ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3)(engine.get_function_address(code.symbol))


def target_machine() -> Any:
    """Give LLVM's description of this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True)


def cache_folder() -> Path:
    """Name the folder of compiled kernels: in `$SCHUSS_CACHE`, else in the user's cache folder."""
    chosen = os.environ.get("SCHUSS_CACHE")
    if chosen:
        return Path(chosen) / _fingerprint()
    users = os.environ.get("XDG_CACHE_HOME")
    return (Path(users) if users else Path.home() / ".cache") / "schuss" / _fingerprint()


@cache
def _fingerprint() -> str:
    """Hash the sources of every formula and kernel, the versions that compile them, and the processor."""
    versions = [version_of("numba"), version_of("llvmlite"), platform.python_version()]
    processor = [platform.machine(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
    digest = hashlib.sha256(repr((versions, processor, settings)).encode())
    for folder in (Path(descent.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
