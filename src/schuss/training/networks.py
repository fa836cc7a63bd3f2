"""Networks in a training: their architecture, where they learn, and what they take of the memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns.categories import CategoryColumn
from ..data.columns.kind import width_edges
from ..data.encoder import Encoder
from ..descent.losses import Loss, loss_for
from ..descent.optimizers import rule_named, trait
from ..errors import OptionError
from ..model.model import outputs_of
from ..named import load
from ..population.architecture import Architecture, Embedding
from ..population.outside import Outside
from ..population.population import Population, WinnerState
from .settings import Settings

__all__ = [
    "Say",
    "architecture_of",
    "batch_of",
    "inits_of",
    "learned",
    "least_rate",
    "network_bytes",
    "network_of",
    "notices_of",
]

Say = Callable[[str], None]

SMALL_BATCH, LARGE_BATCH, LARGE_ROWS = 64, 128, 20_000
"""A larger mini-batch takes half the time a row. With few rows small ones give the better networks: more steps."""

HIGH = 0.7
"""The lowest rate of a committee, as a quantile of the rates that have raced: for Adam 0.01."""

EMBEDDED_FROM = 64
"""Categories of so many values or more are embedded."""


def architecture_of(settings: Settings, encoder: Encoder) -> Architecture | Outside:
    """Give the architecture that the options ask for, or what is known of a module of the user's own."""
    if settings.factory is not None:
        tables, make = _tables(), _factory(settings.factory)
        made = _tried(settings, encoder)
        return tables.outside_of(made, make, settings.factory, encoder.width, outputs_of(encoder.classes))
    assert settings.hidden is not None
    return Architecture(
        encoder.width,
        outputs_of(encoder.classes),
        settings.hidden,
        settings.activation,
        settings.dropout,
        _embeddings(encoder),
    )


def _embeddings(encoder: Encoder) -> tuple[Embedding, ...]:
    """Embed the categories of many values; on dense rows there are none."""
    if not encoder.sparse:
        return ()
    edges = width_edges(encoder.features)
    found = []
    for column, start, stop in zip(encoder.features, edges[:-1], edges[1:], strict=True):
        values = stop - start
        if isinstance(column, CategoryColumn) and values >= EMBEDDED_FROM:
            found.append(Embedding(start, stop, min(50, round(1.6 * values**0.56))))
    return tuple(found)


def network_of(
    settings: Settings, encoder: Encoder, rule: Any, loss: Loss, batch: int, threads: int, say: Say = warnings.warn
) -> Population:
    """Give a population of networks; raises OptionError without PyTorch, or without the device.

    say : told in a sentence when copies of a module have to learn otherwise than they began.
    """
    network = _engine()
    device = network.device_named(settings.device)
    if settings.factory is not None:
        made, l1 = _tried(settings, encoder), settings.l1 > 0
        return _tables().population(made, rule, loss, batch, settings.seed, l1=l1, device=device, say=say)
    return network.Network(
        rule, loss, architecture_of(settings, encoder), batch, threads, settings.seed, settings.l1 > 0, device
    )


def _engine() -> Any:
    """Import what needs PyTorch."""
    try:
        from ..population.network import network
    except ImportError as error:
        raise OptionError("option '--network' needs PyTorch: pip install 'schuss[torch]'") from error
    return network


def _tables() -> Any:
    """Import what needs PyTorch."""
    _engine()
    from ..population.network import tables

    return tables


def _factory(name: str) -> Any:
    """Give the factory of a name, a file's anew when it has been changed."""
    file = Path(name.rpartition(":")[0])
    return _loaded(name, file.stat().st_mtime_ns if file.suffix == ".py" and file.is_file() else 0)


@cache
def _loaded(name: str, changed: int) -> Any:
    make = load(name, "option '--network'")
    if not callable(make):
        raise OptionError(f"option '--network' names '{name}', which is no factory but of type {type(make).__name__}")
    return make


def _tried(settings: Settings, encoder: Encoder) -> Any:
    """Make the module of a factory, and try it."""
    name, outputs = str(settings.factory), outputs_of(encoder.classes)
    spec = settings.loss or ("squared_error" if encoder.classes is None else "log_loss")
    loss, classes = loss_for(spec, outputs, encoder.target_scale), len(encoder.classes or ())
    return _tables().tried(_factory(name), name, encoder.width, outputs, loss, classes, settings.seed)


def notices_of(settings: Settings, encoder: Encoder) -> list[str]:
    """Say what is worth knowing of a module of the user's own."""
    why = None if settings.factory is None else _tried(settings, encoder).why_in_turn
    return [] if why is None else [f"the copies go through the module in turn: {why}"]


def learned(settings: Settings, encoder: Encoder, state: WinnerState) -> tuple[Architecture | Outside, NDArray[Any]]:
    """Give the network of a run that was taken out, and its parameters `(networks, parameters)`."""
    network = architecture_of(settings, encoder)
    if isinstance(network, Outside):
        return network, _tables().vector_of(_tried(settings, encoder), network, state)[None]
    return network, state.weights.reshape(-1, network.size)


def batch_of(settings: Settings, rows: int) -> int:
    """Give the size of a mini-batch."""
    if settings.batch_size != "auto":
        return int(settings.batch_size)
    return SMALL_BATCH if rows < LARGE_ROWS else LARGE_BATCH


def least_rate(optimizer: str, events: Sequence[Mapping[str, Any]]) -> float:
    """Give the lowest rate that a committee may have, of those that have raced: zero where rates depend on the rows.

    On few rows a short race ranks low rates too high, for which a committee has not the time: nearly all sets of PMLB
    that were tried have a lower loss with Adam's rate at 0.01 than at 0.003.
    """
    raced = [run for event in events if event["event"] == "runs" for run in event["runs"]]
    rates = [run["learning_rate"] for run in raced if run["optimizer"] == optimizer]
    return 0.0 if trait(rule_named(optimizer), "rates_by_norm") else float(np.quantile(rates, HIGH))


def network_bytes(settings: Settings, encoder: Encoder, rule: Any, runs: int) -> int:
    """Give the bytes of the parameters of all runs, their gradients, and what the optimizer remembers of them."""
    return 4 * architecture_of(settings, encoder).size * runs * (2 + len(rule.slot_names))


def inits_of(settings: Settings) -> tuple[str, ...]:
    """Say where the weights begin: by itself a linear model at zero, a network as its activation asks."""
    return tuple("zero" if one == "auto" and settings.network is None else one for one in settings.inits)
