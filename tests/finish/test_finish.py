"""The finish: what it reaches, what all rows add, what bounds it, what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from tests.cases import LOSSES_BY_NAME, chunk_of, problem

from schuss.data.chunk import Chunk, SparseRows, join, take
from schuss.data.feed import Feed, MemoryFeed
from schuss.data.reader import Counts
from schuss.descent.losses import Hinge, values_and_gradients
from schuss.finish import curvature, dealing, penalty, single
from schuss.finish import finish as module
from schuss.finish.finish import PENALTIES, Finished, finish, has_passes, run_rows
from schuss.finish.penalty import FOLD_PENALTIES
from schuss.finish.solve import minimise
from schuss.finish.task import Recipe, Task
from schuss.objective import LinearObjective
from schuss.population.population import Run, WinnerState
from schuss.population.workers import side_by_side
from schuss.race.record import Recorder
from schuss.race.state import Champion
from schuss.training import reading
from schuss.training.training import Result, train

SMOOTH = ("log_loss", "softmax", "squared_error")
OTHERS: dict[str, Any] = {"l2": None, "constant_loss": 0.7, "spent_rows": 10_000, "holdout": "last"}
"""Held-out rows that are not a random share: these judge, not folds."""


def champion_of(weights: Any, *, l2: float = 0.0, loss: float = 1.0) -> Champion:
    state = WinnerState(np.asarray(weights, np.float32), {"v": np.ones(3, np.float32)}, np.ones(1))
    return Champion(Run(7, "adam", 0.1, l2, "linear", 32), state, loss, 1234)


def feed_of(training: Chunk, select: Chunk | None, score: Chunk | None = None) -> MemoryFeed:
    return MemoryFeed(training, select, score, Counts(), "shuffle", 0)


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
    after = finish(before, feed, case.loss, record=record, **(OTHERS | options)).scored
    return before, after, record.events, feed


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_start_without_finite_loss_gives_no_solution(bad: float) -> None:
    objective = LinearObjective(problem("squared_error"), LOSSES_BY_NAME["squared_error"].loss, 0.0)
    assert not np.isfinite(minimise(objective, np.full((6, 1), bad), passes=20).value)
    before = champion_of(np.full((6, 1), bad))
    feed = feed_of(problem("squared_error"), problem("squared_error", seed=5))
    record = Recorder()
    assert finish(before, feed, LOSSES_BY_NAME["squared_error"].loss, record=record, **OTHERS) == (before, before, None)
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
    assert finish(before, feed, loss, record=record, **options) == (before, before, None)
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
    monkeypatch.setattr(module, "HELD_OUT_WORK", 0.0)
    monkeypatch.setattr(module, "FEWEST_HELD_OUT_PASSES", 5)
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


def learned_from(name: str, holdout: Any, l2: float | None = None) -> tuple[Finished, list[Any], list[Chunk]]:
    """Finish with 400 training rows, 100 that choose and 100 that score; give the parts as well."""
    case = LOSSES_BY_NAME[name]
    both = problem(name, 600)
    cuts = (slice(0, 400), slice(400, 500), slice(500, 600))
    parts = [chunk_of(*(array[part] for array in both)) for part in cuts]
    record = Recorder()
    before = champion_of(np.zeros((6, case.outputs)), l2=0.01)
    options = OTHERS | {"holdout": holdout, "l2": l2}
    return finish(before, feed_of(*parts), case.loss, record=record, **options), record.events, parts


def gradient(name: str, chunks: list[Chunk], champion: Champion) -> float:
    """The largest slope of the champion's objective over some rows."""
    rows = Chunk(*(np.concatenate(arrays) for arrays in zip(*chunks, strict=True)))  # pyright: ignore
    objective = LinearObjective(rows, LOSSES_BY_NAME[name].loss, champion.run.l2)
    return float(np.abs(objective.value_and_gradient(champion.state.weights.astype(float))[1]).max())


