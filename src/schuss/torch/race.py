"""A race of copies of a user's module: the same loop, rules, record and report as those of tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from schuss import __version__
from schuss.cluster import workers_of
from schuss.cluster.workers import Workers
from schuss.data.saved import Saved, understood
from schuss.descent.optimizers import bare, hyperparameters, per_run, rule_named, trait
from schuss.errors import OptionError, ResumeError, TrainingError
from schuss.files import refuse_address, replacing
from schuss.population.cluster import on_workers
from schuss.population.network.copies import SCORED_ROWS, Batch, Copies, evaluation, is_out_of_memory
from schuss.population.network.inputs import called, mapped
from schuss.population.network.modules import Modules, tensors_of
from schuss.population.network.probe import checked_module, seeded, why_in_turn
from schuss.population.network.rules import split
from schuss.population.population import Run
from schuss.process import interruptible, peak_memory
from schuss.race.checkpoint import load_race
from schuss.race.loop import Contender, Finish, Plan, go_on, run_race
from schuss.race.record import Event, Recorder
from schuss.race.state import Champion, Saving
from schuss.runs.checkpoints import Checkpointer
from schuss.runs.folder import REPORT, RunFolder
from schuss.runs.recording import recording, write_out
from schuss.sealed import write_sealed
from schuss.torch.feed import SharedFeed, TensorFeed, feed_of
from schuss.torch.optim import RuleOptimizer, class_for
from schuss.torch.options import PRECISIONS, RaceOptions
from schuss.training.basis import versions

__all__ = ["RaceResult", "race"]

RACED = "raced"
"""The kind of the file that keeps a winner's tensors."""


@dataclass(frozen=True)
class RaceResult:
    """What a race of modules gives.

    module : the winner, an ordinary module in the mode in which the factory made it.
    optimizer : of `schuss.torch.optim`, over the module's parameters and with all that the winner's rule remembers, at
        the rate that it began with; `optimizer.state_dict()` has the form of every optimizer of PyTorch. With a rule
        that averages, the module has the average, and the optimizer begins anew from it.
    record : the events of the race, as in `record.jsonl`.
    report : the path of the report; None without a folder.
    summary : `chosen` (the winner's hyperparameters), `holdout` (its scores on held-out rows nobody has chosen by),
        `outcome`, `advice`, `seconds`, `rows_per_second`, `why_in_turn`.
    """

    module: nn.Module
    optimizer: RuleOptimizer
    record: list[Event]
    report: Path | None
    summary: dict[str, Any]


