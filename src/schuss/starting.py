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
    looks for pandas and dateutil, once, and imports them where they are installed: 250 ms and 10, for data frames and
    calendars, which never come from a command line.
    """
    if not click.get_current_context().find_root().obj["own process"]:
        yield
        return
    gc.disable()
    try:
        yield
        import pyarrow as pa

        sys.meta_path.insert(0, _NoCalendars)
        try:
            pa.array([])
        finally:
            sys.meta_path.remove(_NoCalendars)
    finally:
        gc.freeze()
        gc.enable()


class _NoCalendars:
    """Finds neither pandas nor dateutil."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name in ("pandas", "dateutil"):
            raise ModuleNotFoundError(name)
