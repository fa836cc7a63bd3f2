"""Learning from rows as they come: runs of many paces side by side, which answer together, weighted by standing.

How fast to follow a stream is not known beforehand, and changes with it. So sixteen copies of a model learn from every
row, each at a pace of its own, from none at all to a whole step towards every single row. Before a row is learned from,
it is scored by the average of the copies, each counting by how it did on the rows before: exponential weights (Freund
and Schapire 1997) over losses that fade. Since scores are linear, the average of the scores is the score of the average
of the weights: the mixture is one linear model at any moment. Averaging filters of several step sizes beats the best
single one in signal processing (Arenas-García et al. 2006); so it does here, where the stream changes its ways.

Every second slow copy also reverts to zero (`MEAN_REVERSION`): a model that is sure of itself is too sure when the rows
become others than those that it was trained on, however often its classes are right.

The formula of the shares is in `kernels.mixture`; the rule of every copy is Adagrad whose sums of squares are halved
every `HALF_LIFE` rows, so that a stream is still followed after a billion rows. Momentum is in the way: on elec2, as
ordered, the best single rate of Adam ends at a log loss of 0.416, of Adagrad at 0.239, the mixture at 0.228.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk, as_matrix, between, row_count
from schuss.descent.losses import Loss, values_and_gradients
from schuss.descent.optimizers import Adagrad, penalised, scalar_table
from schuss.descent.penalties import L2, ElasticNet
from schuss.population import dense, sparse
from schuss.population.block import Block, fresh_block, plain, single

__all__ = ["MEMORY_ROWS", "Mixture", "MixtureState", "shares_of"]

HALF_LIFE = 8192
"""Rows after which squared gradients count half; from 1,024 to for ever nothing changed by more than 0.003 nats."""

PACES = (3e-6, 1.0)
"""What the slowest and the fastest run that moves take a weight by with a row, where its gradient is as large as usual.

The best single one was 0.3 on elec2, 0.03 where the truth turns round every 8,000 rows, 0.001 on adult's shuffled ones.
"""

LARGEST = 50.0
"""A loss counts as this at most, as in `kernels.mixture`: a copy that was lost once is heard again."""

MEMORY_ROWS = 500.0
"""Losses count e times less after so many rows. Twice or half as many: at most 0.003 nats, in either direction."""

SHARPNESS = 0.5
"""A run that is behind by one nat (in memory) counts this power of e less; 0.3 and 1 give the same to 0.002."""

DOUBT = 1.0
"""By so many nats each run is behind the next slower one at first: a trained model is not left for a few odd rows."""

MEAN_REVERSION = 0.25
"""The λ₂ of every second slow copy as a share of its pace, beside that of the training.

Weights that wander by `pace` a row and yet keep a variance of 1 revert by pace²/2 of themselves a row (they are an
autoregressive process of order one). Adagrad takes λ₂ pace/√(E g²) of a weight, and √(E g²) is about a half for
standardised features: λ₂ = pace/4. Between 0.1 and 1 little changes.
"""

SLOW = 0.01
"""The pace up to which copies revert; faster ones forget what they were sure of by themselves.

