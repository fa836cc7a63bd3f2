"""The first layer of a sequence, whose output is linear in its parameters: over a plane it is computed once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["Split", "split"]

AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Split(NamedTuple):
    """A sequence taken apart: what comes before its first layer with parameters, that layer, and what follows.

    place : where the layer is in the sequence. What follows may write over what it is given.
    """

    before: nn.Sequential
    first: nn.Module
    after: nn.Sequential
    place: int

    def moved(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Give what the first layer makes of inputs that have passed what comes before it."""
        own = {name: parameters[f"{self.place}.{name}"] for name, _ in self.first.named_parameters()}
        found = functional_call(self.first, own, (inputs,))
        # Pooling of images is several times faster with channels last.
        return found.contiguous(memory_format=torch.channels_last) if found.ndim == 4 else found

    def rest(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give the parameters of what follows, by their names there."""
        own = {}
        for name, one in parameters.items():
            place, _, within = name.partition(".")
            if int(place) > self.place:
                own[f"{int(place) - self.place - 1}.{within}"] = one
        return own


def split(module: nn.Module, trainable: Mapping[str, object]) -> Split | None:
    """Take a module apart, if it is a plain sequence whose first layer with parameters is affine and its own.

    trainable : names of the parameters that move: those of the first layer must be among them.
    """
    if type(module) is not nn.Sequential or any(not name.isdigit() for name, _ in module.named_children()):
        return None
    layers = list(module)
    place = next((at for at, layer in enumerate(layers) if any(True for _ in layer.parameters())), None)
    if place is None or type(layers[place]) not in AFFINE:
        return None
    names = [f"{place}.{name}" for name, _ in layers[place].named_parameters()]
    shared = {id(one) for one in layers[place].parameters()} & {
        id(one) for layer in layers[place + 1 :] for one in layer.parameters()
    }
    again = any(layer is layers[place] for layer in layers[place + 1 :])
    if shared or again or any(name not in trainable for name in names):
        return None
    after = nn.Sequential(*_quicker(layers[place + 1 :]))
    return Split(nn.Sequential(*layers[:place]), layers[place], after, place)


def _quicker(layers: list[nn.Module]) -> list[nn.Module]:
    """Give layers that do the same in less time, for a sequence that nobody looks into and nothing goes back through.

    A rectifier may write over what it is given, which saves fresh memory; the largest of two by two numbers takes half
    the time without noting where it was, and may be rectified afterwards, when it is a quarter of the numbers. Each
    layer keeps its place, since parameters are known by it: those that change places have none.
    """
    found: list[nn.Module] = []
    for layer in layers:
        if type(layer) is nn.ReLU:
            found.append(nn.ReLU(inplace=True))
        elif type(layer) is nn.MaxPool2d and _of_two_by_two(layer):
            rectified = bool(found) and type(found[-1]) is nn.ReLU
            found.insert(len(found) - rectified, Largest())
        else:
            found.append(layer)
    return found


def _of_two_by_two(layer: nn.MaxPool2d) -> bool:
    """Whether a layer takes the largest of two by two numbers that lie side by side, and leaves odd margins out."""
    plain = layer.padding in (0, (0, 0)) and layer.dilation in (1, (1, 1)) and not layer.ceil_mode
    return plain and all(one in (2, (2, 2)) for one in (layer.kernel_size, layer.stride)) and not layer.return_indices


class Largest(nn.Module):
    """The largest of two by two numbers."""

    def forward(self, images: Tensor) -> Tensor:
        """Give images of half the height and width."""
        height, width = (size // 2 * 2 for size in images.shape[-2:])
        upper, lower = images[..., 0:height:2, :width], images[..., 1:height:2, :width]
        left, right = (torch.maximum(upper[..., first::2], lower[..., first::2]) for first in (0, 1))
        return torch.maximum(left, right)