def race(
    factory: Callable[[], nn.Module],
    loss: Callable[[Any, Tensor], Tensor],
    data: Any,
    *,
    holdout: Any = 0.1,
    out: str | Path | None = None,
    force: bool = False,
    resume: bool = False,
    checkpoint_every: float = 60.0,
    progress: Callable[[Event], None] | None = None,
    **options: Any,
) -> RaceResult:
    """Train copies of a module with different learning rates at once, let them race, and give the winner.

    All copies begin with the same parameters. The objective is mean loss + λ₂/2 ‖w‖² over the parameters of two
    dimensions and more: biases and the scales of normalisation are free.

    Parameters
    ----------
    factory : makes the module; what it draws from PyTorch comes from the seed.
    loss : `loss(output, targets)`, the mean over the rows of a batch (`nn.functional.cross_entropy`), or one number a
        row.
    data : a pair of inputs and targets, arrays or tensors with a row each (several inputs: a tuple, or a dict by the
        names of the module's arguments); or anything that gives such pairs batch by batch, such as a DataLoader.
    holdout : a share of the rows to judge by; a pair, or batches, of rows to judge by; None to judge each row before it
        is learned from. One half chooses, the other reports how good the winner is.
    out : a folder for record, report, the winner's tensors and, on the way, checkpoints every so many seconds.
    force : write over a run that is there.
    resume : go on with it from its newest checkpoint, called with the same arguments; on a CPU the result has the same
        bits as if it had never stopped.
    progress : called with every event.
    options : runs, optimizer, learning_rate, epochs …; see `RaceOptions`.

    Raises
    ------
    InputError
        When factory, loss, data or an option are wrong, in one sentence.
    TrainingError
        When every run diverged, or memory runs out for a single copy.

    Example
    -------
    >>> x = torch.linspace(-2, 2, 400)[:, None]
    >>> make = lambda: nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    >>> result = race(make, nn.functional.mse_loss, (x, x.square()), runs=4, epochs=40)
    >>> result.summary["holdout"]["loss"] < 0.1
    True
    """
    started, given = time.monotonic(), RaceOptions(**_known(options))
    feed = feed_of(data, holdout, batch_size=given.batch_size, seed=given.seed)
    if given.workers is not None and not isinstance(feed, TensorFeed):
        raise OptionError("workers share rows of arrays or tensors in memory, not batches")
    refuse_address(out)
    folder = None if out is None else RunFolder(Path(out), force=force or resume)
    saved = folder.checkpoints.newest(lambda said: None) if resume and folder is not None else None
    before = b"" if saved is None else saved.part("record").arrays["lines"].tobytes()
    with (
        interruptible() as interrupted,
        recording(folder, progress, before) as record,
        _workers(given, interrupted) as workers,
    ):
        shared = feed if workers is None else SharedFeed(feed, workers)  # pyright: ignore[reportArgumentType]
        task = _Task(factory, loss, shared, given, record, workers)
        saving = None if folder is None else _saving(task, folder, checkpoint_every, interrupted)
        if saved is not None:
            return task.end(task.go_on(saved, saving, interrupted), folder, started)
        if folder is not None:
            folder.checkpoints.clear()
        return task.end(task.begin(saving, interrupted, started), folder, started)


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Refuse options that there are not."""
    for name in options:
        if name not in RaceOptions.__dataclass_fields__:
            raise OptionError(
                f"race has no option '{name}'; the options are {', '.join(RaceOptions.__dataclass_fields__)}"
            )
    return options


@dataclass(frozen=True)
class _Task:
    """A race whose data are at hand."""

    factory: Callable[[], nn.Module]
    loss: Callable[..., Tensor]
    feed: Any
    options: RaceOptions
    record: Recorder
    workers: Workers | None = None

    @cached_property
    def module(self) -> nn.Module:
        """The module as the copies begin, which fits data and loss."""
        device = self.options.place
        with seeded(self.options.seed, device):
            made = self.factory()
            first = _on(self.feed.first(), device)
            if isinstance(made, nn.Module):
                made.to(device)
                _materialised(made, first)
        return checked_module(made, self.loss, first)

    @cached_property
    def why_in_turn(self) -> str | None:
        """Why the copies cannot go together."""
        return why_in_turn(self.module, self.loss, _on(self.feed.first(), self.options.place))

    def population(self, run: Run) -> Any:
        """Give the population of a run and of those beside it."""
        rule, options = rule_named(bare(run.optimizer)), self.options
        own = Modules(
            rule, self.module, self.loss, options.batch_size if isinstance(self.feed, TensorFeed) else None,
            options.seed, factors=self._factors, why_in_turn=self.why_in_turn,
            precision=PRECISIONS[options.precision], compiled=options.compiled, say=self.record.say,
            alone=self.workers is not None,
        )  # fmt: skip
        return own if self.workers is None else on_workers(own, self.workers)

    @property
    def _factors(self) -> dict[str, float]:
        """Give the factors of the learning rate by the names of parameters."""
        names = [name for name, one in self.module.named_parameters() if one.requires_grad]
        for begin in self.options.rates:
            if not any(name.startswith(begin) for name in names):
                raise OptionError(f"rates names '{begin}', but the parameters are {', '.join(names)}")
        return {name: by for begin, by in self.options.rates.items() for name in names if name.startswith(begin)}

    def begin(self, saving: Saving | None, interrupted: Callable[[], bool], started: float) -> Finish:
        """Race from the start."""
        self.record("start", **self._described)
        contenders = []
        for runs in self.options.line_up().values():
            population = self.population(runs[0])
            contenders.append(Contender(population, population.start(runs)))
        if self.why_in_turn:
            self.record.say(f"the copies go through the module in turn: {self.why_in_turn}")
        counts = self.feed.counts
        self.record("data", training_rows=self.feed.training_rows, select_rows=counts.select, score_rows=counts.score)
        runs = [run for contender in contenders for run in contender.runs]
        self.record("runs", runs=[{"run": run.number, **_shown(run)} for run in runs])
        with _in_sentences():
            return run_race(
                self.feed, contenders, Plan(self.options.epochs, self.options.time_limit),
                constant_loss=self._first_loss(), record=self.record, stop_requested=interrupted, started=started,
                saving=saving,
            )  # fmt: skip

    def go_on(self, saved: Saved, saving: Saving | None, interrupted: Callable[[], bool]) -> Finish:
        """Race from a checkpoint on."""
        with understood():
            then, now = saved.part("basis").values, self.basis.values
            other = [name for name in now if then.get(name) != now[name]]
            if other:
                told = ", ".join(f"{name} {then.get(name)} (now {now[name]})" for name in other)
                raise ResumeError(f"this race began with {told}: it can only go on with the same")
            self.record("resume", time=datetime.now(UTC).isoformat(timespec="seconds"))
            self.feed.resume(saved.part("feed"))
            plan = Plan(self.options.epochs, self.options.time_limit)
            going = load_race(saved.part("race"), self.population, self.feed, plan, self.record, interrupted, saving)
        with _in_sentences():
            return go_on(going)

    @property
    def basis(self) -> Saved:
        """What must not change between a checkpoint and a resume."""
        shapes = {name: list(one.shape) for name, one in self.module.state_dict().items()}
        options = {name: repr(value) for name, value in vars(self.options).items() if name != "cluster"}
        return Saved({**options, **versions(network=True), "tensors": shapes, "threads": torch.get_num_threads()}, {})

    def _first_loss(self) -> float:
        """Give the held-out loss of the module before any step, which a run must beat."""
        judged = self._judged(dict(self.module.named_parameters()), dict(self.module.named_buffers()), self.feed.select)
        return float(judged[0].mean()) if judged else np.inf

    def _judged(self, parameters: Mapping[str, Any], buffers: Mapping[str, Any], chunk: Any) -> list[Tensor]:
        """Give the losses of held-out rows, if there are any."""
        if chunk is None:
            return []
        copies = Copies(self.module, self.loss, 1, precision=PRECISIONS[self.options.precision])
        stacked = {name: torch.as_tensor(parameters[name]).to(copies.device)[None] for name in copies.trainable}
        for name, one in copies.buffers.items():
            one.copy_(torch.as_tensor(buffers[name]))
        return [copies.losses(stacked, _on(Batch(chunk.rows, chunk.targets), copies.device)).double().cpu()]

    def end(self, ended: Finish, folder: RunFolder | None, started: float) -> RaceResult:
        """Make the winner, judge it by rows nobody has chosen by, and write everything down."""
        champion = ended.champion
        tensors = tensors_of(champion.state, self.module)
        module = Copies(self.module, self.loss, 1).module_with(tensors)
        judged = self._judged(tensors, tensors, self.feed.score)
        held = (
            {"rows": len(judged[0]), "loss": float(judged[0].mean()), "select_loss": champion.loss} if judged else None
        )
        if held is not None:
            held |= _accuracy(module, self.feed.score, self.options.place)
        seconds = time.monotonic() - started
        chosen = {name: value for name, value in _shown(champion.run).items() if name != "init"}
        chosen["epochs"] = round(champion.rows / max(self.feed.training_rows, 1), 2)
        summary = {
            "outcome": ended.outcome, "advice": ended.advice, "chosen": chosen, "holdout": held, "rows": ended.rows,
            "seconds": seconds, "rows_per_second": ended.rows / max(seconds, 1e-9),
            "peak_memory_bytes": peak_memory(),
        }  # fmt: skip
        self.record("finish", winner=champion.run.number, **summary)
        if folder is not None:
            write_out(folder, self.record, partial(self._save, champion, tensors))
        report = None if folder is None else folder.path / REPORT
        summary["why_in_turn"] = self.why_in_turn
        return RaceResult(module, self._optimizer(module, champion), self.record.events, report, summary)

    def _save(self, champion: Champion, tensors: Mapping[str, Any], path: Path) -> None:
        """Write the winner's tensors."""
        with replacing(path) as file:
            write_sealed(file, RACED, {"format": 1, "chosen": _shown(champion.run)}, tensors)

    def _optimizer(self, module: nn.Module, champion: Champion) -> RuleOptimizer:
        """Give the winner's rule over the parameters of the winner, with what it remembers."""
        run, state, factors = champion.run, champion.state, self._factors
        rule = per_run(rule_named(bare(run.optimizer)), [run.optimizer])
        options = {name: float(np.ravel(value)[0]) for name, (value, _) in hyperparameters(_plain(rule)).items()}
        trainable = {name: one for name, one in module.named_parameters() if one.requires_grad}
        free = dict.fromkeys(trait(rule, "decays") and ("weight_decay",), 0.0) | {"l2": 0.0}
        keys = {name: (factors.get(name, 1.0), one.ndim < 2) for name, one in trainable.items()}
        groups = [
            {"params": [trainable[name] for name in keys if keys[name] == key], "lr": run.learning_rate * key[0]}
            | (free if key[1] else {})
            for key in sorted(set(keys.values()))
        ]
        found = class_for(rule)(groups, run.learning_rate, l2=run.l2, **options)
        if hasattr(rule, "evaluated"):
            return found
        shapes = {name: tuple(one.shape) for name, one in trainable.items()}
        slots = {name: split(state.slots[name], shapes) for name in rule.slot_names}
        places = sorted({key[0] for key in keys.values()})
        for name, one in trainable.items():
            memory = {slot: torch.as_tensor(parts[name]).to(one) for slot, parts in slots.items()}
            found.state[one] = {"carry": torch.tensor(state.carry[places.index(keys[name][0])]), **memory}
            if trait(rule, "number_names"):
                found.state[one]["first"] = self.module.get_parameter(name).detach().clone()
        return found

    @property
    def _described(self) -> dict[str, Any]:
        """Describe what races."""
        options = self.options
        return {
            "schuss": __version__,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "source": {"name": type(self.module).__name__, "rows": self.feed.training_rows},
            "task": "module",
            "target": "",
            "loss": getattr(self.loss, "__name__", type(self.loss).__name__),
            "parameters": sum(one.numel() for one in self.module.parameters()),
            "options": dict(vars(options)),
            "seed": options.seed,
            "device": str(options.place),
            "versions": versions(network=True),
        }


