"""The objective in single precision beside the one in double."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cases import LOSSES_BY_NAME, problem, to_sparse

from schuss.finish.single import SingleObjective
from schuss.objective import LinearObjective


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


def test_scores_beyond_float32_give_no_number() -> None:
    case, chunk = LOSSES_BY_NAME["squared_error"], problem("squared_error", 50)
    with np.errstate(all="ignore"):
        value, _ = SingleObjective(chunk, case.loss).value_and_gradient(np.full((6, 1), 1e38))
    assert not np.isfinite(value)
