"""The rows of a mini-batch as the first layer of all runs multiplies them: dense, or sparse and never made dense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schuss.data.chunk import Chunk, SparseRows, row_of_entries
from schuss.data.chunk import Rows as EncodedRows
from schuss.population.architecture import Architecture

__all__ = ["Batch", "Rows", "batches"]

Parameters = Mapping[str, Tensor]

LINE = 16
"""Mini-batches are filled up to so many rows, with some that weigh nothing: then the numbers of every run lie at a
multiple of 64 bytes, and a product gives the same bits wherever the run stands. Unaligned it may not."""


class Rows(Protocol):
    """Rows with what the first layer, and the embeddings before it, do to them."""

    def part(self, start: int, stop: int, count: int) -> Rows:
        """Give the rows from `start` to before `stop`, and empty ones after them so that there are `count`."""
        ...

    def times(self, parameters: Parameters) -> Tensor:
        """Give the sums `[run, units, row]` of the first layer."""
        ...

    def add_up(self, parameters: Parameters, derivatives: Tensor, gradients: Parameters) -> None:
        """Write the gradients for derivatives along these sums."""
        ...


class Dense(NamedTuple):
    """Rows `[row, feature]`; the first layer of all runs is one product."""

    rows: Tensor

    def part(self, start: int, stop: int, count: int) -> Dense:
        """Give some of the rows, filled up."""
        return Dense(_filled(self.rows[start:stop], count))

    def times(self, parameters: Parameters) -> Tensor:
        """Give the sums of the first layer."""
        weights = parameters["w0"]
        return torch.baddbmm(parameters["b0"][..., None], weights.mT, self.rows.T.expand(len(weights), -1, -1))

    def add_up(self, parameters: Parameters, derivatives: Tensor, gradients: Parameters) -> None:
        """Write the gradients of the first layer."""
        torch.bmm(self.rows.T.expand(len(derivatives), -1, -1), derivatives.mT, out=gradients["w0"])
        torch.sum(derivatives, 2, out=gradients["b0"])


class Entries(NamedTuple):
    """Some columns of sparse rows: entry i is `values[i]` at `columns[i]` of row `owners[i]`; `edges` part the rows."""

    columns: Tensor
    values: Tensor
    owners: Tensor
    edges: Tensor

    def part(self, start: int, stop: int, count: int) -> Entries:
        """Give the entries of some of the rows, filled up."""
        begin, end = int(self.edges[start]), int(self.edges[stop])
        own, edges = slice(begin, end), self.edges[start : stop + 1] - begin
        edges = torch.cat([edges, edges[-1:].expand(count - (stop - start))])
        return Entries(self.columns[own], self.values[own], self.owners[own] - start, edges)

    def times(self, table: Tensor) -> Tensor:
        """Give the sum of the entries' lines of a table `[column, n]` for each row `[row, n]`."""
        return torch.nn.functional.embedding_bag(
            self.columns, table, self.edges, mode="sum", per_sample_weights=self.values, include_last_offset=True
        )

    def add_up(self, derivatives: Tensor, gradient: Tensor) -> None:
        """Write the gradient of a table for derivatives `[row, n]`."""
        gradient.zero_()
        gradient.index_add_(0, self.columns, derivatives[self.owners] * self.values[:, None])


