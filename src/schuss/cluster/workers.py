"""What workers are to whoever has work for them, and this process in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

__all__ = ["Here", "Work", "Workers"]

Work = Callable[..., tuple[Any, Any]]
"""A pure function: the same arguments give the same bits, wherever and however often it is called.

It gives what stays where it is, to be handed to other work, and what is told.
"""


class Workers(Protocol):
    """Do work: pure functions of values, of what has been put before them, and of what other work has left."""

    count: int

    def put(self, value: Any) -> Any:
        """Put a value where every worker can reach it; give what stands for it among the arguments of work."""
        ...

    def begin(self, work: Work, *arguments: Any) -> Any:
        """Have work begun; give what stands for it."""
        ...

    def end(self, begun: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Wait for work; give, in its order, what stands for what has stayed, and what is told."""
        ...


class Here:
    """Work done in this process, in the place of so many workers: the same work one after the other, the same bits.

    >>> here = Here(2)
    >>> here.end([here.begin(lambda a, b: (a, a + b), 1, here.put(2))])
    [(1, 3)]
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def put(self, value: Any) -> Any:
        """Give the value itself."""
        return value

    def begin(self, work: Work, *arguments: Any) -> Callable[[], tuple[Any, Any]]:
        """Put work off until it is waited for."""
        return partial(work, *arguments)

    def end(self, begun: Sequence[Callable[[], tuple[Any, Any]]]) -> list[tuple[Any, Any]]:
        """Do the work."""
        return [do() for do in begun]
