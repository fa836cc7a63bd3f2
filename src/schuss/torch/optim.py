"""The rules of `schuss.descent` as optimizers of PyTorch, for a training loop of one's own.

Each has the learning rate, the hyperparameters of its rule by their names there, and the penalties of the objective,
λ₂/2 ‖w‖² + λ₁ ‖w‖₁, as options of a parameter group:

    optimizer = schuss.torch.optim.Adagrad(module.parameters(), lr=0.1, l2=1e-4)

What PyTorch's own promise holds: state dicts, copies and pickles, groups with options of their own, learning-rate
schedulers, tensors as rates, closures, hooks, parameters without a gradient, complex ones, sparse gradients. There are
no `maximize`, `foreach`, `fused`, `capturable` and `differentiable`: minimise the negative, and a step is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from schuss.descent import optimizers as rules
from schuss.descent.optimizers import hyperparameters, penalised, scalar_table, trait, with_settings
from schuss.descent.optimizers.rule import Penalised, measure, settle, update
from schuss.descent.penalties import L2, ElasticNet, NoPenalty, Shrink
from schuss.errors import OptionError

__all__ = [
    "FTRL", "SGD", "AMSGrad", "Adadelta", "Adagrad", "Adam", "AdamW", "AveragedSGD", "CentredRMSprop", "Lion",
    "Momentum", "Nesterov", "Prodigy", "RMSprop", "RuleOptimizer", "ScheduleFreeAdamW", "ScheduleFreeSGD",
]  # fmt: skip


class RuleOptimizer(torch.optim.Optimizer):
    """An optimizer that steps by the rule of its class; `step` gives what a closure gives.

    params : tensors, or groups of them with options of their own; lr : learning rate η, a number or a tensor of one;
    l2, l1 : λ₂ and λ₁ of the objective, which act at each weight's own rate (see `schuss.descent.penalties`);
    hyperparameters : of the rule, by name.

    The state of a parameter holds the slots of the rule by name, and `carry`, what the rule takes from step to step.

    Raises OptionError for an option that the rule does not have, or a value that it cannot have.

    >>> w = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Momentum([w], lr=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w / 2).sum().backward()
    ...     optimizer.step()
    >>> w.detach()
    tensor([0.7600])
    """

    rule: Any = None

    def __init__(
        self, params: Iterable[Any], lr: float | Tensor, *, l2: float = 0.0, l1: float = 0.0, **options: float
    ) -> None:
        """Take the parameters in."""
        known = {name: value for name, (value, _) in hyperparameters(self.rule).items()}
        for name in options:
            if name not in known:
                raise OptionError(f"{type(self).__name__} has no option '{name}'; it has {', '.join(known)}")
        super().__init__(params, {"lr": lr, "l2": l2, "l1": l1, **known, **options})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take in further parameters; what is refused is not taken in."""
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except OptionError:
            self.param_groups.pop()
            raise

    def _check(self, given: dict[str, Any]) -> None:
        """Raise OptionError for options that cannot be."""
        name = type(self).__name__
        if isinstance(given["lr"], Tensor) and given["lr"].numel() != 1:
            raise OptionError(f"lr of {name} is a number or a tensor of one, not of {given['lr'].numel()}")
        for option in ("lr", "l2", "l1"):
            if not 0 <= float(given[option]) < np.inf:
                raise OptionError(f"{option} of {name} is a number of at least 0, not {float(given[option])}")
        for option, (_, number) in hyperparameters(self.rule).items():
            if not number.allows(float(given[option])):
                raise OptionError(f"{option} of {name} is a number{number}, not {given[option]}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Step along the gradients that there are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if trait(self.rule, "number_names"):
            self._step_together()
            return loss
        for group in self.param_groups:
            stepper, known = _stepper(self.rule, group), {}
            for one in group["params"]:
                if one.grad is None:
                    continue
                state = self._state_of(one, stepper)
                carry = tuple(state["carry"].tolist())
                if carry not in known:  # parameters that have taken as many steps share their scalars
                    known[carry] = _scalars(stepper, group, state["carry"])
                state["carry"], scalars = known[carry][0].clone(), known[carry][1]
                self._step_one(stepper, scalars, one, state)
        return loss

    def _state_of(self, one: Tensor, stepper: Any) -> dict[str, Any]:
        """Give what is kept of a parameter; of a complex one, of its real and imaginary parts."""
        state, one = self.state[one], _real(one)
        if not state:
            state["carry"] = torch.tensor(stepper.carry_start, dtype=torch.float64)
            for name in stepper.slot_names:
                state[name] = torch.zeros_like(one, memory_format=torch.preserve_format)
            if trait(self.rule, "number_names"):
                state["first"] = one.clone(memory_format=torch.preserve_format)
            if hasattr(stepper, "first_slots"):
                first = stepper.first_slots(one.detach().cpu().numpy())
                _write((one, tuple(map(torch.as_tensor, first))), one, [state[name] for name in stepper.slot_names])
        return state

    def _step_one(self, stepper: Any, scalars: list[float], one: Tensor, state: dict[str, Any]) -> None:
        """Step a parameter."""
        assert one.grad is not None
        slots, gradient, one = [state[name] for name in stepper.slot_names], _real(one.grad), _real(one)
        s = tuple(torch.tensor(value, dtype=one.dtype, device=one.device) for value in scalars)
        if not gradient.is_sparse:
            _write(update(stepper, s, one, gradient, tuple(slots)), one, slots)
            return
        gradient = gradient.coalesce()
        if not _rests(stepper):
            _write(update(stepper, s, one, gradient.to_dense(), tuple(slots)), one, slots)
            return
        places = tuple(gradient.indices())  # a weight without a gradient stays where it is
        w, memory = update(stepper, s, one[places], gradient.values(), tuple(slot[places] for slot in slots))
        one[places] = w
        for slot, changed in zip(slots, memory, strict=True):
            slot[places] = changed

    def _step_together(self) -> None:
        """Step by a rule that looks at all weights together, which has one rate and one carry."""
        first = self.param_groups[0]
        options = [{name: value for name, value in group.items() if name != "params"} for group in self.param_groups]
        if any(
            float(one[name]) != float(first[name]) for one in options for name in ("lr", *hyperparameters(self.rule))
        ):
            raise OptionError(f"{type(self).__name__} looks at all weights together: its groups have one rate")
        stepper = _stepper(self.rule, first)
        ready = [(one, group) for group in self.param_groups for one in group["params"] if one.grad is not None]
        if not ready:
            return
        states = [self._state_of(one, stepper) for one, _ in ready]
        shared = states[0]["carry"]
        carry, scalars = _scalars(stepper, first, shared)
        own = carry[len(carry) - len(trait(self.rule, "number_names")) :].tolist()
        sums: list[float] = []
        for (whole, group), state in zip(ready, states, strict=True):
            mine, one, gradient = _stepper(self.rule, group), _real(whole), _real(whole.grad.to_dense())
            s = [torch.tensor(v, dtype=one.dtype, device=one.device) for v in [*_scalars(mine, group, shared)[1], *own]]
            slots = [state[name] for name in stepper.slot_names]
            after = update(mine, tuple(s), one, gradient, tuple(slots))
            moved = one - state["first"]  # distances are counted from where a weight began
            found = [float(part.sum(dtype=torch.float64)) for part in measure(stepper, moved, gradient, after[1])]
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
            _write(after, one, slots)
        numbers = settle(stepper, tuple(np.float64(value) for value in [*scalars, *own]), sums)
        carry[len(carry) - len(own) :] = torch.tensor([float(number) for number in numbers], dtype=torch.float64)
        for state in states:
            state["carry"] = carry.clone()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; the carry stays in float64, whatever the parameters are."""
        loaded = [state_dict]
        handles = [
            self.register_load_state_dict_pre_hook(lambda _, given: loaded.append(given)),  # after hooks that change it
            self.register_load_state_dict_post_hook(lambda _: self._restore_carry(loaded[-1]), prepend=True),
        ]
        try:
            super().load_state_dict(state_dict)
        finally:
            for handle in handles:
                handle.remove()

    def _restore_carry(self, state_dict: dict[str, Any]) -> None:
        """Give each parameter the carry of a state dict in full precision."""
        places = {place: one for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True)
                  for place, one in zip(saved["params"], group["params"], strict=True)}  # fmt: skip
        for place, kept in state_dict["state"].items():
            if place in places:
                self.state[places[place]]["carry"] = torch.as_tensor(kept["carry"], dtype=torch.float64).cpu().clone()

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Let the parameters be those that count for a while: their averages, with a rule that has them.

        Judge and save a module within; its training goes on afterwards where it was.
        """
        before: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad():
            for group in self.param_groups:
                stepper = _stepper(self.rule, group)
                if not hasattr(stepper, "evaluated"):
                    continue
                for whole in (one for one in group["params"] if one in self.state):
                    state, one = self.state[whole], _real(whole)
                    before.append((one, one.clone()))
                    slots = [state[name].double().cpu().numpy() for name in stepper.slot_names]
                    carry = state["carry"].numpy()
                    counts = stepper.evaluated(carry, one.detach().double().cpu().numpy(), slots)
                    one.copy_(torch.as_tensor(counts))
        try:
            yield
        finally:
            with torch.no_grad():
                for one, kept in before:
                    one.copy_(kept)


def _stepper(rule: Any, group: dict[str, Any]) -> Any:
    """Give a rule with the hyperparameters of a group and its penalty in the cheapest form."""
    own = with_settings(rule, {name: float(group[name]) for name in hyperparameters(rule)})
    if group["l1"]:
        return penalised(own, ElasticNet())
    return penalised(own, (Shrink() if trait(own, "uniform") else L2()) if group["l2"] else NoPenalty())


def _scalars(stepper: Any, group: dict[str, Any], carry: Tensor) -> tuple[Tensor, list[float]]:
    """Give the carry after one step of a group, and its scalars."""
    lr, l2, l1 = (np.array([float(group[name])]) for name in ("lr", "l2", "l1"))
    after, table = scalar_table(stepper, carry.numpy()[:, None], lr[None], l2, l1)
    return torch.tensor(after[:, 0], dtype=torch.float64), table[0, :, 0].tolist()


def _real(one: Tensor) -> Tensor:
    """Look at a complex tensor as real numbers, two each; a sparse one becomes dense."""
    if not one.is_complex():
        return one
    return torch.view_as_real(one.to_dense() if one.is_sparse else one)


def _rests(stepper: Any) -> bool:
    """Whether a weight without a gradient stays where it is."""
    if not isinstance(stepper, Penalised) or not isinstance(stepper.penalty, NoPenalty):
        return False
    return trait(stepper.rule, "sparse") in ("scaled", "resting")


def _write(after: tuple[Any, Any], one: Tensor, slots: list[Tensor]) -> None:
    one.copy_(after[0])
    for slot, changed in zip(slots, after[1], strict=True):
        slot.copy_(changed)


def class_for(rule: Any) -> type[RuleOptimizer]:
    """Give the class that steps by a rule, its hyperparameters being options; one made for it where there is none."""
    for kind in RuleOptimizer.__subclasses__():
        if type(kind.rule) is type(rule) and type(getattr(kind.rule, "rule", None)) is type(
            getattr(rule, "rule", None)
        ):
            return kind
    return type(type(rule).__name__, (RuleOptimizer,), {"rule": rule, "__doc__": type(rule).__doc__})


class SGD(RuleOptimizer):
    """Plain steps; see `schuss.descent.optimizers.SGD`."""

    rule = rules.SGD()


class Momentum(RuleOptimizer):
    """Heavy-ball momentum; see `schuss.descent.optimizers.Momentum`."""

    rule = rules.Momentum()


class Nesterov(RuleOptimizer):
    """Nesterov's momentum; see `schuss.descent.optimizers.Nesterov`."""

    rule = rules.Nesterov()


class Adagrad(RuleOptimizer):
    """Rates that fall with each weight's own gradients; see `schuss.descent.optimizers.Adagrad`."""

    rule = rules.Adagrad()


class Adadelta(RuleOptimizer):
    """Steps in the units of the weights; see `schuss.descent.optimizers.Adadelta`."""

    rule = rules.Adadelta()


class RMSprop(RuleOptimizer):
    """Rates that follow recent gradients; see `schuss.descent.optimizers.RMSprop`."""

    rule = rules.RMSprop()


class CentredRMSprop(RuleOptimizer):
    """Rates that follow the variance of recent gradients; see `schuss.descent.optimizers.CentredRMSprop`."""

    rule = rules.CentredRMSprop()


class Adam(RuleOptimizer):
    """Momentum over rates that follow recent gradients; see `schuss.descent.optimizers.Adam`."""

    rule = rules.Adam()


class AMSGrad(RuleOptimizer):
    """Adam whose rates never rise again; see `schuss.descent.optimizers.AMSGrad`."""

    rule = rules.AMSGrad()


class AdamW(RuleOptimizer):
    """Adam with decoupled weight decay; see `schuss.descent.optimizers.AdamW`."""

    rule = rules.AdamW()


class Lion(RuleOptimizer):
    """Steps of one size along the sign of a momentum; see `schuss.descent.optimizers.Lion`."""

    rule = rules.Lion()


class FTRL(RuleOptimizer):
    """Follow the regularised leader, which with λ₁ sets weights to zero; see `schuss.descent.optimizers.FTRL`."""

    rule = rules.FTRL()


class Prodigy(RuleOptimizer):
    """Adam's steps in units of the distance to the solution; see `schuss.descent.optimizers.Prodigy`."""

    rule = rules.Prodigy()


class ScheduleFreeSGD(RuleOptimizer):
    """Steps whose average takes the place of a falling rate; see `schuss.descent.optimizers.ScheduleFree`.

    The average is what counts: judge the module within `evaluated()`.
    """

    rule = rules.ScheduleFree()


class ScheduleFreeAdamW(RuleOptimizer):
    """The same with Adam's rates; judge the module within `evaluated()`."""

    rule = rules.rule_named("schedule_free_adamw")


class AveragedSGD(RuleOptimizer):
    """Plain steps and the average of the weights; judge the module within `evaluated()`."""

    rule = rules.Averaged()
