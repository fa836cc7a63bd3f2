"""Writing files so that at every moment there is either the old one whole or the new one whole."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import OutputError

__all__ = ["PART", "nearest", "refuse_address", "remove_leftovers", "replacing", "sync_folder"]

PART = ".part"
"""How the names of files end that are being written."""


def nearest(missing: str | os.PathLike[str]) -> str:
    """Ask whether the file or folder is meant whose name is nearest to that of a missing one.

    Nothing is asked if none is near, or if it is there and merely not what was wanted.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "flights.csv").touch()
    ...     nearest(Path(folder, "fligths.csv")).replace(folder, "")
    '; did you mean /flights.csv?'
    """
    path = Path(missing)
    try:
        if path.exists():
            return ""
        near = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], 1)
    except OSError:  # the name may be too long for any file
        return ""
    return f"; did you mean {path.with_name(near[0])}?" if near else ""


def refuse_address(out: str | Path | None) -> None:
    """Raise OutputError for the address of a bucket, of which `Path` would make a folder named "s3:"."""
    if "://" in str(out):
        raise OutputError(f"'{out}' is an address: what is written goes to a file or folder of this machine")


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Give a file to write in, which takes the place of `path` only when all of it is safely on the disk.

    The bytes go to a temporary file in the same folder, which is fsynced and renamed at the end; when the body raises,
    the temporary file is removed and whatever stood at `path` is untouched.

    Raises
    ------
    OutputError
        When the folder is missing, read-only or an address, or the disk is full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as file:
    ...         _ = file.write(b"whole")
    ...     Path(folder, "a.txt").read_text()
    'whole'
    """
    refuse_address(path)
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder, where a file is to be written")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {_reason(error)}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {_reason(error)}") from error
    finally:
        with suppress(OSError):  # what went wrong before, or nothing, is what counts
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that processes have left in a folder which were killed while they wrote."""
    for leftover in folder.glob(f".*{PART}"):
        leftover.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _umask() -> int:
    """Read the umask, which can only be read by setting it; mkstemp makes files that only their owner may read."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def sync_folder(folder: Path) -> None:
    """Make the rename itself durable; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
