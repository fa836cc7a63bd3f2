"""Races of modules: against plain training by PyTorch, going on to the same bits, and what is refused."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from schuss.errors import DataError, OptionError, OutputError, ResumeError, TrainingError
from schuss.sealed import open_sealed
from schuss.torch import race
from schuss.torch.feed import feed_of

cross_entropy = nn.functional.cross_entropy


def rows(count: int = 600, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    return x.to(dtype), (x[:, :3] * x[:, 3:]).argmax(1)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))


def noisy() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: one.clone() for name, one in module.state_dict().items()}


THEIRS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "momentum": lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=0.9),
    "amsgrad": lambda params, lr: torch.optim.Adam(params, lr=lr, amsgrad=True),
    "adagrad": lambda params, lr: torch.optim.Adagrad(params, lr=lr, eps=0, initial_accumulator_value=1e-20),
}


@pytest.mark.parametrize("name", THEIRS)
def test_a_run_is_plain_training_and_its_optimizer_goes_on(name: str) -> None:
    data, held, rate = rows(100, torch.float64), rows(20, torch.float64), 0.01
    options = {"batch_size": 8, "seed": 3}
    ours = race(
        lambda: small().double(), cross_entropy, data, holdout=held, runs=1, optimizer=name, learning_rate=rate,
        schedule="constant", epochs=2, **options,
    )  # fmt: skip
    torch.manual_seed(3)
    module = small().double()
    theirs = THEIRS[name](module.parameters(), lr=rate)
    feed = feed_of(data, held, **options)

    def learn(module: nn.Module, optimizer: torch.optim.Optimizer, x: Any, y: Any) -> None:
        optimizer.zero_grad()
        cross_entropy(module(x), y).backward()
        optimizer.step()

    for epoch in range(2):
        for chunk in feed.chunks(epoch):
            for begin in range(0, len(chunk.targets), 8):
                learn(module, theirs, chunk.rows[begin : begin + 8], chunk.targets[begin : begin + 8])
    for _ in range(2):
        for key, wanted in tensors(module).items():
            np.testing.assert_allclose(ours.module.state_dict()[key], wanted, rtol=1e-8, atol=1e-11)
        for one, optimizer in ((module, theirs), (ours.module, ours.optimizer)):
            learn(one, optimizer, *data)


def test_the_best_rate_wins_and_is_judged_on_rows_nobody_chose_by() -> None:
    x, y = rows(1500)
    found = race(noisy, cross_entropy, (x, y), runs=8, epochs=8, seed=1)
    assert found.summary["holdout"]["accuracy"] > 0.7
    assert found.summary["holdout"]["rows"] == 75
    assert 1e-3 < found.summary["chosen"]["learning_rate"] < 0.5
    assert found.module.training
    kinds = [event["event"] for event in found.record]
    assert kinds[:3] == ["start", "data", "runs"]
    assert kinds[-1] == "finish"
    assert kinds.count("drop") >= 4
    accuracy = (found.module.eval()(x).argmax(1) == y).float().mean()
    assert accuracy > 0.75


def test_the_same_seed_gives_the_same_bits_and_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (race(noisy, cross_entropy, rows(), runs=3, epochs=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one, tensors(again.module)[name]) for name, one in tensors(first.module).items())
    assert not torch.equal(first.module[0].weight, other.module[0].weight)


def test_parameters_may_have_rates_of_their_own() -> None:
    found = race(small, cross_entropy, rows(), runs=2, epochs=1, rates={"0.": 0.0}, optimizer="sgd", seed=4)
    torch.manual_seed(4)
    start = small()
    assert torch.equal(found.module[0].weight, start[0].weight)
    assert not torch.equal(found.module[2].weight, start[2].weight)
    chosen = found.summary["chosen"]["learning_rate"]
    assert [group["lr"] for group in found.optimizer.param_groups] == [0.0, 0.0, chosen, chosen]
    with pytest.raises(OptionError, match="rates names 'head', but the parameters are 0"):
        race(small, cross_entropy, rows(), rates={"head": 2.0})


def test_several_optimizers_race_and_averages_count() -> None:
    given = ["adam:beta1=0.5", "adam", "schedule_free_sgd"]
    found = race(small, cross_entropy, rows(), runs=6, optimizer=given, epochs=3)
    runs = next(event["runs"] for event in found.record if event["event"] == "runs")
    assert [run["optimizer"] for run in runs] == [name for name in given for _ in range(2)]
    averaged = race(small, cross_entropy, rows(), runs=3, optimizer="schedule_free_sgd", schedule="constant", epochs=5)
    x, y = averaged_rows = rows()
    loss = cross_entropy(averaged.module(x), y).item()
    assert loss < cross_entropy(small()(x), y).item()
    averaged.optimizer.zero_grad()
    cross_entropy(averaged.module(averaged_rows[0]), y).backward()
    averaged.optimizer.step()


def loader() -> DataLoader:
    return DataLoader(TensorDataset(*rows()), batch_size=25, shuffle=True)


@pytest.mark.parametrize("data", [rows, loader])
def test_a_race_that_was_stopped_goes_on_to_the_same_bits(data: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "holdout": rows(100),
        "runs": 5,
        "epochs": 6,
        "optimizer": ["adam", "momentum"],
        "seed": 1,
    }
    wanted = race(noisy, cross_entropy, data(), **options)
    out = tmp_path / "run"

    def stop(event: Any) -> None:
        if event["event"] == "evaluation" and event["epoch"] > 2 and any((out / "checkpoint").glob("*.safetensors")):
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        race(noisy, cross_entropy, data(), out=out, checkpoint_every=0.0, progress=stop, **options)
    with pytest.raises(OutputError, match="holds an unfinished run"):
        race(noisy, cross_entropy, data(), out=out, **options)
    with pytest.raises(ResumeError, match="this race began with seed 1"):
        race(noisy, cross_entropy, data(), out=out, resume=True, **(options | {"seed": 2}))
    found = race(noisy, cross_entropy, data(), out=out, resume=True, **options)
    assert any(event["event"] == "resume" for event in found.record)
    assert found.summary["chosen"] == wanted.summary["chosen"]
    assert found.summary["holdout"] == wanted.summary["holdout"]
    for name, one in tensors(wanted.module).items():
        assert torch.equal(tensors(found.module)[name], one)
    state = found.optimizer.state_dict()["state"]
    for place, kept in wanted.optimizer.state_dict()["state"].items():
        assert all(torch.equal(state[place][name], one) for name, one in kept.items())


def test_a_folder_holds_record_report_and_the_winner(tmp_path: Path) -> None:
    found = race(noisy, cross_entropy, rows(), runs=4, epochs=2, out=tmp_path / "run")
    assert sorted(one.name for one in (tmp_path / "run").iterdir()) == [
        "model.safetensors",
        "record.jsonl",
        "report.html",
    ]
    with open_sealed(tmp_path / "run" / "model.safetensors", "raced") as sealed:
        for name, one in tensors(found.module).items():
            np.testing.assert_array_equal(sealed.load(name), one)
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert found.report == tmp_path / "run" / "report.html"
    assert "A Sequential of 195 parameters, trained on 540 rows." in report
    assert "constant predictor" not in report


def test_batches_may_come_once_and_tell_nothing_of_their_number() -> None:
    x, y = rows()
    batches = ((x[begin : begin + 30], y[begin : begin + 30]) for begin in range(0, 600, 30))
    found = race(small, cross_entropy, batches, holdout=None, runs=3)
    assert found.summary["rows"] == 600
    assert found.summary["outcome"] == "end of the stream"
    assert found.summary["holdout"] is None
    held = [(x[:50], y[:50]), (x[50:70], y[50:70])]
    again = race(small, cross_entropy, [(x[:300], y[:300]), (x[300:], y[300:])], holdout=held, runs=3, epochs=3)
    assert again.summary["rows"] == 1800
    assert again.summary["holdout"]["rows"] == 35


def test_a_module_that_cannot_be_vectorised_races_in_turn() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells, self.out = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.cells(x[..., None])[0][:, -1])

    found = race(Recurrent, cross_entropy, rows(200), runs=2, epochs=1)
    assert found.summary["why_in_turn"] == "PyTorch cannot vectorise a GRU"
    said = [event["message"] for event in found.record if event["event"] == "notice"]
    assert said == ["the copies go through the module in turn: PyTorch cannot vectorise a GRU"]


def test_lazy_layers_and_targets_of_numbers() -> None:
    x = torch.linspace(-2, 2, 300)[:, None]
    make = lambda: nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(1))  # noqa: E731
    found = race(make, nn.functional.mse_loss, (x.numpy(), x.square().numpy()), runs=3, epochs=3)
    assert set(found.summary["holdout"]) == {"rows", "loss", "select_loss"}


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"factory": lambda: nn.Linear(6, 2)}, OptionError, "the loss does not take an output of shape"),
        ({"factory": lambda: 3}, OptionError, "the factory gave something of type int"),
        ({"loss": lambda s, y: s}, OptionError, "the loss of 32 rows is a tensor of shape"),
        ({"data": rows()[0]}, DataError, "data is something of type Tensor: neither a pair"),
        ({"data": (rows()[0], rows()[1][:5])}, DataError, "not a row each"),
        ({"data": 3}, DataError, "neither a pair of inputs and targets nor batches"),
        ({"data": [], "holdout": None}, DataError, "data has no batch to learn from"),
        ({"data": [rows(), rows()]}, OptionError, "batches cannot be split"),
        ({"holdout": 1.5}, OptionError, "holdout is a share of the rows above 0 and below 1"),
        ({"runs": 0}, OptionError, "runs is a whole number of at least 1, not 0"),
        ({"learning_rate": -1.0}, OptionError, "learning_rate is a number above 0"),
        ({"optimizer": "adamm"}, OptionError, "did you mean 'adam'"),
        ({"schedule": "wavy"}, OptionError, "schedule: 'wavy' is not one of"),
        ({"precision": "int8"}, OptionError, "precision is one of"),
        ({"rate": 1.0}, OptionError, "race has no option 'rate'"),
        ({"learning_rate": 1e38, "optimizer": "sgd", "epochs": 1}, TrainingError, "every run diverged"),
    ],
)  # fmt: skip
def test_what_is_wrong_gets_one_sentence(change: dict[str, Any], error: type[Exception], said: str) -> None:
    given: dict[str, Any] = {"factory": small, "loss": cross_entropy, "data": rows(), **change}
    with pytest.raises(error, match=said) as found:
        race(given.pop("factory"), given.pop("loss"), given.pop("data"), **given)
    assert "\n" not in str(found.value)


def test_memory_that_runs_out_for_one_copy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from schuss.population.network.copies import Copies

    def none_left(*_: Any) -> torch.Tensor:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: not enough memory")

    said: list[str] = []
    monkeypatch.setattr(importlib.import_module("schuss.torch.race"), "why_in_turn", lambda *_: None)
    monkeypatch.setattr(Copies, "_learn_some", none_left)
    with pytest.raises(TrainingError, match="memory ran out for a single copy"):
        race(small, cross_entropy, rows(), runs=4, progress=lambda event: said.append(event.get("message", "")))
    assert "memory ran out: from now on 2 of the 4 copies go together" in said


def by_workers(**options: Any) -> Any:
    return race(noisy, cross_entropy, rows(), **({"runs": 3, "epochs": 4, "cluster": "here", "workers": 2} | options))


def test_one_worker_alone_learns_as_without_it() -> None:
    """Batches and rounds are cut alike where there is one worker; dropout and normalisation draw alike."""
    options: dict[str, Any] = {"runs": 2, "epochs": 3, "batch_size": 64, "schedule": "constant", "learning_rate": 0.01}
    alone = race(small, cross_entropy, rows(), **options)
    one = race(small, cross_entropy, rows(), workers=1, cluster="here", **options)
    for name, tensor in one.module.state_dict().items():
        torch.testing.assert_close(tensor, alone.module.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_average_copies_of_a_module(workers: int) -> None:
    alone, several = race(noisy, cross_entropy, rows(3_000), runs=3, epochs=12), None
    several = race(noisy, cross_entropy, rows(3_000), runs=3, epochs=12, workers=workers, cluster="here")
    assert several.summary["rows"] == alone.summary["rows"]
    # Six seeds end between 0.48 and 0.61; the constant prediction has log 3.
    assert several.summary["holdout"]["loss"] < 1.25 * alone.summary["holdout"]["loss"] < 0.85
    again = race(noisy, cross_entropy, rows(3_000), runs=3, epochs=12, workers=workers, cluster="here")
    for name, tensor in again.module.state_dict().items():
        assert torch.equal(tensor, several.module.state_dict()[name])


@pytest.mark.parametrize("many", [tuple, dict])
def test_workers_take_modules_of_several_inputs(many: type) -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.layer(a) * b

    x, y = rows()
    inputs = (x[:, :3], x[:, 3:]) if many is tuple else {"a": x[:, :3], "b": x[:, 3:]}
    result = race(Sum, cross_entropy, (inputs, y), runs=2, epochs=6, workers=2, cluster="here")
    assert result.summary["holdout"]["loss"] < 1.0


def test_a_race_of_workers_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole, out = by_workers(), tmp_path / "run"

    def stop(event: Any) -> None:
        if event["event"] == "evaluation" and event["epoch"] > 2 and any((out / "checkpoint").glob("*.safetensors")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        by_workers(out=out, checkpoint_every=0.0, progress=stop)
    again = by_workers(out=out, resume=True)
    for name, tensor in again.module.state_dict().items():
        assert torch.equal(tensor, whole.module.state_dict()[name])


def test_what_workers_of_a_race_refuse() -> None:
    with pytest.raises(OptionError, match="workers share rows of arrays or tensors in memory, not batches"):
        race(small, cross_entropy, DataLoader(TensorDataset(*rows())), holdout=rows(20), workers=2, cluster="here")
    with pytest.raises(OptionError, match="workers learn on their CPUs, not on device 'cuda'"):
        by_workers(device="cuda")
    with pytest.raises(OptionError, match="cluster says where the workers are: workers says how many"):
        by_workers(workers=None)
    with pytest.raises(OptionError, match="workers is a whole number of at least 1, not 0"):
        by_workers(workers=0)
