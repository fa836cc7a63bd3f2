"""The finish beside closed forms and scikit-learn; who is chosen; what bounds it; what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge

from schuss import finish as module
from schuss.data.chunk import Chunk
from schuss.data.feed import Feed, MemoryFeed
from schuss.data.reader import Counts
from schuss.descent.losses import Hinge, values_and_gradients
from schuss.finish import PENALTIES, choose, finish, minimise, run_rows
from schuss.objective import LinearObjective
from schuss.population.population import Run, WinnerState
from schuss.race.record import Recorder
from schuss.race.state import Champion
from schuss.training import Result, train

from .cases import LOSSES_BY_NAME, chunk_of, dense_rows, targets_for, to_sparse

SMOOTH = ("log_loss", "softmax", "squared_error")
OTHERS: dict[str, Any] = {"l2": None, "constant_loss": 0.7, "spent_rows": 10_000}


def problem(name: str, rows: int = 400, features: int = 5, *, seed: int = 0) -> Chunk:
    values = dense_rows(rows, features, seed=seed)
    return chunk_of(values, targets_for(LOSSES_BY_NAME[name], values, seed=seed + 1))


def champion_of(weights: Any, *, l2: float = 0.0, loss: float = 1.0) -> Champion:
    state = WinnerState(np.asarray(weights, np.float32), {"v": np.ones(3, np.float32)}, np.ones(1))
    return Champion(Run(7, "adam", 0.1, l2, "linear", 32), state, loss, 1234)


def feed_of(training: Chunk, select: Chunk | None) -> MemoryFeed:
    return MemoryFeed(training, select, None, Counts(), "shuffle", 0)


def mean_loss(loss: Any, chunk: Chunk, weights: Any) -> float:
    scores = chunk.rows @ weights[:-1] + weights[-1]
    return float(np.average(values_and_gradients(loss, scores, chunk.targets)[0], weights=chunk.weights))


def polished(name: str, *, held_out: bool = True, **options: Any) -> tuple[Champion, Champion, list[Any], MemoryFeed]:
    """Finish a champion that has learned nothing; give it before and after, the events, and the feed."""
    case = LOSSES_BY_NAME[name]
    both = problem(name, 600)
    training, select = (chunk_of(*(array[part] for array in both)) for part in (slice(0, 400), slice(400, None)))
    feed = feed_of(training, select if held_out else None)
    before = champion_of(np.zeros((6, case.outputs)), l2=0.01)
    before = before._replace(loss=mean_loss(case.loss, select, before.state.weights))
    record = Recorder()
    after = finish(before, feed, case.loss, record=record, **(OTHERS | options))
    return before, after, record.events, feed


def test_minimum_of_squared_error_is_ridge_regression() -> None:
    chunk = problem("squared_error")
    ridge = Ridge(alpha=0.1 * len(chunk.targets)).fit(chunk.rows.astype(np.float64), chunk.targets)
    objective = LinearObjective(chunk, LOSSES_BY_NAME["squared_error"].loss, 0.1)
    found = minimise(objective, np.zeros((6, 1)), passes=100)
    assert found.converged
    np.testing.assert_allclose(found.weights[:, 0], [*ridge.coef_, ridge.intercept_], atol=2e-4)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["log_loss", "softmax"])
def test_minimum_of_log_loss_is_scikit_learns(name: str, sparse: bool) -> None:
    chunk = problem(name)
    theirs = LogisticRegression(C=1 / (0.02 * len(chunk.targets)), tol=1e-10, max_iter=1000)
    theirs.fit(chunk.rows.astype(np.float64), chunk.targets)
    rows = to_sparse(chunk.rows) if sparse else chunk.rows
    objective = LinearObjective(chunk._replace(rows=rows), LOSSES_BY_NAME[name].loss, 0.02)
    found = minimise(objective, np.zeros((6, LOSSES_BY_NAME[name].outputs)), passes=200)
    assert found.converged
    probabilities = theirs.predict_proba(chunk.rows)
    scores = chunk.rows @ found.weights[:-1] + found.weights[-1]
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    ours = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, probabilities, atol=1e-3)


@pytest.mark.parametrize("passes", [0, 1, 2, 3, 7])
def test_passes_are_counted_and_bounded(passes: int) -> None:
    objective = LinearObjective(problem("softmax"), LOSSES_BY_NAME["softmax"].loss, 0.0)
    seen: list[float] = []
    start = np.zeros((6, 5))

    class Watched:
        def value_and_gradient(self, weights: Any) -> Any:
            seen.append(objective.value_and_gradient(weights)[0])
            return objective.value_and_gradient(weights)

    found = minimise(Watched(), start, passes=passes)  # pyright: ignore
    assert found.passes == len(seen) == passes
    assert not found.converged
    assert found.value == min(seen, default=np.inf)
    if passes:
        assert objective.value_and_gradient(found.weights)[0] == found.value


def test_a_stop_request_ends_a_solve_between_passes() -> None:
    objective = LinearObjective(problem("softmax"), LOSSES_BY_NAME["softmax"].loss, 0.0)
    asked = iter([False] * 4 + [True] * 100)
    found = minimise(objective, np.zeros((6, 5)), passes=100, stop=lambda: next(asked))
    assert found.passes == 4
    assert not found.converged
    assert found.value < objective.value_and_gradient(np.zeros((6, 5)))[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_start_without_finite_loss_gives_no_solution(bad: float) -> None:
    objective = LinearObjective(problem("squared_error"), LOSSES_BY_NAME["squared_error"].loss, 0.0)
    assert not np.isfinite(minimise(objective, np.full((6, 1), bad), passes=20).value)
    before = champion_of(np.full((6, 1), bad))
    feed = feed_of(problem("squared_error"), problem("squared_error", seed=5))
    record = Recorder()
    assert finish(before, feed, LOSSES_BY_NAME["squared_error"].loss, record=record, **OTHERS) is before
    assert record.events == []


@pytest.mark.parametrize("name", SMOOTH)
def test_finish_reaches_an_optimum(name: str) -> None:
    before, after, events, feed = polished(name)
    loss = LOSSES_BY_NAME[name].loss
    levels = [level / feed.training_rows for level in PENALTIES]
    assert after.run.l2 in levels
    assert after.run == before.run._replace(l2=after.run.l2)
    _, gradient = LinearObjective(feed.training, loss, after.run.l2).value_and_gradient(
        after.state.weights.astype(float)
    )
    assert np.abs(gradient).max() < 1e-3
    assert feed.select is not None
    assert after.loss == pytest.approx(mean_loss(loss, feed.select, after.state.weights), rel=1e-5)
    assert after.loss < before.loss
    assert after.state.weights.dtype == np.float32
    assert (after.state.slots, after.state.carry, after.rows) == (before.state.slots, before.state.carry, before.rows)
    event = events[0]
    assert [entry["l2"] for entry in event["penalties"]] == levels
    assert all(entry["converged"] for entry in event["penalties"])
    assert sum(entry["passes"] for entry in event["penalties"]) == after.passes
    assert event["chosen"] == after.run.l2
    held_out = {entry["l2"]: entry["holdout_loss"] for entry in event["penalties"]}
    assert held_out[after.run.l2] == after.loss


def test_a_fixed_penalty_is_the_only_one() -> None:
    _, after, events, _ = polished("log_loss", l2=0.25)
    assert [entry["l2"] for entry in events[0]["penalties"]] == [0.25]
    assert after.run.l2 == 0.25


def test_without_held_out_rows_the_champions_objective_falls() -> None:
    before, after, events, feed = polished("log_loss", held_out=False)
    loss = LOSSES_BY_NAME["log_loss"].loss
    assert after.run == before.run
    values = [
        LinearObjective(feed.training, loss, 0.01).value_and_gradient(one.state.weights.astype(float))[0]
        for one in (before, after)
    ]
    assert values[1] < values[0]
    assert events[0]["penalties"] == [
        {
            "l2": 0.01,
            "passes": after.passes,
            "converged": True,
            "objective": pytest.approx(values[1]),
            "holdout_loss": None,
        }
    ]


def test_losses_of_the_record_are_in_its_unit() -> None:
    _, plain, events, _ = polished("squared_error")
    _, after, scaled, _ = polished("squared_error", unit=50.0)
    assert after.loss == plain.loss
    assert scaled[0]["champion_loss"] == pytest.approx(50 * events[0]["champion_loss"])
    for entry, other in zip(events[0]["penalties"], scaled[0]["penalties"], strict=True):
        assert other["objective"] == pytest.approx(50 * entry["objective"])
        assert other["holdout_loss"] == pytest.approx(50 * entry["holdout_loss"])


class Elsewhere:
    """A feed of too many rows for full passes."""

    training_rows = 400
    select = None

    def whole(self) -> None:
        return None


@pytest.mark.parametrize("case", ["stream", "hinge", "too wide", "nothing to gain"])
def test_what_it_does_not_touch(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    feed: Feed = feed_of(problem("log_loss"), problem("log_loss", seed=5))
    loss: Any = LOSSES_BY_NAME["log_loss"].loss
    options = dict(OTHERS)
    if case == "stream":
        feed = Elsewhere()  # pyright: ignore
    elif case == "hinge":
        loss = Hinge()
    elif case == "too wide":
        monkeypatch.setattr(module, "MEMORY", 6 * 16 * 5 - 1)
    else:
        options["constant_loss"] = 0.0
    before, record = champion_of(np.zeros((6, 1))), Recorder()
    assert finish(before, feed, loss, record=record, **options) is before
    assert record.events == []


def test_a_stop_before_the_first_pass_leaves_the_champion() -> None:
    before, after, events, _ = polished("log_loss", stop=lambda: True)
    assert after is before
    assert events == []


def test_a_stop_on_the_way_keeps_what_was_solved() -> None:
    asked = iter([False] * 12 + [True] * 1000)
    before, after, events, _ = polished("softmax", stop=lambda: next(asked))
    assert sum(entry["passes"] for entry in events[0]["penalties"]) == 12
    assert after.loss < before.loss


def test_work_is_bounded_by_what_the_race_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORK", 0.0)
    monkeypatch.setattr(module, "FEWEST_PASSES", 5)
    _, after, events, _ = polished("softmax", spent_rows=2 * 400 * 29)
    assert len(events[0]["penalties"]) == len(PENALTIES)
    assert sum(entry["passes"] for entry in events[0]["penalties"]) <= after.passes <= 29
    before, after, events, _ = polished("softmax", spent_rows=2 * 400 * 24)
    assert [entry["l2"] for entry in events[0]["penalties"]] == [before.run.l2]
    assert after.passes <= 24


def test_the_same_bits_every_time() -> None:
    first, second = (polished("softmax")[1] for _ in range(2))
    np.testing.assert_array_equal(first.state.weights, second.state.weights)


def test_rows_of_dropped_runs_count() -> None:
    record = Recorder()
    record("runs", runs=[{"run": i} for i in range(4)])
    record("drop", run=1, rows=100)
    record("drop", run=3, rows=50)
    assert run_rows(record, 1000) == 2150


def losses_with(means: list[float], spread: list[float], rows: int = 100) -> Any:
    """Losses `(rows, candidates)` with these means, whose differences vary as told."""
    signs = np.where(np.arange(rows) % 2, 1.0, -1.0)[:, None]
    return (np.array(means) + signs * np.array(spread)).astype(np.float32)


@pytest.mark.parametrize(
    ("means", "spread", "expected"),
    [
        ([0.30, 0.20, 0.21, 0.25], [0, 0, 0, 0], 1),  # the best
        ([0.2009, 0.20, 0.21, 0.25], [0, 0, 0, 0], 0),  # level: 0.18 % of the gain apart
        ([0.2011, 0.20, 0.21, 0.25], [0, 0, 0, 0], 1),  # 0.22 % apart, and surely
        ([0.2049, 0.20, 0.21, 0.25], [0.06, 0, 0, 0], 0),  # level: 0.98 % and less than a standard error
        ([0.2049, 0.20, 0.21, 0.25], [0.04, 0, 0, 0], 1),  # 0.98 % and more than a standard error
        ([0.2051, 0.20, 0.21, 0.25], [1.0, 0, 0, 0], 1),  # unsure, but 1.02 %
        ([0.30, 0.20, 0.21, 0.19], [0, 0, 0, 0.001], 3),  # the champion is surely ahead
        ([0.30, 0.20, 0.21, 0.19], [0, 0, 0, 0.06], 1),  # ahead by 1.7 standard errors only
        ([0.30, 0.20, 0.21, 0.1998], [0, 0, 0, 0], 1),  # ahead by less than counts
        ([0.30, 0.20, 0.21, 0.20], [0, 0, 0, 0], 1),  # no difference
        ([np.nan, 0.20, np.inf, 0.25], [0, 0, 0, 0], 1),
        ([np.nan, np.nan, np.inf, 0.25], [0, 0, 0, 0], 3),
    ],
)
def test_who_is_chosen(means: list[float], spread: list[float], expected: int) -> None:
    place, found = choose(losses_with(means, spread), np.ones(100, np.float32), 0.7)
    assert place == expected
    np.testing.assert_allclose(found, np.where(np.isfinite(means), means, np.inf), rtol=1e-5)


def test_weights_of_held_out_rows_count() -> None:
    losses = np.array([[0.1, 0.3], [0.3, 0.1]], np.float32)
    assert choose(np.c_[losses, [0.5, 0.5]], np.array([3, 1], np.float32), 1.0)[0] == 0
    assert choose(np.c_[losses, [0.5, 0.5]], np.array([1, 3], np.float32), 1.0)[0] == 1


SETS: dict[str, Any] = {"breast_cancer": load_breast_cancer, "iris": load_iris, "diabetes": load_diabetes}


def events(result: Result, kind: str) -> list[dict[str, Any]]:
    return [event for event in result.record if event["event"] == kind]


@pytest.mark.parametrize("name", SETS)
def test_a_default_training_is_finished(name: str) -> None:
    result = train(SETS[name](return_X_y=True))
    event = events(result, "polish")[0]
    chosen = result.summary["chosen"]
    assert event["chosen"] is not None
    assert (chosen["finish"], chosen["l2"]) == ("full-batch", event["chosen"])
    assert chosen["passes"] == sum(entry["passes"] for entry in event["penalties"])
    held_out = {entry["l2"]: entry["holdout_loss"] for entry in event["penalties"]}
    assert result.summary["holdout"]["select_loss"] == pytest.approx(held_out[event["chosen"]])
    again = train(SETS[name](return_X_y=True))
    np.testing.assert_array_equal(again.model.weights, result.model.weights)


@pytest.mark.parametrize("options", [{"epochs": 2}, {"loss": "hinge"}])
def test_no_finish_where_it_was_not_asked_for(options: dict[str, Any]) -> None:
    result = train(load_breast_cancer(return_X_y=True), **options)
    assert events(result, "polish") == []
    assert "finish" not in result.summary["chosen"]


def test_a_users_penalty_is_kept() -> None:
    result = train(load_breast_cancer(return_X_y=True), l2=0.01)
    assert result.summary["chosen"]["l2"] == 0.01
    assert [entry["l2"] for entry in events(result, "polish")[0]["penalties"]] == [0.01]
    assert train(load_breast_cancer(return_X_y=True), l2=0.01, holdout="none").summary["chosen"]["passes"] > 1
