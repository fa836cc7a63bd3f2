"""A network rebuilt as a module says and loses what the network does, and curves as differences of gradients say."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cases import to_sparse

from schuss.data.chunk import Chunk
from schuss.descent.activations import ACTIVATIONS
from schuss.descent.losses import LOSSES, values_and_gradients
from schuss.population.architecture import Architecture, Embedding
from schuss.torch.rebuilt import network_objective, placed

FORMS = [pytest.param(form, id=form.__name__) for family in LOSSES.values() for form in family.forms]


def rows_for(loss, features: int, seed: int = 0) -> Chunk:
    """Rows, some weighing more, with targets that the loss takes."""
    rng = np.random.default_rng(seed)
    classes = 3 if loss.multiclass else 2
    numbers = not any(type(loss) in family.forms for family in LOSSES.values() if family.task == "classification")
    targets = rng.gamma(2.0, size=40).astype(np.float32) if numbers else rng.integers(0, classes, 40).astype(np.int32)
    rows = rng.normal(size=(40, features)).astype(np.float32)
    return Chunk(rows, targets, rng.uniform(0.5, 2, 40).astype(np.float32))


def vector_of(architecture: Architecture, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=architecture.size) * 0.5


def direct(architecture: Architecture, vector: np.ndarray, chunk: Chunk, loss, l2: float) -> float:
    """The loss by the scores in NumPy."""
    scores = architecture.scores(architecture.layers(vector), chunk.rows)
    values = values_and_gradients(loss, scores.astype(np.float64), chunk.targets)[0]
    kept = [one for name, one in architecture.parts(vector).items() if name[0] != "b"]
    return float(np.average(values, weights=chunk.weights)) + l2 / 2 * sum(float((one**2).sum()) for one in kept)


@pytest.mark.parametrize("form", FORMS)
def test_every_loss_has_its_values_gradients_and_curvature(form) -> None:
    loss = form()
    outputs = 3 if loss.multiclass else 1
    architecture, chunk = Architecture(4, outputs, (5,), "tanh"), rows_for(loss, 4)
    vector = vector_of(architecture)
    objective = network_objective(architecture, vector, chunk, loss, 0.3)
    here = objective.start
    value, gradient = objective.value_and_gradient(here)
    assert value == pytest.approx(direct(architecture, vector, chunk, loss, 0.3), rel=1e-6)
    along, step = np.random.default_rng(2).normal(size=here.shape), 1e-6
    there, back = (objective.value_and_gradient(here + sign * step * along) for sign in (1, -1))
    assert gradient @ along == pytest.approx((there[0] - back[0]) / (2 * step), rel=1e-5, abs=1e-7)
    if loss.smooth:
        found = objective.hessian_product(here, along)
        np.testing.assert_allclose(found, (there[1] - back[1]) / (2 * step), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(objective.curvature_at(here)(along), found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_that_of_the_network(activation: str) -> None:
    loss = LOSSES["squared_error"].forms[0]()
    architecture, chunk = Architecture(4, 1, (6, 3), activation), rows_for(loss, 4)
    vector = vector_of(architecture)
    objective = network_objective(architecture, vector, chunk, loss, 0.0)
    assert objective.values(objective.start[None])[0] == pytest.approx(
        direct(architecture, vector, chunk, loss, 0.0), rel=1e-6
    )
    along, step = np.random.default_rng(2).normal(size=objective.start.shape), 1e-5
    there, back = (objective.value_and_gradient(objective.start + sign * step * along) for sign in (1, -1))
    found = objective.hessian_product(objective.start, along)
    np.testing.assert_allclose(found, (there[1] - back[1]) / (2 * step), rtol=1e-3, atol=1e-5)


def test_embeddings_and_sparse_rows_are_those_of_the_network() -> None:
    loss = LOSSES["log_loss"].forms[-1]()
    architecture = Architecture(9, 3, (4,), embeddings=(Embedding(2, 5, 2), Embedding(5, 9, 3)))
    chunk = rows_for(loss, 9)
    chunk = chunk._replace(rows=to_sparse(np.asarray(chunk.rows) * (np.asarray(chunk.rows) > 0.3)))
    vector = vector_of(architecture)
    objective = network_objective(architecture, vector, chunk, loss, 0.2)
    np.testing.assert_array_equal(placed(architecture, vector), objective.start)
    for other in (vector, vector_of(architecture, 5)):
        value = objective.values(placed(architecture, other)[None])[0]
        assert value == pytest.approx(direct(architecture, other, chunk, loss, 0.2), rel=1e-6)
