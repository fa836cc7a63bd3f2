"""Copies of modules: against the same modules trained one by one by PyTorch, and what a module and a loss allow."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.cases import runs_of
from torch import nn

from schuss.data.chunk import Chunk
from schuss.descent.optimizers import Momentum
from schuss.errors import OptionError
from schuss.population.network import copies as room
from schuss.population.network.copies import Batch, Copies
from schuss.population.network.modules import Modules, tensors_of
from schuss.population.network.probe import checked_module, seeded, why_in_turn
from schuss.population.network.sequence import _Dropout

functional = nn.functional
RATES = (0.003, 0.1, 0.03)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.out = nn.GRU(1, 3, batch_first=True), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.cells(x[..., None])[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(1, 4), nn.Linear(4, 3)
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(self.into(x[..., None])).mean(1))


class Reassigned(nn.Module):
    """Keeps the mean of what it gave, in a buffer that it assigns anew."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.line(x) - self.mean
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * out.detach().mean(0)
        return out


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    module[2].weight = module[0].weight
    return module


def partly_frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    module[0].requires_grad_(False)
    return module


def with_images(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 2, 3)), *layers, nn.Flatten(), nn.LazyLinear(3))


MODULES: dict[str, Callable[[], nn.Module]] = {
    "deep": lambda: nn.Sequential(
        nn.Flatten(),
        nn.Sequential(nn.Linear(6, 5, bias=False), nn.Identity()),
        nn.GELU(),
        nn.Linear(5, 4),
        nn.Tanh(),
        nn.Dropout(0.0),
        nn.BatchNorm1d(4, affine=False),
        nn.SiLU(inplace=True),
        nn.Linear(4, 3),
    ),
    "untracked": lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, track_running_stats=False), nn.Linear(5, 3)),
    "dense": lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)),
    "batch_norm": lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)),
    "images": lambda: with_images(nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d((1, 2))),
    "layer_norm": lambda: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3)),
    "attention": Attention,
    "tied": tied,
    "partly_frozen": partly_frozen,
    "reassigned": Reassigned,
    "recurrent": Recurrent,
    "cumulative": lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, momentum=None), nn.Linear(5, 3)),
}
IN_TURN = {"recurrent": "PyTorch cannot vectorise a GRU", "cumulative": "its forward pass takes numbers out of tensors"}
every_module = pytest.mark.parametrize("name", MODULES)


