"""The options of a training, checked before anything is read."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..data.chunk import CHUNK_ROWS
from ..data.feed import ORDERS
from ..data.open import ON_BAD_ROW
from ..descent.activations import ACTIVATIONS
from ..descent.initializers import INITIALIZERS, parse_initializer
from ..descent.losses import LOSSES, family_of
from ..descent.optimizers import rule_named
from ..descent.schedules import SCHEDULES, parse_schedule
from ..descent.specs import split_specs
from ..errors import OptionError
from ..files import refuse_address

__all__ = ["OUT", "Settings", "parse_bytes", "parse_seconds"]

TASKS = ("auto", "classification", "regression")
DEVICES = ("auto", "cpu", "cuda")

OUT = "runs/{name}-{target}"
"""Where the command line writes a run unless told otherwise."""

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_bytes(text: str | int | None) -> int | None:
    """Read a size such as `4GB`, `512MiB` or a number of bytes.

    >>> parse_bytes("4GB"), parse_bytes("1.5KiB"), parse_bytes(100)
    (4000000000, 1536, 100)
    """
    if text is None or isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*([0-9.]+)\s*([kmgt]?i?)b?\s*", str(text).lower())
    if match is None or match[2] not in _UNITS:
        raise OptionError(f"option '--memory' takes a size such as 4GB or 512MiB, not '{text}'")
    return int(_number(match[1], "memory", text) * _UNITS[match[2]])


def parse_seconds(text: str | float | None, option: str = "time-limit") -> float | None:
    """Read a time such as `60s`, `10m`, `2h` or a number of seconds.

    >>> parse_seconds("2h"), parse_seconds(1.5), parse_seconds(None)
    (7200.0, 1.5, None)
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9.]+)\s*(s|m|min|h|)\s*", str(text).lower())
    if match is None:
        raise OptionError(f"option '--{option}' takes a time such as 60s, 10m or 2h, not '{text}'")
    seconds = _number(match[1], option, str(text)) * _SECONDS[match[2]]
    if seconds <= 0:
        raise OptionError(f"option '--{option}' takes a time above zero, not '{text}'")
    return seconds


