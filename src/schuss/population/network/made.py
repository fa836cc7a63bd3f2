"""A trained module of the user's own, made again: its scores, and their slopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from schuss.errors import OptionError

__all__ = ["module_with", "row_slopes", "scores"]


def module_with(
    tensors: Mapping[str, NDArray[Any]], make: Callable[[int, int], Any], features: int, outputs: int, name: str
) -> nn.Module:
    """Make a module and give it these tensors, in evaluation mode; raises OptionError where it has others."""
    with torch.random.fork_rng([]):  # what the first parameters are drawn from stays as it was
        module = make(features, outputs)
    known = module.state_dict() if isinstance(module, nn.Module) else {}
    if {key: tuple(one.shape) for key, one in known.items()} != {key: one.shape for key, one in tensors.items()}:
        raise OptionError(f"'{name}' does not make the module that this model was trained with")
    module.load_state_dict({key: torch.from_numpy(one).to(known[key].dtype) for key, one in tensors.items()})
    return module.eval()


@torch.no_grad()
def scores(module: nn.Module, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the scores of rows."""
    return module(torch.from_numpy(rows)).numpy()


def row_slopes(module: nn.Module, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the slopes of the scores along the features of rows, `(n, features, outputs)`."""
    inputs = torch.from_numpy(rows).requires_grad_()
    columns = [torch.autograd.grad(column.sum(), inputs, retain_graph=True)[0] for column in module(inputs).unbind(1)]
    return torch.stack(columns, 2).numpy()
