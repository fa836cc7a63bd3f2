"""K copies of any module with parameters of their own: losses and gradients of all of them at once.

A `Copies` is what stands between a module and the training of a population: it knows how the module is called, holds
the copies' buffers (the statistics of batch normalisation), and writes gradients to where a `rules.Stack` reads them.

    copies = Copies(module, loss, runs=16)
    stack = Stack(rule, copies.start(), free=copies.free)
    losses = copies.learn(stack, Batch(inputs, targets))  # (16,) mean losses; then stack.step()
    copies.losses(stack.evaluated(), batch)               # (rows, 16), in evaluation mode

The loss is `loss(output, targets)`, one number (the mean over the rows) or one a row; rows can only be weighted where
it gives one a row. Everything random in a module must come from PyTorch; whoever calls seeds it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from schuss.population.network.inputs import called, checked, given, mapped, rows_of
from schuss.population.network.rules import Stack
from schuss.population.network.sequence import written_out

__all__ = ["Batch", "Copies", "evaluation", "in_words", "is_out_of_memory", "row_losses"]

TOGETHER = 4e7
"""Operations of a copy and mini-batch up to which copies go together on a CPU: beyond, a layer fills the processor by
itself, and what lies between the layers of sixteen copies leaves the caches."""

CACHED = 65_536
"""Parameters of a copy up to which sequences that are written out go together on a CPU: beyond, a copy's parameters,
gradients and slots stay in the cache through many mini-batches, and those of all copies do not."""

SCORED_ROWS = 1024
"""Rows that are scored at once."""

WORDS = {
    "aten::lstm": "PyTorch cannot vectorise an LSTM",
    "aten::gru": "PyTorch cannot vectorise a GRU",
    "aten::rnn": "PyTorch cannot vectorise a recurrent layer",
    "data-dependent control flow": "its forward pass branches on values",
    ".item()": "its forward pass takes numbers out of tensors",
    "in-place arithmetic": "it changes a tensor in place that all copies share",
    "dynamic shape": "the shape of what it computes depends on values",
}
"""What PyTorch's vmap says of what it cannot do, and what it means."""

Say = Callable[[str], None]
Tensors = Mapping[str, Tensor]


class Batch(NamedTuple):
    """Rows that are learned from together: inputs (a tensor, a tuple or a dict of them), targets, weights."""

    inputs: Any
    targets: Any
    weights: Tensor | None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.targets)

    def part(self, places: Any) -> Batch:
        """Give some of the rows."""
        weights = None if self.weights is None else self.weights[places]
        return Batch(rows_of(self.inputs, places), self.targets[places], weights)