def made(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(3)
    module = MODULES[name]()
    module(torch.zeros(2, 6))  # lazy layers
    torch.manual_seed(4)
    for one in module.parameters():
        nn.init.normal_(one, std=0.5)
    for one in module.buffers():
        one.zero_() if one.dtype == torch.int64 or one.sum() == 0 else one.fill_(1)
    return module.to(dtype)


def rows(count: int = 40, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    return x.to(dtype), (x[:, :3] + 0.5 * x[:, 3:]).argmax(1)


def chunk(count: int = 40, dtype: torch.dtype = torch.float64) -> Any:
    x, y = rows(count, dtype)
    return Chunk(x, y, np.ones(count, np.float32))  # pyright: ignore


def each_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(output, target, reduction="none")


def trained_alone(module: nn.Module, rate: float, batch_size: int) -> nn.Module:
    optimizer = torch.optim.SGD((one for one in module.parameters() if one.requires_grad), lr=rate, momentum=0.9)
    x, y = rows()
    for begin in range(0, len(y), batch_size):
        optimizer.zero_grad()
        functional.cross_entropy(module(x[begin : begin + batch_size]), y[begin : begin + batch_size]).backward()
        optimizer.step()
    return module


def learned(population: Modules, parts: int = 1, *, dtype: torch.dtype = torch.float64) -> Any:
    state = population.begin_leg(population.start(runs_of(RATES)), 1)
    whole = chunk(dtype=dtype)
    for piece in np.array_split(np.arange(len(whole.targets)), parts):
        part = slice(piece[0], piece[-1] + 1)
        state, _ = population.advance(state, Chunk(*(one[part] for one in whole)))
    return state


def by_scores(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(output, target)


WRITTEN = {"dense", "deep", "untracked", "batch_norm"}


@every_module
def test_which_modules_are_written_out(name: str) -> None:
    assert (Copies(made(name), functional.cross_entropy, 2).written is not None) == (name in WRITTEN)


def test_what_only_looks_like_a_plain_sequence_is_not_written_out() -> None:
    class Own(nn.Linear):
        pass

    hooked = nn.Sequential(nn.Linear(6, 3))
    hooked[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    twice = nn.Linear(6, 6)
    for module in (hooked, nn.Sequential(Own(6, 3)), nn.Sequential(twice, twice), nn.Linear(6, 3)):
        assert Copies(module, functional.cross_entropy, 2).written is None


# Every module learns by one loss, and by every loss one module of each of the ways that there are: written out,
# vectorised, in turn.
LOSSES = {"function": functional.cross_entropy, "module": nn.CrossEntropyLoss(), "own": by_scores, "rows": each_loss}
PAIRS = [
    (name, loss) for name in MODULES for loss in LOSSES
    if loss == "function" or name in ("batch_norm", "attention", "recurrent")
]  # fmt: skip


@pytest.mark.parametrize(("name", "loss_name"), PAIRS)
@pytest.mark.parametrize("together", [True, False])
def test_copies_learn_what_each_learns_alone(
    name: str, loss_name: str, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, loss = made(name), LOSSES[loss_name]
    why = why_in_turn(module, loss, Batch(*rows(8)))
    assert why == IN_TURN.get(name)
    if not together:
        monkeypatch.setattr(room, "TOGETHER", 0.0)
        monkeypatch.setattr(room, "CACHED", 0)
    population = Modules(Momentum(), module, loss, 8, why_in_turn=why)
    state = learned(population)
    judged = population.losses(state, chunk())
    for run, rate in enumerate(RATES):
        theirs = trained_alone(made(name), rate, 8)
        found = tensors_of(population.take(state, run), module)
        for key, wanted in theirs.state_dict().items():
            if key in found:
                np.testing.assert_allclose(found[key], wanted, rtol=1e-9, atol=1e-11, err_msg=key)
        assert {key for key, _ in theirs.named_buffers()} <= set(found)
        alone = each_loss(theirs.eval()(rows()[0]), rows()[1]).detach()
        np.testing.assert_allclose(judged[:, run], alone, rtol=1e-6, atol=1e-7)


def test_heavy_copies_go_one_by_one_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    population = Modules(Momentum(), made("batch_norm"), functional.cross_entropy, 8)
    wanted = learned(population)
    monkeypatch.setattr(room, "CACHED", 0)
    found = learned(population)
    for name, one in wanted.stack.parameters.items():
        np.testing.assert_allclose(found.stack.parameters[name], one, rtol=1e-10)


@pytest.mark.parametrize("name", ["dense", "layer_norm", "batch_norm"])
def test_in_single_precision_too_each_goes_through_all_mini_batches_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = trained_alone(made(name), RATES[1], 8)
    for limit in ("TOGETHER", "CACHED"):
        monkeypatch.setattr(room, limit, 0)
    population = Modules(Momentum(), made(name, torch.float32), functional.cross_entropy, 8)
    state = learned(population, dtype=torch.float32)
    assert state.stack.separable
    for key, one in tensors_of(population.take(state, 1), made(name)).items():
        np.testing.assert_allclose(one, wanted.state_dict()[key], rtol=1e-3, atol=1e-5, err_msg=key)


def test_numbers_are_learned_alike() -> None:
    x, y = torch.randn(40, 6, dtype=torch.float64), torch.randn(40, 3, dtype=torch.float64)
    found = []
    for loss in (functional.mse_loss, lambda output, target: (output - target).square().mean()):
        population = Modules(Momentum(), made("dense"), loss, 8)
        state = population.begin_leg(population.start(runs_of(RATES)), 1)
        state, tallies = population.advance(state, Chunk(x, y, np.ones(40, np.float32)))  # pyright: ignore
        found.append([*state.stack.parameters.values(), torch.as_tensor(tallies.loss)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_rows_may_weigh_differently() -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2, 40).astype(np.float32)
    population = Modules(Momentum(), made("dense"), each_loss, 40)
    state = population.begin_leg(population.start(runs_of(RATES)), 1)
    state, tallies = population.advance(state, chunk()._replace(weights=weights))
    module, (x, y) = made("dense"), rows()
    loss = (each_loss(module(x), y) * torch.tensor(weights)).sum()
    np.testing.assert_allclose(tallies.loss, loss.item(), rtol=1e-9)
    torch.optim.SGD(module.parameters(), lr=RATES[1])
    (loss / 40).backward()
    for name, one in module.named_parameters():
        moved = one.detach() - RATES[1] * one.grad
        np.testing.assert_allclose(state.stack.parameters[name][1], moved, rtol=1e-9, atol=1e-12)
    with pytest.raises(OptionError, match="not one number a row"):
        mean = Modules(Momentum(), made("dense"), functional.cross_entropy, 8)
        mean.advance(mean.start(runs_of(RATES)), chunk()._replace(weights=weights))


def dropped() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3))


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_share_of_units_is_dropped_and_the_others_grow(share: float) -> None:
    torch.manual_seed(0)
    found, _ = _Dropout(share).forward({}, torch.ones(4, 50, 50))
    stay = found != 0
    assert abs(float(stay.float().mean()) - (1 - share)) < 0.02
    assert torch.equal(found[stay], torch.full_like(found[stay], 1 / (1 - share or 1)))


def test_every_copy_draws_for_itself_from_the_seed() -> None:
    population = Modules(Momentum(), dropped(), functional.cross_entropy, 8, seed=5)
    runs = runs_of([0.1, 0.1])
    before = torch.get_rng_state()
    first, again, other = (
        one.advance(one.start(runs), chunk(dtype=torch.float32))[0].stack.parameters["0.weight"]
        for one in (population, population, Modules(Momentum(), dropped(), functional.cross_entropy, 8, seed=6))
    )
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, other)
    judged = population.losses(population.start(runs), chunk(dtype=torch.float32))
    np.testing.assert_array_equal(judged[:, 0], judged[:, 1])  # nothing is dropped where runs are judged


def test_what_was_saved_goes_on_to_the_same_bits_also_when_runs_have_left() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    population = Modules(Momentum(), module, functional.cross_entropy, 8, seed=5)

    def left() -> Any:
        return population.keep(learned(population, 2, dtype=torch.float32), [0, 2])

    saved = population.saved(left())
    wanted, _ = population.advance(left(), chunk(dtype=torch.float32))
    found, _ = population.advance(population.resumed(saved), chunk(dtype=torch.float32))
    assert [run.number for run in found.runs] == [0, 2]
    for name, one in population.saved(wanted).arrays.items():
        np.testing.assert_array_equal(population.saved(found).arrays[name], one)


def test_fewer_copies_go_together_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    population = Modules(Momentum(), made("batch_norm"), functional.cross_entropy, 8, say=said.append)
    wanted = learned(population)
    learn = Copies._learn_some

    def short(self: Copies, stack: Any, some: slice, batch: Batch) -> torch.Tensor:
        if some.stop - some.start > 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: not enough memory")
        return learn(self, stack, some, batch)

    monkeypatch.setattr(Copies, "_learn_some", short)
    found = learned(population)
    assert said == [
        "memory ran out: from now on 2 of the 3 copies go together",
        "memory ran out: from now on 1 of the 3 copies go together",
    ]
    for name, one in wanted.stack.parameters.items():
        np.testing.assert_allclose(found.stack.parameters[name], one, rtol=1e-10)
    assert population.resumed(population.saved(found)).copies.at_once == 1


def test_what_shows_only_later_lets_the_copies_go_in_turn() -> None:
    class Later(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(6, 3, dtype=torch.float64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.line(x)
            return out if len(x) > 4 or out.sum() > -1e9 else -out

    said: list[str] = []
    population = Modules(Momentum(), Later(), functional.cross_entropy, 9, say=said.append)
    state = learned(population)  # the last mini-batch has four rows
    assert said == ["the copies go through the module in turn: its forward pass branches on values"]
    assert population.resumed(population.saved(state)).copies.why_in_turn == "its forward pass branches on values"


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line, self.calls, self.kept = nn.Linear(6, 3), 0, torch.zeros(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.line(x)


class Keeping(Counting):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept += self.line(x).detach().mean(0)
        return self.line(x)


class Drawing(Counting):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.line(x) * random.random()


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Counting, "it keeps state in 'calls', which is neither a parameter nor a buffer"),
        (Keeping, "it keeps state in 'kept', which is neither a parameter nor a buffer"),
        (Drawing, "its loss depends on randomness that is not PyTorch's"),
    ],
)
def test_state_and_randomness_that_are_hidden_are_found(module: Any, why: str) -> None:
    found = why_in_turn(module(), functional.cross_entropy, Batch(*rows(8, torch.float32)))
    assert found is not None
    assert found.startswith(why)


class Locked(nn.Linear):
    """What cannot be copied."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("given", "loss", "said"),
    [
        (3, functional.cross_entropy, "the factory gave something of type int, not a torch.nn.Module"),
        (nn.ReLU(), functional.cross_entropy, "without a parameter that can be learned"),
        (Locked(), functional.cross_entropy, "cannot be copied, as every run needs its own: TypeError: .*lock"),
        (
            nn.Linear(4, 3),
            functional.cross_entropy,
            "does not take the rows: mat1 and mat2 shapes",
        ),
        (nn.Linear(6, 2), functional.cross_entropy, r"output of shape \(8, 2\) and targets of shape \(8,\): Target 2"),
        (
            nn.Linear(6, 1),
            lambda s, y: functional.mse_loss(s, y.float()),
            r"shape \(8, 1\) and targets of shape",
        ),
        (nn.Linear(6, 3), lambda s, y: s, r"the loss of 8 rows is a tensor of shape \(8, 3\), not one number"),
        (nn.Linear(6, 3), lambda s, y: 1.0, "the loss of 8 rows is a float, not a tensor of one number"),
        (nn.Linear(6, 3), lambda s, y: each_loss(s, y).sum(), "is not the mean of those of each row"),
        (nn.Linear(6, 3), lambda s, y: s.detach().mean(), "the loss does not depend on the module's parameters"),
        (nn.Linear(6, 3), lambda s, y: s.mean() * torch.nan, "the loss of the first 8 rows is nan before any step"),
    ],
)
def test_what_does_not_fit_gets_one_sentence(given: Any, loss: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said) as found:
        checked_module(given, loss, Batch(*rows(8, torch.float32)))
    assert "\n" not in str(found.value)


def test_a_mixed_precision_region_multiplies_in_it() -> None:
    module, common = made("dense", torch.float32), {"rule": Momentum(), "loss": functional.cross_entropy}
    mixed, exact = (
        learned(Modules(module=module, batch_size=8, precision=precision, **common), dtype=torch.float32).stack
        for precision in (torch.bfloat16, None)
    )
    for name, one in exact.parameters.items():
        off = (mixed.parameters[name] - one).abs().max().item()
        assert 1e-5 < off < 0.05  # bfloat16 keeps eight bits
        assert mixed.parameters[name].dtype == torch.float32


def test_a_seeded_region_leaves_the_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    with seeded(1, torch.device("cpu")):
        first = torch.rand(3)
    with seeded(1, torch.device("cpu")):
        assert torch.equal(first, torch.rand(3))
    assert torch.equal(before, torch.get_rng_state())
