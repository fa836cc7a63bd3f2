"""What makes the command line start quickly."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

__all__ = ["give_memory_back", "quick_start"]

_UNUSED_MS = 100


@contextmanager
def quick_start() -> Iterator[None]:
    """Import what a command needs; in a process of our own neither garbage nor pandas is looked for meanwhile.

    Imports make objects that stay: collecting garbage among them finds none and takes 40 ms. At its first array Arrow
    looks for pandas, once, and imports it where it is installed: 250 ms, and no data frame comes from a command line.
    """
    if not _is_own_process():
        yield
        return
    gc.disable()
    try:
        yield
        import pyarrow as pa

        sys.meta_path.insert(0, _NoPandas)
        try:
            pa.array([])
        finally:
            sys.meta_path.remove(_NoPandas)
    finally:
        gc.freeze()
        gc.enable()


def give_memory_back() -> None:
    """In a process of our own, let Arrow get its memory from jemalloc, if it was built with that.

    mimalloc, which it would choose, keeps for each thread what others have freed: to train on two million rows of
    numbers, categories and text took 100 MiB more. With Arrow's own second until jemalloc gives back it took 601 to 640
    MiB on a quiet machine, with a tenth of one 585 to 611, in the same time.
    """
    import pyarrow as pa

    chosen = not _is_own_process() or "ARROW_DEFAULT_MEMORY_POOL" in os.environ
    if not chosen and "jemalloc" in pa.supported_memory_backends():
        pa.jemalloc_set_decay_ms(_UNUSED_MS)
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def _is_own_process() -> bool:
    return click.get_current_context().find_root().obj["own process"]


class _NoPandas:
    """Finds no pandas."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)
