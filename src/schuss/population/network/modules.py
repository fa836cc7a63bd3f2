"""A population of copies of any module, as the training loop knows populations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schuss.data.chunk import Chunk, SparseRows, as_matrix
from schuss.data.saved import Saved, from_plain, to_plain, together
from schuss.descent.optimizers import bare, per_run
from schuss.descent.schedules import Slowed
from schuss.population import rates
from schuss.population.network.copies import Batch, Copies
from schuss.population.network.inputs import mapped
from schuss.population.network.probe import seeded
from schuss.population.network.rules import Stack, split
from schuss.population.network.threads import one_thread
from schuss.population.population import Run, Tallies, WinnerState
from schuss.population.saved import runs_of

__all__ = ["Modules", "ModulesState", "tensors_of"]

BUFFER = "buffer."
"""What the names of buffers begin with among the slots of a run that was taken out."""


@dataclass(frozen=True)
class ModulesState:
    """All that changes while a population learns; seen : the rows of all legs."""

    runs: tuple[Run, ...]
    stack: Stack
    copies: Copies
    rows: int = 0
    planned_rows: int = 1
    seen: int = 0
    slowed: tuple[Slowed, ...] = ()


@dataclass(frozen=True)
class Modules:
    """A population of copies of a module that share optimizer, loss and batch size.

    Chunks hold inputs (arrays or tensors with a row each, or a tuple or dict of them) as `rows`, and `targets`; each is
    cut into mini-batches of `batch_size` rows, or is one where that is None. All copies begin with the module's own
    parameters. Where the weights of a chunk are not all one, the loss must give one number a row.

    rule, module, loss : see `rules.Stack` and `copies.Copies`; seed : of what is random in the module; l1 : whether
    runs may have λ₁ > 0; factors : by what the learning rate of a parameter is multiplied, by name; why_in_turn,
    precision, compiled, say : see `copies.Copies`; alone : whether learning keeps to one thread, as that of workers
    does, whose bits must not depend on their cores.
    """

    rule: Any
    module: nn.Module
    loss: Callable[..., Any]
    batch_size: int | None
    seed: int = 0
    l1: bool = False
    factors: Mapping[str, float] | None = None
    why_in_turn: str | None = None
    precision: torch.dtype | None = None
    compiled: bool = False
    say: Callable[[str], None] = warnings.warn
    alone: bool = False

    def __getstate__(self) -> dict[str, Any]:
        """Give what goes with a population to another process, where nobody listens."""
        return vars(self) | {"say": warnings.warn}

    def start(self, runs: tuple[Run, ...]) -> ModulesState:
        """Give the state of runs that have not learned anything yet."""
        copies = Copies(
            self.module, self.loss, len(runs), why_in_turn=self.why_in_turn, precision=self.precision,
            compiled=self.compiled, say=self.say,
        )  # fmt: skip
        specs = [run.optimizer for run in runs]
        rule = per_run(self.rule, specs) if any(bare(spec) != spec for spec in specs) else self.rule
        l2, l1 = np.array([run.l2 for run in runs]), np.array([run.l1 for run in runs])
        stack = Stack(rule, copies.start(), l2=l2, l1=l1 if self.l1 else None, free=copies.free, factors=self.factors)
        return ModulesState(runs, stack, copies)

    def begin_leg(self, state: ModulesState, planned_rows: int) -> ModulesState:
        """Begin the schedules anew, to reach their end after so many rows."""
        return replace(state, rows=0, planned_rows=planned_rows)

    def replan(self, state: ModulesState, planned_rows: int) -> ModulesState:
        """Let the schedules reach their end after so many rows of the leg."""
        return replace(state, planned_rows=planned_rows)

    def hear(self, state: ModulesState, losses: dict[int, float]) -> ModulesState:
        """Tell the schedules the held-out losses of the runs, by number."""
        return replace(state, slowed=rates.slowed_by(state.runs, state.slowed, losses))

    def advance(self, state: ModulesState, chunk: Chunk) -> tuple[ModulesState, Tallies]:
        """Learn from a chunk; the parameters of `state` are used up."""
        rows = len(chunk.targets)
        size = self.batch_size or rows
        state.stack.plan(self._rates(state, size, -(-rows // size)))
        batches = list(_batches(chunk, size, state.copies.device))
        threads = one_thread() if self.alone else nullcontext()
        with threads, seeded(_seed(self.seed, state.seen), state.copies.device):
            losses = state.copies.train(state.stack, batches).double()
        many = torch.tensor([[float(batch.rows)] for batch in batches], dtype=torch.float64, device=losses.device)
        tally = (losses * many).sum(0)
        after = replace(state, rows=state.rows + rows, seen=state.seen + rows)
        return after, Tallies(tally.cpu().numpy(), float(np.sum(chunk.weights, dtype=np.float64)), rows)

    def _rates(self, state: ModulesState, size: int, steps: int) -> NDArray[np.float64]:
        """Give the learning rates of the coming steps `(steps, runs)`."""
        leg = {"rows": state.rows, "planned_rows": state.planned_rows}
        factors, bases = rates.of_steps(state.runs, state.slowed, **leg, batch_size=size, steps=steps)
        return factors @ bases

    def up_to_date(self, state: ModulesState) -> ModulesState:
        """Give the state: every weight is up to date."""
        return state

    def losses(self, state: ModulesState, chunk: Chunk) -> NDArray[np.float32]:
        """Give the loss of every row for every run `(rows, runs)`."""
        whole = next(_batches(chunk, len(chunk.targets), state.copies.device))
        return state.copies.losses(state.stack.evaluated(), whole).float().cpu().numpy()

    def keep(self, state: ModulesState, numbers: list[int]) -> ModulesState:
        """Go on with these runs alone."""
        places = [place for place, run in enumerate(state.runs) if run.number in numbers]
        return replace(
            state, runs=tuple(state.runs[place] for place in places), stack=state.stack.keep(places),
            copies=state.copies.keep(places),
            slowed=tuple(state.slowed[place] for place in places) if state.slowed else (),
        )  # fmt: skip

    def take(self, state: ModulesState, number: int) -> WinnerState:
        """Copy one run out: its parameters as a vector, see `rules.Stack.take`, its buffers beside the slots."""
        place = [run.number for run in state.runs].index(number)
        found = state.stack.take(place)
        buffers = {f"{BUFFER}{name}": one[place].cpu().numpy().copy() for name, one in state.copies.buffers.items()}
        return found._replace(slots=found.slots | buffers)

    def saved(self, state: ModulesState) -> Saved:
        """Give all of a state, to go on from."""
        plain = {"rows": state.rows, "planned_rows": state.planned_rows, "seen": state.seen}
        way = {"at_once": state.copies.at_once, "why_in_turn": state.copies.why_in_turn}
        values = {"runs": to_plain(state.runs), "slowed": to_plain(state.slowed)}
        buffers = {name: one.cpu().numpy() for name, one in state.copies.buffers.items()}
        return together(plain | way | values, stack=state.stack.saved(), buffers=Saved({}, buffers))

    def resumed(self, saved: Saved) -> ModulesState:
        """Give the state that was saved."""
        fresh = self.start(runs_of(saved))
        fresh.stack.restore(saved.part("stack"))
        if saved.values["why_in_turn"]:
            fresh.copies.go_in_turn(saved.values["why_in_turn"])
        fresh.copies.at_once = saved.values["at_once"]
        for name, one in fresh.copies.buffers.items():
            kept = torch.tensor(saved.part("buffers").arrays[name])
            if kept.shape != one.shape:
                raise ValueError(f"buffer '{name}' of its runs is {tuple(kept.shape)}, not {tuple(one.shape)}")
            one.copy_(kept)
        slowed = tuple(Slowed(*values) for values in from_plain(saved.values["slowed"]))
        plain = {name: saved.values[name] for name in ("rows", "planned_rows", "seen")}
        return replace(fresh, slowed=slowed, **plain)


def tensors_of(winner: WinnerState, module: nn.Module) -> dict[str, NDArray[Any]]:
    """Give the parameters and buffers, by name, of a run that was taken out of copies of a module."""
    shapes = {name: tuple(one.shape) for name, one in module.named_parameters() if one.requires_grad}
    buffers = {name: winner.slots[f"{BUFFER}{name}"] for name, _ in module.named_buffers()}
    return split(winner.weights, shapes) | buffers


def _seed(seed: int, seen: int) -> int:
    """Give the seed of a chunk, after so many rows."""
    return int(np.random.SeedSequence([seed, seen]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _batches(chunk: Chunk, size: int, device: torch.device) -> Iterator[Batch]:
    """Cut a chunk into mini-batches."""
    weights = np.asarray(chunk.weights)
    weighted = None if (weights == 1).all() else _moved(weights, device)
    targets = _moved(chunk.targets, device)
    targets = targets.long() if targets.dtype == torch.int32 else targets  # what losses of PyTorch want
    for begin in range(0, len(targets), size):
        rows = slice(begin, begin + size)
        part = as_matrix(chunk.rows)[rows].toarray() if isinstance(chunk.rows, SparseRows) else None
        inputs = mapped(lambda one, rows=rows: _moved(one[rows], device), chunk.rows if part is None else part)
        yield Batch(inputs, targets[rows], None if weighted is None else weighted[rows])


def _moved(values: Any, device: torch.device) -> Tensor:
    return torch.as_tensor(values).to(device, non_blocking=True)
