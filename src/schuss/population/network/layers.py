"""K copies of a network of dense layers on the same rows: scores, and gradients worked out by hand.

Activations are `[run, units, row]`, so that a layer is one batched matrix product and its bias a column. The gradient
of every layer is written right to where the optimizer reads it. Nothing goes through autograd: three products a layer
and a few passes over small tensors are all there is, where a step of a small network is mostly the price of its calls.

Dropout draws one mask for all runs, from the seed and the place in the training: runs are compared on equal terms, and
none depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from schuss.descent.activations import parse_activation
from schuss.descent.losses import Loss, Softmax
from schuss.population.architecture import Architecture
from schuss.population.network.rows import Rows

__all__ = ["Layers", "evaluate"]

Parameters = Mapping[str, Tensor]


class Trace(NamedTuple):
    """What a pass forward leaves for the pass back, layer by layer: inputs, sums and outputs before dropout, masks.

    The input of the first layer is None: it is the rows.
    """

    inputs: list[Any]
    sums: list[Tensor]
    outputs: list[Tensor]
    masks: list[Tensor | None]


class Layers:
    """The arithmetic of an architecture; parameters come by name, each `[run, *shape]`."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.depth = len(architecture.hidden)
        self.activation = parse_activation(architecture.activation)

    def scores(self, parameters: Parameters, rows: Rows, noise: torch.Generator | None = None) -> tuple[Tensor, Trace]:
        """Give the scores `[run, outputs, row]`; with `noise` units are dropped."""
        trace = Trace([None], [], [], [])
        z = rows.times(parameters)
        for layer in range(self.depth):
            out = self.activation.value(z)
            mask = self._mask(out, noise)
            a = out if mask is None else out * mask
            for found, one in zip(trace, (a, z, out, mask), strict=True):
                found.append(one)  # pyright: ignore[reportArgumentType]
            z = torch.baddbmm(parameters[f"b{layer + 1}"][..., None], parameters[f"w{layer + 1}"].mT, a)
        return z, trace

    def _mask(self, out: Tensor, noise: torch.Generator | None) -> Tensor | None:
        """Draw which units of each row stay, by what they are multiplied then."""
        dropout = self.architecture.dropout
        if noise is None or not dropout:
            return None
        stays = torch.rand(out.shape[1:], generator=noise, device=out.device) >= dropout
        return stays.to(out.dtype) / (1.0 - dropout)

    def backward(
        self, parameters: Parameters, rows: Rows, trace: Trace, derivatives: Tensor, gradients: Parameters
    ) -> None:
        """Write the gradients for derivatives along the scores `[run, outputs, row]`."""
        d = derivatives
        for layer in range(self.depth, 0, -1):
            torch.bmm(trace.inputs[layer], d.mT, out=gradients[f"w{layer}"])
            torch.sum(d, 2, out=gradients[f"b{layer}"])
            d = torch.bmm(parameters[f"w{layer}"], d)
            mask = trace.masks[layer - 1]
            if mask is not None:
                d.mul_(mask)
            d.mul_(self.activation.slope(trace.sums[layer - 1], trace.outputs[layer - 1]))
        rows.add_up(parameters, d, gradients)


def evaluate(loss: Loss, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Give losses `[run, row]` and derivatives along the scores `[run, outputs, row]`; targets `[row]`.

    On a CPU NumPy computes what all engines share: a call costs a third of PyTorch's.
    """
    if isinstance(loss, Softmax):
        return _softmax(scores, targets)
    if scores.device.type == "cpu":
        found = _by_formula(loss, scores.numpy(), targets.to(scores.dtype).numpy(), np.empty)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])
    return _by_formula(loss, scores, targets, partial(torch.empty, dtype=scores.dtype, device=scores.device))


def _by_formula(loss: Loss, scores: Any, targets: Any, empty: Callable[..., Any]) -> tuple[Any, Any]:
    """Evaluate the formula that all engines share; its classes come first."""
    if not loss.multiclass:
        values, derivatives = loss.evaluate(scores[:, 0], targets)
        return values, derivatives[:, None]
    columns = scores.swapaxes(0, 1)
    derivatives = empty(columns.shape, dtype=scores.dtype)
    return loss.evaluate_into(columns, targets, derivatives), derivatives.swapaxes(0, 1)


def _softmax(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax cross-entropy by PyTorch's own operations: the shared formula takes a dozen for every class."""
    logarithms = scores.log_softmax(1)
    index = targets.long().expand(len(scores), 1, -1)
    values = -logarithms.gather(1, index)[:, 0]
    return values, logarithms.exp_().scatter_add_(1, index, torch.full_like(index, -1.0, dtype=scores.dtype))
