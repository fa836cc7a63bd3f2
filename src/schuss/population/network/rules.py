"""Steps of the rules of `descent` on the stacked parameters of several networks.

A `Stack` holds the parameters of K runs as tensors `[run, …]` that are views of a few flat buffers `[run, weights]`,
and beside each the rule's slots and the gradient. A step is a handful of operations on whole buffers, however many
layers there are. How it is used, a mini-batch at a time:

    stack.plan(rates)                     # (T, K) float64: T calls of `step` follow
    for each of T mini-batches:
        stack.gradients[name].copy_(…)    # of each run's mean loss; or computed right into it with out=
        stack.step()                      # changes stack.parameters[name] in place
    stack.evaluated()                     # the parameters that count: those, or their average

Scalars are float64 and are cast to the parameters' type once a step. On a CPU, float32 parameters go through the
compiled form of the rule in one pass over the memory: for Adam and 16 networks 784-256-128-10 that takes 2.6 ms, the
fused step of torch.optim 2.9, its default 8.7, the same formula as operations of PyTorch 19 (one core). Float64, other
devices and rules that look at all weights go that last way. Nothing here needs autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schuss.data.saved import Saved
from schuss.descent.optimizers import penalised, scalar_table, trait
from schuss.descent.optimizers.rule import measure, settle, update
from schuss.descent.penalties import L2, ElasticNet, NoPenalty, Shrink
from schuss.errors import OptionError
from schuss.kernels import store
from schuss.population.block import plain, single
from schuss.population.population import WinnerState
from schuss.population.workers import side_by_side

__all__ = ["Stack", "split"]

Doubles = NDArray[np.float64]

VECTOR = 16
"""Buffers are filled up to whole vectors of the compiled rules, with weights that stay at zero."""

TILE = 32_768
"""Weights of all runs that go through the operations of a rule at a time: what lies between them stays in the cache."""


class Buffer(NamedTuple):
    """Weights of which a run's have the same scalars: `weights` and `gradient` `[run, n]`, `slots` `[slot, run, n]`.

    names : of the parameters in it, one after the other; factor : place of its rate's factor among those of the stack;
    free : whether no penalty touches them; first : where the weights began, `[run, n]` with a rule that counts
    distances, else `[run, 0]`.
    """

    names: tuple[str, ...]
    factor: int
    free: bool
    weights: Tensor
    gradient: Tensor
    slots: Tensor
    first: Tensor


_KEPT = ("weights", "slots", "first")
"""What of a buffer goes on after a resume."""


class Stack:
    """The parameters of K runs, and a rule's memory of them.

    rule : from `descent.optimizers`, its hyperparameters one number or one a run; start : parameters by name, each
    `[K, *shape]`, of one type and device; they are copied; l2, l1 : λ₂ and λ₁ of each run `(K,)`, None where no run can
    have one, which saves arithmetic (and may change the last bit); free : names of the parameters that no penalty and
    no decay touches; factors : by what the learning rate of a parameter is multiplied, 1 where none is named; threads :
    over which the runs are shared, which changes no bits.

    parameters, gradients : `[K, *shape]` by name, views of the buffers.

    Raises OptionError for factors with a rule that looks at all weights together.

    >>> from schuss.descent.optimizers import SGD
    >>> stack = Stack(SGD(), {"w": torch.ones(2, 3)})
    >>> stack.plan(np.array([[0.5, 0.25]]))
    >>> _ = stack.gradients["w"].fill_(1.0)
    >>> stack.step()
    >>> stack.parameters["w"]
    tensor([[0.5000, 0.5000, 0.5000],
            [0.7500, 0.7500, 0.7500]])
    """

    def __init__(
        self, rule: Any, start: Mapping[str, Tensor], *, l2: Doubles | None = None, l1: Doubles | None = None,
        free: Collection[str] = (), factors: Mapping[str, float] | None = None, threads: int = 1,
    ) -> None:  # fmt: skip
        """Copy the parameters into buffers."""
        self.rule, self.threads = rule, threads
        none = np.zeros(len(next(iter(start.values()))))
        self.l2, self.l1 = (none if one is None else np.asarray(one, np.float64) for one in (l2, l1))
        self.numbers = len(trait(rule, "number_names"))
        self._penalty = _penalty(rule, ridge=l2 is not None, lasso=l1 is not None)
        self.stepper = penalised(rule, self._penalty)
        self.shapes = {name: tuple(tensor.shape[1:]) for name, tensor in start.items()}
        given = {name: float((factors or {}).get(name, 1.0)) for name in start}
        self.factors = sorted(set(given.values()))
        if self.numbers and self.factors != [1.0]:
            raise OptionError(
                f"{type(rule).__name__} has one rate for all weights of a run; rates of layers need another rule"
            )
        first = np.array(self.stepper.carry_start, np.float64).reshape(-1, 1)
        self._carry = [np.repeat(first, self.runs, axis=1) for _ in self.factors]
        places = {name: (self.factors.index(given[name]), name in free) for name in start}
        self._fill(
            [_buffer(key, _names_at(key, places), start, rule, self.stepper) for key in sorted(set(places.values()))]
        )

    def _fill(self, buffers: list[Buffer]) -> None:
        """Take these buffers, and look at them as parameters."""
        self.buffers = buffers
        self.parameters = self._by_name([(buffer.names, buffer.weights) for buffer in buffers])
        self.gradients = self._by_name([(buffer.names, buffer.gradient) for buffer in buffers])
        own = self._carry[0][len(self._carry[0]) - self.numbers :]
        one = buffers[0].weights
        self._running = torch.tensor(own, dtype=one.dtype, device=one.device)[..., None]
        self._compiled = one.dtype == torch.float32 and one.device.type == "cpu" and not self.numbers
        lengths = len(self.stepper.scalar_names), len(self.stepper.slot_names), VECTOR
        self.static = plain(self.stepper), tuple((np.float32(0),) * length for length in lengths)
        self._tables: list[Any] = []
        self._step = 0

    def _by_name(self, parts: Sequence[tuple[tuple[str, ...], Tensor]]) -> dict[str, Tensor]:
        """Give views of flat tensors `[K, n]`, in the order of the parameters that were given."""
        found = {}
        for names, flat in parts:
            begin = 0
            for name in names:
                size = _size(self.shapes[name])
                found[name] = flat[:, begin : begin + size].view(-1, *self.shapes[name])
                begin += size
        return {name: found[name] for name in self.shapes}

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return len(self.l2)

    @property
    def carry(self) -> Doubles:
        """What the rule carries from step to step `(factors, carries, K)`; complete when all planned steps are done."""
        if self.numbers:
            self._carry[0][-self.numbers :] = self._running[..., 0].cpu().numpy()
        return np.stack(self._carry)

    def plan(self, rates: Doubles) -> None:
        """Prepare as many steps as there are lines of learning rates `(T, K)`; exactly as many must follow."""
        carry = self.carry
        self._tables, self._step = [], 0
        for place, factor in enumerate(self.factors):
            with np.errstate(all="ignore"):  # what is not finite shows in the weights
                after, table = scalar_table(self.stepper, carry[place], rates * factor, self.l2, self.l1)
            self._carry[place] = after
            untouched = table.copy()
            untouched[:, self.stepper.free] = 0.0
            self._tables.append((self._prepared(table), self._prepared(untouched)))

    def _prepared(self, table: Doubles) -> Any:
        """Bring scalars `(T, scalars, K)` into the form in which steps read them."""
        if self._compiled:
            return np.repeat(single(table).transpose(0, 2, 1), VECTOR, axis=2).reshape(len(table), -1)
        one = self.buffers[0].weights
        return torch.tensor(table[..., None]).to(dtype=one.dtype, device=one.device)

    @torch.no_grad()
    def step(self) -> None:
        """Step all parameters along `gradients`."""
        sums: list[Tensor] = []
        for buffer in self.buffers:
            scalars = self._tables[buffer.factor][buffer.free][self._step]
            if self._compiled:
                self._step_compiled(buffer, scalars)
            else:
                self._step_eagerly(buffer, scalars, sums)
        if self.numbers:
            s = (*self._tables[0][0][self._step].unbind(0), *self._running.unbind(0))
            self._running = torch.stack(list(settle(self.stepper, s, sums)))
        self._step += 1

    @property
    def separable(self) -> bool:
        """Whether runs can step one by one, each through all planned steps before the next: `step_alone`."""
        return self._compiled

    @property
    def planned(self) -> list[tuple[Buffer, Any]]:
        """The buffers, each with the scalars of all planned steps as the compiled rule reads them, a line for each."""
        return [(buffer, self._tables[buffer.factor][buffer.free]) for buffer in self.buffers]

    def step_alone(self, run: int, step: int) -> None:
        """Do one of the planned steps with one run; all planned steps of all runs are done so, or none."""
        for buffer in self.buffers:
            self._compiled_step(buffer, self._tables[buffer.factor][buffer.free][step])(run, run + 1)

    def _compiled_step(self, buffer: Buffer, scalars: NDArray[np.float32]) -> Callable[[int, int], None]:
        """Give the step of the compiled rule, which takes the runs from one to before another."""
        arrays = scalars, buffer.weights.numpy(), buffer.slots.numpy(), buffer.gradient.numpy()
        return partial(store.run, "flat:step_flat", self.static, *arrays)

    def _step_compiled(self, buffer: Buffer, scalars: NDArray[np.float32]) -> None:
        """Step by the compiled rule, some runs in each thread."""
        work = self._compiled_step(buffer, scalars)
        even = np.linspace(0, self.runs, min(self.threads, self.runs) + 1) if self.threads > 1 else (0, self.runs)
        edges = [int(edge) for edge in even]
        side_by_side([partial(work, a, z) for a, z in pairwise(edges)], self.threads)

    def _step_eagerly(self, buffer: Buffer, scalars: Tensor, sums: list[Tensor]) -> None:
        """Step by operations of PyTorch, some weights at a time; add what the rule measures to the sums."""
        s = (*scalars.unbind(0), *self._running.unbind(0))
        n = buffer.weights.shape[1]
        tile = max(TILE // self.runs, VECTOR) if buffer.weights.device.type == "cpu" else n
        for begin in range(0, n, tile):
            w, g = buffer.weights[:, begin : begin + tile], buffer.gradient[:, begin : begin + tile]
            slots = buffer.slots[:, :, begin : begin + tile]
            after, memory = update(self.stepper, s, w, g, tuple(slots.unbind(0)))
            if self.numbers:
                found = [
                    one.sum(1, keepdim=True)
                    for one in measure(self.stepper, w - buffer.first[:, begin : begin + tile], g, memory)
                ]
                sums[:] = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
            w.copy_(after)
            for slot, changed in zip(slots, memory, strict=True):
                slot.copy_(changed)

    def evaluated(self) -> dict[str, Tensor]:
        """Give the parameters that count, `[K, *shape]` by name: their averages, with rules that have them."""
        if not hasattr(self.stepper, "evaluated"):
            return self.parameters
        carry, parts = self.carry, []
        for buffer in self.buffers:
            w, slots = buffer.weights.cpu().numpy().T, buffer.slots.cpu().numpy().transpose(0, 2, 1)
            found = self.stepper.evaluated(carry[buffer.factor], w, slots)  # runs last, as hyperparameters are
            parts.append((buffer.names, torch.tensor(np.ascontiguousarray(found.T)).to(buffer.weights)))
        return self._by_name(parts)

    def keep(self, places: Sequence[int]) -> Stack:
        """Give a stack of the runs at these places alone."""
        kept, chosen = object.__new__(Stack), list(places)
        kept.__dict__.update(self.__dict__)
        kept.rule = _of_runs(self.rule, chosen, self.runs)
        kept.stepper = penalised(kept.rule, self._penalty)
        kept._carry = [one[:, chosen] for one in self.carry]
        kept.l2, kept.l1 = self.l2[chosen], self.l1[chosen]
        taken = [one._replace(weights=one.weights[chosen], gradient=one.gradient[chosen], slots=one.slots[:, chosen],
                             first=one.first[chosen])
                 for one in self.buffers]  # fmt: skip
        kept._fill(taken)
        return kept

    def take(self, place: int) -> WinnerState:
        """Copy one run out: all parameters that count as one vector, one after the other, as `split` takes it apart.

        Slots are vectors of the same order; with a rule that averages, slot "on_the_way" holds the weights that are
        stepped. The carry is `(factors, carries)`.
        """
        slots = {
            name: self._vector([(one.names, one.slots[i]) for one in self.buffers], place)
            for i, name in enumerate(self.stepper.slot_names)
        }
        if hasattr(self.stepper, "evaluated"):
            slots["on_the_way"] = _vector(self.parameters, place)
        return WinnerState(_vector(self.evaluated(), place), slots, self.carry[:, :, place].copy())

    def _vector(self, parts: Sequence[tuple[tuple[str, ...], Tensor]], place: int) -> NDArray[Any]:
        return _vector(self._by_name(parts), place)

    def saved(self) -> Saved:
        """Give all that has changed, to go on from."""
        arrays = {"carry": self.carry}
        for i, buffer in enumerate(self.buffers):
            arrays |= {f"{i}.{name}": getattr(buffer, name).cpu().numpy() for name in _KEPT}
        return Saved({}, arrays)

    def restore(self, saved: Saved) -> None:
        """Go on from what was saved by a stack of as many such runs; raises KeyError or ValueError where it was not."""
        carry = saved.arrays["carry"]
        if carry.shape != self.carry.shape:
            raise ValueError(f"the carry of its runs is {carry.shape}, not {self.carry.shape}")
        for i, buffer in enumerate(self.buffers):
            for name in _KEPT:
                tensor = getattr(buffer, name)
                kept = torch.tensor(saved.arrays[f"{i}.{name}"])
                if kept.shape != tensor.shape or kept.dtype != tensor.dtype:
                    raise ValueError(
                        f"'{name}' of its runs is {kept.dtype} {tuple(kept.shape)}, "
                        f"not {tensor.dtype} {tuple(tensor.shape)}"
                    )
                tensor.copy_(kept)
        self._carry = [*carry.astype(np.float64)]
        self._fill(self.buffers)


def split(vector: NDArray[Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Take a vector of all parameters apart.

    >>> split(np.arange(5), {"w": (2, 2), "b": (1,)})
    {'w': array([[0, 1],
           [2, 3]]), 'b': array([4])}
    """
    ends = np.cumsum([_size(shape) for shape in shapes.values()])[:-1]
    parts = np.split(vector, ends)
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _penalty(rule: Any, *, ridge: bool, lasso: bool) -> Any:
    """Give the cheapest form of a penalty."""
    if lasso or not ridge:
        return ElasticNet() if lasso else NoPenalty()
    return Shrink() if trait(rule, "uniform") else L2()


