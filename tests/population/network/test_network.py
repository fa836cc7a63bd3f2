"""Networks side by side: gradients against autograd, losses against NumPy's formulas, bits whatever the neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from schuss.data.chunk import Chunk, SparseRows
from schuss.descent.activations import ACTIVATIONS, parse_activation
from schuss.descent.losses import LOSSES, judge_of, loss_for, values_and_gradients
from schuss.descent.optimizers import rule_named
from schuss.population.architecture import Architecture, Embedding
from schuss.population.network import network as network_module
from schuss.population.network.layers import Layers, evaluate
from schuss.population.network.network import Network
from schuss.population.network.rows import batches
from schuss.population.population import Run

FEATURES = 14


def sparse_and_dense(seed: int, rows: int = 12) -> tuple[SparseRows, np.ndarray]:
    """Rows of four numbers, some zero, and the indicators of two columns of categories."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((rows, FEATURES), np.float32)
    dense[:, :4] = rng.standard_normal((rows, 4)) * (rng.random((rows, 4)) < 0.6)
    dense[np.arange(rows), 4 + rng.integers(0, 6, rows)] = 1.0
    dense[np.arange(rows), 10 + rng.integers(0, 4, rows)] = 1.0
    indptr = np.append(0, np.cumsum((dense != 0).sum(axis=1)))
    return SparseRows(indptr, np.nonzero(dense)[1].astype(np.int32), dense[dense != 0], FEATURES), dense


