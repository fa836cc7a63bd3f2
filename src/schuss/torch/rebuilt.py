"""A network of a training as a module of its own, and its loss as a function of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schuss.data.chunk import Chunk, SparseRows, as_matrix
from schuss.descent.activations import parse_activation
from schuss.descent.losses import Loss, curvature_products, values_and_gradients
from schuss.population.architecture import Architecture, Embedding

from .objective import ModuleObjective

__all__ = ["module_of", "network_objective", "placed", "row_loss"]

Array = NDArray[np.float64]


def network_objective(architecture: Architecture, vector: NDArray[Any], chunk: Chunk, loss: Loss, l2: float) -> Any:
    """Give the loss of a network over rows as a function of its parameters, in float64; dropout is off.

    Its parameters are ordered as a module has them: `placed` brings a vector of the architecture into that order.

    vector : `(parameters,)`, in the order of the architecture; chunk : encoded rows, made dense; loss : of its scores;
    l2 : λ₂, of weights and embeddings but not of biases, as in training.

    >>> from schuss.descent.losses import SquaredError
    >>> rows = Chunk(np.ones((2, 1), np.float32), np.array([1.0, 3.0], np.float32), np.ones(2, np.float32))
    >>> network = Architecture(1, 1, (1,), "identity")
    >>> objective = network_objective(network, np.array([1.0, 0.0, 1.0, 0.0]), rows, SquaredError(), 0.0)
    >>> objective.value_and_gradient(objective.start)
    (1.0, array([-1., -1., -1., -1.]))
    """
    rows = as_matrix(chunk.rows).toarray() if isinstance(chunk.rows, SparseRows) else chunk.rows
    inputs, weights = (np.asarray(one, np.float64) for one in (rows, chunk.weights))
    return ModuleObjective(
        module_of(architecture, vector), row_loss(loss), inputs, chunk.targets, weights=weights, l2=l2
    )


def module_of(architecture: Architecture, vector: NDArray[Any]) -> nn.Sequential:
    """Give a network as a module, with these parameters: dense layers, and embeddings before them where it has some."""
    parts = {name: torch.tensor(np.asarray(one, np.float64)) for name, one in architecture.parts(vector).items()}
    layers: list[nn.Module] = []
    if architecture.embeddings:
        tables = [parts[f"e{at}"] for at in range(len(architecture.embeddings))]
        layers.append(Embedded(architecture.embeddings, torch.from_numpy(architecture.plain), tables))
    for layer in range(len(architecture.hidden) + 1):
        weights, bias = parts[f"w{layer}"], parts[f"b{layer}"]
        dense = nn.Linear(len(weights), len(bias), dtype=torch.float64)
        with torch.no_grad():
            dense.weight.copy_(weights.T)
            dense.bias.copy_(bias)
        layers.append(dense)
        if layer < len(architecture.hidden):
            layers.append(nn.ReLU() if architecture.activation == "relu" else Activated(architecture.activation))
    return nn.Sequential(*layers)


def placed(architecture: Architecture, vector: NDArray[Any]) -> Array:
    """Give a vector of the architecture in the order of the parameters of its module."""
    parts = architecture.parts(np.asarray(vector, np.float64))
    return np.concatenate([(one.T if name[0] == "w" else one).ravel() for name, one in parts.items()])


class Activated(nn.Module):
    """An activation of schuss as a layer."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.activation = parse_activation(name)

    def forward(self, z: Tensor) -> Tensor:
        """Give the outputs of the units."""
        return self.activation.value(z)


class Embedded(nn.Module):
    """What stands in the place of the indicators of embedded categories, after all other features."""

    plain: Tensor

    def __init__(self, embeddings: tuple[Embedding, ...], plain: Tensor, tables: list[Tensor]) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.tables = nn.ParameterList(tables)
        self.register_buffer("plain", plain)

    def forward(self, rows: Tensor) -> Tensor:
        """Give the inputs of the first layer."""
        found = [rows[:, one.start : one.stop] @ table for one, table in zip(self.embeddings, self.tables, strict=True)]
        return torch.cat([rows[:, self.plain], *found], dim=1)


def row_loss(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """Give a loss of schuss as a function of scores `(n, outputs)` and targets, one number a row.

    Its derivatives are the formulas of the loss, the second ones as well: nothing is differentiated again.
    """

    def of_rows(scores: Tensor, targets: Tensor) -> Tensor:
        return _Losses.apply(scores, targets, loss)  # pyright: ignore[reportReturnType]

    return of_rows


class _Losses(torch.autograd.Function):
    """ℓ(s, y) of each row."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor, loss: Loss) -> Tensor:
        ctx.save_for_backward(scores, targets)
        ctx.loss = loss
        return _like(values_and_gradients(loss, _numpy(scores), _numpy(targets))[0], scores)

    @staticmethod
    def backward(ctx: Any, *shares: Tensor) -> tuple[Tensor, None, None]:
        scores, targets = ctx.saved_tensors
        slopes: Any = _Slopes.apply(scores, targets, ctx.loss)
        return shares[0][:, None] * slopes, None, None


class _Slopes(torch.autograd.Function):
    """∂ℓ/∂s of each row, whose own derivative is symmetric."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor, loss: Loss) -> Tensor:
        ctx.save_for_backward(scores, targets)
        ctx.loss = loss
        return _like(values_and_gradients(loss, _numpy(scores), _numpy(targets))[1], scores)

    @staticmethod
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor, None, None]:
        scores, targets = ctx.saved_tensors
        found = curvature_products(ctx.loss, _numpy(scores), _numpy(targets), _numpy(along[0]))
        return _like(found, scores), None, None


def _numpy(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().numpy()


def _like(values: NDArray[Any], tensor: Tensor) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=tensor.dtype, device=tensor.device)
