"""What a network of dense layers is: its sizes, where its parameters lie in one vector, its scores in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Rows, as_matrix
from schuss.descent.activations import parse_activation
from schuss.descent.initializers import Normal, parse_initializer

__all__ = ["Architecture", "Embedding"]

Floats = NDArray[np.float32]


class Embedding(NamedTuple):
    """The indicators `start` … `stop` − 1 of a row become `size` numbers, which the first layer sees in their place."""

    start: int
    stop: int
    size: int


@dataclass(frozen=True)
class Architecture:
    """Dense layers of `hidden` units, then the scores.

        a₀ = x        zₗ = aₗ Wₗ + bₗ        aₗ₊₁ = f(zₗ)        scores = a_L W_L + b_L

    features, outputs : of the rows and the scores; activation : the name of f; dropout : the share of the hidden units
    that each mini-batch does without, the others growing by 1/(1 − dropout) (Srivastava et al. 2014); embeddings : of
    categories of many values, in ascending order: in a₀ the product of their indicators with a matrix of their own
    stands in the place of these, after all other features.
    """

    features: int
    outputs: int
    hidden: tuple[int, ...]
    activation: str = "relu"
    dropout: float = 0.0
    embeddings: tuple[Embedding, ...] = ()

    def to_values(self) -> dict[str, Any]:
        """Tell the fields as plain values, for a file."""
        return asdict(self)

    @classmethod
    def from_values(cls, told: Mapping[str, Any]) -> Architecture:
        """Give the architecture whose fields a file tells; raises TypeError or ValueError where there can be none."""
        lists = {"hidden": tuple(told["hidden"]), "embeddings": tuple(Embedding(*one) for one in told["embeddings"])}
        return cls(**{**told, **lists})._checked()

    def _checked(self) -> Architecture:
        """Give the architecture itself if it can be, else raise ValueError."""
        sizes = [self.features, self.outputs, *self.hidden, *(number for one in self.embeddings for number in one)]
        if not all(type(size) is int and 0 <= size < 1 << 31 for size in sizes) or not self.hidden or 0 in self.hidden:
            raise ValueError("its network has no sizes")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ValueError("its network drops no share of its units")
        edges = [0, *(number for one in self.embeddings for number in one[:2]), self.features]
        if any(one.size < 1 for one in self.embeddings) or sorted(edges) != edges:
            raise ValueError("its network embeds features that there are not")
        parse_activation(str(self.activation))
        return self

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters by name, in their order in a vector of all: `(inputs, units)`, `(units,)`."""
        embedded = {f"e{at}": (one.stop - one.start, one.size) for at, one in enumerate(self.embeddings)}
        inputs = self.features + sum(one.size - (one.stop - one.start) for one in self.embeddings)
        sizes = [inputs, *self.hidden, self.outputs]
        found: dict[str, tuple[int, ...]] = dict(embedded)
        for layer, (inputs, units) in enumerate(pairwise(sizes)):
            found |= {f"w{layer}": (inputs, units), f"b{layer}": (units,)}
        return found

    @property
    def size(self) -> int:
        """The number of parameters."""
        return sum(map(prod, self.shapes.values()))

    @property
    def plain(self) -> NDArray[np.intp]:
        """The features that no embedding takes."""
        taken = np.zeros(self.features, np.bool_)
        for one in self.embeddings:
            taken[one.start : one.stop] = True
        return np.flatnonzero(~taken)

    def start(self, init: str, *, seed: int, run: int) -> dict[str, Floats]:
        """Draw the first parameters of a run, biases zero; `init` "auto" is what suits the activation.

        They depend on the seed and the run's number alone. No activation follows the last layer: by itself it begins by
        Glorot's rule. Embeddings begin as small normal numbers.
        """
        rng = np.random.default_rng([seed, run, _STREAM])
        last = f"w{len(self.hidden)}"
        found = {}
        for name, shape in self.shapes.items():
            if name[0] == "b":
                found[name] = np.zeros(shape, np.float32)
            elif name[0] == "e":
                found[name] = Normal(EMBEDDED).draw(rng, *shape)
            else:
                by_itself = "glorot" if name == last else parse_activation(self.activation).start
                found[name] = parse_initializer(by_itself if init == "auto" else init).draw(rng, *shape)
        return found

    def parts(self, vector: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Give the parameters by name, views of a vector of all."""
        found, begin = {}, 0
        for name, shape in self.shapes.items():
            found[name] = vector[begin : begin + prod(shape)].reshape(shape)
            begin += prod(shape)
        return found

    def first_layer(self, parts: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Give the weights `(features, units)` of the first layer for rows as they are: embeddings are linear."""
        own = parts["w0"]
        if not self.embeddings:
            return own
        plain = self.plain
        whole = np.empty((self.features, own.shape[1]), own.dtype)
        whole[plain] = own[: len(plain)]
        begin = len(plain)
        for at, one in enumerate(self.embeddings):
            whole[one.start : one.stop] = parts[f"e{at}"] @ own[begin : begin + one.size]
            begin += one.size
        return whole

    def layers(self, vector: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Give weights `(inputs, units)` and biases `(units,)` of each layer, the first for rows as they are."""
        parts = self.parts(vector)
        weights = [self.first_layer(parts), *(parts[f"w{layer}"] for layer in range(1, len(self.hidden) + 1))]
        return [(own, parts[f"b{layer}"]) for layer, own in enumerate(weights)]

    def scores(self, layers: list[tuple[NDArray[Any], NDArray[Any]]], rows: Rows) -> NDArray[Any]:
        """Give the scores `(n, outputs)` of rows."""
        activation = parse_activation(self.activation)
        a: Any = as_matrix(rows)
        *hidden, (weights, bias) = layers
        for own, constant in hidden:
            a = activation.value(a @ own + constant)
        return a @ weights + bias

    def row_slopes(self, layers: list[tuple[NDArray[Any], NDArray[Any]]], rows: NDArray[Any]) -> NDArray[Any]:
        """Give the slopes of the scores along the features of dense rows, `(n, features, outputs)`."""
        activation = parse_activation(self.activation)
        a, slopes = rows, []
        for own, constant in layers[:-1]:
            z = a @ own + constant
            a = activation.value(z)
            slopes.append(activation.slope(z, a))
        found = np.broadcast_to(layers[-1][0], (len(rows), *layers[-1][0].shape))
        for (own, _), slope in zip(layers[-2::-1], slopes[::-1], strict=True):
            found = own @ (slope[:, :, None] * found)
        return found


EMBEDDED = 0.05
"""Standard deviation of the first embeddings."""

_STREAM = 0x1418
"""Keeps these random numbers apart from those that shuffle the rows, and from the first weights of linear models."""