@pytest.mark.parametrize("name", SMOOTH)
def test_folds_choose_where_rows_are_few_and_all_rows_are_learned_from(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(penalty, "SCALED_ROWS", 0)
    finished, events, parts = learned_from(name, "share")
    assert events[0]["judge"] == "folds"
    assert finished.validation is not None
    assert (finished.validation.rows, finished.validation.folds) == (500, 5)
    tried = [entry["l2"] * 500 for entry in events[0]["penalties"]]
    np.testing.assert_allclose(tried, FOLD_PENALTIES[: len(tried)])
    losses = sorted(entry["holdout_loss"] for entry in events[0]["penalties"])
    assert losses[0] <= finished.validation.loss == finished.scored.loss <= losses[2], "between neighbours of the best"
    assert min(tried) <= 500 * events[0]["chosen"] == 500 * finished.scored.run.l2 <= max(tried)
    assert gradient(name, parts[:2], finished.scored) < 1e-3 < gradient(name, parts[2:], finished.scored)
    assert gradient(name, parts, finished.final) < 1e-3
    assert 0.1 < finished.final.run.l2 * 600 / (finished.scored.run.l2 * 500) < 10, "a few more rows choose alike"


def test_where_rows_are_many_the_rows_of_a_few_folds_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penalty, "ENOUGH_JUDGES", 101)
    finished, events, _ = learned_from("log_loss", "share")
    assert finished.validation is not None
    assert finished.validation.folds == 2
    assert finished.validation.rows == pytest.approx(200, abs=2)
    assert len(events[0]["penalties"]) > 2


@pytest.mark.parametrize("name", SMOOTH)
def test_which_of_few_rows_score_has_no_part_in_the_last_model(name: str) -> None:
    case, both = LOSSES_BY_NAME[name], problem(name, 600)
    finals = []
    for seed in (0, 1):
        mixed = take(both, np.random.default_rng(seed).permutation(600))
        parts = [take(mixed, np.arange(*ends)) for ends in ((0, 400), (400, 500), (500, 600))]
        before = champion_of(np.zeros((6, case.outputs)), l2=0.01)
        options = OTHERS | {"holdout": "share"}
        finals.append(finish(before, feed_of(*parts), case.loss, record=Recorder(), **options).final)
    assert finals[0].run.l2 == pytest.approx(finals[1].run.l2, rel=0.01)
    first, second = (one.state.weights.copy() for one in finals)
    if case.outputs > 1:  # no loss depends on the mean of softmax's scores
        first[-1], second[-1] = (one[-1] - one[-1].mean() for one in (first, second))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_folds_choose_as_cross_validated_ridge_regression() -> None:
    _, (plain, scaled), parts = learned_from("squared_error", "none")
    rows, targets, _ = (np.concatenate(arrays).astype(np.float64) for arrays in zip(*parts[:2], strict=True))
    dealt = dealing.deal_by_content(join(parts[:2]))

    def fitted(fold: int, l2: float, scales: Any) -> Ridge:
        taught = dealt != fold
        return Ridge(alpha=l2 * taught.sum()).fit(scales * rows[taught], targets[taught])

    def loss(l2: float, scales: Any) -> float:
        errors = []
        for fold in range(dealing.FOLDS):
            there = dealt == fold
            predicted = fitted(fold, l2, scales[fold]).predict(scales[fold] * rows[there])
            errors.append(0.5 * (predicted - targets[there]) ** 2)
        return float(np.concatenate(errors).mean())

    for entry in plain["penalties"]:
        assert entry["holdout_loss"] == pytest.approx(loss(entry["l2"], np.ones(5)), rel=2e-3)
    nearest = min((entry["l2"] for entry in plain["penalties"]), key=lambda l2: abs(np.log(l2 / plain["chosen"])))
    sizes = np.abs([fitted(fold, nearest, 1.0).coef_ for fold in range(dealing.FOLDS)])
    scales = np.sqrt(5) * sizes / np.linalg.norm(sizes, axis=1, keepdims=True)
    for entry in scaled["penalties"]:
        assert entry["holdout_loss"] == pytest.approx(loss(entry["l2"], scales), rel=2e-3)


