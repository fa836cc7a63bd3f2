"""Convolutions whose second derivative is as quick as their first.

PyTorch writes the second derivative by the weights as a convolution with the derivatives of a whole image for a kernel,
which takes a third of a product with the curvature of a small network of images. With y = x ∗ w and g = ∂F/∂y both
derivatives are linear in g and in the other factor, so that one call of what computes them gives their own derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

__all__ = ["TwiceDifferentiable"]

LAYERS = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}


class TwiceDifferentiable(TorchFunctionMode):
    """While it is entered, what PyTorch convolves may be differentiated twice, and quickly.

    >>> with TwiceDifferentiable():
    ...     made = torch.conv1d(torch.ones(1, 1, 3), torch.ones(1, 1, 2))
    >>> made
    tensor([[[2., 2.]]])
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Take the place of convolutions that are written as layers write them."""
        if func in LAYERS and not kwargs and len(args) == 7 and not isinstance(args[4], str):
            inputs, weight, bias, *settings = args
            if inputs.ndim == weight.ndim:
                return _convolved(inputs, weight, bias, _Settings(*(_each(one, LAYERS[func]) for one in settings)))
        return func(*args, **(kwargs or {}))


class _Settings(NamedTuple):
    """What PyTorch's convolution asks for beside its factors."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: list[int]

    @property
    def all(self) -> tuple[Any, ...]:
        """Give them as it takes them: not transposed, without more padding of the output."""
        return self.stride, self.padding, self.dilation, False, [0] * len(self.stride), self.groups[0]


def _each(value: int | tuple[int, ...], axes: int) -> list[int]:
    return [value] * axes if isinstance(value, int) else list(value)


def _convolved(inputs: Tensor, weight: Tensor, bias: Tensor | None, settings: _Settings) -> Tensor:
    made = _Convolution.apply(inputs, weight, settings)
    return made if bias is None else made + bias.view(-1, *[1] * (weight.ndim - 2))  # pyright: ignore


def _derivatives(slope: Tensor, inputs: Tensor, weight: Tensor, settings: _Settings, wanted: list[bool]) -> Any:
    """Give the derivatives by inputs and weight: one is linear in slope and weight, one in slope and inputs."""
    return torch.ops.aten.convolution_backward(slope, inputs, weight, None, *settings.all, [*wanted, False])[:2]


class _Convolution(Function):
    """y = x ∗ w."""

    generate_vmap_rule = True

    @staticmethod
    def forward(inputs: Tensor, weight: Tensor, settings: _Settings) -> Tensor:
        return torch.ops.aten.convolution(inputs, weight, None, *settings.all)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.settings = inputs[2]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        return (*_Slopes.apply(*slopes, *ctx.saved_tensors, ctx.settings, ctx.needs_input_grad[:2]), None)  # pyright: ignore


class _Slopes(Function):
    """∂F/∂x and ∂F/∂w, where they are wanted."""

    generate_vmap_rule = True

    @staticmethod
    def forward(slope: Tensor, inputs: Tensor, weight: Tensor, settings: _Settings, wanted: list[bool]) -> Any:
        return tuple(_derivatives(slope, inputs, weight, settings, wanted))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.settings = inputs[3]
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *along: Tensor | None) -> Any:  # pyright: ignore
        along_inputs, along_weight = along
        slope, inputs, weight = ctx.saved_tensors
        moved = [
            torch.ops.aten.convolution(*factors, None, *ctx.settings.all)
            for factors in ((along_inputs, weight), (inputs, along_weight))
            if factors[0] is not None and factors[1] is not None
        ]
        by_inputs, by_weight = _derivatives(
            slope,
            inputs if along_inputs is None else along_inputs,
            weight if along_weight is None else along_weight,
            ctx.settings,
            [along_weight is not None and ctx.needs_input_grad[1], along_inputs is not None],
        )
        return sum(moved[1:], moved[0]) if moved else None, by_inputs, by_weight, None, None
