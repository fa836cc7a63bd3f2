"""The training loop, with a population whose losses are scripted: how long, who goes on, how it ends."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schuss.data.chunk import Chunk
from schuss.errors import TrainingError
from schuss.population.population import Run, Tallies, WinnerState
from schuss.race import loop, state
from schuss.race.legs import FIRST_LEG_ROWS, LONGEST_SHORT_LEG, SHORT_LEG_ROWS, STILL_FALLING
from schuss.race.loop import Contender, Finish, Plan, run_race
from schuss.race.record import Recorder

Curve = Callable[[int, int], float]  # run, rows of all legs → loss


@dataclass(frozen=True)
class State:
    """What a scripted population knows."""

    runs: tuple[Run, ...]
    rows: int = 0
    leg_rows: int = 0
    planned: int = 0


@dataclass
class Scripted:
    """A population whose losses follow a curve; `log` holds what was asked of it, `clock` goes on with every chunk."""

    curve: Curve
    pace: float = 0.0
    clock: float = 0.0
    log: list[Any] = field(default_factory=list)

    def hear(self, state: State, losses: dict[int, float]) -> State:
        return state

    def begin_leg(self, state: State, planned_rows: int) -> State:
        self.log.append(("leg", planned_rows))
        return replace(state, leg_rows=0, planned=planned_rows)

    def replan(self, state: State, planned_rows: int) -> State:
        self.log.append(("replan", planned_rows))
        return replace(state, planned=planned_rows)

    def advance(self, state: State, chunk: Chunk) -> tuple[State, Tallies]:
        self.clock += self.pace
        rows = len(chunk.targets)
        loss = np.array([self.curve(run.number, state.rows) * rows for run in state.runs])
        return replace(state, rows=state.rows + rows, leg_rows=state.leg_rows + rows), Tallies(loss, float(rows), rows)

    def up_to_date(self, state: State) -> State:
        return state

    def losses(self, state: State, chunk: Chunk) -> np.ndarray:
        noise = 1e-6 * np.random.default_rng(0).normal(size=(len(chunk.targets), 1))
        return (noise + np.array([self.curve(run.number, state.rows) for run in state.runs])).astype(np.float32)

    def keep(self, state: State, numbers: list[int]) -> State:
        return replace(state, runs=tuple(run for run in state.runs if run.number in numbers))

    def take(self, state: State, number: int) -> WinnerState:
        assert number in [run.number for run in state.runs]
        return WinnerState(np.full((1, 1), state.rows, np.float32), {}, np.zeros(0))


@dataclass
class Rows:
    """A feed of so many rows, whose number may be told wrongly before the first epoch is over."""

    count: int = 20_000
    told: int | None = None
    held_out: int = 50
    epochs_at_most: int | None = None
    chunk_rows: int = 1000
    epochs_read: list[int] = field(default_factory=list)

    @property
    def training_rows(self) -> int:
        return self.told or self.count

    @property
    def select(self) -> Chunk | None:
        return chunk(self.held_out) if self.held_out else None

    score = select

    def chunks(self, epoch: int) -> Iterator[Chunk]:
        self.epochs_read.append(epoch)
        for start in range(0, self.count, self.chunk_rows):
            yield chunk(min(self.chunk_rows, self.count - start))
        self.told = None


def chunk(rows: int) -> Chunk:
    return Chunk(np.zeros((rows, 1), np.float32), np.zeros(rows, np.int32), np.ones(rows, np.float32))


def race(
    curve: Curve, feed: Rows | None = None, *, runs: int = 8, epochs: int | None = None, seconds: float | None = None,
    population: Scripted | None = None, constant: float = 1.0, **options: Any,
) -> tuple[Finish, list[dict[str, Any]], Scripted]:  # fmt: skip
    population = population or Scripted(curve)
    entrants = tuple(Run(i, "adam", 0.1 * 2**i, 0.0, "linear", 32) for i in range(runs))
    record = Recorder()
    contender = Contender(population, State(entrants))
    finish = run_race(
        feed or Rows(), [contender], Plan(epochs, seconds), constant_loss=constant, record=record, **options
    )  # fmt: skip
    return finish, record.events, population


def steady(run: int, rows: int) -> float:
    """Every run falls for ever, the later ones slower."""
    return 0.1 + 0.01 * run + 0.8 * 0.5 ** (rows / 20_000)


def flat(run: int, rows: int) -> float:
    return 0.3 + 0.1 * run


def of(kind: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


@pytest.mark.parametrize("epochs", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 999, 1000, 20_001])
def test_epochs_that_are_asked_for_are_done_exactly(epochs: int, count: int) -> None:
    finish, events, population = race(steady, Rows(count), epochs=epochs)
    assert finish.rows == finish.champion.rows == epochs * count
    assert finish.epochs == epochs
    assert finish.outcome == "epochs done"
    assert population.log == [("leg", epochs * count)]
    assert of("evaluation", events)[-1]["rows"] == epochs * count


@pytest.mark.parametrize("told", [7_000, 19_999, 20_001, 31_000, 100_000])
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_wrong_estimate_of_the_rows_does_not_matter(told: int, epochs: int) -> None:
    finish, _, population = race(steady, Rows(told=told), epochs=epochs)
    assert finish.rows == epochs * 20_000
    assert population.log == [("leg", epochs * told), ("replan", epochs * 20_000)]


def test_legs_double_and_stop_when_it_no_longer_helps() -> None:
    def settles(run: int, rows: int) -> float:
        return 0.3 + 0.1 * run + 0.5 * 0.5 ** (rows / 40_000)

    finish, events, _ = race(settles)
    legs = of("leg", events)
    first = -(-FIRST_LEG_ROWS // 20_000) * 20_000
    assert [leg["planned_rows"] for leg in legs] == [first * 2**i for i in range(len(legs))]
    assert [leg["start_rows"] for leg in legs] == [first * (2**i - 1) for i in range(len(legs))]
    assert [leg["leg"] for leg in legs] == list(range(len(legs)))
    assert finish.outcome == "converged"
    assert "more epochs would not help" in finish.advice
    ends = [settles(0, first * (2**i - 1)) for i in range(len(legs) + 1)]
    falling = [a - b > STILL_FALLING * (1.0 - b) for a, b in itertools.pairwise(ends[1:])]
    assert falling == [True] * (len(legs) - 2) + [False]


@pytest.mark.parametrize(
    ("count", "planned"),
    [(1_000, 17_000), (20_000, 20_000), (LONGEST_SHORT_LEG + 1, LONGEST_SHORT_LEG), (2_000_000, LONGEST_SHORT_LEG)],
)
def test_a_short_race_has_one_leg_that_does_not_grow_with_the_rows(count: int, planned: int) -> None:
    population, record = Scripted(steady), Recorder()
    contender = Contender(population, State((Run(0, "adam", 0.1, 0.0, "linear", 32),)))
    feed = Rows(count, chunk_rows=8192)
    finish = run_race(feed, [contender], Plan(None, None, short=lambda: True), constant_loss=1.0, record=record)
    assert population.log == [("leg", planned)]
    assert finish.rows == min(-(-planned // 8192) * 8192, -(-SHORT_LEG_ROWS // count) * count)
    assert finish.outcome == "converged"
    assert feed.epochs_read == list(range(-(-planned // count)))
    assert finish.advice.startswith("a short race is enough")


def test_the_best_of_any_leg_wins_with_the_state_of_its_leg() -> None:
    finish, events, _ = race(lambda run, rows: 0.3 + 0.1 * run + rows / 1e6)
    first = of("leg", events)[0]["planned_rows"]
    assert len(of("leg", events)) == 2
    assert finish.champion.run.number == 0
    assert finish.champion.rows == first
    assert finish.champion.state.weights == first
    assert finish.champion.loss == pytest.approx(0.3 + first / 1e6, rel=1e-4)


def test_training_does_not_go_on_for_ever() -> None:
    finish, _, _ = race(lambda run, rows: 1 / (1 + rows / 200_000), Rows(20_000))
    assert finish.outcome == "epochs done"
    assert finish.rows < 200 * FIRST_LEG_ROWS


def test_the_better_half_goes_on_and_never_fewer_than_three() -> None:
    _, events, _ = race(steady, runs=16, constant=100.0)
    left = 16
    for leg in of("leg", events)[1:]:
        drops = [drop for drop in of("drop", events) if drop["leg"] == leg["leg"] - 1]
        assert all(drop["reason"] == "behind" and drop["holdout_loss"] > 0 for drop in drops)
        assert left - len(drops) == max(3, -(-left // 2))
        left -= len(drops)
    assert left < 16


def test_no_run_is_dropped_in_the_first_quarter_of_a_leg() -> None:
    _, events, _ = race(lambda run, rows: 0.1 if run == 0 else 2.0, epochs=8)
    drops = of("drop", events)
    assert {drop["run"] for drop in drops} <= set(range(1, 8))
    assert len(drops) == 5
    assert min(drop["rows"] for drop in drops) >= 8 * 20_000 / 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("held_out", [50, 0])
def test_diverging_runs_are_dropped_and_recorded(bad: float, held_out: int) -> None:
    def curve(run: int, rows: int) -> float:
        return bad if run in (2, 5) and rows >= 3000 else flat(run, rows)

    finish, events, _ = race(curve, Rows(held_out=held_out), epochs=1)
    drops = [drop for drop in of("drop", events) if drop["reason"] == "diverged"]
    assert [drop["run"] for drop in drops] == [2, 5]
    assert {drop["rows"] for drop in drops} <= {3000, 4000}
    assert {drop["holdout_loss"] for drop in drops} == {None}
    assert finish.champion.run.number == 0
    assert np.isfinite(finish.champion.loss)


def test_a_run_that_is_only_bad_on_the_held_out_rows_does_not_win() -> None:
    class Bad(Scripted):
        def losses(self, state: State, chunk: Chunk) -> np.ndarray:
            losses = super().losses(state, chunk)
            losses[:, [run.number == 0 for run in state.runs]] = np.inf
            return losses

    record = Recorder()
    runs = tuple(Run(i, "adam", 0.1, 0.0, "linear", 32) for i in range(5))
    finish = run_race(
        Rows(), [Contender(Bad(flat), State(runs))], Plan(None, None), constant_loss=np.inf, record=record
    )
    assert finish.champion.run.number == 1
    assert [d["reason"] for d in of("drop", record.events) if d["run"] == 0] == ["diverged"]


def test_every_run_diverges() -> None:
    with pytest.raises(TrainingError, match=r"every run diverged, also the one with the lowest learning rate, 0\.1"):
        race(lambda run, rows: np.nan)


def test_every_run_diverges_on_the_held_out_rows() -> None:
    class Bad(Scripted):
        def losses(self, state: State, chunk: Chunk) -> np.ndarray:
            return np.full((len(chunk.targets), len(state.runs)), np.nan, np.float32)

    runs = (Run(0, "adam", 0.1, 0.0, "linear", 32),)
    with pytest.raises(TrainingError, match="held-out"):
        run_race(Rows(), [Contender(Bad(flat), State(runs))], Plan(1, None), constant_loss=1.0, record=Recorder())


def test_all_finalists_diverge_in_a_later_leg() -> None:
    def curve(run: int, rows: int) -> float:
        return flat(run, rows) if rows < 120_000 else np.nan

    finish, events, _ = race(curve, constant=100.0)
    assert finish.champion.run.number == 0
    assert finish.champion.rows == 80_000
    assert finish.outcome == "converged"
    assert len([drop for drop in of("drop", events) if drop["reason"] == "diverged"]) == 4


@pytest.mark.parametrize("chunks", [1, 3, 90])
def test_an_interruption_gives_the_best_so_far(chunks: int) -> None:
    asked = iter([False] * (chunks - 1) + [True])
    finish, events, _ = race(steady, stop_requested=lambda: next(asked))
    assert finish.outcome == "interrupted"
    assert finish.rows == chunks * 1000
    assert finish.champion.rows == chunks * 1000
    assert finish.champion.run.number == 0
    assert of("evaluation", events)[-1]["rows"] == chunks * 1000
    assert "more time may help" in finish.advice


def test_an_interruption_keeps_an_older_champion_that_is_better() -> None:
    asked = iter([False] * 99 + [True])
    finish, _, _ = race(
        lambda run, rows: 0.1 * run + (0.1 if rows <= 80_000 else 0.9), stop_requested=lambda: next(asked)
    )
    assert finish.champion.rows == 80_000
    assert finish.outcome == "interrupted"


@pytest.mark.parametrize("epochs", [None, 1000])
def test_the_time_limit_is_kept(epochs: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    population = Scripted(steady, pace=0.01)
    for module in (loop, state):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: population.clock))
    finish, events, _ = race(steady, epochs=epochs, seconds=0.5, population=population)
    assert population.clock <= 0.5 + population.pace
    assert finish.outcome in ("time limit", "epochs done", "converged")
    assert finish.rows >= 5000
    if epochs:
        # The leg was shortened early, so that the learning rate reached the end of its schedule.
        replans = [planned for kind, planned in population.log if kind == "replan"]
        assert len(replans) == 1
        assert of("replan", events)[0]["planned_rows"] == replans[0] < 1000 * 20_000
        assert finish.rows >= 0.6 * replans[0]


def test_time_before_the_race_counts() -> None:
    finish, _, _ = race(steady, seconds=5.0, started=time.monotonic() - 10)
    assert finish.outcome == "time limit"
    assert finish.rows == 1000


def test_a_stream_ends_the_race() -> None:
    for epochs in (None, 1, 3):
        feed = Rows(150_000, told=40_000, epochs_at_most=1)
        finish, _, _ = race(steady, feed, epochs=epochs)
        assert finish.rows == 150_000
        assert feed.epochs_read == [0]
        assert finish.outcome in ("end of the stream", "epochs done")


def test_evaluations_are_few_and_in_order() -> None:
    _, events, _ = race(steady, Rows(200_000), epochs=1)
    evaluations = of("evaluation", events)
    rows = [evaluation["rows"] for evaluation in evaluations]
    assert rows == sorted(set(rows))
    assert 8 <= len(rows) <= 17
    assert all(e["epoch"] == pytest.approx(e["rows"] / 200_000) for e in evaluations)
    first = evaluations[0]
    assert first["holdout_loss"]["3"] == pytest.approx(steady(3, first["rows"]), rel=1e-3)
    seen = np.arange(0, first["rows"], 1000)
    assert first["train_loss"]["3"] == pytest.approx(np.mean([steady(3, r) for r in seen]), rel=1e-6)
    second = np.arange(rows[0], rows[1], 1000)
    assert first["behind_error"]["0"] == 0.0
    assert first["behind_error"].keys() == first["holdout_loss"].keys()
    assert evaluations[1]["train_loss"]["0"] == pytest.approx(np.mean([steady(0, r) for r in second]), rel=1e-6)


def test_two_populations_race_together() -> None:
    record = Recorder()
    contenders = [
        Contender(Scripted(flat), State(tuple(Run(i, name, 0.1, 0.0, "linear", 32) for i in numbers)))
        for name, numbers in (("adam", (0, 2, 4, 6)), ("sgd", (1, 3, 5, 7)))
    ]
    finish = run_race(Rows(), contenders, Plan(None, None), constant_loss=100.0, record=record)
    assert finish.champion.run.number == 0
    assert sorted(drop["run"] for drop in of("drop", record.events) if drop["leg"] == 0) == [4, 5, 6, 7]
    assert record.events[0]["event"] == "leg"


def test_a_population_without_runs_leaves_the_race() -> None:
    better = Scripted(lambda run, rows: 0.1)
    worse = Scripted(lambda run, rows: 0.9)
    contenders = [
        Contender(population, State(tuple(Run(i, "adam", 0.1, 0.0, "linear", 32) for i in numbers)))
        for population, numbers in ((worse, range(4)), (better, range(4, 9)))
    ]
    finish = run_race(Rows(), contenders, Plan(None, None), constant_loss=1.0, record=Recorder())
    assert finish.champion.run.number == 4
    assert len(contenders) == 1
