"""The settings that race."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from schuss.race.grid import PENALTIES, default_runs


def runs_for(count: int = 16, **changes) -> list:
    options = {
        "optimizers": ["adam"], "learning_rate": None, "l2": None, "schedules": ["linear"], "batch_size": 32,
        "rows": 1000, "squared_norm": 4.0,
    }  # fmt: skip
    return default_runs(count, **(options | changes))


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "sgd", "momentum"])
@pytest.mark.parametrize("count", [1, 2, 16, 33])
def test_rates_are_even_in_their_logarithm_and_penalties_alternate(optimizer: str, count: int) -> None:
    runs = runs_for(count, optimizers=[optimizer])
    assert [run.number for run in runs] == list(range(count))
    steps = np.diff(np.log([run.learning_rate for run in runs]))
    np.testing.assert_allclose(steps, steps[:1].repeat(len(steps)), rtol=1e-9)
    assert (steps > 0).all()
    assert [run.l2 for run in runs] == [PENALTIES[i % 4] / 1000 for i in range(count)]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_plain_steps_are_counted_in_the_scale_of_the_rows(optimizer: str) -> None:
    one, hundred = (runs_for(optimizers=[optimizer], squared_norm=norm) for norm in (1.0, 100.0))
    for a, b in zip(one, hundred, strict=True):
        assert b.learning_rate == pytest.approx(a.learning_rate / 100)
    rates = [run.learning_rate for run in one]
    assert rates[0] < 0.1 < 2.0 < rates[-1], "the range must hold the edge of stability 2 / E‖x‖²"
    assert np.isfinite([run.learning_rate for run in runs_for(optimizers=[optimizer], squared_norm=0.0)]).all()


def test_optimizers_share_the_runs() -> None:
    runs = runs_for(7, optimizers=["adam", "sgd", "adagrad"])
    assert [run.optimizer for run in runs] == ["adam"] * 3 + ["sgd"] * 2 + ["adagrad"] * 2
    assert [run.number for run in runs] == list(range(7))


def test_every_pairing_of_optimizer_schedule_and_init_has_its_own_row_of_rates() -> None:
    given = {"optimizers": ["adam:beta1=0.5", "adam"], "schedules": ["linear", "cosine"], "inits": ["zero", "he"]}
    runs = runs_for(32, **given)
    pairings = [(run.optimizer, run.schedule, run.init) for run in runs]
    assert list(dict.fromkeys(pairings)) == list(product(*given.values()))
    assert all(pairings.count(one) == 4 for one in set(pairings))
    rates = [run.learning_rate for run in runs]
    assert rates == rates[:4] * 8
    assert len(runs_for(learning_rate=0.1, l2=0.0, **given)) == 8


def test_what_is_fixed_is_not_tried_twice() -> None:
    both = runs_for(learning_rate=0.1, l2=0.01)
    assert [(run.learning_rate, run.l2) for run in both] == [(0.1, 0.01)]
    rate = runs_for(learning_rate=0.1)
    assert sorted(run.l2 for run in rate) == sorted(penalty / 1000 for penalty in PENALTIES)
    assert {run.learning_rate for run in rate} == {0.1}
    penalty = runs_for(l2=0.01)
    assert {run.l2 for run in penalty} == {0.01}
    assert len({run.learning_rate for run in penalty}) == 16