@pytest.mark.parametrize("name", SMOOTH)
def test_columns_that_are_there_again_and_constant_ones_change_nothing(name: str) -> None:
    """Whatever else the finish looks at: the folds, the scales by weights, the last solve."""
    case, both = LOSSES_BY_NAME[name], problem(name, 600)
    both.targets[:300] = np.random.default_rng(0).permutation(both.targets[:300])
    finals = []
    for places in ([0, 1, 2, 3, 4], [0, 1, 2, 2, 3, 4, 4, 4]):
        rows = both.rows[:, places]
        rows = np.column_stack([rows, np.zeros(600, np.float32)]) if len(places) > 5 else rows
        parts = [take(both._replace(rows=rows), np.arange(*ends)) for ends in ((0, 400), (400, 500), (500, 600))]
        before = champion_of(np.zeros((rows.shape[1] + 1, case.outputs)), l2=0.01)
        final = finish(before, feed_of(*parts), case.loss, record=Recorder(), **(OTHERS | {"holdout": "share"})).final
        scores = rows @ final.state.weights[:-1] + final.state.weights[-1]
        finals.append(scores - scores.mean(axis=1, keepdims=True) if case.outputs > 1 else scores)
    np.testing.assert_allclose(*finals, atol=1e-3)


def test_of_a_stated_penalty_each_equal_column_bears_its_own() -> None:
    both = problem("log_loss", 600)
    parts = [
        take(both._replace(rows=both.rows[:, [0, 1, 2, 2, 2]]), np.arange(*ends)) for ends in ((0, 400), (400, 600))
    ]
    record = Recorder()
    options = OTHERS | {"holdout": "share", "l2": 0.1}
    final = finish(
        champion_of(np.zeros((6, 1))), feed_of(*parts), LOSSES_BY_NAME["log_loss"].loss, record=record, **options
    ).final
    assert gradient("log_loss", parts, final) < 1e-4
    assert len(record.events) == 1, "and no scales are tried"


@pytest.mark.parametrize(("features", "judge"), [(400, "folds"), (50, "held-out rows"), (5, "held-out rows")])
def test_where_rows_hold_many_numbers_without_signal_the_constant_is_found(
    features: int, judge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More numbers in a row than rows are worth more work; from a twentieth as many on, penalties go further."""
    monkeypatch.setattr(module, "WORK", 1.0)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2_000, features)).astype(np.float32)
    both = chunk_of(values, rng.normal(size=2_000).astype(np.float32), np.ones(2_000, np.float32))
    parts = [take(both, np.arange(*ends)) for ends in ((0, 300), (300, 600), (600, 700), (700, 2_000))]
    record, loss = Recorder(), LOSSES_BY_NAME["squared_error"].loss
    before = champion_of(np.zeros((features + 1, 1)))
    found = finish(before, feed_of(*parts[:3]), loss, record=record, **OTHERS | {"holdout": "share"})
    assert record.events[0]["judge"] == judge
    strongest = record.events[0]["penalties"][0]["l2"]
    assert strongest == pytest.approx((1e9 if features > 5 else 100) / (600 if judge == "folds" else 300))
    constant = mean_loss(loss, parts[3], np.append(np.zeros(features), both.targets[:700].mean())[:, None])
    assert mean_loss(loss, parts[3], found.final.state.weights) < 1.02 * constant


def sparse_signal(rows: int, features: int = 40) -> Chunk:
    """Three features of many matter."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, features)).astype(np.float32)
    noisy = values[:, :3].sum(axis=1) + 2 * rng.normal(size=rows)
    return chunk_of(values, noisy.astype(np.float32), np.ones(rows, np.float32))


def test_where_few_features_matter_the_others_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    both, loss = sparse_signal(1_400), LOSSES_BY_NAME["squared_error"].loss
    parts, unseen = (
        [take(both, np.arange(*ends)) for ends in ((0, 200), (200, 300), (300, 400))],
        take(both, np.arange(400, 1_400)),
    )
    finals = []
    for most in (5_000, 0):
        monkeypatch.setattr(penalty, "SCALED_ROWS", most)
        options = OTHERS | {"holdout": "share"}
        finals.append(finish(champion_of(np.zeros((41, 1))), feed_of(*parts), loss, record=Recorder(), **options).final)
    scaled, plain = (one.state.weights.astype(np.float64) for one in finals)
    best = mean_loss(loss, unseen, np.array([1.0] * 3 + [0.0] * 38)[:, None])
    assert mean_loss(loss, unseen, scaled) - best < 0.6 * (mean_loss(loss, unseen, plain) - best)
    assert np.abs(scaled[3:-1]).sum() < 0.5 * np.abs(plain[3:-1]).sum()


def test_scales_are_not_tried_of_very_many_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penalty, "SCALED_WEIGHTS", 5)
    _, events, _ = learned_from("squared_error", "share")
    assert [event["judge"] for event in events] == ["folds"]


