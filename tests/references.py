"""Optimizers that PyTorch lacks, as their authors wrote them down, in the form of `torch.optim`."""

from __future__ import annotations

from typing import Any

import torch


class Reference:
    """One parameter that starts at zero, and its learning rate."""

    def __init__(self, parameters: list[torch.Tensor], rate: float) -> None:
        self.w, self.rate, self.steps = parameters[0], rate, 0
        self.zero = torch.zeros_like(self.w.data)

    def zero_grad(self) -> None:
        self.w.grad = None

    @torch.no_grad()
    def step(self) -> None:
        assert self.w.grad is not None
        self.steps += 1
        self.follow(self.w.grad.clone())

    def follow(self, g: torch.Tensor) -> None:
        raise NotImplementedError

    def evaluated(self) -> torch.Tensor:
        return self.w.data


class Lion(Reference):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, parameters: list[torch.Tensor], rate: float, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, rate)
        self.m, self.weight_decay = self.zero, weight_decay

    def follow(self, g: torch.Tensor) -> None:
        c = 0.9 * self.m + (1 - 0.9) * g
        self.w -= self.rate * (torch.sign(c) + self.weight_decay * self.w)
        self.m = 0.99 * self.m + (1 - 0.99) * g


class FTRL(Reference):
    """McMahan et al. 2013, algorithm 1, with the penalties of McMahan 2011, which grow with the steps."""

    def __init__(self, parameters: list[torch.Tensor], rate: float, l1: float = 0.0, l2: float = 0.0) -> None:
        super().__init__(parameters, rate)
        self.z, self.n, self.l1, self.l2 = self.zero, self.zero, l1, l2

    def follow(self, g: torch.Tensor) -> None:
        sigma = ((self.n + g**2).sqrt() - self.n.sqrt()) / self.rate
        self.z = self.z + g - sigma * self.w
        self.n = self.n + g**2
        l1, l2 = self.steps * self.l1, self.steps * self.l2
        solution = -(self.z - torch.sign(self.z) * l1) / ((1.0 + self.n.sqrt()) / self.rate + l2)
        self.w.copy_(torch.where(self.z.abs() <= l1, self.zero, solution))


class ScheduleFreeSGD(Reference):
    """Defazio et al. 2024, algorithm 1, in the form of their package: y is stepped, x is what counts."""

    def __init__(self, parameters: list[torch.Tensor], rate: float) -> None:
        super().__init__(parameters, rate)
        self.z = self.w.data.clone()

    def direction(self, g: torch.Tensor) -> torch.Tensor:
        return g

    def follow(self, g: torch.Tensor) -> None:
        g = self.direction(g)
        share = 1 / self.steps
        self.w.lerp_(self.z, share)
        self.w += self.rate * (0.9 * (1 - share) - 1) * g
        self.z -= self.rate * g

    def evaluated(self) -> torch.Tensor:
        return torch.lerp(self.w.data, self.z, 1 - 1 / 0.9)


class ScheduleFreeAdamW(ScheduleFreeSGD):
    """The same with RMSprop's directions, their bias corrected, and weight decay at y."""

    def __init__(self, parameters: list[torch.Tensor], rate: float, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, rate)
        self.v, self.weight_decay = self.zero, weight_decay

    def direction(self, g: torch.Tensor) -> torch.Tensor:
        self.v = 0.999 * self.v + (1 - 0.999) * g**2
        return g / ((self.v / (1 - 0.999**self.steps)).sqrt() + 1e-8) + self.weight_decay * self.w


class PolyakAverage(Reference):
    """The plain mean of all weights that another optimizer comes through."""

    def __init__(self, parameters: list[torch.Tensor], rate: float, other: Any) -> None:
        super().__init__(parameters, rate)
        self.other, self.sum = other(parameters, rate), self.zero

    def follow(self, g: torch.Tensor) -> None:
        self.other.step()
        self.sum = self.sum + self.w

    def evaluated(self) -> torch.Tensor:
        return self.sum / self.steps


def dampened(parameters: list[torch.Tensor], rate: float) -> torch.optim.SGD:
    """PyTorch's momentum, whose first step it does not dampen, from a velocity of zero on."""
    optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.8, dampening=0.3)
    for parameter in parameters:
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


class Prodigy(Reference):
    """Mishchenko and Defazio 2023, algorithm 4, without decay and bias corrections."""

    def __init__(self, parameters: list[torch.Tensor], rate: float) -> None:
        super().__init__(parameters, rate)
        self.m, self.v, self.s, self.r, self.d = self.zero, self.zero, self.zero, 0.0, 1e-6

    def follow(self, g: torch.Tensor) -> None:
        d, root = self.d, 0.999**0.5
        self.m = 0.9 * self.m + (1 - 0.9) * d * g
        self.v = 0.999 * self.v + (1 - 0.999) * d**2 * g**2
        self.r = root * self.r + (1 - root) * self.rate * d**2 * float((g * (self.zero - self.w)).sum())
        self.s = root * self.s + (1 - root) * self.rate * d**2 * g
        self.d = max(d, self.r / float(self.s.abs().sum()))
        self.w -= self.rate * d * self.m / (self.v.sqrt() + d * 1e-8)


class ProdigyPackage(Reference):
    """The arithmetic of the authors' package prodigyopt 1.1.2 with its defaults; `d` on the way is the new one.

    Its sums are in units of d₀ and lack the factor 1 − √β₂: both cancel in their ratio. In one thing it differs from
    algorithm 4: ε in the denominator is multiplied by the d after the step, not the one before.
    """

    def __init__(self, parameters: list[torch.Tensor], rate: float, epsilon: float = 1e-8) -> None:
        super().__init__(parameters, rate)
        self.epsilon, self.d0, self.d, self.numerator = epsilon, 1e-6, 1e-6, 0.0
        self.p0, self.s = self.w.data.clone(), self.zero.clone()
        self.exp_avg, self.exp_avg_sq = self.zero.clone(), self.zero.clone()

    def follow(self, g: torch.Tensor) -> None:
        d, beta3 = self.d, 0.999**0.5
        dlr = d * self.rate
        self.numerator = beta3 * self.numerator + d / self.d0 * dlr * float(torch.sum(g * (self.p0 - self.w)))
        self.exp_avg.mul_(0.9).add_(g, alpha=d * (1 - 0.9))
        self.exp_avg_sq.mul_(0.999).addcmul_(g, g, value=d * d * (1 - 0.999))
        self.s.mul_(beta3).add_(g, alpha=d / self.d0 * dlr)
        self.d = max(d, self.numerator / float(self.s.abs().sum()))
        self.w.addcdiv_(self.exp_avg, self.exp_avg_sq.sqrt().add_(self.d * self.epsilon), value=-dlr)