class Copies:
    """K copies of a module.

    module : the first parameters and buffers of every copy, its device and its type; it is copied. Parameters that need
    no gradient are shared. loss : see above; runs : K; why_in_turn : why the copies cannot go through the module
    together, None if they can; precision : the type of an autocast region around module and loss, None for none;
    compiled : whether torch.compile gets at them; say : told in a sentence when memory runs out and fewer copies go
    together from then on.

    trainable : the module's parameters that are learned; buffers : `[K, …]` by name; at_once : how many copies go
    together.
    """

    def __init__(
        self, module: nn.Module, loss: Callable[..., Any], runs: int, *, why_in_turn: str | None = None,
        precision: torch.dtype | None = None, compiled: bool = False, say: Say = warnings.warn,
    ) -> None:  # fmt: skip
        """Copy the module."""
        self.module, self.loss, self.runs = copy.deepcopy(module), loss, runs
        self.judge = copy.deepcopy(self.module).eval()
        self.precision, self.say, self.compiled = precision, say, compiled
        self.trainable = {name: one for name, one in self.module.named_parameters() if one.requires_grad}
        self._row_operations = 0.0
        self.written = None if precision or compiled else written_out(self.module, loss, self.trainable)
        self.buffers = {name: _stacked(one, runs) for name, one in module.named_buffers()}
        self.why_in_turn, self.at_once, self.own = None, runs, []
        self._bound: tuple[Stack, list[nn.Module]] | None = None
        if why_in_turn:
            self.go_in_turn(why_in_turn)
        self._prepare()

    def _prepare(self) -> None:
        """Make functions of all copies of those of one."""
        self._bound = None
        together = vmap(self._mean_loss, in_dims=(0, 0, None), randomness="different")
        self._together = torch.compile(together) if self.compiled else together
        self._rows_together = vmap(self._row_losses, in_dims=(0, 0, None), randomness="different")

    @property
    def free(self) -> list[str]:
        """The parameters that no penalty touches: biases and the scales of normalisation, which have one dimension."""
        return [name for name, one in self.trainable.items() if one.ndim < 2]

    @cached_property
    def _size(self) -> int:
        """The parameters of a copy that are learned."""
        return sum(one.numel() for one in self.trainable.values())

    @property
    def device(self) -> torch.device:
        """Where the copies are."""
        return next(iter(self.trainable.values())).device

    def start(self) -> dict[str, Tensor]:
        """Give the first parameters of all copies `[K, *shape]`."""
        return {name: _stacked(one.detach(), self.runs) for name, one in self.trainable.items()}

    def train(self, stack: Stack, batches: Sequence[Batch]) -> Tensor:
        """Learn from mini-batches, as many as the stack has planned; give the mean losses `(T, K)` before each step.

        Copies that go in turn each go through all of the mini-batches: what a copy needs then stays in the cache.
        """
        if not stack.separable or any(self._copies_at_once(batch) > 1 for batch in batches):
            found = []
            for batch in batches:
                found.append(self.learn(stack, batch))
                stack.step()
            return torch.stack(found)
        one = next(iter(stack.parameters.values()))
        found = torch.empty(len(batches), self.runs, dtype=one.dtype, device=self.device)
        for run in range(self.runs):
            for at, batch in enumerate(batches):
                found[at, run] = self._learn_some(stack, slice(run, run + 1), batch)[0]
                stack.step_alone(run, at)
        return found

    def learn(self, stack: Stack, batch: Batch) -> Tensor:
        """Write the gradients of a mini-batch for all copies, and give their mean losses `(K,)`.

        The mean is Σ weight · loss / rows. Buffers change as training mode has it.
        """
        return torch.cat(self._in_parts(batch, lambda some: self._learn_some(stack, some, batch)))

    def _in_parts(self, batch: Batch, work: Callable[[slice], Tensor]) -> list[Tensor]:
        """Do work for as many copies together as can go; in smaller parts where it fails for that."""
        at_once, found, begin = self._copies_at_once(batch), [], 0
        while begin < self.runs:
            try:
                found.append(work(slice(begin, begin + at_once)))
            except RuntimeError as error:
                if at_once == 1:
                    raise
                at_once = self._fewer(error, at_once)
            else:
                begin += at_once
        return found

    def _fewer(self, error: RuntimeError, at_once: int) -> int:
        """Give how many copies go together after one of the errors that fewer will not meet; raise any other again."""
        why = in_words(error)
        if is_out_of_memory(error):
            self.at_once = -(-at_once // 2)
            self.say(f"memory ran out: from now on {self.at_once} of the {self.runs} copies go together")
        elif why:
            self.go_in_turn(why)
            self.say(f"the copies go through the module in turn: {why}")
        else:
            raise error
        return self.at_once

    def go_in_turn(self, why: str) -> None:
        """Let each copy go through a module of its own from now on."""
        self.why_in_turn, self.at_once, self._bound = why, 1, None
        self.own = [copy.deepcopy(self.module) for _ in range(self.runs)]

    def _copies_at_once(self, batch: Batch) -> int:
        """Say how many copies go together through the module."""
        if self.device.type != "cpu" or self.at_once == 1:
            return min(self.at_once, self.runs)
        if self.written is not None:
            return 1 if self._size > CACHED else self.at_once
        if not self._row_operations:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                called(self.judge, {}, batch.inputs)
            self._row_operations = max(3.0 * counter.get_total_flops() / batch.rows, 1.0)  # the pass back costs two
        return 1 if self._row_operations * batch.rows > TOGETHER else self.at_once

    def _learn_some(self, stack: Stack, some: slice, batch: Batch) -> Tensor:
        """Write the gradients of some copies; give their losses."""
        if self.written is not None and self.written.takes(batch.inputs):
            tensors = _part({**stack.parameters, **self.buffers}, some)
            return self.written.learn(tensors, _part(stack.gradients, some), *batch)
        if some.stop - some.start == 1:
            return self._learn_alone(stack, some.start, batch)
        leaves = {name: one.detach().requires_grad_() for name, one in _part(stack.parameters, some).items()}
        buffers = {name: one.clone() for name, one in _part(self.buffers, some).items()}
        with torch.enable_grad(), _plain_attention():
            losses = self._together(leaves, buffers, batch)
        found = torch.autograd.grad(losses.sum(), [*leaves.values()], materialize_grads=True)
        with torch.no_grad():
            for name, gradient in zip(leaves, found, strict=True):
                stack.gradients[name][some].copy_(gradient)
            for name, one in buffers.items():
                self.buffers[name][some].copy_(one)
        return losses.detach()

    def _learn_alone(self, stack: Stack, run: int, batch: Batch) -> Tensor:
        """Write the gradients of one copy, by a module whose parameters and gradients are those of the stack."""
        module = self._bound_to(stack)[run]
        places = _buffers_of(module)
        for one in module.parameters():
            if one.grad is not None:
                one.grad.zero_()
        with torch.enable_grad():
            with self._autocast():
                output = given(module, batch.inputs)
                losses = checked(self.loss(output, batch.targets), batch.rows, weighted=batch.weights is not None)
            loss = losses.mean() if batch.weights is None else (losses * batch.weights).mean()
            loss.backward()
        for part, own, kept in places.values():
            if part._buffers[own] is not kept:  # assigned anew, where most modules change it in place
                kept.copy_(part.get_buffer(own))
                part._buffers[own] = kept
        return loss.detach()[None]

    def _bound_to(self, stack: Stack) -> list[nn.Module]:
        """Give a module for each copy, whose parameters, gradients and buffers are views of the stack's and of ours."""
        if self._bound is None or self._bound[0] is not stack:
            modules = self.own or [copy.deepcopy(self.module) for _ in range(self.runs)]
            for run, module in enumerate(modules):
                for name, one in module.named_parameters():
                    if name in stack.parameters:
                        one.data, one.grad = stack.parameters[name][run], stack.gradients[name][run]
                for name, (part, own, _) in _buffers_of(module).items():
                    part._buffers[own] = self.buffers[name][run]
            self._bound = stack, modules
        return self._bound[1]

    def _one(self, function: Callable[..., Tensor], run: int, own: Any, buffers: Any, batch: Batch) -> Tensor:
        """Give what a function of one copy gives, `[1, …]`."""
        alone = [{name: one[0] for name, one in tensors.items()} for tensors in (own, buffers)]
        return function(*alone, batch, run)[None]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self.precision is not None)

    def _mean_loss(
        self, own: Mapping[str, Tensor], buffers: Mapping[str, Tensor], batch: Batch, run: int = 0
    ) -> Tensor:
        """Give the mean loss of one copy in training mode."""
        module = self.own[run] if self.own else self.module
        tensors = {**own, **buffers}
        with self._autocast():
            output = called(module, tensors, batch.inputs)
            losses = checked(self.loss(output, batch.targets), batch.rows, weighted=batch.weights is not None)
        with torch.no_grad():
            for name, one in buffers.items():
                if tensors[name] is not one:  # assigned anew, where most modules change it in place
                    one.copy_(tensors[name])
        return losses.mean() if batch.weights is None else (losses * batch.weights).mean()

    def losses(self, parameters: Tensors, batch: Batch) -> Tensor:
        """Give the loss of every row for every copy `(rows, K)`, in evaluation mode."""
        pieces = []
        for begin in range(0, batch.rows, SCORED_ROWS):
            rows = batch.part(slice(begin, begin + SCORED_ROWS))
            pieces.append(torch.cat(self._in_parts(rows, partial(self._losses_of, parameters, rows))).T)
        return torch.cat(pieces)

    @torch.no_grad()
    def _losses_of(self, parameters: Tensors, batch: Batch, some: slice) -> Tensor:
        """Give the losses of the rows for some copies `[copy, row]`."""
        own, buffers = _part(parameters, some), _part(self.buffers, some)
        if some.stop - some.start == 1:
            return self._one(self._row_losses, some.start, own, buffers, batch)
        with _plain_attention():
            return self._rows_together(own, buffers, batch)

    def _row_losses(
        self, own: Mapping[str, Tensor], buffers: Mapping[str, Tensor], batch: Batch, run: int = 0
    ) -> Tensor:
        """Give the loss of every row for one copy in evaluation mode."""
        with evaluation(self.own[run]) if self.own else nullcontext(self.judge) as module, self._autocast():
            return row_losses(self.loss, called(module, {**own, **buffers}, batch.inputs), batch.targets)

    def keep(self, places: Sequence[int]) -> Copies:
        """Give the copies at these places alone."""
        kept = copy.copy(self)
        chosen = list(places)
        kept.runs, kept.buffers = len(chosen), {name: one[chosen] for name, one in self.buffers.items()}
        kept.own = [self.own[place] for place in chosen] if self.own else []
        kept.at_once = min(self.at_once, len(chosen))
        kept._prepare()
        return kept

    def module_with(self, tensors: Mapping[str, Any]) -> nn.Module:
        """Give an ordinary module in training mode with these parameters and buffers, arrays or tensors."""
        found = copy.deepcopy(self.module)
        found.load_state_dict({name: torch.as_tensor(one) for name, one in tensors.items()}, strict=False)
        return found