def test_sparse_rows_have_scales_by_weights_too() -> None:
    both, loss = sparse_signal(400), LOSSES_BY_NAME["squared_error"].loss
    filled = np.abs(both.rows) > 0.5
    indptr = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    few = SparseRows(indptr, np.nonzero(filled)[1].astype(np.int32), both.rows[filled], 40)
    finals = []
    for rows in (few, np.where(filled, both.rows, np.float32(0))):
        parts = [take(both._replace(rows=rows), np.arange(*ends)) for ends in ((0, 300), (300, 400))]
        record, options = Recorder(), OTHERS | {"holdout": "share"}
        finals.append(finish(champion_of(np.zeros((41, 1))), feed_of(*parts), loss, record=record, **options).final)
        assert [event["judge"] for event in record.events] == ["folds", "folds, scaled"]
        assert record.events[1]["chosen"] is not None
    np.testing.assert_allclose(finals[0].state.weights, finals[1].state.weights, atol=1e-3)


def test_no_row_is_judged_by_scales_that_it_had_a_part_in() -> None:
    """Another target of a row changes the losses of its own fold at no other place, with scales by weights too."""
    both, loss = sparse_signal(300), LOSSES_BY_NAME["squared_error"].loss
    dealt = dealing.deal_by_content(both)
    other = both._replace(targets=both.targets.copy())
    other.targets[7] += 0.5
    found, places = [], set()
    for rows in (both, other):
        task = Task(champion_of(np.zeros((41, 1))), loss, None, 1.0, Recorder(), 1.0, lambda: False)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(penalty, "deal_by_content", lambda rows: dealt.copy())
            patched.setattr(penalty, "_constant", lambda task, rows: np.zeros((41, 1)))
            judged = penalty.judged(task, rows, 100_000)
        assert judged is not None
        places.add(judged.tried[0].choice.place)
        found.append(judged.tried[1].found.losses[:, 3])
    assert len(places) == 1, "scales are those of the same penalty"
    changed, own = found[0] != found[1], dealt == dealt[7]
    assert changed[own].sum() == 1
    assert changed[~own].all()


def test_a_stop_before_the_solve_with_scales_keeps_the_one_before() -> None:
    both, loss = sparse_signal(300), LOSSES_BY_NAME["squared_error"].loss
    whole = feed_of(both, None).whole()
    recipe, start = Recipe((0.1, 0.01), np.ones(40)), np.zeros((41, 1))
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] > first.passes

    def task(stop: Any) -> Task:
        return Task(champion_of(start), loss, None, 1.0, Recorder(), 1.0, stop)

    first = task(lambda: False).solve(whole, 0.1, recipe.scales, start, 100, exact=False)
    stopped, l2 = task(stop).solve_all(whole, recipe, start, 100, exact=False)
    np.testing.assert_array_equal(stopped.weights, first.weights)
    assert l2 == 0.1


