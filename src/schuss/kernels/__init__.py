"""The compiled loops: the only room that knows numba.

Importing it takes about half a second; compiled code is kept in a cache folder that is named by a hash of every source
that goes into a kernel. numba's own cache looks only at the file a kernel is written in, so that an edited formula in
`descent` would otherwise meet a stale kernel.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import numba
from numba.core import config

from schuss import descent

__all__ = ["cache_folder"]


def _sources_hash() -> str:
    """Hash the sources of every formula and kernel, and the versions that compile them."""
    folders = [Path(descent.__file__).parent, Path(__file__).parent]
    digest = hashlib.sha256(f"{numba.__version__} {platform.python_version()}".encode())
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Name the folder of compiled kernels: `$SCHUSS_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("SCHUSS_CACHE")
    if chosen:
        return Path(chosen) / _sources_hash()
    users = os.environ.get("XDG_CACHE_HOME")
    return (Path(users) if users else Path.home() / ".cache") / "schuss" / _sources_hash()


# numba reads the folder when a function is decorated; put the user's own setting back once ours are.
_users_folder, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())
try:
    from schuss.kernels import (
        dense,  # noqa: F401
        elementary,  # noqa: F401  (registers the formulas)
        sparse,  # noqa: F401
    )
finally:
    config.CACHE_DIR = _users_folder
