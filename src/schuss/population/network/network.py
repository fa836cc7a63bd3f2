"""A population of networks of dense layers, as the training loop knows populations.

The runs lie in blocks that learn from the same chunk side by side, each in a thread of its own with all operations of
PyTorch in that one thread: no bit depends on how many threads there are, and small tensors are not torn apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from schuss.data.chunk import Chunk
from schuss.data.saved import Saved, from_plain, to_plain, together
from schuss.descent.losses import Loss, judge_of
from schuss.descent.optimizers import bare, per_run, trait
from schuss.descent.schedules import Slowed
from schuss.errors import OptionError
from schuss.population import rates
from schuss.population.architecture import Architecture
from schuss.population.network import compiled
from schuss.population.network.layers import Layers, evaluate
from schuss.population.network.rows import Batch, batches
from schuss.population.network.rules import Stack
from schuss.population.network.threads import one_thread
from schuss.population.population import Run, Tallies, WinnerState
from schuss.population.saved import runs_of
from schuss.population.workers import side_by_side

__all__ = ["Block", "Network", "NetworkState", "device_named"]

SCORED_ROWS = 1024
"""Rows that are scored at once: what lies between the layers of sixteen runs stays in the second cache or near it."""


class Block(NamedTuple):
    """Some of the runs: their places among all, and their parameters."""

    places: tuple[int, ...]
    stack: Stack


THREADS_PAY = 1 << 21
"""Products of parameters and rows of a mini-batch from which on blocks learn in threads of their own.