If every second copy reverted, elec2's log loss would fall by 1.5 % and that of delays of flights by 0.7 %, but elec2's
accuracy too, by 0.3 points, and the loss where weights wander freely would rise by 1.5 %.
"""

MEMORY = 64 << 20
"""Bytes of weights and squares up to which there are sixteen runs, else eight, or four."""

_WIDTHS = (16, 8, 4)


class MixtureState(NamedTuple):
    """All that changes: the runs, what each lost lately `(lanes,)`, and the rows learned; the arrays are used up."""

    block: Block
    standing: NDArray[np.float64]
    rows: int


@dataclass(frozen=True)
class Mixture:
    """Copies of a linear model that learn at different paces and answer together.

    loss : of `outputs` scores; l2, l1 : the penalties of all copies; intercept : whether it is learned.
    """

    loss: Loss
    features: int
    outputs: int
    is_sparse: bool
    l2: float = 0.0
    l1: float = 0.0
    intercept: bool = True

    @cached_property
    def lanes(self) -> int:
        """How many copies there are."""
        bytes_of_one = 2 * 4 * (self.features + 1) * self.outputs
        return next((width for width in _WIDTHS if width * bytes_of_one <= MEMORY), _WIDTHS[-1])

    @cached_property
    def paces(self) -> NDArray[np.float64]:
        """The paces `(lanes,)`, ascending, the first of them zero."""
        return np.concatenate([[0.0], np.geomspace(*PACES, self.lanes - 1)])

    @cached_property
    def rates(self) -> NDArray[np.float64]:
        """The learning rates `(lanes,)`."""
        return self.paces * np.sqrt(HALF_LIFE)

    @cached_property
    def penalties(self) -> NDArray[np.float64]:
        """The λ₂ of each copy `(lanes,)`: that of the training, and what brings every second slow one back to zero."""
        reverting = (np.arange(self.lanes) % 2 == 1) & (self.paces < SLOW)
        return self.l2 + MEAN_REVERSION * self.paces * reverting

    def start(self, weights: NDArray[Any], squares: NDArray[Any]) -> MixtureState:
        """Let all copies start from weights `(features + 1, outputs)`, with the usual squares of a row's gradient."""
        block = self._fresh()
        self._lanes_of(block.weights)[:] = weights.astype(np.float32)[:, :, None]
        self._lanes_of(block.slots[0])[:] = (squares * HALF_LIFE).astype(np.float32)[:, :, None]
        return MixtureState(block, DOUBT * np.arange(self.lanes, dtype=np.float64), 0)

    def losses(self, state: MixtureState, chunk: Chunk) -> NDArray[np.float64]:
        """Give what each copy would lose on these rows, by their weights `(lanes,)`; a row counts `LARGEST` at most."""
        block = self._seen(state)
        used = self.outputs * self.lanes
        scores = as_matrix(chunk.rows) @ block.weights[:-1, :used] + block.weights[-1, :used]
        each = np.moveaxis(scores.reshape(-1, self.outputs, self.lanes), 2, 1).reshape(-1, self.outputs)
        losses = values_and_gradients(self.loss, each, np.repeat(chunk.targets, self.lanes))[0]
        capped = np.where(losses < LARGEST, losses, LARGEST).reshape(-1, self.lanes)
        return chunk.weights.astype(np.float64) @ capped

    def rescaled(
        self, state: MixtureState, change: Callable[[NDArray[np.float64]], NDArray[np.float64]], squares: NDArray[Any]
    ) -> MixtureState:
        """Say the same of features and targets that are scaled in another way.

        change : from weights `(features + 1, any)` to those in the new way; squares : by what squared gradients grow.
        """
        if self.is_sparse:
            self._bring_up_to_date(state.block)
        used = self.outputs * self.lanes
        block = state.block
        block.weights[:, :used] = change(block.weights[:, :used].astype(np.float64))
        block.slots[0, :, :used] *= squares[:, None].astype(np.float32)
        return state

    def advance(self, state: MixtureState, chunk: Chunk) -> tuple[MixtureState, NDArray[np.float64]]:
        """Answer and learn row by row; give the scores `(rows, outputs)`, each from before its row was learned from.

        How rows are cut into chunks changes no bit.
        """
        answers = np.empty((row_count(chunk.rows), self.outputs))
        done = 0
        for piece in _until_halving(chunk, state.rows):
            count = row_count(piece.rows)
            self._learn(state, piece, answers[done : done + count])
            done += count
            state = state._replace(rows=state.rows + count)
            if state.rows % HALF_LIFE == 0:
                self._halve(state)
        return state, answers

    def weights(self, state: MixtureState) -> NDArray[np.float32]:
        """Give the weights `(features + 1, outputs)` with which the next row would be answered; the state stays."""
        return self._average(self._seen(state), state.standing)

    def arrays(self, state: MixtureState) -> dict[str, NDArray[Any]]:
        """Give what a state must keep to go on with the same bits, by name."""
        block = state.block
        kept = {"weights": block.weights, "squares": block.slots[0], "standing": state.standing}
        return kept | ({"now": block.now, "since": block.since} if self.is_sparse else {})

    def resumed(self, arrays: dict[str, NDArray[Any]], rows: int) -> MixtureState:
        """Give the state that was kept; raises KeyError or ValueError where it is not that of such a mixture."""
        state = MixtureState(self._fresh(), np.zeros(self.lanes), rows)
        for name, array in self.arrays(state).items():
            kept = arrays[name]
            if kept.shape != array.shape or kept.dtype != array.dtype:
                raise ValueError(f"its '{name}' are {kept.dtype} {kept.shape}, not {array.dtype} {array.shape}")
            array[...] = kept
        return state

    @cached_property
    def _stepper(self) -> Any:
        return penalised(Adagrad(), ElasticNet() if self.l1 > 0 else L2())

    @cached_property
    def _plain(self) -> Any:
        return plain(self._stepper)

    def _scalars(self, rates: NDArray[np.float64]) -> NDArray[np.float32]:
        """Give the rule's scalars at these rates as a table of one line."""
        penalties = self.penalties, np.full(self.lanes, self.l1)
        return single(scalar_table(self._stepper, np.zeros((0, self.lanes)), rates[None], *penalties)[1])

    @cached_property
    def _tables(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the scalars with and without the penalty; without an intercept the latter have a rate of zero."""
        free = self._scalars(self.rates if self.intercept else 0.0 * self.rates)
        free[:, self._stepper.free] = 0.0
        return self._scalars(self.rates), free

    def _fresh(self) -> Block:
        way = "resting" if self.is_sparse else "every"
        size = self.features, self.outputs, self.lanes, 1
        return fresh_block(self._stepper, *size, sparse=self.is_sparse, way=way, batch=1)

    def _lanes_of(self, table: NDArray[np.float32]) -> NDArray[np.float32]:
        """View a table of weights as `(features + 1, outputs, lanes)`."""
        return table[:, : self.outputs * self.lanes].reshape(len(table), self.outputs, self.lanes)

    def _learn(self, state: MixtureState, chunk: Chunk, answers: NDArray[np.float64]) -> None:
        """Answer and learn some rows."""
        mixing = (SHARPNESS, float(np.exp(-1.0 / MEMORY_ROWS)), state.standing, answers)
        if self.is_sparse:
            sparse.learn_mixed(
                self._stepper, self._plain, self.loss, chunk, self._tables, self.rates[None], state.block, mixing
            )
        else:
            dense.learn_mixed(
                self._plain, self.loss, self.outputs, chunk, self._tables, state.block.weights, state.block.slots,
                mixing,
            )  # fmt: skip

    def _halve(self, state: MixtureState) -> None:
        """Halve the squares, at which rest what has missed the penalty so far; let runs that are lost begin anew."""
        block = state.block
        if self.is_sparse:
            self._bring_up_to_date(block)
        block.slots[0] *= np.float32(0.5)
        weights, squares = self._lanes_of(block.weights), self._lanes_of(block.slots[0])
        lost = ~(np.isfinite(weights).all(axis=(0, 1)) & np.isfinite(squares).all(axis=(0, 1)))
        if lost.any():
            weights[:, :, lost] = self._average(block, state.standing)[:, :, None]
            squares[:, :, lost] = squares[:, :, :1]

    def _bring_up_to_date(self, block: Block) -> None:
        """Let every weight follow the penalty for the rows that have not touched it."""
        scalars = self._scalars(0.0 * self.rates).astype(np.float64)
        sparse.bring_up_to_date("resting", self._stepper, self._plain, scalars, self.rates[None], block)

    def _seen(self, state: MixtureState) -> Block:
        """Give the block as it is when every weight is up to date; the state stays."""
        block = state.block
        if self.is_sparse:
            block = block._replace(**{name: getattr(block, name).copy() for name in ("weights", "now", "since")})
            self._bring_up_to_date(block)
        return block

    def _average(self, block: Block, standing: NDArray[np.float64]) -> NDArray[np.float32]:
        """Average the weights by the shares."""
        weights = self._lanes_of(block.weights)
        shares = shares_of(standing)
        shares[~np.isfinite(weights).all(axis=(0, 1))] = 0.0
        there = shares > 0
        return (weights[:, :, there] @ (shares[there] / shares[there].sum())).astype(np.float32)


def shares_of(standing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what each run counts by its losses of late, the best one's 1; `kernels.mixture` does so for every row."""
    return np.exp(SHARPNESS * (standing.min() - standing))


def _until_halving(chunk: Chunk, rows: int) -> Iterator[Chunk]:
    """Cut a chunk where the rows learned so far are a multiple of `HALF_LIFE`."""
    count = row_count(chunk.rows)
    start, stop = 0, min(HALF_LIFE - rows % HALF_LIFE, count)
    while start < count:
        yield between(chunk, start, stop)
        start, stop = stop, min(stop + HALF_LIFE, count)
