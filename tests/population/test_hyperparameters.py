"""Runs that differ in every hyperparameter: each is, bit for bit, what it is among its like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cases import (
    LOSSES_BY_NAME,
    chunk_of,
    cut_rows,
    dense_rows,
    learn,
    targets_for,
    to_sparse,
    uncompiled,
    weights_of,
)

from schuss.descent.optimizers import OPTIMIZERS, bare, rule_named
from schuss.kernels import store
from schuss.population import dense
from schuss.population.linear import Linear
from schuss.population.population import Run

SPECS = {
    "momentum": ["momentum:0.5", "momentum:momentum=0.8,dampening=0.3", "momentum"],
    "nesterov": ["nesterov:0.3", "nesterov", "nesterov:momentum=0.95"],
    "adagrad": ["adagrad", "adagrad:epsilon=0.1", "adagrad:1"],
    "adadelta": ["adadelta:rho=0.5", "adadelta:0.9,epsilon=0.01", "adadelta"],
    "rmsprop": ["rmsprop", "rmsprop:alpha=0.5", "rmsprop:0.9,0.1"],
    "centred_rmsprop": ["centred_rmsprop:0.5", "centred_rmsprop:epsilon=0.1", "centred_rmsprop"],
    "adam": ["adam:beta1=0.5", "adam:beta2=0.9,epsilon=0.1", "adam"],
    "amsgrad": ["amsgrad:0", "amsgrad", "amsgrad:epsilon=1,beta2=0.5"],
    "adamw": ["adamw:weight_decay=0.3", "adamw", "adamw:beta1=0.7,beta2=0.95,epsilon=0.01"],
    "lion": ["lion:beta1=0.5", "lion:beta2=0.5,weight_decay=0.3", "lion"],
    "ftrl": ["ftrl:beta=0.1", "ftrl", "ftrl:5"],
    "prodigy": ["prodigy:distance=0.1", "prodigy:beta1=0.5,beta2=0.9,distance=0.01", "prodigy:distance=0.01,epsilon=1"],
    "schedule_free_sgd": ["schedule_free_sgd:0.5", "schedule_free_sgd", "schedule_free_sgd:beta=0.99"],
    "schedule_free_adamw": [
        "schedule_free_adamw:0.5", "schedule_free_adamw:weight_decay=0.3", "schedule_free_adamw:beta2=0.9,beta1=0.2"
    ],
    "averaged_momentum": ["averaged_momentum:power=0", "averaged_momentum:momentum=0.5", "averaged_momentum:3,0.2"],
    "averaged_prodigy": [
        "averaged_prodigy:distance=0.1", "averaged_prodigy:0,distance=0.01", "averaged_prodigy:beta1=0"
    ],
}  # fmt: skip


@pytest.fixture
def _uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "run", uncompiled)
    monkeypatch.setattr(dense, "run", uncompiled)


def learned(rule: Any, runs: tuple[Run, ...], name: str, *, sparse: bool) -> np.ndarray:
    """The weights after two chunks in which features go untouched for long."""
    loss, rows = LOSSES_BY_NAME[name], dense_rows(40, 5, density=0.4)
    rows[:20, 3] = 0.0
    chunks = cut_rows(chunk_of(rows, targets_for(loss, rows)), [25, 15])
    chunks = [chunk._replace(rows=to_sparse(chunk.rows)) for chunk in chunks] if sparse else chunks
    ours = Linear(rule, loss.loss, 5, loss.outputs, 4, sparse)
    return weights_of(ours, learn(ours, runs, chunks, planned=60)[0])


def run_with(number: int, optimizer: str) -> Run:
    return Run(number, optimizer, 0.3, 0.1 * (number % 2), "linear", 4)


def alike(spec: str, count: int) -> tuple[Run, ...]:
    """Runs that all have the hyperparameters of their population's rule."""
    return tuple(run_with(number, bare(spec)) for number in range(count))


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", SPECS)
def test_a_run_with_its_own_hyperparameters_is_what_it_is_among_its_like(name: str, sparse: bool) -> None:
    specs = [*SPECS[name], name]
    together = learned(rule_named(name), tuple(run_with(*one) for one in enumerate(specs)), "log_loss", sparse=sparse)
    for number, spec in enumerate(specs):
        wanted = learned(rule_named(spec), alike(spec, len(specs)), "log_loss", sparse=sparse)
        np.testing.assert_array_equal(together[number], wanted[number])
    assert len(np.unique(together[:3].reshape(3, -1), axis=0)) == 3, "the hyperparameters must matter"


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize("name", ["adam", "averaged_momentum", "schedule_free_adamw"])
def test_so_it_is_with_several_outputs(name: str) -> None:
    runs = tuple(run_with(*one) for one in enumerate(SPECS[name]))
    together = learned(rule_named(name), runs, "softmax", sparse=False)
    for number, spec in enumerate(SPECS[name]):
        wanted = learned(rule_named(spec), alike(spec, 3), "softmax", sparse=False)
        np.testing.assert_array_equal(together[number], wanted[number])


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_so_it_is_compiled_and_nearly_alone(name: str, sparse: bool) -> None:
    runs = tuple(run_with(*one) for one in enumerate(SPECS[name]))
    together = learned(rule_named(name), runs, "log_loss", sparse=sparse)
    for number, spec in enumerate(SPECS[name]):
        wanted = learned(rule_named(spec), alike(spec, 3), "log_loss", sparse=sparse)
        np.testing.assert_array_equal(together[number], wanted[number])
        alone = learned(rule_named(spec), (run_with(number, name),), "log_loss", sparse=sparse)
        np.testing.assert_allclose(together[number], alone[0], atol=1e-6)  # a block of one run sums in another order


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize("name", ["averaged_adam", "averaged_momentum", "averaged_prodigy"])
def test_averages_of_several_outputs_are_what_counts(name: str) -> None:
    loss, rows = LOSSES_BY_NAME["softmax"], dense_rows(40, 5)
    ours = Linear(rule_named(name), loss.loss, 5, loss.outputs, 4, False)
    state, _ = learn(ours, tuple(run_with(i, name) for i in range(3)), [chunk_of(rows, targets_for(loss, rows))])
    for number in range(3):
        taken = ours.take(state, number)
        np.testing.assert_array_equal(taken.weights, taken.slots["average"])


def test_every_rule_with_a_hyperparameter_is_here() -> None:
    assert SPECS.keys() >= OPTIMIZERS.keys() - {"sgd"}