def _workers(options: RaceOptions, interrupted: Callable[[], bool]) -> AbstractContextManager[Workers | None]:
    """Give the workers of a race, if it has some."""
    return nullcontext() if options.workers is None else workers_of(options.workers, options.cluster, interrupted)


def _saving(task: _Task, folder: RunFolder, every: float, interrupted: Callable[[], bool]) -> Saving:
    """Write the race down every so many seconds."""
    writer = Checkpointer(folder.checkpoints, every, lambda: task.basis, task.record, interrupted)
    return Saving(writer.due, writer.write)


def _plain(rule: Any) -> Any:
    """Give a rule of one run with numbers for its hyperparameters."""
    fields = [_plain(one) if hasattr(one, "_fields") else float(one[0]) if np.ndim(one) else one for one in rule]
    return type(rule)(*fields)


def _shown(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run._asdict().items() if name not in ("number", "l1")}


def _on(batch: Batch, device: torch.device) -> Batch:
    """Bring a batch to where the module is."""
    return Batch(mapped(lambda one: one.to(device), batch.inputs), batch.targets.to(device))


def _materialised(module: nn.Module, first: Batch) -> None:
    """Let lazy layers see a batch."""
    if any(nn.parameter.is_lazy(one) for one in module.parameters()):
        with torch.no_grad():
            called(module, {}, first.inputs)


@contextmanager
def _in_sentences() -> Iterator[None]:
    """Say memory that ran out also for a single copy in a sentence."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(f"memory ran out for a single copy: {str(error).splitlines()[0]}") from error


def _accuracy(module: nn.Module, chunk: Any, device: torch.device) -> dict[str, float]:
    """Give the share of rows whose highest output is that of their class, where outputs and targets are of classes."""
    batch = _on(Batch(chunk.rows, chunk.targets), device)
    right = 0
    with evaluation(module), torch.no_grad():
        for begin in range(0, batch.rows, SCORED_ROWS):
            part = batch.part(slice(begin, begin + SCORED_ROWS))
            output = called(module, {}, part.inputs)
            of_classes = part.targets.ndim == 1 and not part.targets.is_floating_point()
            if not isinstance(output, Tensor) or output.ndim != 2 or not of_classes:
                return {}
            right += int((output.argmax(1) == part.targets).sum())
    return {"accuracy": right / batch.rows}
