"""The kernel of networks: against operations of PyTorch, against itself uncompiled, and what it reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cases import uncompiled

from schuss.data.chunk import Chunk
from schuss.descent.activations import ACTIVATIONS, parse_activation
from schuss.descent.losses import LOSSES, loss_for
from schuss.descent.optimizers import rule_named
from schuss.kernels.dispatch import slope, value
from schuss.kernels.lanes import gated
from schuss.kernels.lines import load_at, store_at
from schuss.kernels.options import kernel
from schuss.population.architecture import Architecture
from schuss.population.network import compiled
from schuss.population.network.network import Network
from schuss.population.population import Run

FEATURES = 13
EVERY_LOSS = [(name, outputs) for name, family in LOSSES.items() for outputs in (1, 3)[: len(family.forms)]]
COMPILED = [name for name in ACTIVATIONS if compiled.has_kernel(Architecture(2, 1, (3,), name))]


@kernel()
def bend(activation, like, z, outs, slopes):
    for i in range(0, len(z), len(like)):
        sums = load_at(z, i, like)
        a = value(activation, sums)
        store_at(outs, i, a)
        store_at(slopes, i, gated(slope(activation, sums, a), sums))


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_activations_are_those_of_numpy(name: str) -> None:
    activation = parse_activation(name)
    z = np.concatenate([np.linspace(-90, 90, 181), np.linspace(-2, 2, 72), [-np.inf, np.inf, np.nan]])
    z = z.astype(np.float32)
    outs, slopes = np.empty_like(z), np.empty_like(z)
    bend(activation, (np.float32(0),) * 16, z, outs, slopes)
    with np.errstate(all="ignore"):
        wanted = activation.value(z.astype(np.float64))
        np.testing.assert_allclose(outs, wanted, rtol=1e-6, atol=1e-7)
        finite = np.isfinite(z)
        bent = (activation.slope(z.astype(np.float64), wanted) * z)[finite]
        np.testing.assert_allclose(slopes[finite], bent, rtol=1e-5, atol=1e-5)
    assert np.isnan(outs[-1])


def test_all_activations_but_one_have_a_compiled_form() -> None:
    assert set(ACTIVATIONS) - set(COMPILED) == {"gelu"}
    assert not compiled.has_kernel(Architecture(2, 1, (3,), dropout=0.1))


def chunk(outputs: int, rows: int, numbers: bool) -> Chunk:
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    classes = np.digitize(x[:, 0] + x[:, 1] * x[:, 2], np.linspace(-1, 1, max(outputs, 2) - 1)).astype(np.int32)
    return Chunk(x, x[:, 0] * x[:, 1] if numbers else classes, rng.uniform(0.5, 2, rows).astype(np.float32))


def learned(case: tuple[str, str, str], architecture: Architecture, runs: int, batch: int, rows: int = 50) -> Any:
    """Tallies and parameters after two chunks, of rows that weigh differently in each run."""
    optimizer, loss, _ = case
    network = Network(rule_named(optimizer), loss_for(loss, architecture.outputs), architecture, batch)
    state = network.begin_leg(
        network.start(tuple(Run(n, optimizer, 0.02, 0.1 * (n % 2), "linear", batch, "auto", 0.0) for n in range(runs))),
        4 * rows,
    )
    shares = np.random.default_rng(1).integers(0, 3, (rows, runs)).astype(np.float32)
    numbers, tallies = LOSSES[loss].task == "regression", []
    for _ in range(2):
        state, found = network.advance(state, chunk(architecture.outputs, rows, numbers), shares)
        tallies.append(found.loss)
    return tallies, [network.take(state, n).weights for n in range(runs)]


CASES = [
    (("adam", "log_loss", "relu"), (37, 5), 1),
    (("momentum", "log_loss", "tanh"), (3,), 4),
    (("sgd", "squared_error", "silu"), (20, 6, 17), 1),
]


@pytest.mark.parametrize(("case", "hidden", "outputs"), CASES, ids=["adam", "momentum", "sgd"])
def test_a_chunk_is_learned_as_by_operations_of_pytorch(
    case: tuple[str, str, str], hidden: tuple[int, ...], outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = Architecture(FEATURES, outputs, hidden, case[2])
    ours = learned(case, architecture, 18, 16)
    monkeypatch.setattr(compiled, "has_kernel", lambda architecture: False)
    theirs = learned(case, architecture, 18, 16)
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


def require_the_same_uncompiled(
    case: tuple[str, str, str], architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Require that the kernel left as Python learns what PyTorch's operations do."""
    with monkeypatch.context() as patch:
        patch.setattr(compiled.store, "run", uncompiled)
        ours = learned(case, architecture, 2, 4, rows=7)
    monkeypatch.setattr(compiled, "has_kernel", lambda architecture: False)
    theirs = learned(case, architecture, 2, 4, rows=7)
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", COMPILED)
@pytest.mark.parametrize("outputs", [1, 3])
def test_uncompiled_it_does_the_same(activation: str, outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture, case = Architecture(FEATURES, outputs, (5, 2), activation), ("sgd", "log_loss", activation)
    require_the_same_uncompiled(case, architecture, monkeypatch)


@pytest.mark.parametrize(("loss", "outputs"), EVERY_LOSS)
def test_every_loss_is_learned_as_by_operations_of_pytorch(
    loss: str, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture, case = Architecture(FEATURES, outputs, (5, 2), "tanh"), ("adam", loss, "tanh")
    require_the_same_uncompiled(case, architecture, monkeypatch)


def test_nothing_is_read_beyond_the_rows() -> None:
    memory = np.full((12, FEATURES), np.nan, np.float32)
    memory[:9] = chunk(1, 9, numbers=False).rows
    network = Network(rule_named("adam"), loss_for("log_loss", 1), Architecture(FEATURES, 1, (37, 5)), 4)
    state = network.begin_leg(network.start((Run(0, "adam", 0.1, 0.0, "linear", 4, "auto", 0.0),)), 9)
    network.advance(state, Chunk(memory[:9], np.arange(9, dtype=np.int32) % 2, np.ones(9, np.float32)))
    assert np.isfinite(network.take(state, 0).weights).all()