def _buffers_of(module: nn.Module) -> dict[str, tuple[nn.Module, str, Any]]:
    """Give the buffers by name: the part that each is in, its name there, and itself."""
    found = {}
    for name, _ in module.named_buffers():
        place, _, own = name.rpartition(".")
        part = module.get_submodule(place)
        found[name] = part, own, part._buffers[own]
    return found


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Keep attention from fused operations, which vmap would do copy by copy."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def evaluation(module: nn.Module) -> Iterator[nn.Module]:
    """Set a module to evaluation for a while."""
    modes = {part: part.training for part in module.modules()}
    try:
        yield module.eval()
    finally:
        for part, mode in modes.items():
            part.training = mode


def row_losses(loss: Callable[..., Any], output: Any, targets: Tensor) -> Tensor:
    """Give the loss of every row: what a loss gives, or where that is a mean, what it gives for each row alone."""
    found = loss(output, targets)
    if checked(found, len(targets)).ndim:
        return found

    def alone(output: Any, target: Tensor) -> Tensor:
        return loss(mapped(lambda one: one[None], output), target[None])

    return vmap(alone, randomness="different")(output, targets)


def in_words(error: BaseException) -> str | None:
    """Say what vmap could not do, if this is its error."""
    return next((words for said, words in WORDS.items() if said in str(error)), None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a device or on the host."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


def _stacked(tensor: Tensor, runs: int) -> Tensor:
    return tensor.detach().expand(runs, *tensor.shape).clone()


def _part(tensors: Mapping[str, Tensor], some: slice) -> dict[str, Tensor]:
    return {name: one[some] for name, one in tensors.items()}