def test_a_users_penalty_stays_the_same_with_all_rows() -> None:
    for holdout in ("share", "last"):
        finished, _, parts = learned_from("log_loss", holdout, l2=0.02)
        assert finished.scored.run.l2 == finished.final.run.l2 == 0.02
        assert gradient("log_loss", parts, finished.final) < 1e-3


@pytest.mark.parametrize("holdout", ["last", "group", "file"])
def test_held_out_rows_that_are_not_a_random_share_judge_themselves(holdout: str) -> None:
    finished, events, parts = learned_from("log_loss", holdout)
    assert events[0]["judge"] == "held-out rows"
    assert finished.validation is None
    assert gradient("log_loss", parts[:1], finished.scored) < 1e-3
    if holdout == "file":
        assert finished.final is finished.scored
    else:
        assert gradient("log_loss", parts, finished.final) < 1e-3


SETS: dict[str, Any] = {"breast_cancer": load_breast_cancer, "iris": load_iris, "diabetes": load_diabetes}


def events(result: Result, kind: str) -> list[dict[str, Any]]:
    return [event for event in result.record if event["event"] == kind]


@pytest.mark.parametrize("name", SETS)
def test_a_default_training_is_finished(name: str) -> None:
    result = train(SETS[name](return_X_y=True))
    event = events(result, "polish")[0]
    chosen = result.summary["chosen"]
    assert event["chosen"] is not None
    assert chosen["finish"] == "full-batch"
    assert len(events(result, "leg")) == 1, "a race that does not decide is short"
    rows, learned = result.summary["rows"], result.summary["cross_validation"]["rows"]
    assert 0.1 < chosen["l2"] * rows / (event["chosen"] * learned) < 10
    assert chosen["passes"] > sum(entry["passes"] for entry in event["penalties"])
    held_out = sorted(entry["holdout_loss"] for entry in event["penalties"])
    assert held_out[0] <= result.summary["holdout"]["select_loss"] * (1 + 1e-6) <= held_out[2] * (1 + 1e-5)
    again = train(SETS[name](return_X_y=True))
    np.testing.assert_array_equal(again.model.weights, result.model.weights)


@pytest.mark.parametrize("options", [{"epochs": 2}, {"loss": "hinge"}])
def test_no_finish_where_it_was_not_asked_for(options: dict[str, Any]) -> None:
    result = train(load_breast_cancer(return_X_y=True), **options)
    assert events(result, "polish") == []
    assert (len(events(result, "leg")) == 1) == ("epochs" in options)
    assert "finish" not in result.summary["chosen"]


def test_a_race_is_long_where_passes_are_too_few_to_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    training = feed_of(chunk_of(X, y), None)
    loss, shape = LOSSES_BY_NAME["log_loss"].loss, (X.shape[1] + 1, 1)
    assert has_passes(training, loss, shape, 0.0)
    assert not has_passes(training, Hinge(), shape, 0.0)
    assert not has_passes(training, loss, (10**7, 1), 0.0), "no room for the memory of a solve"
    monkeypatch.setattr(module, "WORK", module.FEWEST_PASSES * X.size)
    assert has_passes(training, loss, shape, 0.0)
    assert not has_passes(training, loss, (shape[0], 2), 0.0)
    monkeypatch.setattr(module, "WORK", module.FEWEST_PASSES * X.size - 1)
    assert not has_passes(training, loss, shape, 0.0)


def test_a_race_over_rows_that_stream_by_ends_with_its_first_leg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ROWS_MEMORY", 1 << 14)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 3))
    rows = np.column_stack([X, X @ [1.0, -2.0, 0.5] + rng.normal(size=3000)])
    np.savetxt(tmp_path / "t.csv", rows, "%.4f", ",", header="a,b,c,y", comments="")
    result = train(tmp_path / "t.csv", "y", runs=4)
    assert [event["epochs"] for event in events(result, "leg")] == [25.0]
    assert result.summary["chosen"]["finish"] == "full-batch"
    monkeypatch.setattr(module, "WORK", 0)
    assert len(events(train(tmp_path / "t.csv", "y", runs=4), "leg")) > 1


def standardised(X: Any) -> np.ndarray:
    return StandardScaler().fit_transform(X)


