"""K copies of a plain sequence of dense layers, written out: no vmap, no graph, no gradient that is copied.

Activations are `[run, units, row]`, so that a layer of all copies is one batched product. The gradient of every
parameter is written right to where the optimizer reads it. A step of a small network is mostly the price of its calls:
for 16-32-4, 16 copies and 32 rows, vmap takes 0.96 ms for loss and gradients, autograd over the same products 0.38,
both with the copy of the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import vmap

from schuss.population.network.inputs import checked

__all__ = ["Written", "written_out"]

Tensors = Mapping[str, Tensor]

POINTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus,
    nn.Softsign, nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.LogSigmoid,
)  # fmt: skip


class Part(Protocol):
    """A layer of all copies: forward with what the pass back needs, and back with the gradients of its parameters."""

    def forward(self, tensors: Tensors, a: Tensor) -> tuple[Tensor, Any]:
        """Give the outputs `[run, units, row]`, and what `backward` needs."""
        ...

    def backward(self, tensors: Tensors, kept: Any, d: Tensor, gradients: Tensors, *, further: bool) -> Tensor:
        """Write gradients; give the derivatives along the inputs, where it goes `further` back."""
        ...


class _Linear(NamedTuple):
    weight: str
    bias: str | None

    def forward(self, tensors: Tensors, a: Tensor) -> tuple[Tensor, Any]:
        weight = tensors[self.weight]
        a = a.expand(len(weight), -1, -1)
        if self.bias is None:
            return torch.bmm(weight, a), a
        return torch.baddbmm(tensors[self.bias][..., None], weight, a), a

    def backward(self, tensors: Tensors, kept: Any, d: Tensor, gradients: Tensors, *, further: bool) -> Tensor:
        torch.bmm(d, kept.mT, out=gradients[self.weight])
        if self.bias is not None:
            torch.sum(d, 2, out=gradients[self.bias])
        return torch.bmm(tensors[self.weight].mT, d) if further else d


class _ReLU(NamedTuple):
    def forward(self, tensors: Tensors, a: Tensor) -> tuple[Tensor, Any]:
        out = a.relu_()  # nobody else looks at the sums
        return out, out

    def backward(self, tensors: Tensors, kept: Any, d: Tensor, gradients: Tensors, *, further: bool) -> Tensor:
        return torch.ops.aten.threshold_backward(d, kept, 0)


class _Tanh(NamedTuple):
    def forward(self, tensors: Tensors, a: Tensor) -> tuple[Tensor, Any]:
        out = a.tanh()
        return out, out

    def backward(self, tensors: Tensors, kept: Any, d: Tensor, gradients: Tensors, *, further: bool) -> Tensor:
        return torch.ops.aten.tanh_backward(d, kept)


class _Pointwise(NamedTuple):
    """Any other activation, by autograd over it alone."""

    function: nn.Module

    def forward(self, tensors: Tensors, a: Tensor) -> tuple[Tensor, Any]:
        with torch.enable_grad():
            leaf = a.detach().requires_grad_()
            out = self.function(leaf.clone() if getattr(self.function, "inplace", False) else leaf)
        return out.detach(), (leaf, out)

    def backward(self, tensors: Tensors, kept: Any, d: Tensor, gradients: Tensors, *, further: bool) -> Tensor:
        leaf, out = kept
        return torch.autograd.grad(out, leaf, d)[0]


class _Dropout(NamedTuple):
    share: float

    def forward(self, tensors: Tensors, a: Tensor) -> tuple[Tensor, Any]:
        mask = torch.rand_like(a).ge_(self.share)  # in half the time of bernoulli_
        if self.share < 1.0:
            mask.div_(1.0 - self.share)
        return a * mask, mask

    def backward(self, tensors: Tensors, kept: Any, d: Tensor, gradients: Tensors, *, further: bool) -> Tensor:
        return d * kept


class _BatchNorm(NamedTuple):
    """The channels of all copies are the channels of one call."""

    place: str
    momentum: float
    eps: float
    affine: bool
    tracks: bool

    def _flat(self, tensors: Tensors, name: str, there: bool) -> Tensor | None:
        return tensors[f"{self.place}.{name}"].reshape(-1) if there else None

    def forward(self, tensors: Tensors, a: Tensor) -> tuple[Tensor, Any]:
        whole = a.reshape(1, -1, a.shape[2])
        scale, shift = (self._flat(tensors, name, self.affine) for name in ("weight", "bias"))
        mean, var = (self._flat(tensors, name, self.tracks) for name in ("running_mean", "running_var"))
        if self.tracks:
            tensors[f"{self.place}.num_batches_tracked"].add_(1)
        out, means, inverses = torch.native_batch_norm(whole, scale, shift, mean, var, True, self.momentum, self.eps)
        return out.view(a.shape), (whole, scale, mean, var, means, inverses)

    def backward(self, tensors: Tensors, kept: Any, d: Tensor, gradients: Tensors, *, further: bool) -> Tensor:
        whole, scale, mean, var, means, inverses = kept
        found, along_scale, along_shift = torch.ops.aten.native_batch_norm_backward(
            d.reshape(whole.shape), whole, scale, mean, var, means, inverses, True, self.eps, [True] + 2 * [self.affine]
        )
        if self.affine:
            for name, one in (("weight", along_scale), ("bias", along_shift)):
                own = gradients[f"{self.place}.{name}"]
                own.copy_(one.view(own.shape))
        return found.view(d.shape)


class Written(NamedTuple):
    """A sequence of parts between rows and a loss; `flattens` : whether it begins by making vectors of the rows."""

    parts: tuple[Part, ...]
    loss: Callable[..., Any]
    flattens: bool
    features: int
    dtype: torch.dtype

    def takes(self, inputs: Any) -> bool:
        """Whether inputs are rows of the features, one tensor of the parameters' type."""
        if not isinstance(inputs, Tensor) or inputs.dtype != self.dtype or inputs.ndim < 2:
            return False
        return inputs.ndim == 2 or (self.flattens and inputs[0].numel() == self.features)

    @torch.no_grad()
    def learn(self, tensors: Tensors, gradients: Tensors, inputs: Tensor, targets: Tensor, weights: Any) -> Tensor:
        """Write the gradients of the mean losses of some copies, and give these losses `(copies,)`.

        tensors, gradients : `[copies, …]` by name; buffers among the tensors change as in training.
        """
        a, kept = inputs.flatten(1).T[None], []
        for part in self.parts:
            a, own = part.forward(tensors, a)
            kept.append(own)
        losses, d = _judged(self.loss, a, targets, weights)
        for at in range(len(self.parts) - 1, -1, -1):
            d = self.parts[at].backward(tensors, kept[at], d, gradients, further=at > 0)
        return losses


