"""The kernels for dense rows: against NumPy in float64, against themselves uncompiled, and their machine code."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import (
    COMPILED_PAIRS,
    COMPILED_RULES,
    LOSSES_BY_NAME,
    RULES_BY_NAME,
    RuleCase,
    chunk_of,
    dense_rows,
    ids,
    learn,
    runs_of,
    targets_for,
    uncompiled,
    weights_of,
)

from schuss.population import dense
from schuss.population.linear import Linear

every_rule = pytest.mark.parametrize("case", COMPILED_RULES, ids=ids(COMPILED_RULES))


def weights_for(features: int, outputs: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(features + 1, outputs)).astype(np.float32)


@pytest.mark.parametrize("features", [1, 7, 8, 13, 28, 100])
@pytest.mark.parametrize("outputs", [1, 2, 3, 10, 17])
def test_scores_are_the_product(features: int, outputs: int) -> None:
    weights = weights_for(features, outputs)
    for count in (0, 1, 3, 8, 21):
        rows = dense_rows(count, features)
        wanted = rows.astype(np.float64) @ weights[:-1] + weights[-1]
        got = dense.scores(rows, weights)
        assert got.shape == (count, outputs)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("outputs", [1, 5])
def test_a_rows_bits_do_not_depend_on_its_place(outputs: int) -> None:
    rows, weights = dense_rows(40, 29), weights_for(29, outputs)
    whole = dense.scores(rows, weights)
    for start, stop in ((0, 1), (5, 12), (7, 15), (3, 40), (39, 40)):
        np.testing.assert_array_equal(dense.scores(rows[start:stop], weights), whole[start:stop])


def test_nothing_is_read_beyond_the_rows() -> None:
    memory = np.full((12, 5), np.nan, np.float32)
    memory[:9] = dense_rows(9, 5)
    for outputs in (1, 3):
        assert np.isfinite(dense.scores(memory[:9], weights_for(5, outputs))).all()
        case = LOSSES_BY_NAME["softmax" if outputs == 3 else "log_loss"]
        chunk = chunk_of(memory[:9], np.zeros(9, np.int32))
        for runs, batch in ((1, 1), (1, 4), (3, 1), (3, 4)):
            ours = Linear(RULES_BY_NAME["adam"].rule, case.loss, 5, outputs, batch, False)
            assert np.isfinite(weights_of(ours, learn(ours, runs_of([0.1] * runs), [chunk])[0])).all()


@pytest.mark.parametrize(("rule", "loss"), COMPILED_PAIRS, ids=["-".join(pair) for pair in COMPILED_PAIRS])
def test_uncompiled_kernels_give_the_same(rule: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = LOSSES_BY_NAME[loss]
    rows = dense_rows(19, 9)
    chunk = chunk_of(rows, targets_for(case, rows), np.random.default_rng(0).uniform(0.5, 2, 19))

    def use(runs: int, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ours = Linear(RULES_BY_NAME[rule].rule, case.loss, 9, case.outputs, batch, False)
        state, tallies = learn(ours, runs_of(np.geomspace(0.003, 0.03, runs), l2=0.1), [chunk])
        return weights_of(ours, state), tallies[0].loss, ours.losses(state, chunk)

    for runs, batch in ((1, 5), (3, 10), (3, 1)):  # three runs have the kernels that tests/population compiles
        compiled = use(runs, batch)
        with monkeypatch.context() as patch:
            patch.setattr(dense, "run", uncompiled)
            plain = use(runs, batch)
        for a, b in zip(compiled, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6 * np.abs(b).max())


@every_rule
def test_one_row_at_a_time_is_a_mini_batch_of_one(case: RuleCase) -> None:
    loss = LOSSES_BY_NAME["log_loss"]
    rows = dense_rows(30, 11)
    y = targets_for(loss, rows)
    runs = runs_of(np.geomspace(0.001, 0.03, 6), l2=0.1)
    single, several = (Linear(case.rule, loss.loss, 11, 1, batch, False) for batch in (1, 2))
    one, _ = learn(single, runs, [chunk_of(rows, y)])
    # Mini-batches of two that end after one row: the other kernel, the same steps.
    two, _ = learn(several, runs, [chunk_of(rows[i : i + 1], y[i : i + 1]) for i in range(30)])
    np.testing.assert_allclose(weights_of(single, one), weights_of(several, two), rtol=1e-6, atol=1e-7)
