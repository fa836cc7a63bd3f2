"""What the documentation says of gradient descent comes out of small versions of its runs, and its examples run."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
from lessons import minima, rare, rates, ravine, sample, search
from lessons.problems import digits, images

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHUSS_DATA", "/nowhere")


def test_guessing_is_worse_than_trying_and_both_than_the_gradient() -> None:
    guess, attempt, slope = search.compare(images(), looks=300, rows=600)
    assert slope.loss < 0.2 * attempt.loss < 0.2 * guess.loss
    assert guess.accuracy < attempt.accuracy < slope.accuracy - 0.15
    assert slope.accuracy > 0.85


def test_only_one_power_of_ten_is_right() -> None:
    before, after = search.step_table(images(), rows=600)
    best = int(np.argmin(after))
    assert after[0] == pytest.approx(before, rel=1e-3)
    assert 2 < best < len(after) - 2
    assert after[best] < 0.8 * before
    assert after[-1] > 10 * before


def test_a_gradient_costs_a_few_losses() -> None:
    cost = search.costs(1000, 256, 256, 7)
    assert 1.2 < cost.parameters < cost.both * 1.1
    assert 1.6 < cost.both < 6


def test_fewer_rows_a_step_need_fewer_rows() -> None:
    found = sample.by_rows(digits(), passes=12)
    whole, some, one = (sample.rows_to_reach(found[name], 0.5) for name in ("all rows", "32 rows", "one row"))
    assert whole > 5 * some > 5 * one


def test_copies_cost_only_those_who_read_all() -> None:
    found = sample.repeated(repeats=50, passes=20)
    reached = {name: sample.rows_to_reach(line, 0.7) for name, line in found.items()}
    once, copied, all_once, all_copied = (reached[name] for name in found)
    assert copied == pytest.approx(once, rel=0.3)
    assert all_copied == 50 * all_once


def test_one_bad_row_is_one_voice_among_many() -> None:
    jumps = {name: np.abs(np.diff(line[:, 1])).max() for name, line in sample.bad_row().items()}
    assert jumps["one row"] > 30 * jumps["32 rows"]


def test_large_batches_waste_rows_and_small_ones_steps() -> None:
    sizes = (4, 16, 64, 1600)
    reached = sample.batch_sizes(digits(), sizes, 0.5, (0.1, 0.5), 16_000)
    steps = reached[:, 1] / reached[:, 0]
    assert steps[0] > 2 * steps[1] > 2 * steps[2] >= 2 * steps[3]
    assert reached[1, 1] < 1.5 * reached[0, 1]
    assert reached[3, 1] > 5 * reached[2, 1]


def test_a_new_shuffle_beats_one_and_one_beats_replacement() -> None:
    ends = {name: line[-1, 1] for name, line in sample.orders(epochs=25, seeds=4).items()}
    assert 3 * ends["reshuffled"] < ends["one shuffle"] < ends["as they are, sorted"]
    assert 3 * ends["one shuffle"] < ends["with replacement"]


def test_four_rates() -> None:
    found = rates.four(digits(), epochs=4)
    ends = {name: line[-6:, 1].mean() for name, line in found.items()}
    assert ends["good"] < ends["high"] < ends["low"]
    assert ends["high"] < ends["much too high"]
    low = found["low"][:, 1]
    assert (np.diff(low) < 0).all()
    assert np.abs(np.diff(found["much too high"][4:, 1])).max() > 0.3


def test_momentum_overshoots_and_nesterov_brakes() -> None:
    plain = ravine.path(ravine.RATE, steps=300)
    momentum, nesterov = (ravine.path(1 / 40, momentum=0.9, ahead=ahead, steps=300) for ahead in (False, True))
    assert ravine.overshoot(plain) < 1e-6 < ravine.overshoot(nesterov) < 0.8 * ravine.overshoot(momentum)
    assert ravine.steps_to(nesterov) < 0.8 * ravine.steps_to(plain)
    assert (np.diff(np.sign(plain[:40, 1])) != 0).all()  # from side to side at every step
    gentle = ravine.path(1 / 40, momentum=0.8, steps=300)
    assert ravine.steps_to(gentle) < 0.5 * ravine.steps_to(plain)


def test_rare_words_are_learned_faster_with_adagrad() -> None:
    found = rare.descents(rates=(0.3, 1.0))
    (_, plain, slow), (_, adaptive, fast) = found["sgd"], found["adagrad"]
    assert adaptive[-1, 1] < plain[-1, 1]
    assert rare.sizes(fast)[0, 1] > 2 * rare.sizes(slow)[0, 1]


def test_noise_leaves_a_poor_minimum() -> None:
    found = minima.shares(50)
    assert found["descent by all rows"] == found["descent by 100 rows"] == found["random local search"] == 0
    assert found["descent by one row"] > 0.4
    assert found["simulated annealing"] > 0.8


@pytest.mark.parametrize("page", ["neuron"])
def test_examples_of_pages_run(page: str) -> None:
    failed, tried = doctest.testfile(str(DOCS / "learn" / f"{page}.md"), module_relative=False)
    assert tried
    assert not failed