def _judged(loss: Callable[..., Any], scores: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Give the mean losses of copies, and the derivatives along their scores `[copy, output, row]`."""
    rows = len(targets)
    if weights is None and _is_cross_entropy(loss) and targets.ndim == 1 and not targets.is_floating_point():
        logarithms = scores.log_softmax(1)
        index = targets.expand(len(scores), 1, rows)
        losses = logarithms.gather(1, index).sum((1, 2)).div_(-rows)
        d = logarithms.exp_().scatter_add_(1, index, torch.full_like(index, -1.0, dtype=scores.dtype))
        return losses, d.div_(rows)
    if weights is None and _is_squared_error(loss) and targets.shape == (rows, scores.shape[1]):
        off = scores - targets.T
        return off.square().mean((1, 2)), off.mul_(2.0 / (rows * scores.shape[1]))
    with torch.enable_grad():
        outputs = scores.mT.detach().requires_grad_()
        found = vmap(lambda one: _mean(loss(one, targets), rows, weights), randomness="different")(outputs)
        return found.detach(), torch.autograd.grad(found.sum(), outputs)[0].mT.contiguous()


def _mean(losses: Any, rows: int, weights: Tensor | None) -> Tensor:
    own = checked(losses, rows, weighted=weights is not None)
    return own.mean() if weights is None else (own * weights).mean()


def _is_cross_entropy(loss: Any) -> bool:
    """Whether a loss is PyTorch's cross-entropy as it is by itself."""
    if loss is nn.functional.cross_entropy:
        return True
    plain = type(loss) is nn.CrossEntropyLoss and loss.weight is None and loss.reduction == "mean"
    return plain and loss.label_smoothing == 0.0 and loss.ignore_index < 0


def _is_squared_error(loss: Any) -> bool:
    return loss is nn.functional.mse_loss or (type(loss) is nn.MSELoss and loss.reduction == "mean")


def written_out(module: nn.Module, loss: Callable[..., Any], trainable: Tensors) -> Written | None:
    """Write a module out if it is a sequence of dense layers, activations, dropout and batch normalisation.

    trainable : the parameters that are learned, which must be all of them, none in two places. None for any other
    module, also for one with hooks or layers of classes of their own, since what these do is not known.
    """
    if type(module) is not nn.Sequential or any(_is_hooked(one) for one in module.modules()):
        return None
    found = [_part(name, layer) for name, layer in _flat(module, "")]
    layers = [layer for _, layer in _flat(module, "")]
    flattens = bool(layers) and type(layers[0]) is nn.Flatten and (layers[0].start_dim, layers[0].end_dim) == (1, -1)
    parts = found[1:] if flattens else found
    names = [name for part in parts if part is not None for name in _names(part)]
    known = list(trainable)
    if not parts or None in parts or not isinstance(parts[0], _Linear) or sorted(names) != sorted(known):
        return None
    first = trainable[parts[0].weight]
    if len({(one.dtype, one.device) for one in trainable.values()}) != 1:
        return None
    own = tuple(part for part in parts if part is not None and part != "nothing")
    return Written(own, loss, flattens, first.shape[1], first.dtype)  # pyright: ignore[reportArgumentType]


def _is_hooked(module: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name, None) for name in hooks)


def _flat(module: nn.Module, place: str) -> Iterator[tuple[str, nn.Module]]:
    """Give the layers of a sequence of sequences, by their places."""
    for name, layer in module._modules.items():  # named_children() gives a layer that is there twice once
        if layer is None:
            continue
        if type(layer) is nn.Sequential:
            yield from _flat(layer, f"{place}{name}.")
        else:
            yield f"{place}{name}", layer


def _names(part: Any) -> Sequence[str]:
    """Give the parameters of a part."""
    if isinstance(part, _Linear):
        return [part.weight] if part.bias is None else [part.weight, part.bias]
    return [f"{part.place}.weight", f"{part.place}.bias"] if isinstance(part, _BatchNorm) and part.affine else []


def _part(place: str, layer: Any) -> Any:
    """Write a layer out, None for one that is not known; "nothing" for one that does nothing."""
    kind = type(layer)
    if kind is nn.Linear:
        return _Linear(f"{place}.weight", None if layer.bias is None else f"{place}.bias")
    if kind is nn.Identity or (kind is nn.Dropout and layer.p == 0):
        return "nothing"
    if kind is nn.Dropout:
        return _Dropout(layer.p)
    if kind is nn.ReLU:
        return _ReLU()
    if kind is nn.Tanh:
        return _Tanh()
    if kind in POINTWISE:
        return _Pointwise(layer)
    if kind is nn.BatchNorm1d and layer.momentum is not None:
        return _BatchNorm(place, layer.momentum, layer.eps, layer.affine, layer.track_running_stats)
    return None
