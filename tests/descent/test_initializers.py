"""Initializers: the distribution that each promises, as PyTorch has it, and the same bits whatever the neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from tests.cases import LOSSES_BY_NAME, RULES_BY_NAME, learn, problem, runs_of, to_sparse, weights_of

from schuss.descent.initializers import INITIALIZERS, initial_weights, parse_initializer
from schuss.descent.optimizers import Averaged, rule_named
from schuss.population.linear import Linear

FEATURES, OUTPUTS = 400, 10

DISTRIBUTIONS = {
    "normal:0.3": stats.norm(scale=0.3), "uniform:0.3": stats.uniform(-0.3, 0.6),
    "glorot": stats.uniform(-np.sqrt(6 / 410), 2 * np.sqrt(6 / 410)), "he": stats.norm(scale=np.sqrt(2 / 400)),
    "he:0.5": stats.norm(scale=0.5 * np.sqrt(2 / 400)),
}  # fmt: skip


@pytest.mark.parametrize("spec", DISTRIBUTIONS)
def test_distribution(spec: str) -> None:
    weights = initial_weights(spec, FEATURES, OUTPUTS, seed=0, run=0)
    assert weights.dtype == np.float32
    assert (weights[-1] == 0).all()
    assert stats.kstest(weights[:-1].ravel(), DISTRIBUTIONS[spec].cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("spec", "theirs"), [("glorot", torch.nn.init.xavier_uniform_), ("he", torch.nn.init.kaiming_normal_)]
)
def test_torch_draws_from_the_same_distribution(spec: str, theirs: object) -> None:
    matrix = torch.empty(OUTPUTS, FEATURES)
    theirs(matrix, generator=torch.Generator().manual_seed(0))  # type: ignore[operator]
    ours = initial_weights(spec, FEATURES, OUTPUTS, seed=0, run=0)[:-1]
    assert stats.ks_2samp(ours.ravel(), matrix.numpy().ravel()).pvalue > 0.01


def test_zero() -> None:
    assert not initial_weights("zero", 3, 2, seed=0, run=0).any()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", ["log_loss", "softmax"])
def test_a_run_begins_the_same_whatever_its_neighbours(loss: str, sparse: bool) -> None:
    case = LOSSES_BY_NAME[loss]
    ours = Linear(RULES_BY_NAME["adagrad"].rule, case.loss, 6, case.outputs, 1, sparse, 2, seed=5)
    scales = ("normal:0.1", "zero", "he", "uniform:3", "glorot:2") * 4
    runs = tuple(run._replace(init=init) for run, init in zip(runs_of([0.1] * 20), scales, strict=True))
    together = weights_of(ours, ours.start(runs))
    for run in runs:
        alone = weights_of(ours, ours.start((run,)))[0]
        np.testing.assert_array_equal(together[run.number], alone)
        wanted = initial_weights(run.init, 6, case.outputs, seed=5, run=run.number)
        np.testing.assert_array_equal(alone, wanted)
    assert len({together[run.number].tobytes() for run in runs if run.init != "zero"}) == 16
    other = Linear(RULES_BY_NAME["adagrad"].rule, case.loss, 6, case.outputs, 1, sparse, 2, seed=6)
    assert not np.array_equal(weights_of(other, other.start(runs)), together)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["ftrl", "averaged_ftrl", "sgd"])
@pytest.mark.usefixtures("uncompiled_kernels")
def test_every_rule_sets_out_from_the_first_weights(name: str, sparse: bool) -> None:
    """The weights of some rules are a function of their slots, which must not forget where a run began."""
    rule = Averaged(rule_named("ftrl")) if name == "averaged_ftrl" else rule_named(name)
    case = LOSSES_BY_NAME["log_loss"]
    chunk = problem("log_loss", rows=20)
    ours = Linear(rule, case.loss, 5, case.outputs, 2, sparse, seed=5)
    runs = tuple(
        run._replace(init=init, optimizer=name) for run, init in zip(runs_of([1e-9] * 2), ("he", "zero"), strict=True)
    )
    if name == "ftrl":
        runs += (runs[0]._replace(number=2, optimizer="ftrl:beta=0.25"),)
    state, _ = learn(ours, runs, [chunk._replace(rows=to_sparse(chunk.rows)) if sparse else chunk], planned=1000)
    found = weights_of(ours, state)
    for run, weights in zip(runs, found, strict=True):
        first = initial_weights(run.init, 5, case.outputs, seed=5, run=run.number)
        np.testing.assert_allclose(weights, first, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [("random", "'random' is not one of the initializers zero"), ("he:0", "above 0 as its scale, not '0'"),
     ("zero:1", "the initializer zero takes no number")],
)  # fmt: skip
def test_wrong_names_and_numbers(spec: str, sentence: str) -> None:
    assert "he" in INITIALIZERS
    with pytest.raises(ValueError, match=sentence):
        parse_initializer(spec)