class Sparse(NamedTuple):
    """Rows of which only what is not zero is stored: the plain features, and those of each embedding."""

    plain: Entries
    embedded: tuple[Entries, ...]

    def part(self, start: int, stop: int, count: int) -> Sparse:
        """Give some of the rows, filled up."""
        return Sparse(self.plain.part(start, stop, count), tuple(one.part(start, stop, count) for one in self.embedded))

    def times(self, parameters: Parameters) -> Tensor:
        """Give the sums of the first layer."""
        weights, bias = parameters["w0"], parameters["b0"]
        sums = torch.stack([self.plain.times(own[: self._plain(parameters)]) for own in weights]).mT
        for at, begin, size in self._places(parameters):
            table = parameters[f"e{at}"]
            found = torch.stack([self.embedded[at].times(own) for own in table])
            sums = torch.baddbmm(sums, weights[:, begin : begin + size].mT, found.mT)
        return sums + bias[..., None]

    def add_up(self, parameters: Parameters, derivatives: Tensor, gradients: Parameters) -> None:
        """Write the gradients of the first layer and of the embeddings."""
        weights, own = parameters["w0"], gradients["w0"]
        lines = derivatives.mT.contiguous()
        for run in range(len(weights)):
            self.plain.add_up(lines[run], own[run, : self._plain(parameters)])
        for at, begin, size in self._places(parameters):
            table = parameters[f"e{at}"]
            found = torch.stack([self.embedded[at].times(one) for one in table])
            own[:, begin : begin + size] = torch.bmm(found.mT, lines)
            back = torch.bmm(lines, weights[:, begin : begin + size].mT)
            for run in range(len(weights)):
                self.embedded[at].add_up(back[run], gradients[f"e{at}"][run])
        torch.sum(derivatives, 2, out=gradients["b0"])

    def _plain(self, parameters: Parameters) -> int:
        """Count the plain features."""
        sizes = [parameters[f"e{at}"].shape[2] for at in range(len(self.embedded))]
        return parameters["w0"].shape[1] - sum(sizes)

    def _places(self, parameters: Parameters) -> list[tuple[int, int, int]]:
        """Give the embeddings, where their lines of the first layer begin, and how many these are."""
        found, begin = [], self._plain(parameters)
        for at in range(len(self.embedded)):
            size = parameters[f"e{at}"].shape[2]
            found.append((at, begin, size))
            begin += size
        return found


class Batch(NamedTuple):
    """A mini-batch: `many` rows, and some after them that weigh nothing; weights `[row]`, or `[row, run]`."""

    rows: Rows
    targets: Tensor
    weights: Tensor
    many: int


def batches(
    chunk: Chunk, size: int, architecture: Architecture, device: str, shares: NDArray[np.float32] | None = None
) -> list[Batch]:
    """Cut a chunk into mini-batches, and bring them to where the parameters are.

    shares : `(rows, runs)`, by what each run multiplies the weights of the rows.
    """
    rows, many = _as_rows(chunk.rows, architecture, device), len(chunk.targets)
    own = chunk.weights if shares is None else chunk.weights[:, None] * shares
    targets, weights = (torch.tensor(one, device=device) for one in (chunk.targets, own))
    found = []
    for start in range(0, many, size):
        stop = min(start + size, many)
        count = -(-(stop - start) // LINE) * LINE
        own = _filled(targets[start:stop], count), _filled(weights[start:stop], count)
        found.append(Batch(rows.part(start, stop, count), *own, stop - start))
    return found


def _filled(rows: Tensor, count: int) -> Tensor:
    """Add lines of zeros."""
    if len(rows) == count:
        return rows
    whole = rows.new_zeros(count, *rows.shape[1:])
    whole[: len(rows)] = rows
    return whole


def _as_rows(rows: EncodedRows, architecture: Architecture, device: str) -> Rows:
    """Bring encoded rows to where the parameters are."""
    if not isinstance(rows, SparseRows):
        return Dense(torch.from_numpy(rows).to(device))
    owners = row_of_entries(rows)
    places = np.full(architecture.features, -1, np.int64)
    plain = architecture.plain
    places[plain] = np.arange(len(plain))
    embedded = []
    for one in architecture.embeddings:
        own = np.full(architecture.features, -1, np.int64)
        own[one.start : one.stop] = np.arange(one.stop - one.start)
        embedded.append(_entries(rows, owners, own, device))
    return Sparse(_entries(rows, owners, places, device), tuple(embedded))


def _entries(rows: SparseRows, owners: NDArray[np.int64], places: NDArray[np.int64], device: str) -> Entries:
    """Take the entries whose column has a place."""
    columns = places[rows.indices]
    there = np.flatnonzero(columns >= 0)
    edges = np.zeros(len(rows.indptr), np.int64)
    np.cumsum(np.bincount(owners[there], minlength=len(edges) - 1), out=edges[1:])
    arrays = columns[there], rows.values[there], owners[there], edges
    return Entries(*(torch.from_numpy(one).to(device) for one in arrays))
