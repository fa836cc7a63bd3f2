"""What a module and a loss allow, found out on a mini-batch before any training."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from schuss.descent.optimizers import SGD
from schuss.errors import OptionError, SchussError
from schuss.population.network.copies import Batch, Copies, evaluation, in_words, is_out_of_memory, row_losses
from schuss.population.network.inputs import called, checked, each
from schuss.population.network.rules import Stack

__all__ = ["checked_module", "copy_of", "seeded", "why_in_turn"]

SAME = 1e-3
"""By how much of itself a loss may differ when copies go together: float32 sums in another order differ far less."""


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let PyTorch draw from a seed for a while, and go on as before afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def copy_of(module: nn.Module, what: str) -> nn.Module:
    """Copy a module; raises OptionError where something in it cannot be copied."""
    try:
        return copy.deepcopy(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise OptionError(f"the module of {what} cannot be copied, as every run needs its own: {reason}") from error


def checked_module(made: Any, loss: Callable[..., Any], batch: Batch, what: str = "the factory") -> nn.Module:
    """Give what a factory has made if it is a module that a loss can judge and that can learn.

    Raises OptionError: it is no module, nothing in it can be learned, it does not take the inputs, the loss does not
    take its output, is not one number or one a row, is no mean over the rows, depends on no parameter, is not finite;
    or it cannot be copied.
    """
    if not isinstance(made, nn.Module):
        raise OptionError(f"{what} gave something of type {type(made).__name__}, not a torch.nn.Module")
    learned = [one for one in made.parameters() if one.requires_grad]
    if not learned:
        raise OptionError(f"{what} gave a module without a parameter that can be learned")
    with seeded(0, learned[0].device), evaluation(copy_of(made, what)) as module, _strict():
        output = _tried(lambda: called(module, {}, batch.inputs), f"the module of {what} does not take the rows")
        shapes = " and ".join(str(tuple(one.shape)) for one in each(output) if isinstance(one, Tensor))
        between = f"an output of shape {shapes} and targets of shape {tuple(batch.targets.shape)}"
        value = _tried(lambda: module_loss(loss, output, batch), f"the loss does not take {between}")
        losses = _tried(
            lambda: row_losses(loss, output, batch.targets), f"the loss does not take {between}, row by row"
        )
    _check_mean(value, losses, batch)
    if not value.requires_grad:
        raise OptionError("the loss does not depend on the module's parameters: nothing can be learned")
    if not bool(torch.isfinite(value)):
        raise OptionError(f"the loss of the first {batch.rows} rows is {value.item()} before any step")
    return made


def module_loss(loss: Callable[..., Any], output: Any, batch: Batch) -> Tensor:
    """Give the mean loss of a batch, without its weights."""
    return checked(loss(output, batch.targets), batch.rows, weighted=batch.weights is not None).mean()


def _check_mean(value: Tensor, losses: Tensor, batch: Batch) -> None:
    """Raise OptionError where a loss is not the mean of those of its rows."""
    mean = losses.mean()
    if bool(torch.isfinite(value)) and bool((value - mean).abs() > SAME * losses.abs().mean()):
        raise OptionError(
            f"the loss of {batch.rows} rows, {value.item():.6g}, is not the mean of those of each row, "
            f"{mean.item():.6g}: reduction='mean' gives one that is"
        )


@contextmanager
def _strict() -> Iterator[None]:
    """Take what PyTorch warns of, such as targets of another shape than the output, as wrong."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Using a target size")
        yield


def _tried(work: Callable[[], Any], what: str) -> Any:
    """Do some of the user's work; raises OptionError, with what went wrong in a sentence."""
    try:
        return work()
    except SchussError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise OptionError(f"{what}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def why_in_turn(module: nn.Module, loss: Callable[..., Any], batch: Batch) -> str | None:
    """Say why copies of a module cannot go through it together, or None where they can.

    Found out by trying: two copies go together, and the same two one after the other, in evaluation mode, where nothing
    is random; in training mode what is no parameter and no buffer must stay as it was.
    """
    try:
        return _state(module, loss, batch) or _difference(module, loss, batch)
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        return in_words(error) or _first_line(error)


def _state(module: nn.Module, loss: Callable[..., Any], batch: Batch) -> str | None:
    """Say what a module remembers outside of its parameters and buffers, or that it draws from elsewhere."""
    tried = copy.deepcopy(module)
    before = _attributes(tried)
    first = _training_loss(tried, loss, batch)
    after = _attributes(tried)
    for name in [*after, *before]:
        if name not in before or name not in after or not _same(before[name], after[name]):
            return f"it keeps state in '{name}', which is neither a parameter nor a buffer"
    again = _training_loss(copy.deepcopy(module), loss, batch)
    if not torch.equal(first, again) and not bool((first - again).abs() <= 1e-6 * first.abs()):
        return (
            f"its loss depends on randomness that is not PyTorch's ({first.item():.6g}, then {again.item():.6g} with "
            "the same seed), so that its bits do not repeat"
        )
    return None


def _training_loss(module: nn.Module, loss: Callable[..., Any], batch: Batch) -> Tensor:
    with seeded(0, batch.targets.device), torch.no_grad():
        return module_loss(loss, called(module, {}, batch.inputs), batch)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Give what the parts of a module keep beside their parameters, buffers and parts."""
    hidden = set(nn.Module().__dict__)
    return {
        f"{place}.{name}" if place else name: value.clone() if isinstance(value, Tensor) else copy.copy(value)
        for place, part in module.named_modules()
        for name, value in vars(part).items()
        if name not in hidden
    }


def _same(one: Any, other: Any) -> bool:
    """Whether an attribute is as it was; what cannot be compared counts as unchanged."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    try:
        return type(one) is type(other) and bool(one is other or one == other or not _plain(one))
    except (TypeError, ValueError, RuntimeError):
        return True


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str | bool | list | tuple | dict | set | type(None))


def _difference(module: nn.Module, loss: Callable[..., Any], batch: Batch) -> str | None:
    """Say by how much two copies that go together differ from the same ones in turn; raises what vmap raises."""
    together = Copies(module, loss, 2, say=lambda said: None)
    alone = Copies(module, loss, 2, why_in_turn="to compare")
    start = together.start()
    with seeded(0, batch.targets.device):
        for one in start.values():
            one[1] += 0.01 * one[1].std(correction=0) * torch.randn_like(one[1])
        stack = Stack(SGD(), start)
        own, theirs = together.losses(stack.parameters, batch), alone.losses(stack.parameters, batch)
        together.learn(stack, batch)  # in training mode, where what vmap cannot do shows
    off = float((own.mean(0) - theirs.mean(0)).abs().max())
    if off > SAME * float(theirs.abs().mean()):
        return f"copies that go through it together do not get their own losses (they are {off:.3g} off)"
    return together.why_in_turn