def parameters_of(architecture: Architecture, runs: int) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(5)
    return {
        name: torch.tensor(rng.standard_normal((runs, *shape)), dtype=torch.float64)
        for name, shape in architecture.shapes.items()
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_are_derivatives(activation: str) -> None:
    formula = parse_activation(activation)
    z = torch.linspace(-3, 3, 41, dtype=torch.float64, requires_grad=True)
    formula.value(z).sum().backward()
    plain = z.detach().numpy()
    np.testing.assert_allclose(formula.slope(plain, formula.value(plain)), z.grad, atol=1e-12)
    np.testing.assert_allclose(formula.value(plain), formula.value(z).detach(), atol=1e-12)


@pytest.mark.parametrize("embeddings", [(), (Embedding(4, 10, 2), Embedding(10, 14, 3))])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("activation", "dropout"), [("relu", 0.0), ("tanh", 0.4), ("gelu", 0.0)])
def test_gradients_are_those_of_autograd(embeddings: tuple, sparse: bool, activation: str, dropout: float) -> None:
    if embeddings and not sparse:
        pytest.skip("dense rows have no categories of many values")
    architecture = Architecture(FEATURES, 3, (7, 5), activation, dropout, embeddings)
    layers, parameters = Layers(architecture), parameters_of(architecture, 4)
    of_zeros, dense = sparse_and_dense(0)
    encoded = of_zeros._replace(values=of_zeros.values.astype(np.float64)) if sparse else dense.astype(float)
    (batch,) = batches(Chunk(encoded, np.zeros(12, np.float32), np.ones(12, np.float32)), 12, architecture, "cpu")
    assert batch.many == 12
    assert batch.weights.tolist() == [1.0] * 12 + [0.0] * 4
    rows = batch.rows
    weights = torch.linspace(-1, 1, 4 * 3 * 16, dtype=torch.float64).view(4, 3, 16) * batch.weights

    def noise() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    own = {name: torch.full_like(one, torch.nan) for name, one in parameters.items()}
    scores, trace = layers.scores(parameters, rows, noise())
    layers.backward(parameters, rows, trace, weights.clone(), own)

    tracked = {name: one.clone().requires_grad_() for name, one in parameters.items()}
    x = torch.zeros(16, FEATURES, dtype=torch.float64)
    x[:12] = torch.tensor(dense)
    inputs = [x[:, architecture.plain].expand(4, -1, -1)]
    inputs += [x[:, one.start : one.stop] @ tracked[f"e{at}"] for at, one in enumerate(embeddings)]
    a, draws = torch.cat(inputs, 2), noise()
    for layer in range(2):
        a = getattr(torch.nn.functional, activation)(a @ tracked[f"w{layer}"] + tracked[f"b{layer}"][:, None])
        if dropout:
            a = a * (torch.rand(a.mT.shape[1:], generator=draws).mT >= dropout) / (1 - dropout)
    theirs = (a @ tracked["w2"] + tracked["b2"][:, None]).mT
    (theirs * weights).sum().backward()
    torch.testing.assert_close(scores, theirs)
    for name, one in tracked.items():
        torch.testing.assert_close(own[name], one.grad)
    vector = torch.cat([one[1].flatten() for one in parameters.values()]).numpy()
    if not dropout:
        found = architecture.scores(architecture.layers(vector), of_zeros if sparse else dense)
        np.testing.assert_allclose(found, scores[1, :, :12].T, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("outputs", [1, 4])
def test_losses_are_those_of_numpy(name: str, outputs: int) -> None:
    family = LOSSES[name]
    if outputs > len(family.forms) * 3:
        pytest.skip("numbers have one output")
    rng = np.random.default_rng(2)
    scores = rng.normal(0, 2, (3, outputs, 50))
    classes = max(outputs, 2)
    targets = rng.integers(0, classes, 50) if family.task == "classification" else rng.gamma(1.0, size=50)
    for loss in (loss_for(name, outputs), judge_of(loss_for(name, outputs))):
        values, derivatives = evaluate(loss, torch.tensor(scores), torch.tensor(targets))
        for run in range(3):
            one, other = values_and_gradients(loss, scores[run].T, targets)
            np.testing.assert_allclose(values[run], one, atol=1e-12)
            np.testing.assert_allclose(derivatives[run].T, other, atol=1e-12)


def learned(network: Network, runs: tuple[Run, ...], chunks: list[Chunk]) -> tuple:
    state = network.begin_leg(network.start(runs), 400)
    tallies = []
    for chunk in chunks:
        state, tally = network.advance(state, chunk)
        tallies.append(tally.loss)
    return state, tallies


def some_chunks(sparse: bool) -> list[Chunk]:
    chunks = []
    for seed in range(3):
        rows, dense = sparse_and_dense(seed, 100)
        targets = (dense[:, 0] * dense[:, 1] + dense[:, 5] > 0.1).astype(np.int32)
        weights = np.random.default_rng(seed).random(100).astype(np.float32)
        chunks.append(Chunk(rows if sparse else dense, targets, weights))
    return chunks


def some_runs(count: int, schedule: str = "linear", l1: float = 0.0) -> tuple[Run, ...]:
    return tuple(
        Run(n, "adam", 10.0 ** -(1 + n % 3), [0.01, 0.1][n % 2], schedule, 32, "auto", l1) for n in range(count)
    )


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_bits_do_not_depend_on_threads_or_neighbours(
    sparse: bool, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "THREADS_PAY", 0)
    embeddings = (Embedding(4, 10, 2),) if sparse else ()
    architecture = Architecture(FEATURES, 1, (37, 5), "relu", dropout, embeddings)
    runs, chunks = some_runs(9), some_chunks(sparse)
    found = []
    for threads, numbers in ((1, range(9)), (2, range(9)), (3, (1, 4, 8)), (1, (4,))):
        network = Network(rule_named("adam"), loss_for("log_loss", 1), architecture, 32, threads)
        state, tallies = learned(network, tuple(runs[n] for n in numbers), chunks)
        one = [*numbers].index(4)
        losses = network.losses(state, chunks[0])[:, one]
        found.append((network.take(state, 4).weights.tobytes(), [tally[one] for tally in tallies], losses.tobytes()))
    assert all(each == found[0] for each in found)


def test_pytorch_stays_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums that are cut among threads would differ with their number."""
    monkeypatch.setattr(network_module, "THREADS_PAY", 0)
    seen: list[int] = []
    scores = Layers.scores
    monkeypatch.setattr(Layers, "scores", lambda *given: (seen.append(torch.get_num_threads()), scores(*given))[1])
    network = Network(rule_named("adam"), loss_for("log_loss", 1), Architecture(FEATURES, 1, (5,), "relu", 0.3), 32, 2)
    (chunk, *_), before = some_chunks(False), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        state, _ = learned(network, some_runs(9), [chunk])
        network.losses(state, chunk)
        network.scores(state, chunk)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


@pytest.mark.parametrize("schedule", ["linear", "plateau"])
@pytest.mark.parametrize("optimizer", ["adam", "averaged_momentum", "prodigy"])
def test_going_on_from_what_was_saved_gives_the_same_bits(schedule: str, optimizer: str) -> None:
    architecture = Architecture(FEATURES, 1, (8,), "relu", 0.2)
    network = Network(rule_named(optimizer), loss_for("log_loss", 1), architecture, 32, 2, l1=True)
    chunks = some_chunks(False)
    state, _ = learned(network, some_runs(5, schedule, 0.01), chunks[:2])
    state = network.keep(network.hear(state, dict.fromkeys(range(5), 1.0)), [0, 3, 4])
    kept = network.saved(state)
    kept = kept._replace(arrays={name: array.copy() for name, array in kept.arrays.items()})
    again = network.resumed(kept)
    for one in (state, again):
        network.advance(one, chunks[2])
    for number in (0, 3, 4):
        ours, theirs = network.take(state, number), network.take(again, number)
        assert ours.weights.tobytes() == theirs.weights.tobytes()
        assert ours.carry.tobytes() == theirs.carry.tobytes()
        assert {name: slot.tobytes() for name, slot in ours.slots.items()} == {
            name: slot.tobytes() for name, slot in theirs.slots.items()
        }


def test_a_row_of_weight_two_is_two_rows() -> None:
    architecture = Architecture(FEATURES, 1, (6,), "tanh")
    _, dense = sparse_and_dense(1, 8)
    targets = np.arange(8).astype(np.int32) % 2
    twice = np.repeat(np.arange(8), 2)
    found = []
    for rows, weights in ((np.arange(8), 1.0), (twice, 1.0)):
        chunk = Chunk(dense[rows], targets[rows], np.full(len(rows), weights, np.float32))
        network = Network(rule_named("sgd"), loss_for("log_loss", 1), architecture, 16)
        state, tallies = learned(network, some_runs(1), [chunk])
        found.append(network.take(state, 0).weights)
        assert tallies[0].shape == (1,)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