@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_with_l1_a_default_training_ends_at_the_optimum_of_the_stated_objective(l2: float) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    l1, rows = 0.02, len(y)
    theirs = LogisticRegression(
        C=1 / ((l1 + l2) * rows), l1_ratio=l1 / (l1 + l2), solver="saga", tol=1e-8, max_iter=100_000
    ).fit(standardised(X), y)
    result = train((X, y), l1=l1, l2=l2, holdout="none")
    ours = result.model.weights[:, 0]
    np.testing.assert_allclose(ours, [*theirs.coef_[0], *theirs.intercept_], atol=5e-3)
    np.testing.assert_array_equal(ours[:-1] == 0, theirs.coef_[0] == 0)
    assert 5 < (ours[:-1] == 0).sum() < 28
    chosen = result.summary["chosen"]
    assert (chosen["l1"], chosen["l2"], chosen["finish"]) == (l1, l2, "full-batch")


def test_with_l1_regression_ends_where_coordinate_descent_does() -> None:
    X, y = load_diabetes(return_X_y=True)
    theirs = ElasticNet(alpha=0.11, l1_ratio=0.1 / 0.11, tol=1e-10).fit(standardised(X), (y - y.mean()) / y.std())
    ours = train((X, y), l1=0.1, l2=0.01, holdout="none").model.weights[:, 0]
    np.testing.assert_allclose(ours[:-1], theirs.coef_, atol=1e-4)
    np.testing.assert_array_equal(ours[:-1] == 0, theirs.coef_ == 0)
    assert 2 < (theirs.coef_ == 0).sum() < 8


@pytest.mark.parametrize("holdout", ["share", "last"])
def test_an_l2_beside_l1_is_chosen_while_l1_stays(holdout: str) -> None:
    both = problem("log_loss", 600)
    noise = np.random.default_rng(3).normal(size=(600, 30)).astype(np.float32)
    rows = both._replace(rows=np.column_stack([both.rows, noise]))
    parts = [chunk_of(*(array[part] for array in rows)) for part in (slice(0, 400), slice(400, 500), slice(500, 600))]
    before = champion_of(np.zeros((36, 1)))
    before = before._replace(run=before.run._replace(l1=0.02))
    loss, record = LOSSES_BY_NAME["log_loss"].loss, Recorder()
    after = finish(before, feed_of(*parts), loss, record=record, **(OTHERS | {"holdout": holdout})).final
    assert after.run.l1 == 0.02
    assert len(record.events[0]["penalties"]) > 1
    _, slopes = LinearObjective(rows, loss, after.run.l2).value_and_gradient(after.state.weights.astype(float))
    w = after.state.weights[:-1, 0]
    assert (w == 0).sum() > 15
    assert np.abs(slopes[:-1, 0][w == 0]).max() <= 0.02 + 1e-4
    np.testing.assert_allclose(slopes[:-1, 0][w != 0], -0.02 * np.sign(w[w != 0]), atol=1e-3)


def test_a_users_penalty_is_kept() -> None:
    result = train(load_breast_cancer(return_X_y=True), l2=0.01)
    assert result.summary["chosen"]["l2"] == 0.01
    assert [entry["l2"] for entry in events(result, "polish")[0]["penalties"]] == [0.01]
    assert train(load_breast_cancer(return_X_y=True), l2=0.01, holdout="none").summary["chosen"]["passes"] > 1


@pytest.mark.parametrize("threads", [1, 2])
def test_as_many_threads_as_learn_go_through_the_rows(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(jobs: Any, many: int) -> list[Any]:
        seen.append(many)
        return side_by_side(jobs, many)

    for room in (curvature, single):
        monkeypatch.setattr(room, "side_by_side", watched)
    X = np.random.default_rng(0).normal(size=(120_000, 3)).astype(np.float32)
    train((X, X[:, 0] + X[:, 1] ** 2 > 0), runs=2, threads=threads)
    assert set(seen) == {threads}
    assert len(seen) > 10
