"""What goes into a module and comes out of a loss: one tensor, a tuple or a dict of them, a row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from schuss.errors import OptionError

__all__ = ["called", "checked", "each", "given", "joined", "mapped", "rows_of"]


def each(inputs: Any) -> list[Any]:
    """Give the tensors of one input, a tuple or a dict of them."""
    if isinstance(inputs, Mapping):
        return list(inputs.values())
    return list(inputs) if isinstance(inputs, tuple | list) else [inputs]


def mapped(function: Callable[[Any], Any], inputs: Any) -> Any:
    """Apply a function to each tensor of one input, a tuple or a dict of them."""
    if isinstance(inputs, Mapping):
        return {name: function(one) for name, one in inputs.items()}
    return tuple(map(function, inputs)) if isinstance(inputs, tuple | list) else function(inputs)


def joined(pieces: list[Any]) -> Any:
    """Put the rows of several inputs one after the other."""
    if isinstance(pieces[0], Mapping):
        return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
    if isinstance(pieces[0], tuple):
        return tuple(map(torch.cat, zip(*pieces, strict=True)))
    return torch.cat(pieces)


def rows_of(inputs: Any, places: Any) -> Any:
    """Give some of the rows."""
    return mapped(lambda one: one[places], inputs)


def called(module: nn.Module, tensors: dict[str, Tensor], inputs: Any) -> Any:
    """Give what a module makes of inputs with these parameters and buffers, where what it assigns anew is put too.

    A tuple of inputs is its arguments, a dict its arguments by name.
    """
    positional, named = _arguments(inputs)
    return functional_call(module, tensors, positional, named)


def given(module: nn.Module, inputs: Any) -> Any:
    """Give what a module makes of inputs with its own parameters and buffers."""
    positional, named = _arguments(inputs)
    return module(*positional, **named)


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return ((), dict(inputs)) if isinstance(inputs, Mapping) else (tuple(each(inputs)), {})


def checked(losses: Any, rows: int, *, weighted: bool = False) -> Tensor:
    """Give what a loss has given if it is one number (but for weighted rows), or one a row; raises OptionError."""
    wanted = "one number a row" if weighted else "one number, or one a row"
    if not isinstance(losses, Tensor):
        raise OptionError(f"the loss of {rows} rows is a {type(losses).__name__}, not a tensor of {wanted}")
    if losses.shape != (rows,) and (losses.ndim or weighted):
        raise OptionError(f"the loss of {rows} rows is a tensor of shape {tuple(losses.shape)}, not {wanted}")
    return losses