def _names_at(key: tuple[int, bool], places: Mapping[str, tuple[int, bool]]) -> tuple[str, ...]:
    return tuple(name for name, place in places.items() if place == key)


def _buffer(
    key: tuple[int, bool], names: tuple[str, ...], start: Mapping[str, Tensor], rule: Any, stepper: Any
) -> Buffer:
    """Copy parameters `[K, *shape]` into a buffer."""
    parts = [start[name].detach().flatten(1) for name in names]
    runs, n = len(parts[0]), sum(part.shape[1] for part in parts)
    weights = parts[0].new_zeros(runs, -(-n // VECTOR) * VECTOR)
    torch.cat(parts, dim=1, out=weights[:, :n])
    slots = weights.new_zeros(len(stepper.slot_names), *weights.shape)
    if hasattr(stepper, "first_slots"):
        for slot, first in zip(slots, stepper.first_slots(weights.cpu().numpy().T), strict=True):
            slot.copy_(torch.as_tensor(first.T))
    first = weights.clone() if trait(rule, "number_names") else weights[:, :0]
    return Buffer(names, *key, weights, torch.zeros_like(weights), slots, first)


def _of_runs(rule: Any, places: list[int], runs: int) -> Any:
    """Give a rule with the hyperparameters of some of its runs."""
    fields = [
        _of_runs(field, places, runs)
        if hasattr(field, "_fields")
        else np.asarray(field)[places]
        if np.ndim(field)
        else field
        for field in rule
    ]
    return type(rule)(*fields)


def _vector(tensors: Mapping[str, Tensor], place: int) -> NDArray[Any]:
    """Give one run's part of tensors `[K, *shape]` as one vector."""
    return torch.cat([tensor[place].flatten() for tensor in tensors.values()]).cpu().numpy().copy()
