"""Modules of the user's own between rows and scores: where their tensors lie in one vector, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Rows, as_matrix, row_count
from schuss.errors import OptionError

__all__ = ["Outside"]

SCORED_ROWS = 1024
"""Rows that go through a module at once."""


@dataclass(frozen=True)
class Outside:
    """A module that a factory of the user's makes for rows of `features` numbers and `outputs` scores.

    factory : its name, `module:NAME` or `file.py:NAME`; shapes : of the module's parameters and buffers by name, in
    their order in a vector of all; make : the factory itself, None where a file has told the name and nobody has said
    yet that its code may run. It has what `Architecture` has.
    """

    factory: str
    features: int
    outputs: int
    shapes: Mapping[str, tuple[int, ...]]
    make: Callable[[int, int], Any] | None = field(default=None, repr=False, compare=False)

    def to_values(self) -> dict[str, Any]:
        """Tell the fields as plain values, for a file: the name of the code, never the code."""
        shapes = [[name, list(shape)] for name, shape in self.shapes.items()]
        return {"factory": self.factory, "features": self.features, "outputs": self.outputs, "shapes": shapes}

    @classmethod
    def from_values(cls, told: Mapping[str, Any]) -> Outside:
        """Give what a file tells, which runs no code; raises TypeError or ValueError where it cannot be."""
        shapes = {str(name): tuple(shape) for name, shape in told["shapes"]}
        sizes = [told["features"], told["outputs"], *(size for shape in shapes.values() for size in shape)]
        if not all(type(size) is int and 0 <= size < 1 << 31 for size in sizes) or len(shapes) != len(told["shapes"]):
            raise ValueError("its network has no sizes")
        if not isinstance(told["factory"], str):
            raise ValueError("its network has no name")
        return cls(told["factory"], told["features"], told["outputs"], shapes)

    def allowed(self, make: Callable[[int, int], Any]) -> Outside:
        """Give the same with a factory whose code the user lets run."""
        return replace(self, make=make)

    @property
    def size(self) -> int:
        """The numbers of a vector of all."""
        return sum(map(prod, self.shapes.values()))

    def vector(self, tensors: Mapping[str, Any]) -> NDArray[np.float32]:
        """Put the tensors of a module, by name, one after the other."""
        return np.concatenate([np.asarray(tensors[name], np.float32).ravel() for name in self.shapes])

    def layers(self, vector: NDArray[Any]) -> Any:
        """Give the module in evaluation mode with the tensors of a vector.

        Raises OptionError where its code may not run, and where it makes another module than the one trained.
        """
        if self.make is None:
            shown = self.factory[:80]
            raise OptionError(
                f"this model's scores come from code that its file only names, '{shown}': --network {shown} (in Python "
                f"Model.load(path, network='{shown}')) lets it run"
            )
        from schuss.population.network import made

        begin, tensors = 0, {}
        for name, shape in self.shapes.items():
            tensors[name] = np.array(vector[begin : begin + prod(shape)]).reshape(shape)
            begin += prod(shape)
        return made.module_with(tensors, self.make, self.features, self.outputs, self.factory)

    def scores(self, layers: Any, rows: Rows) -> NDArray[Any]:
        """Give the scores `(n, outputs)` of rows."""
        from schuss.population.network import made

        found = np.empty((row_count(rows), self.outputs), np.float32)
        matrix: Any = as_matrix(rows)
        for begin in range(0, len(found), SCORED_ROWS):
            part = _dense(matrix[begin : begin + SCORED_ROWS])
            found[begin : begin + len(part)] = made.scores(layers, part)
        return found

    def row_slopes(self, layers: Any, rows: NDArray[Any]) -> NDArray[Any]:
        """Give the slopes of the scores along the features of dense rows, `(n, features, outputs)`."""
        from schuss.population.network import made

        return made.row_slopes(layers, _dense(rows))


def _dense(rows: Any) -> NDArray[np.float32]:
    dense = rows.toarray() if hasattr(rows, "toarray") else rows
    return np.array(dense, np.float32)  # a copy that may be written to, as PyTorch wants it