Below, an operation takes less than handing the interpreter's lock over.
"""


@dataclass(frozen=True)
class NetworkState:
    """All that changes while a population learns; seen : the rows of all legs."""

    runs: tuple[Run, ...]
    blocks: tuple[Block, ...]
    rows: int = 0
    planned_rows: int = 1
    seen: int = 0
    slowed: tuple[Slowed, ...] = ()


@dataclass(frozen=True)
class Network:
    """A population of networks that share optimizer, loss and batch size.

    rule : the optimizer with its hyperparameters; loss : of `architecture.outputs` scores; threads : blocks that learn
    at a time, which changes no bits; seed : of the first parameters and of dropout; l1 : whether runs may have λ₁ > 0;
    device : of PyTorch.
    """

    rule: Any
    loss: Loss
    architecture: Architecture
    batch_size: int
    threads: int = 1
    seed: int = 0
    l1: bool = False
    device: str = "cpu"

    @cached_property
    def _compiled(self) -> bool:
        """Whether a kernel learns from dense rows."""
        together = bool(trait(self.rule, "number_names"))  # rules that look at all weights at every step
        return self.device == "cpu" and not together and compiled.has_kernel(self.architecture)

    @cached_property
    def layers(self) -> Layers:
        """The arithmetic."""
        return Layers(self.architecture)

    def start(self, runs: tuple[Run, ...]) -> NetworkState:
        """Give the state of runs that have not learned anything yet.

        Neighbours, whose rates are alike, come into different blocks: those that stay in the race are spread over both.
        """
        pays = self.device == "cpu" and self.architecture.size * self.batch_size >= THREADS_PAY
        count = min(self.threads, len(runs)) if pays else 1
        return self._placed(runs, [tuple(range(b, len(runs), count)) for b in range(count)])

    def _placed(self, runs: tuple[Run, ...], blocks: Sequence[tuple[int, ...]]) -> NetworkState:
        """Give the state of runs at the beginning, with those at these places in each block."""
        stacks = [self._stack([runs[place] for place in places]) for places in blocks]
        return NetworkState(runs, tuple(map(Block, blocks, stacks)))

    def _stack(self, runs: Sequence[Run]) -> Stack:
        """Give the first parameters of some runs."""
        drawn = [self.architecture.start(run.init, seed=self.seed, run=run.number) for run in runs]
        start = {
            name: torch.from_numpy(np.stack([one[name] for one in drawn])).to(self.device)
            for name in self.architecture.shapes
        }
        specs = [run.optimizer for run in runs]
        rule = per_run(self.rule, specs) if any(bare(spec) != spec for spec in specs) else self.rule
        l2, l1 = np.array([run.l2 for run in runs]), np.array([run.l1 for run in runs])
        free = [name for name in start if name[0] == "b"]
        return Stack(rule, start, l2=l2, l1=l1 if self.l1 else None, free=free)

    def put(self, state: NetworkState, weights: NDArray[np.float32]) -> None:
        """Let the runs of a state at its beginning begin with these parameters `(runs, parameters)`."""
        for places, stack in state.blocks:
            for lane, place in enumerate(places):
                for name, one in self.architecture.parts(weights[place]).items():
                    stack.parameters[name][lane] = torch.from_numpy(np.ascontiguousarray(one))

    def begin_leg(self, state: NetworkState, planned_rows: int) -> NetworkState:
        """Begin the schedules anew, to reach their end after so many rows."""
        return replace(state, rows=0, planned_rows=planned_rows)

    def replan(self, state: NetworkState, planned_rows: int) -> NetworkState:
        """Let the schedules reach their end after so many rows of the leg."""
        return replace(state, planned_rows=planned_rows)

    def hear(self, state: NetworkState, losses: dict[int, float]) -> NetworkState:
        """Tell the schedules the held-out losses of the runs, by number."""
        return replace(state, slowed=rates.slowed_by(state.runs, state.slowed, losses))

    def advance(
        self, state: NetworkState, chunk: Chunk, shares: NDArray[np.float32] | None = None
    ) -> tuple[NetworkState, Tallies]:
        """Learn from a chunk; the parameters of `state` are used up.

        shares : `(rows, runs)`, by what each run multiplies the weights of the rows.
        """
        rows = len(chunk.targets)
        if self._compiled and isinstance(chunk.rows, np.ndarray):
            weights = chunk.weights[:, None] * (np.ones(len(state.runs), np.float32) if shares is None else shares)
            jobs = [partial(self._advance_at_once, state, block, chunk, weights) for block in state.blocks]
        else:
            cut = batches(chunk, self.batch_size, self.architecture, self.device, shares)
            jobs = [partial(self._advance_block, state, block, cut) for block in state.blocks]
        with one_thread():
            tally = _in_place(state, side_by_side(jobs, self.threads), np.float64)
        after = replace(state, rows=state.rows + rows, seen=state.seen + rows)
        return after, Tallies(tally, float(chunk.weights.sum(dtype=np.float64)), rows)

    def _rates(self, state: NetworkState, block: Block, steps: int) -> NDArray[np.float64]:
        """Give the learning rates of the coming steps of a block `(steps, runs)`."""
        leg = {"rows": state.rows, "planned_rows": state.planned_rows}
        factors, bases = rates.of_steps(state.runs, state.slowed, **leg, batch_size=self.batch_size, steps=steps)
        return factors @ bases[:, list(block.places)]

    def _advance_at_once(
        self, state: NetworkState, block: Block, chunk: Chunk, weights: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Learn from a chunk with one block by a kernel; give the summed losses of its runs."""
        block.stack.plan(self._rates(state, block, -(-len(chunk.targets) // self.batch_size)))
        own = weights[:, list(block.places)]
        return compiled.learn(block.stack, self.architecture, self.loss, chunk, self.batch_size, own)

    @torch.no_grad()
    def _advance_block(self, state: NetworkState, block: Block, cut: list[Batch]) -> NDArray[np.float64]:
        """Learn from a chunk with one block; give the summed losses of its runs."""
        stack, row = block.stack, state.seen
        tally = torch.zeros(stack.runs, dtype=torch.float64, device=self.device)
        stack.plan(self._rates(state, block, len(cut)))
        for batch in cut:
            scores, trace = self.layers.scores(stack.parameters, batch.rows, self._noise(row))
            with np.errstate(all="ignore"):  # what is not finite shows in the tally
                losses, derivatives = evaluate(self.loss, scores, batch.targets)
            weights = batch.weights if batch.weights.ndim == 1 else batch.weights[:, list(block.places)].T.contiguous()
            tally += (losses * weights).sum(1, dtype=torch.float64)
            # In one layout whatever the number of runs: products of another one may differ in the last bit.
            derivatives = (derivatives * (weights / batch.many)[..., None, :]).contiguous()
            self.layers.backward(stack.parameters, batch.rows, trace, derivatives, stack.gradients)
            stack.step()
            row += batch.many
        return tally.cpu().numpy()

    def _noise(self, row: int) -> torch.Generator | None:
        """Give the random numbers by which the mini-batch that begins at a row of the training drops units."""
        if not self.architecture.dropout:
            return None
        mixed = np.random.SeedSequence([self.seed, row, _STREAM]).generate_state(1, np.uint64)
        return torch.Generator(self.device).manual_seed(int(mixed[0] >> np.uint64(1)))

    def up_to_date(self, state: NetworkState) -> NetworkState:
        """Give the state itself: every step moves every parameter."""
        return state

    def losses(self, state: NetworkState, chunk: Chunk) -> NDArray[np.float32]:
        """Give the loss of every row for every run `(rows, runs)`."""
        cut = batches(chunk, SCORED_ROWS, self.architecture, self.device)
        jobs = [partial(self._losses_of_block, block.stack, cut) for block in state.blocks]
        with one_thread():
            return _in_place(state, side_by_side(jobs, self.threads), np.float32)

    @torch.no_grad()
    def scores(self, state: NetworkState, chunk: Chunk) -> NDArray[np.float32]:
        """Give the scores of every row for every run `(rows, runs, outputs)`."""
        cut = batches(chunk, SCORED_ROWS, self.architecture, self.device)
        found = np.empty((len(chunk.targets), len(state.runs), self.architecture.outputs), np.float32)
        with one_thread():
            for places, stack in state.blocks:
                parameters, first = stack.evaluated(), 0
                for batch in cut:
                    own = self.layers.scores(parameters, batch.rows)[0][..., : batch.many]
                    found[first : first + batch.many, list(places)] = own.permute(2, 0, 1).cpu().numpy()
                    first += batch.many
        return found

    @torch.no_grad()
    def _losses_of_block(self, stack: Stack, cut: list[Batch]) -> NDArray[np.float32]:
        """Give the loss of every row for every run of a block `(rows, runs)`."""
        parameters, loss, found = stack.evaluated(), judge_of(self.loss), []
        for batch in cut:
            with np.errstate(all="ignore"):
                losses = evaluate(loss, self.layers.scores(parameters, batch.rows)[0], batch.targets)[0]
            found.append(losses[:, : batch.many].T.float().cpu().numpy())
        return np.concatenate(found)

    def keep(self, state: NetworkState, numbers: list[int]) -> NetworkState:
        """Go on with these runs alone."""
        kept = [place for place, run in enumerate(state.runs) if run.number in numbers]
        blocks = []
        for places, stack in state.blocks:
            own = [lane for lane, place in enumerate(places) if place in kept]
            if own:
                with one_thread():
                    blocks.append(Block(tuple(kept.index(places[lane]) for lane in own), stack.keep(own)))
        slowed = tuple(state.slowed[place] for place in kept) if state.slowed else ()
        return replace(state, runs=tuple(state.runs[place] for place in kept), blocks=tuple(blocks), slowed=slowed)

    def take(self, state: NetworkState, number: int) -> WinnerState:
        """Copy one run out."""
        place = [run.number for run in state.runs].index(number)
        places, stack = next(block for block in state.blocks if place in block.places)
        return stack.take(places.index(place))

    def saved(self, state: NetworkState) -> Saved:
        """Give all of a state, to go on from."""
        plain = {name: to_plain(getattr(state, name)) for name in ("runs", "rows", "planned_rows", "seen", "slowed")}
        places = [list(block.places) for block in state.blocks]
        return together(plain | {"places": places}, **{f"{b}": one.stack.saved() for b, one in enumerate(state.blocks)})

    def resumed(self, saved: Saved) -> NetworkState:
        """Give the state that was saved."""
        values = saved.values
        fresh = self._placed(runs_of(saved), from_plain(values["places"]))
        for b, block in enumerate(fresh.blocks):
            block.stack.restore(saved.part(f"{b}"))
        slowed = tuple(Slowed(*one) for one in from_plain(values["slowed"]))
        plain = {name: values[name] for name in ("rows", "planned_rows", "seen")}
        return replace(fresh, slowed=slowed, **plain)


def device_named(name: str) -> str:
    """Give the device of a name, for "auto" a CUDA device where there is one; raises OptionError where there is not."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise OptionError("option '--device cuda' needs a CUDA device, and PyTorch finds none; cpu is the other one")
    return "cuda" if there and name != "cpu" else "cpu"


def _in_place(state: NetworkState, parts: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    """Put what each block gives, its runs along the last axis, into the order of the runs."""
    found = np.empty((*parts[0].shape[:-1], len(state.runs)), dtype)
    for block, part in zip(state.blocks, parts, strict=True):
        found[..., list(block.places)] = part
    return found


_STREAM = 0x1419
"""Keeps these random numbers apart from those that shuffle the rows and draw the first weights."""
