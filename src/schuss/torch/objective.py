"""The loss of a module as a function of its parameters alone, for whatever looks at the ground under a descent."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from schuss.errors import OptionError
from schuss.population.network.inputs import called, checked, each, joined, mapped, rows_of

from .convolution import TwiceDifferentiable
from .first_layer import Split, split

__all__ = ["ModuleObjective"]

Array = NDArray[np.float64]

ROWS_AT_ONCE = 1024
ROWS_OF_IMAGES = 64
"""Rows that go through a module at once: what lies between its layers stays in the caches; rows of images are long.

A convolution sums up over all places of all these rows in its own precision: of 64 such sums in float32, added up in
float64, eigenvalues have a third of the error that they have of 256, at the same speed.
"""

NUMBERS_CACHED = 1 << 20
"""Numbers that a first layer makes at once: fewer fit a smaller cache, and cost more calls."""

GRAPH_BYTES = 2**30
"""What `curvature_at` may keep of a first derivative; beyond, every product computes it anew."""


class ModuleObjective:
    """Mean loss of a module over rows, as a function of a flat vector of its parameters.

        F(w) = Σᵢ cᵢ ℓ(f(xᵢ; w), yᵢ) / Σᵢ cᵢ + λ₂/2 Σ w²    the last sum over parameters of two dimensions and more

    w is `(n,)` float64: the trainable parameters in the order of `module.named_parameters()`, each flattened (`start`
    is the module's own place, `filters` the places of its filters, `module_at` gives a module at another). The module
    is copied and set to evaluation, so that F is a function: dropout is off, batch normalisation uses its statistics.

    module : what computes; loss : `loss(output, targets)`, the mean over the rows of a batch or one number a row;
    inputs, targets : arrays or tensors with a row each; several inputs as a tuple or a dict; weights : c, one where not
    given, which needs a loss of one number a row; l2 : λ₂; dtype : in which all is computed, float64 for differences
    and products to be trusted, float32 for speed.

    Raises OptionError where loss and module do not fit each other.

    >>> line = nn.Linear(1, 1)
    >>> objective = ModuleObjective(line, nn.functional.mse_loss, np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]]))
    >>> objective.value_and_gradient(np.array([0.0, 0.0]))
    (2.5, array([-5., -3.]))
    >>> objective.hessian_product(np.array([0.0, 0.0]), np.array([1.0, 0.0]))
    array([5., 3.])
    """

    def __init__(
        self, module: nn.Module, loss: Callable[..., Tensor], inputs: Any, targets: Any, *, weights: Any = None,
        l2: float = 0.0, dtype: torch.dtype = torch.float64,
    ) -> None:  # fmt: skip
        """Copy the module, and bring the rows into its type."""
        self.module = copy.deepcopy(module).to(dtype).eval()
        self.loss, self.l2, self.dtype = loss, l2, dtype
        device = next((one.device for one in self.module.parameters()), torch.device("cpu"))
        self.inputs = mapped(lambda one: _tensor(one, dtype, device), inputs)
        self.targets = _tensor(targets, dtype, device)
        self.weights = None if weights is None else _tensor(weights, dtype, device)
        trainable = {name: one for name, one in self.module.named_parameters() if one.requires_grad}
        self.shapes = {name: tuple(one.shape) for name, one in trainable.items()}
        edges = np.cumsum([0, *(one.numel() for one in trainable.values())]).tolist()
        self.places = {name: slice(a, z) for name, (a, z) in zip(trainable, pairwise(edges), strict=True)}
        self.start: Array = np.concatenate([one.detach().double().cpu().numpy().ravel() for one in trainable.values()])
        self._free = torch.cat([torch.full((one.numel(),), one.ndim < 2) for one in trainable.values()]).to(device)

    @property
    def pass_rows(self) -> int:
        """The rows that one look reads."""
        return len(self.targets)

    @property
    def filters(self) -> list[slice]:
        """Give the filters: of each parameter of two dimensions and more, what each of its outputs has."""
        return [
            slice(begin, begin + (place.stop - place.start) // self.shapes[name][0])
            for name, place in self.places.items()
            if len(self.shapes[name]) > 1
            for begin in range(place.start, place.stop, (place.stop - place.start) // self.shapes[name][0])
        ]

    def module_at(self, vector: Array) -> nn.Module:
        """Give a copy of the module with these parameters, for evaluation."""
        found = copy.deepcopy(self.module)
        with torch.no_grad():
            for name, part in self._named(self._vector(vector)).items():
                found.get_parameter(name).copy_(part)
        return found

    def values(self, candidates: Array) -> Array:
        """Give F at K vectors `(K, n)`, batch by batch: `(K,)`."""
        return self._values([self._vector(one) for one in candidates])

    def values_along(self, center: Array, directions: Array, points: Array) -> Array:
        """Give F at W + Σ_d x_d V_d for directions `(D, n)` and points `(P, D)`: `(P,)`.

        Of a sequence that begins with an affine layer, what that layer makes is linear in the point: it is computed
        D + 1 times, however many the points.
        """
        parts = split(self.module, self.shapes) if isinstance(self.inputs, Tensor) else None
        if parts is None or len(points) <= len(directions) + 1:
            groups = np.array_split(points, max(len(points) // 64, 1))
            return np.concatenate([self.values(center + group @ directions) for group in groups])
        with torch.no_grad():
            return self._over_plane(parts, torch.stack([self._vector(one) for one in (center, *directions)]), points)

    def _over_plane(self, parts: Split, basis: Tensor, points: Array) -> Array:
        """Give F at many points of the plane through basis[0] along the others."""
        shares = np.concatenate([np.ones((len(points), 1)), points], axis=1)
        sums = np.einsum("pi,ij,pj->p", shares, self._penalties(basis), shares)
        named = [self._named(one) for one in basis]
        begin = sum(one.numel() for one in parts.first.parameters())
        steps = torch.tensor(shares, dtype=self.dtype, device=basis.device)
        numbers = parts.moved(named[0], parts.before(self.inputs[:1])).numel()
        for inputs, targets, weights in self._batches(max(NUMBERS_CACHED // numbers, 32)):
            passed = parts.before(inputs)
            start, *moves = (parts.moved(one, passed) for one in named)
            moved, line, at_line = torch.empty_like(start), start, None
            for at, (along, *others) in enumerate(points.tolist()):
                if others != at_line:  # the points of a line have all but their first step in common
                    line, at_line = start.clone(), others
                    for place, move in zip(others, moves[1:], strict=True):
                        line.add_(move, alpha=place)
                torch.add(line, moves[0], alpha=along, out=moved)
                rest = parts.rest(self._named(steps[at] @ basis[:, begin:], begin))
                output = functional_call(parts.after, rest, (moved,))
                sums[at] += float(self._summed(output, targets, weights)) / self._total
        return sums

    def _penalties(self, basis: Tensor) -> Array:
        """Give the penalty as a quadratic form of the steps along a basis."""
        kept = torch.where(self._free, 0.0, basis)
        return 0.5 * self.l2 * _array(kept @ kept.T)

    def _values(self, vectors: Sequence[Tensor]) -> Array:
        with torch.no_grad():
            sums = np.array([float(self._penalty(vector)) for vector in vectors])
            parameters = [self._named(vector) for vector in vectors]
            for batch in self._batches():
                sums += np.array([float(self._losses(one, *batch)) for one in parameters]) / self._total
        return sums

    def value_and_gradient(self, weights: Array) -> tuple[float, Array]:
        """Give F and ∂F/∂w."""
        vector = self._vector(weights).requires_grad_()
        value, gradient = float(self._penalty(vector.detach())), self._curved(vector.detach())
        for batch in self._batches():
            loss = self._losses(self._named(vector), *batch)
            gradient += torch.autograd.grad(loss, vector)[0].double() / self._total
            value += float(loss.detach()) / self._total
        return value, _array(gradient)

    def hessian_product(self, weights: Array, direction: Array) -> Array:
        """Give (∂²F/∂w²) v; for several at one place `curvature_at` is quicker."""
        vector, along = self._vector(weights).requires_grad_(), self._vector(direction)
        found = self._curved(along)
        for batch in self._batches():
            found += _along(self._gradient(vector, batch), vector, along) / self._total
        return _array(found)

    def curvature_at(self, weights: Array) -> Callable[[Array], Array]:
        """Give v ↦ (∂²F/∂w²) v: the first derivative is computed once, and its graph serves all products.

        Where the graph would be large, every product computes it anew.
        """
        vector, kept, size = self._vector(weights).requires_grad_(), [], 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal size
            size += tensor.nbytes
            return tensor

        for batch in self._batches():
            with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
                kept.append(self._gradient(vector, batch))
            if size > GRAPH_BYTES:
                return lambda direction: self.hessian_product(weights, direction)

        def product(direction: Array) -> Array:
            along = self._vector(direction)
            found = self._curved(along)
            for gradient in kept:
                found += _along(gradient, vector, along) / self._total
            return _array(found)

        return product

    def data_gradient(self, weights: Array) -> Any:
        """Give ∂F/∂X, in the form of the inputs: how F changes when a row's numbers do.

        Inputs that are no numbers with fractions have none: zeros.
        """
        parameters, pieces = self._named(self._vector(weights)), []
        for inputs, targets, shares in self._batches():
            leaves = mapped(lambda one: one.detach().clone().requires_grad_(one.is_floating_point()), inputs)
            loss = self._losses(parameters, leaves, targets, shares) / self._total
            wanted = [one for one in each(leaves) if one.requires_grad]
            found = iter(torch.autograd.grad(loss, wanted, materialize_grads=True))
            pieces.append(mapped(lambda one, it=found: next(it) if one.requires_grad else one * 0, leaves))
        return mapped(lambda one: one.cpu().numpy(), joined(pieces))

    def part(self, places: NDArray[np.integer]) -> ModuleObjective:
        """Give the mean loss of some of the rows, without the penalty: a mini-batch."""
        chosen = torch.as_tensor(places)
        found = copy.copy(self)
        found.l2, found.targets = 0.0, self.targets[chosen]
        found.inputs = rows_of(self.inputs, chosen)
        found.weights = None if self.weights is None else self.weights[chosen]
        return found

    @property
    def _total(self) -> float:
        """Σᵢ cᵢ, by which sums are divided in the end: a share of each batch in float32 would be a bias."""
        return len(self.targets) if self.weights is None else float(self.weights.sum(dtype=torch.float64))

    def _batches(self, size: int | None = None) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
        """Yield inputs, targets and weights of some rows."""
        size = size or (ROWS_OF_IMAGES if next(iter(each(self.inputs))).ndim > 2 else ROWS_AT_ONCE)
        for begin in range(0, len(self.targets), size):
            rows = slice(begin, begin + size)
            weights = None if self.weights is None else self.weights[rows]
            yield rows_of(self.inputs, rows), self.targets[rows], weights

    def _losses(self, parameters: Mapping[str, Tensor], inputs: Any, targets: Tensor, weights: Tensor | None) -> Tensor:
        """Give the sum of the losses of some rows."""
        return self._summed(called(self.module, dict(parameters), inputs), targets, weights)

    def _summed(self, output: Any, targets: Tensor, weights: Tensor | None) -> Tensor:
        """Give Σᵢ cᵢ ℓᵢ of outputs."""
        losses = checked(self.loss(output, targets), len(targets), weighted=weights is not None)
        return len(targets) * losses.mean() if weights is None else (losses * weights).sum()

    def _gradient(self, vector: Tensor, batch: tuple[Any, Tensor, Tensor | None]) -> Tensor:
        """Give the gradient of the sum of the losses of some rows, with the graph of its own derivative."""
        with TwiceDifferentiable():
            losses = self._losses(self._named(vector), *batch)
        return torch.autograd.grad(losses, vector, create_graph=True)[0]

    def _penalty(self, vector: Tensor) -> Tensor:
        return 0.5 * self.l2 * torch.where(self._free, 0.0, vector).square().sum()

    def _curved(self, along: Tensor) -> Tensor:
        """Give the penalty's part of a gradient or product in float64, in which those of the rows are added to it."""
        return self.l2 * torch.where(self._free, 0.0, along.double())

    def _vector(self, values: Array) -> Tensor:
        if np.shape(values) != self.start.shape:
            raise OptionError(f"the module has {len(self.start)} parameters; the vector is {np.shape(values)}")
        return torch.tensor(values, dtype=self.dtype, device=self._free.device)

    def _named(self, vector: Tensor, begin: int = 0) -> dict[str, Tensor]:
        """Give the parts of a vector, or of what it has from `begin` on, by the names of the parameters."""
        return {
            name: vector[place.start - begin : place.stop - begin].view(self.shapes[name])
            for name, place in self.places.items()
            if place.start >= begin
        }


def _along(gradient: Tensor, vector: Tensor, direction: Tensor) -> Tensor:
    """Give the derivative of a gradient along a direction in float64; zero where it depends on no parameter."""
    if not gradient.requires_grad:
        return torch.zeros_like(direction, dtype=torch.float64)
    return torch.autograd.grad(gradient, vector, direction, retain_graph=True, materialize_grads=True)[0].double()


def _tensor(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Give values as a tensor; whole numbers stay what they are."""
    found = torch.as_tensor(values, device=device)
    return found.to(dtype) if found.is_floating_point() else found


def _array(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()
