"""Tables problem × component × oracle, and small problems that every numerical test draws from."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from sklearn import metrics
from sklearn._loss import HuberLoss
from sklearn.linear_model import _sgd_fast
from tests import references

from schuss.data.chunk import Chunk, SparseRows
from schuss.descent import losses
from schuss.descent.optimizers import (
    FTRL,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    Averaged,
    CentredRMSprop,
    Lion,
    Momentum,
    Nesterov,
    RMSprop,
    ScheduleFree,
    penalised,
    scalar_table,
)
from schuss.descent.penalties import L2, ElasticNet
from schuss.population.linear import Linear
from schuss.population.population import Run


class LossCase(NamedTuple):
    """A loss, its number of outputs and classes, and other people's implementations: of each row, of the mean."""

    name: str
    loss: Any
    outputs: int
    classes: int | None
    torch_values: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    sklearn_mean: Callable[[NDArray[Any], NDArray[Any]], float] | None


functional = torch.nn.functional


def _sigmoid_log_loss(scores: NDArray[Any], targets: NDArray[Any]) -> float:
    return metrics.log_loss(targets, 1 / (1 + np.exp(-scores[:, 0])), labels=[0, 1])


def _softmax_log_loss(scores: NDArray[Any], targets: NDArray[Any]) -> float:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return metrics.log_loss(targets, powers / powers.sum(axis=1, keepdims=True), labels=range(scores.shape[1]))


def _sgd(loss: Any) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    """The mean of a loss of scikit-learn's SGD, of classes against the rest where there are several."""

    def mean(scores: NDArray[Any], targets: NDArray[Any]) -> float:
        if scores.shape[1] == 1:
            signs = 2.0 * targets[:, None] - 1 if targets.dtype.kind == "i" else targets[:, None]
        else:
            signs = np.where(targets[:, None] == np.arange(scores.shape[1]), 1.0, -1.0)
        return float(np.vectorize(loss.py_loss)(signs, scores).sum(axis=1).mean())

    return mean


