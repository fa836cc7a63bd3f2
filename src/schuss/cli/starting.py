"""What makes the command line start quickly."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

__all__ = ["quick_start"]


@contextmanager
def quick_start() -> Iterator[None]:
    """Import what a command needs; in a process of our own neither garbage nor pandas is looked for meanwhile.

    Imports make objects that stay: collecting garbage among them finds none and takes 40 ms. At its first array Arrow
    looks for pandas, once, and imports it where it is installed: 250 ms, and no data frame comes from a command line.
    """
    if not click.get_current_context().find_root().obj["own process"]:
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


class _NoPandas:
    """Finds no pandas."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)
