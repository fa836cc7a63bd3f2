"""The mixture: against one written in NumPy, however rows are cut, as dense and as sparse rows, after a change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
from tests.cases import LOSSES_BY_NAME, chunk_of, cut_rows, dense_rows, targets_for, to_sparse

from schuss.data.chunk import Chunk
from schuss.descent.losses import values_and_gradients
from schuss.population import mixture
from schuss.population.mixture import DOUBT, HALF_LIFE, MEAN_REVERSION, MEMORY_ROWS, PACES, SHARPNESS, SLOW, Mixture

every_loss = pytest.mark.parametrize("name", ["log_loss", "softmax", "squared_error", "hinge"])


def rows_of(name: str, count: int = 300, features: int = 5) -> tuple[Chunk, int]:
    case = LOSSES_BY_NAME[name]
    rows = dense_rows(count, features, density=0.6)
    weights = np.random.default_rng(5).uniform(0.2, 2.0, count).astype(np.float32)
    return chunk_of(rows, targets_for(case, rows), weights), case.outputs


def as_sparse(chunk: Chunk) -> Chunk:
    assert isinstance(chunk.rows, np.ndarray)
    return chunk._replace(rows=to_sparse(chunk.rows))


def begun(mixed: Mixture) -> Any:
    start = np.random.default_rng(1).normal(size=(mixed.features + 1, mixed.outputs))
    return mixed.start(start, np.full_like(start, 0.3))


def by_numpy(mixed: Mixture, chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
    """The same in float64, run after run and row after row, from the formulas in words."""
    assert isinstance(chunk.rows, np.ndarray)
    start = np.random.default_rng(1).normal(size=(mixed.features + 1, mixed.outputs))
    weights = np.repeat(start[None], mixed.lanes, axis=0)
    squares = np.full_like(weights, 0.3 * HALF_LIFE)
    standing = DOUBT * np.arange(mixed.lanes, dtype=float)
    l2 = np.full((mixed.lanes, 1, 1), mixed.l2)
    paces = np.geomspace(*PACES, mixed.lanes - 1)[::2]
    l2[1::2, 0, 0] += np.where(paces < SLOW, MEAN_REVERSION * paces, 0.0)
    answers = []
    for row, target, weight in zip(chunk.rows.astype(float), chunk.targets, chunk.weights, strict=True):
        shares = scipy.special.softmax(-SHARPNESS * standing)
        scores = row @ weights[:, :-1] + weights[:, -1]
        answers.append(shares @ scores)
        value, slope = values_and_gradients(mixed.loss, scores, np.repeat(target, mixed.lanes))
        standing = np.exp(-1 / MEMORY_ROWS) * standing + float(weight) * np.minimum(value, 50.0)
        gradient = np.append(row, 1.0)[None, :, None] * (float(weight) * slope)[:, None, :]
        squares += gradient**2
        rates = mixed.rates[:, None, None] / np.sqrt(squares)
        weights -= rates * gradient
        weights[:, :-1] *= np.exp(-l2 * rates[:, :-1])
    return np.array(answers), np.tensordot(scipy.special.softmax(-SHARPNESS * standing), weights, axes=1)


@every_loss
@pytest.mark.parametrize("sparse", [False, True])
def test_it_is_what_its_formulas_say(name: str, sparse: bool) -> None:
    chunk, outputs = rows_of(name)
    mixed = Mixture(LOSSES_BY_NAME[name].loss, 5, outputs, sparse)
    wanted, weights = by_numpy(mixed, chunk)
    state, answers = mixed.advance(begun(mixed), as_sparse(chunk) if sparse else chunk)
    np.testing.assert_allclose(answers, wanted, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(mixed.weights(state), weights, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("penalties", [(0.02, 0.0), (0.01, 0.01)])
def test_sparse_rows_are_dense_rows(penalties: tuple[float, float]) -> None:
    chunk, outputs = rows_of("log_loss")
    loss = LOSSES_BY_NAME["log_loss"].loss
    dense, sparse = (Mixture(loss, 5, outputs, is_sparse, *penalties) for is_sparse in (False, True))
    (one, answers), (other, answers_of_sparse) = (
        dense.advance(begun(dense), chunk),
        sparse.advance(begun(sparse), as_sparse(chunk)),
    )
    np.testing.assert_allclose(answers, answers_of_sparse, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(dense.weights(one), sparse.weights(other), rtol=1e-3, atol=1e-3)
    if penalties[1] == 0.0:
        np.testing.assert_allclose(dense.weights(one), by_numpy(dense, chunk)[1], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["log_loss", "softmax"])
def test_no_bit_depends_on_how_rows_are_cut(name: str, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "HALF_LIFE", 64)
    chunk, outputs = rows_of(name)
    mixed = Mixture(LOSSES_BY_NAME[name].loss, 5, outputs, sparse, l2=0.01)
    whole, answers = mixed.advance(begun(mixed), as_sparse(chunk) if sparse else chunk)
    for sizes in ([1] * 300, [63, 1, 1, 127, 108], [250, 50]):
        state, pieces = begun(mixed), []
        for piece in cut_rows(chunk, sizes):
            state, some = mixed.advance(state, as_sparse(piece) if sparse else piece)
            pieces.append(some)
            kept = {key: array.copy() for key, array in mixed.arrays(state).items()}
            assert np.isfinite(mixed.weights(state)).all()  # looking at them changes nothing
            state = mixed.resumed(kept, state.rows)
        np.testing.assert_array_equal(np.concatenate(pieces), answers)
        np.testing.assert_array_equal(mixed.weights(state), mixed.weights(whole))


def test_answers_are_the_scores_of_the_weights() -> None:
    chunk, outputs = rows_of("softmax")
    mixed = Mixture(LOSSES_BY_NAME["softmax"].loss, 5, outputs, False)
    head, tail = cut_rows(chunk, [299, 1])
    state, _ = mixed.advance(begun(mixed), head)
    weights = mixed.weights(state)
    _, answer = mixed.advance(state, tail)
    assert isinstance(tail.rows, np.ndarray)
    np.testing.assert_allclose(answer, tail.rows @ weights[:-1] + weights[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["softmax", "squared_error"])
def test_losses_of_the_copies_are_those_of_their_weights(name: str, sparse: bool) -> None:
    chunk, outputs = rows_of(name)
    mixed = Mixture(LOSSES_BY_NAME[name].loss, 5, outputs, sparse, l2=0.1)
    state, _ = mixed.advance(begun(mixed), as_sparse(chunk) if sparse else chunk)
    found = mixed.losses(state, as_sparse(chunk) if sparse else chunk)
    assert isinstance(chunk.rows, np.ndarray)
    for lane in range(mixed.lanes):
        alone = state._replace(standing=np.where(np.arange(mixed.lanes) == lane, 0.0, 1e6))
        weights = mixed.weights(alone)
        values = values_and_gradients(mixed.loss, chunk.rows @ weights[:-1] + weights[-1], chunk.targets)[0]
        assert found[lane] == pytest.approx(chunk.weights @ np.minimum(values, 50.0), rel=1e-4)


@pytest.mark.parametrize("sparse", [False, True])
def test_features_in_another_unit_change_no_answer(sparse: bool) -> None:
    chunk, outputs = rows_of("log_loss")
    units = np.array([1.0, 10.0, 0.1, 3.0, 0.5])
    assert isinstance(chunk.rows, np.ndarray)
    changed = chunk._replace(rows=(chunk.rows * units).astype(np.float32))
    pieces = [*cut_rows(chunk, [200, 100]), cut_rows(changed, [200, 100])[1]]
    head, tail, other = (as_sparse(one) if sparse else one for one in pieces)
    mixed = Mixture(LOSSES_BY_NAME["log_loss"].loss, 5, outputs, sparse, l2=0.1)
    answers = []
    for rescale, rest in ((False, tail), (True, other)):
        state, _ = mixed.advance(begun(mixed), head)
        if rescale:
            factors = np.append(1 / units, 1.0)
            state = mixed.rescaled(state, lambda weights, factors=factors: weights * factors[:, None], factors**-2)
        answers.append(mixed.advance(state, rest)[1][0])  # later ones differ: the penalty is on weights in these units
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-5)


def test_after_a_change_the_fast_ones_are_heard_and_before_it_the_slow_ones() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6000, 4)).astype(np.float32)
    truth = np.array([2.0, -1.0, 0.5, 0.0])
    signs = np.where(np.arange(6000) < 3000, 1, -1)
    chances = scipy.special.expit(signs * (rows @ truth))
    targets = (rng.random(6000) < chances).astype(np.int32)
    mixed = Mixture(LOSSES_BY_NAME["log_loss"].loss, 4, 1, False)
    state = mixed.start(np.append(truth, 0.0)[:, None], np.full((5, 1), 0.15))
    _, answers = mixed.advance(state, chunk_of(rows, targets))
    losses = values_and_gradients(mixed.loss, answers, targets)[0]
    best = values_and_gradients(mixed.loss, signs[:, None] * (rows @ truth)[:, None], targets)[0]
    frozen = values_and_gradients(mixed.loss, (rows @ truth)[:, None], targets)[0]
    assert losses[:3000].mean() < best[:3000].mean() + 0.005
    assert losses[4000:].mean() < best[4000:].mean() + 0.02 < frozen[4000:].mean()


def test_every_second_slow_copy_of_a_model_that_is_too_sure_reverts_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(8000, 10)).astype(np.float32)
    truth = rng.normal(size=10)
    targets = (rng.random(8000) < scipy.special.expit(rows @ truth)).astype(np.int32)
    size = {}
    for share in (0.0, MEAN_REVERSION):
        monkeypatch.setattr(mixture, "MEAN_REVERSION", share)
        mixed = Mixture(LOSSES_BY_NAME["log_loss"].loss, 10, 1, False)
        state = mixed.start(np.append(3 * truth, 0.0)[:, None], np.full((11, 1), 1.0))
        state, _ = mixed.advance(state, chunk_of(rows, targets))
        size[share] = np.linalg.norm(state.block.weights[:-1, : mixed.lanes], axis=0)
    smaller = size[MEAN_REVERSION] < size[0.0]
    slow = (np.arange(16) % 2 == 1) & (mixed.paces < SLOW)
    np.testing.assert_array_equal(smaller[~slow], False)
    assert smaller[slow][1:].all()  # the slowest moves by less than float32 tells in so few rows
    assert slow.sum() == 5


def test_a_run_that_is_lost_is_left_out_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "HALF_LIFE", 64)
    chunk, outputs = rows_of("log_loss", 100)
    mixed = Mixture(LOSSES_BY_NAME["log_loss"].loss, 5, outputs, False)
    state = begun(mixed)
    state.block.weights[2, -1] = np.nan
    state, answers = mixed.advance(state, chunk)
    assert np.isfinite(answers).all()
    assert np.isfinite(mixed.weights(state)).all()
    assert np.isfinite(state.block.weights).all()


def test_wide_models_have_fewer_copies() -> None:
    loss = LOSSES_BY_NAME["log_loss"].loss
    at_the_edge = (1 << 20) - 1  # with its intercept, eight copies of weights and squares take 64 MiB
    widths = [Mixture(loss, features, 1, True).lanes for features in (1000, 500_000, at_the_edge, 1 << 20, 1 << 24)]
    assert widths == [16, 16, 8, 4, 4]
    for features in (1000, 1 << 20):
        rates = Mixture(loss, features, 1, True).rates
        assert rates[0] == 0
        assert rates[-1] == pytest.approx(np.sqrt(HALF_LIFE))


def test_what_was_kept_must_fit() -> None:
    loss = LOSSES_BY_NAME["log_loss"].loss
    kept = Mixture(loss, 5, 1, False).arrays(begun(Mixture(loss, 5, 1, False)))
    with pytest.raises(ValueError, match="weights"):
        Mixture(loss, 6, 1, False).resumed(kept, 0)
    del kept["standing"]
    with pytest.raises(KeyError):
        Mixture(loss, 5, 1, False).resumed(kept, 0)