def _signs(s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """1 for the right class, else -1 `(n, outputs)`."""
    if s.shape[1] == 1:
        return 2 * y[:, None].to(s.dtype) - 1
    return 2 * functional.one_hot(y.long(), s.shape[1]).to(s.dtype) - 1


def _lead(s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """By how much the right class's score is above the highest other one `(n,)`."""
    own = functional.one_hot(y.long(), s.shape[1]).bool()
    return s[own] - s.masked_fill(own, -torch.inf).max(1).values


def _modified_huber(s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    margin = s * _signs(s, y)
    return torch.where(margin < -1, -4 * margin, torch.relu(1 - margin) ** 2).sum(1)


def _squared_sigmoid(s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (((_signs(s, y) + 1) / 2 - torch.sigmoid(s)) ** 2).sum(1) / 2


def _multiclass(name: str, loss: Any, torch_values: Any, sklearn_mean: Any = None) -> LossCase:
    return LossCase(name, loss, 5, 5, torch_values, sklearn_mean)


def _two_classes(name: str, loss: Any, torch_values: Any, sklearn_mean: Any = None) -> LossCase:
    return LossCase(name, loss, 1, 2, torch_values, sklearn_mean)


def _of_numbers(name: str, loss: Any, torch_values: Any, sklearn_mean: Any = None) -> LossCase:
    return LossCase(name, loss, 1, None, lambda s, y: torch_values(s[:, 0], y), sklearn_mean)


LOSS_CASES = [
    _two_classes(
        "log_loss", losses.LogLoss(),
        lambda s, y: functional.binary_cross_entropy_with_logits(s[:, 0], y.to(s.dtype), reduction="none"),
        _sigmoid_log_loss,
    ),
    _multiclass(
        "softmax", losses.Softmax(), lambda s, y: functional.cross_entropy(s, y.long(), reduction="none"),
        _softmax_log_loss,
    ),
    _two_classes(
        "hinge", losses.Hinge(),
        # The first of two scores that are 0 and s: PyTorch's multi-margin loss divides by the number of classes.
        lambda s, y: 2 * functional.multi_margin_loss(
            torch.cat([torch.zeros_like(s), s], 1), y.long(), reduction="none"),
        lambda s, y: metrics.hinge_loss(y, s[:, 0], labels=[0, 1]),
    ),
    _two_classes("wide_hinge", losses.Hinge(2.5), lambda s, y: torch.relu(2.5 - s * _signs(s, y)).sum(1)),
    _multiclass(
        "multiclass_hinge", losses.MulticlassHinge(),
        lambda s, y: s.shape[1] * functional.multi_margin_loss(s, y.long(), reduction="none"),
    ),
    _multiclass(
        "wide_multiclass_hinge", losses.MulticlassHinge(2.5),
        lambda s, y: s.shape[1] * functional.multi_margin_loss(s, y.long(), margin=2.5, reduction="none"),
    ),
    _multiclass(
        "crammer_singer", losses.CrammerSinger(), lambda s, y: torch.relu(1 - _lead(s, y)),
        lambda s, y: metrics.hinge_loss(y, s, labels=range(5)),
    ),
    _two_classes(
        "squared_hinge", losses.SquaredHinge(1.5), lambda s, y: (torch.relu(1.5 - s * _signs(s, y)) ** 2).sum(1),
        _sgd(_sgd_fast.SquaredHinge(1.5)),
    ),
    _multiclass(
        "multiclass_squared_hinge", losses.MulticlassSquaredHinge(),
        lambda s, y: (torch.relu(1 - s * _signs(s, y)) ** 2).sum(1), _sgd(_sgd_fast.SquaredHinge(1.0)),
    ),
    _two_classes("modified_huber", losses.ModifiedHuber(), _modified_huber, _sgd(_sgd_fast.ModifiedHuber())),
    _multiclass(
        "multiclass_modified_huber", losses.MulticlassModifiedHuber(), _modified_huber, _sgd(_sgd_fast.ModifiedHuber())
    ),
    _two_classes(
        "perceptron", losses.Perceptron(), lambda s, y: torch.relu(-s * _signs(s, y)).sum(1),
        _sgd(_sgd_fast.Hinge(0.0)),
    ),
    _multiclass("multiclass_perceptron", losses.MulticlassPerceptron(), lambda s, y: torch.relu(-_lead(s, y))),
    _two_classes("sigmoid_squared_error", losses.SigmoidSquaredError(), _squared_sigmoid),
    _multiclass("multiclass_sigmoid_squared_error", losses.MulticlassSigmoidSquaredError(), _squared_sigmoid),
    _of_numbers(
        "squared_error", losses.SquaredError(), lambda s, y: functional.mse_loss(s, y, reduction="none") / 2,
        lambda s, y: metrics.mean_squared_error(y, s) / 2,
    ),
    _of_numbers(
        "absolute_error", losses.AbsoluteError(), lambda s, y: functional.l1_loss(s, y, reduction="none"),
        lambda s, y: metrics.mean_absolute_error(y, s),
    ),
    _of_numbers(
        "huber", losses.Huber(0.7), lambda s, y: functional.huber_loss(s, y, reduction="none", delta=0.7),
        lambda s, y: HuberLoss(delta=0.7)(y, s[:, 0]),
    ),
    _of_numbers(
        "epsilon_insensitive", losses.EpsilonInsensitive(0.3), lambda s, y: torch.relu((s - y).abs() - 0.3),
        _sgd(_sgd_fast.EpsilonInsensitive(0.3)),
    ),
    _of_numbers(
        "squared_epsilon_insensitive", losses.SquaredEpsilonInsensitive(0.3),
        lambda s, y: torch.relu((s - y).abs() - 0.3) ** 2, _sgd(_sgd_fast.SquaredEpsilonInsensitive(0.3)),
    ),
    _of_numbers(
        "quantile", losses.Quantile(0.8), lambda s, y: torch.maximum(0.8 * (y - s), 0.2 * (s - y)),
        lambda s, y: metrics.mean_pinball_loss(y, s, alpha=0.8),
    ),
    _of_numbers(
        "poisson", losses.Poisson(),
        lambda s, y: functional.poisson_nll_loss(s, y, reduction="none") + torch.xlogy(y, y) - y,
        lambda s, y: metrics.mean_poisson_deviance(y, np.exp(s)) / 2,
    ),
]  # fmt: skip


class RuleCase(NamedTuple):
    """An optimizer, the same in PyTorch or by its authors, and rates that suit it."""

    name: str
    rule: Any
    reference: Callable[[list[torch.Tensor], float], Any]
    rates: tuple[float, ...]


optim = torch.optim

RULE_CASES = [
    RuleCase("sgd", SGD(), lambda p, lr: optim.SGD(p, lr=lr), (0.001, 0.03, 0.3)),
    RuleCase("momentum", Momentum(), lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9), (0.0003, 0.01, 0.05)),
    RuleCase("dampened", Momentum(0.8, 0.3), references.dampened, (0.0003, 0.01, 0.05)),
    RuleCase(
        "nesterov", Nesterov(), lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9, nesterov=True), (0.0003, 0.01, 0.05)
    ),
    RuleCase(
        "adagrad", Adagrad(), lambda p, lr: optim.Adagrad(p, lr=lr, eps=0, initial_accumulator_value=1e-20),
        (0.003, 0.1, 1.0),
    ),
    RuleCase("adadelta", Adadelta(), lambda p, lr: optim.Adadelta(p, lr=lr), (0.03, 1.0, 10.0)),
    RuleCase("rmsprop", RMSprop(), lambda p, lr: optim.RMSprop(p, lr=lr), (0.0003, 0.01, 0.03)),
    RuleCase(
        "centred_rmsprop", CentredRMSprop(), lambda p, lr: optim.RMSprop(p, lr=lr, centered=True), (0.0003, 0.01, 0.03)
    ),
    RuleCase("adam", Adam(), lambda p, lr: optim.Adam(p, lr=lr), (0.0003, 0.01, 0.1)),
    RuleCase("amsgrad", AMSGrad(), lambda p, lr: optim.Adam(p, lr=lr, amsgrad=True), (0.0003, 0.01, 0.1)),
    RuleCase("adamw", AdamW(), lambda p, lr: optim.AdamW(p, lr=lr, weight_decay=0.01), (0.0003, 0.01, 0.1)),
    RuleCase("lion", Lion(weight_decay=0.1), lambda p, lr: references.Lion(p, lr, 0.1), (0.0001, 0.001, 0.01)),
    RuleCase("ftrl", FTRL(), references.FTRL, (0.003, 0.1, 1.0)),
    RuleCase("schedule_free_sgd", ScheduleFree(), references.ScheduleFreeSGD, (0.001, 0.03, 0.3)),
    RuleCase(
        "schedule_free_adamw", ScheduleFree(AdamW(beta1=0.0, weight_decay=0.1)),
        lambda p, lr: references.ScheduleFreeAdamW(p, lr, 0.1), (0.0003, 0.01, 0.1),
    ),
    RuleCase(
        "averaged_nesterov", Averaged(Nesterov(), power=0.0),
        lambda p, lr: references.PolyakAverage(
            p, lr, lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9, nesterov=True)), (0.0003, 0.01, 0.05),
    ),
]  # fmt: skip

# A kernel is compiled for each pair of rule and loss; these meet every loss, and every way in which weights are caught
# up on sparse rows, in both layouts. All rules are compiled where they take steps, in tests/kernels/test_rules.py.
LOSSES_BY_NAME = {case.name: case for case in LOSS_CASES}
RULES_BY_NAME = {case.name: case for case in RULE_CASES}
COMPILED_PAIRS = [
    ("sgd", "log_loss"), ("momentum", "log_loss"), ("adagrad", "log_loss"), ("adam", "log_loss"), ("ftrl", "log_loss"),
    ("adam", "softmax"), ("sgd", "hinge"), ("sgd", "multiclass_hinge"), ("adagrad", "squared_error"),
]  # fmt: skip
COMPILED_RULES = [RULES_BY_NAME[rule] for rule, loss in COMPILED_PAIRS if loss == "log_loss"]


def ids(cases: list[Any]) -> list[str]:
    """Name parametrised cases."""
    return [case.name for case in cases]


def dense_rows(rows: int, features: int, *, density: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    """Normal rows, of whose values a share is not zero."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, features)) * (rng.random((rows, features)) < density)
    return values.astype(np.float32)


def numbers_for(case: LossCase, numbers: NDArray[Any]) -> NDArray[Any]:
    """Numbers that a loss can have as targets."""
    return np.abs(numbers) if case.name == "poisson" else numbers


def targets_for(case: LossCase, rows: NDArray[Any], *, seed: int = 1) -> NDArray[Any]:
    """Targets that depend on the rows with some noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(rows.shape[1], max(case.outputs, 2)))
    scores = rows @ truth + 0.3 * rng.normal(size=(len(rows), truth.shape[1]))
    if case.classes is None:
        return numbers_for(case, scores[:, 0]).astype(np.float32)
    return (scores.argmax(axis=1) % case.classes).astype(np.int32)


def to_sparse(rows: NDArray[np.float32], *, shuffled: bool = False) -> SparseRows:
    """The same rows in CSR; `shuffled` in no order within a row."""
    matrix = scipy.sparse.csr_array(rows)
    indices, values = matrix.indices.astype(np.int32), matrix.data.astype(np.float32)
    indptr = matrix.indptr.astype(np.int64)
    if shuffled:
        rng = np.random.default_rng(7)
        for start, stop in itertools.pairwise(indptr):
            order = start + rng.permutation(stop - start)
            indices[start:stop], values[start:stop] = indices[order], values[order]
    return SparseRows(indptr, indices, values, rows.shape[1])


def chunk_of(rows: Any, targets: NDArray[Any], weights: NDArray[Any] | None = None) -> Chunk:
    """A chunk, its rows weighing one unless told otherwise."""
    weights = np.ones(len(targets)) if weights is None else weights
    return Chunk(rows, targets, weights.astype(np.float32))


def problem(name: str, rows: int = 400, features: int = 5, *, seed: int = 0) -> Chunk:
    """Rows to learn by the loss of this name."""
    values = dense_rows(rows, features, seed=seed)
    return chunk_of(values, targets_for(LOSSES_BY_NAME[name], values, seed=seed + 1))


def runs_of(
    rates: Any, *, l2: Any = 0.0, l1: Any = 0.0, schedule: str = "constant", batch_size: int = 32
) -> tuple[Run, ...]:
    """One run for each rate."""
    penalties = np.broadcast_to(l2, len(rates)), np.broadcast_to(l1, len(rates))
    return tuple(
        Run(i, "", float(rate), float(ridge), schedule, batch_size, l1=float(lasso))
        for i, (rate, ridge, lasso) in enumerate(zip(rates, *penalties, strict=True))
    )


def learn(population: Linear, runs: tuple[Run, ...], chunks: list[Chunk], *, planned: int = 1) -> tuple[Any, list[Any]]:
    """Advance through chunks from the start; give the state, up to date, and the tallies."""
    state, tallies = population.begin_leg(population.start(runs), planned), []
    for chunk in chunks:
        state, tally = population.advance(state, chunk)
        tallies.append(tally)
    return population.up_to_date(state), tallies


def weights_of(population: Linear, state: Any) -> NDArray[np.float32]:
    """The weights of all runs `(runs, features + 1, outputs)`."""
    return np.stack([population.take(state, run.number).weights for run in state.runs])


def cut_rows(chunk: Chunk, sizes: list[int]) -> list[Chunk]:
    """Cut a dense chunk into pieces of these sizes."""
    edges = np.cumsum([0, *sizes])
    assert edges[-1] == len(chunk.targets)
    return [Chunk(*(array[a:z] for array in chunk)) for a, z in itertools.pairwise(edges)]


def descend(
    rule: Any, gradient: Callable[[NDArray[Any]], NDArray[Any]], rates: NDArray[Any], w: NDArray[Any], *,
    l2: float = 0.0, l1: float = 0.0,
) -> NDArray[np.float64]:  # fmt: skip
    """Follow a rule by its NumPy form in float64, the last coordinate free of the penalty; give what counts."""
    stepper = penalised(rule, ElasticNet() if l1 else L2())
    start = np.array(stepper.carry_start, np.float64).reshape(-1, 1)
    carry, table = scalar_table(stepper, start, rates[:, None], np.array([l2]), np.array([l1]))
    table = np.repeat(table, len(w), axis=2)
    table[:, stepper.free, -1] = 0.0
    slots = tuple(np.zeros_like(w) for _ in stepper.slot_names)
    for step in range(len(rates)):
        w, slots = stepper.update(tuple(table[step]), w, gradient(w), slots)
    return stepper.evaluated(carry, w, slots) if hasattr(stepper, "evaluated") else w


def uncompiled(kernel: str, static: tuple[Any, ...], *arguments: Any) -> None:
    """Stand in for `store.run`."""
    module, _, function = kernel.partition(":")
    getattr(importlib.import_module(f"schuss.kernels.{module}"), function).py_func(*static, *arguments)