def _number(text: str, name: str, whole: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.inf
    if number == math.inf:
        raise OptionError(f"option '--{name}' takes a number with a unit, not '{whole[:40]}'")
    return number


def machine_memory() -> int:
    """Give the bytes of memory of this machine, 4 GB where that cannot be asked."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 4 * 10**9


_COLUMNS = ("numeric", "categorical", "text", "ignore")


def _names(value: str | Collection[str]) -> tuple[str, ...]:
    return tuple(value.split(",")) if isinstance(value, str) else tuple(value)


def _name(optimizer: Any) -> Any:
    """Give the name of an optimizer's class, by which it can be found again."""
    return f"{optimizer.__module__}:{optimizer.__qualname__}" if isinstance(optimizer, type) else optimizer


def _network(value: Any) -> str | None:
    """Give the hidden layers of a network as the command line takes them; raises OptionError at anything else."""
    if value is None:
        return None
    if callable(value):
        value = f"{value.__module__}:{getattr(value, '__qualname__', '')}"
    if isinstance(value, str) and ":" in value:
        return value
    units = value.split(",") if isinstance(value, str) else [value] if np.ndim(value) == 0 else [*value]
    sizes = [str(one).strip() for one in units]
    if not sizes or not all(one.isdecimal() and len(one) < 10 and int(one) for one in sizes):
        shown = str(value)[:40]
        raise OptionError(
            f"option '--network' takes the units of hidden layers such as 256,128, or module:FACTORY, not '{shown}'"
        )
    return ",".join(sizes)


@dataclass(frozen=True)
class Settings:
    """The options of `schuss.train`, in the words of the command line; raises OptionError at an impossible value."""

    target: str | None = None
    task: str = "auto"
    loss: str | None = None
    optimizer: str | type | Sequence[str | type] = "auto"
    learning_rate: float | str = "auto"
    schedule: str | Sequence[str] = "linear"
    init: str | Sequence[str] = "auto"
    network: str | int | Sequence[int] | Callable[[int, int], Any] | None = None
    activation: str = "relu"
    dropout: float = 0.0
    device: str = "auto"
    epochs: int | str = "auto"
    time_limit: float | str | None = None
    runs: int = 16
    batch_size: int | str = "auto"
    l2: float | str = "auto"
    l1: float = 0.0
    holdout: str | float = "0.1"
    order: str = "shuffle"
    weight: str | None = None
    class_weight: str | None = None
    numeric: Collection[str] = ()
    categorical: Collection[str] = ()
    text: Collection[str] = ()
    ignore: Collection[str] = ()
    format: str | None = None
    header: bool = True
    scan: bool = False
    on_bad_row: str = "stop"
    max_bad_rows: float = 0.01
    memory: str | int | None = None
    cache: str | Path = "auto"
    threads: int | None = None
    workers: int | None = None
    cluster: str | None = None
    seed: int = 0
    checkpoint_every: float | str = "60s"
    out: str | Path | None = None
    force: bool = False
    progress: Callable[[dict[str, Any]], None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check every value; NumPy's numbers become Python's, and a column may be named alone."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name in _COLUMNS:
                object.__setattr__(self, name, _names(value))
            elif name in ("optimizer", "schedule", "init"):
                given = value if isinstance(value, (list, tuple)) else [value]
                object.__setattr__(self, name, ",".join(str(_name(one)) for one in given))
            elif name == "network":
                object.__setattr__(self, name, _network(value))
            elif isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())
        one_of("task", self.task, TASKS)
        if self.loss is not None:
            one_of("loss", str(self.loss).partition(":")[0], tuple(LOSSES))
            refused("loss", family_of, self.loss)
        for name in self.optimizers:
            if name != "auto":
                rule_named(name)
        for spec in self.schedules:
            one_of("schedule", spec.rpartition("+")[2].partition(":")[0], tuple(SCHEDULES))
            refused("schedule", parse_schedule, spec)
        for spec in self.inits:
            if spec != "auto":
                one_of("init", spec.partition(":")[0], ("auto", *INITIALIZERS))
                refused("init", parse_initializer, spec)
        self._check_network()
        one_of("order", self.order, ORDERS)
        one_of("on-bad-row", self.on_bad_row, ON_BAD_ROW)
        if isinstance(self.max_bad_rows, str | bool) or not 0 <= self.max_bad_rows <= 1:
            raise OptionError(f"option '--max-bad-rows' takes a share from 0 to 1, not '{self.max_bad_rows}'")
        if self.class_weight is not None:
            one_of("class-weight", self.class_weight, ("balanced",))
        above("learning-rate", self.learning_rate, 0.0, exclusive=True)
        above("l2", self.l2, 0.0, exclusive=False)
        above("l1", self.l1, 0.0, exclusive=False)
        above("epochs", self.epochs, 1, exclusive=False, whole=True)
        above("batch-size", self.batch_size, 1, exclusive=False, whole=True)
        if self.batch_size != "auto" and int(self.batch_size) > CHUNK_ROWS:
            raise OptionError(f"option '--batch-size' takes at most {CHUNK_ROWS:,} rows, not {self.batch_size:,}")
        above("runs", self.runs, 1, exclusive=False, whole=True)
        above("seed", self.seed, 0, exclusive=False, whole=True)
        for name in ("threads", "workers"):
            if getattr(self, name) is not None:
                above(name, getattr(self, name), 1, exclusive=False, whole=True)
        self._check_workers()
        refuse_address(self.out)
        pairings = len(self.optimizers) * len(self.schedules) * len(self.inits)
        if self.runs < pairings:
            each = "optimizer" if pairings == len(self.optimizers) else "pairing of optimizer, schedule and init"
            raise OptionError(f"option '--runs' must be at least {pairings}, one for each {each}")
        if self.cache not in ("auto", "off") and not Path(self.cache).is_dir():
            raise OptionError(f"option '--cache' takes auto, off or a folder that exists, not '{self.cache}'")
        self._check_columns()
        parse_seconds(self.time_limit)
        if parse_seconds(self.checkpoint_every, "checkpoint-every") is None:
            raise OptionError("option '--checkpoint-every' takes a time such as 60s, 10m or 2h")
        parse_bytes(self.memory)

    def _check_network(self) -> None:
        """Refuse what no network can be, and options of networks without one."""
        one_of("activation", self.activation, tuple(ACTIVATIONS))
        one_of("device", self.device, DEVICES)
        if isinstance(self.dropout, str | bool) or not 0 <= self.dropout < 1:
            raise OptionError(f"option '--dropout' takes a share from 0 to below 1, not '{self.dropout}'")
        if self.network is None:
            for name in ("activation", "dropout", "device"):
                if getattr(self, name) != self.__dataclass_fields__[name].default:
                    raise OptionError(f"option '--{name}' needs a network, such as --network 256,128")
        elif self.factory is not None:
            for name in ("activation", "dropout", "init"):
                if getattr(self, name) != self.__dataclass_fields__[name].default:
                    raise OptionError(f"option '--{name}' is for networks of --network 256,128: a module has its own")
            if self.workers is not None:
                raise OptionError("option '--workers' is not for modules of your own: schuss.torch.race has workers")
        elif "zero" in self.inits:
            raise OptionError("option '--init zero' keeps all units of a layer alike: a network would learn nothing")

    def _check_workers(self) -> None:
        """Refuse what workers cannot do: they read their own rows, in an order of their own."""
        if self.workers is None:
            if self.cluster is not None:
                raise OptionError("option '--cluster' says where the workers are: --workers says how many")
            return
        if self.order == "replace":
            raise OptionError("option '--order replace' draws from all rows, which no worker has: leave out --workers")
        if str(self.holdout).startswith("last:"):
            raise OptionError("option '--holdout last:…' needs the rows in order, which --workers does not keep")

    def _check_columns(self) -> None:
        """Refuse a column that is asked to be two things."""
        holdout = str(self.holdout)
        group = holdout.removeprefix("group:") if holdout.startswith("group:") else None
        asked = [("target", [self.target]), ("weight", [self.weight]), ("holdout", [group])]
        asked += [(name, list(getattr(self, name))) for name in _COLUMNS]
        roles: dict[str, str] = {}
        for role, columns in asked:
            for column in columns:
                if column is not None and roles.setdefault(column, role) != role:
                    raise OptionError(f"column '{column}' cannot be both --{roles[column]} and --{role}")

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The names of the optimizers, with their hyperparameters."""
        return split_specs(str(self.optimizer))

    @property
    def schedules(self) -> tuple[str, ...]:
        """The schedules with their numbers."""
        return split_specs(str(self.schedule))

    @property
    def inits(self) -> tuple[str, ...]:
        """The initializers with their scales."""
        return split_specs(str(self.init))

    @property
    def factory(self) -> str | None:
        """The name of what makes modules of the user's own, if one does."""
        return str(self.network) if self.network is not None and ":" in str(self.network) else None

    @property
    def hidden(self) -> tuple[int, ...] | None:
        """The units of the hidden layers; None for a linear model and for a module of the user's own."""
        plain = self.network is not None and self.factory is None
        return tuple(map(int, str(self.network).split(","))) if plain else None

    @property
    def seconds_between_checkpoints(self) -> float:
        """How often a training is written down."""
        return parse_seconds(self.checkpoint_every, "checkpoint-every") or 0.0

    @property
    def memory_bytes(self) -> int:
        """Memory that the weights may take: a quarter of the machine unless said otherwise."""
        chosen = parse_bytes(self.memory)
        return machine_memory() // 4 if chosen is None else chosen

    def as_given(self) -> dict[str, Any]:
        """Give the options as plain values, for the record."""
        left_out = ("progress", "force", "target")
        given = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in left_out}
        return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}

    def of_model(self) -> dict[str, Any]:
        """Give the options that a model depends on, and the target: not where and how often something is written."""
        left_out = ("out", "cache", "threads", "checkpoint_every", "cluster")
        given = {name: value for name, value in self.as_given().items() if name not in left_out}
        if self.workers is None:
            del given["workers"]
        return {**given, "target": self.target}


def one_of(option: str, value: Any, valid: Sequence[str]) -> None:
    """Refuse a value that is none of the valid ones, with the nearest of them."""
    if value in valid:
        return
    close = difflib.get_close_matches(str(value), valid, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise OptionError(f"option '--{option}' is one of {', '.join(valid)}, not '{value}'{hint}")


def refused(option: str, parse: Callable[[str], Any], value: str) -> None:
    """Turn the sentence with which a parser refuses a value into that of an option."""
    try:
        parse(value)
    except ValueError as error:
        raise OptionError(f"option '--{option}': {error}") from None


def above(option: str, value: Any, least: float, *, exclusive: bool, whole: bool = False) -> None:
    """Refuse what is neither 'auto' nor a (whole) number from `least` on."""
    if value == "auto" and option not in ("runs", "seed", "threads", "workers", "l1"):
        return
    kind, types = ("a whole number", (int,)) if whole else ("a number", (int, float))
    above_least = isinstance(value, types) and (value > least if exclusive else value >= least) and value < math.inf
    if not above_least or isinstance(value, bool):
        bound = f"above {least:g}" if exclusive else f"of at least {least:g}"
        raise OptionError(f"option '--{option}' takes {kind} {bound}, not '{value}'")
