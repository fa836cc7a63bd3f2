"""The objective in single precision beside the one in double."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.cases import LOSS_CASES, LOSSES_BY_NAME, LossCase, ids, problem, to_sparse, uncompiled

from schuss.data.chunk import Chunk, between
from schuss.finish import single
from schuss.finish.single import SingleObjective, Spans, spans_of
from schuss.objective import LinearObjective, in_float64


@pytest.mark.parametrize("layout", ["dense", "sparse", "blocks"])
@pytest.mark.parametrize("rows", [1, 15, 16, 403])
@pytest.mark.parametrize("name", ["log_loss", "softmax", "squared_error"])
def test_values_and_gradients_are_those_of_double_precision(name: str, rows: int, layout: str) -> None:
    case, chunk = LOSSES_BY_NAME[name], problem(name, 403)
    chunk = chunk._replace(
        rows=chunk.rows[:rows],  # pyright: ignore
        targets=chunk.targets[:rows],
        weights=np.random.default_rng(1).uniform(0.0, 2.0, rows).astype(np.float32),
    )
    weights = np.random.default_rng(2).normal(size=(6, case.outputs))
    value, gradient = LinearObjective(chunk, case.loss, 0.0).value_and_gradient(weights)
    given: Any = {
        "dense": chunk,
        "sparse": chunk._replace(rows=to_sparse(chunk.rows)),  # pyright: ignore
        "blocks": lambda: [chunk._replace(rows=chunk.rows[p], targets=chunk.targets[p], weights=chunk.weights[p])  # pyright: ignore
                           for p in (slice(0, 7), slice(7, None))],
    }[layout]  # fmt: skip
    found, slopes = SingleObjective(given, case.loss).value_and_gradient(weights)
    assert found == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(slopes, gradient, rtol=1e-4, atol=1e-5)


def spans_for(name: str, rows: int, features: int, threads: int = 1) -> tuple[Chunk, Spans]:
    """Rows of different weights, and the same as spans of three chunks."""
    chunk = problem(name, rows, features)
    chunk = chunk._replace(weights=np.random.default_rng(1).uniform(0.0, 2.0, rows).astype(np.float32))
    cuts = [0, rows // 3, rows // 2, rows]
    return chunk, spans_of([between(chunk, *pair) for pair in pairwise(cuts)], threads)


@pytest.mark.parametrize("features", [1, 15, 16, 17, 64, 65, 90])
@pytest.mark.parametrize("rows", [1, 16, 255, 257, 1100])
def test_spans_have_the_sums_of_double_precision(rows: int, features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "SPAN_VALUES", 400 * features)
    for name in ("log_loss", "squared_error"):
        case, (chunk, spans) = LOSSES_BY_NAME[name], spans_for(name, rows, features)
        weights = np.random.default_rng(2).normal(size=(features + 1, 1)) / 2
        value, gradient = LinearObjective(in_float64(chunk), case.loss, 0.0).value_and_gradient(weights)
        found, slopes = SingleObjective(spans, case.loss).value_and_gradient(weights)
        assert found == pytest.approx(value, rel=1e-5)
        np.testing.assert_allclose(slopes, gradient, rtol=1e-4, atol=2e-5)


ONE_SCORE = [case for case in LOSS_CASES if case.loss.smooth and case.loss.convex and not case.loss.multiclass]


@pytest.mark.parametrize("case", ONE_SCORE, ids=ids(ONE_SCORE))
def test_spans_uncompiled_with_every_loss(case: LossCase, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, spans = spans_for(case.name, 40, 5)
    weights = np.random.default_rng(2).normal(size=(6, 1)) / 2
    if case.name in ("log_loss", "squared_error"):
        value, slopes = SingleObjective(spans, case.loss).value_and_gradient(weights)
        expected, gradient = value, slopes
    else:
        expected, gradient = LinearObjective(in_float64(chunk), case.loss, 0.0).value_and_gradient(weights)
    monkeypatch.setattr(single.store, "run", uncompiled)
    value, slopes = SingleObjective(spans, case.loss).value_and_gradient(weights)
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(slopes, gradient, rtol=1e-4, atol=1e-5)


def test_spans_have_the_same_bits_in_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "SPAN_VALUES", 1000)
    case, weights = LOSSES_BY_NAME["log_loss"], np.random.default_rng(2).normal(size=(6, 1))
    found = []
    for threads in (1, 2, 3):
        _, spans = spans_for("log_loss", 3000, 5, threads)
        assert len(spans.spans) > 10
        value, slopes = SingleObjective(spans, case.loss).value_and_gradient(weights)
        found.append((value, *slopes.ravel()))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("threads", [1, 2])
def test_scores_of_spans_beyond_float32_give_no_number(threads: int) -> None:
    _, spans = spans_for("squared_error", 50, 5, threads)
    with np.errstate(all="ignore"):
        value, _ = SingleObjective(spans, LOSSES_BY_NAME["squared_error"].loss).value_and_gradient(
            np.full((6, 1), 1e38)
        )
    assert not np.isfinite(value)


def test_scores_beyond_float32_give_no_number() -> None:
    case, chunk = LOSSES_BY_NAME["squared_error"], problem("squared_error", 50)
    with np.errstate(all="ignore"):
        value, _ = SingleObjective(chunk, case.loss).value_and_gradient(np.full((6, 1), 1e38))
    assert not np.isfinite(value)
