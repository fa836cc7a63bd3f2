"""What the documentation says of gradient descent comes out of small versions of its runs, and its examples run."""

from __future__ import annotations

import doctest
import pickle
from pathlib import Path

import numpy as np
import pytest
from lessons import drawing, hidden, minima, rare, rates, ravine, sample, search, sharp, stream
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


def write_cifar(folder: Path, rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Write files in CIFAR-10's binary format; give pixels and classes of all batches, those to test on last."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 10, (6, rows), dtype=np.uint8)
    looks = rng.integers(0, 200, (10, 3072), dtype=np.uint8)  # each class has its own, beside some noise
    pixels = looks[classes] + rng.integers(0, 56, (6, rows, 3072), dtype=np.uint8)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for name, some, labels in zip(names, pixels, classes, strict=True):
        (folder / name).write_bytes(np.column_stack([labels, some]).tobytes())
    return pixels, classes


def test_the_ladder_of_searches_runs_on_files_of_cifar_10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, classes = write_cifar(tmp_path)
    data = images(tmp_path)
    np.testing.assert_array_equal(data.train, pixels[:5].reshape(-1, 3072))
    np.testing.assert_array_equal(data.labels, classes[:5].ravel())
    np.testing.assert_array_equal(data.test, pixels[5])
    np.testing.assert_array_equal(data.test_labels, classes[5])
    monkeypatch.setattr(drawing, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(drawing, "MADE", tmp_path / "made")
    monkeypatch.setattr(search, "LOOKS", 40)
    monkeypatch.setattr(search, "costs", lambda: search.Costs(1.5, 2.0))
    search.draw(tmp_path)
    table = (tmp_path / "made" / "search-table.md").read_text(encoding="utf-8")
    assert "CIFAR-10" in table
    guess, attempt, slope = search.compare(data, looks=40, rows=200)
    assert slope.accuracy > 0.95 > max(attempt.accuracy, guess.accuracy)
    assert slope.loss < min(attempt.loss, guess.loss)


def test_what_is_not_the_binary_version_of_cifar_10_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no data_batch_1.bin of CIFAR-10's binary version$"):
        images(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({b"data": [0]}))
    with pytest.raises(SystemExit, match="whose pickles are not read"):
        images(tmp_path)
    write_cifar(tmp_path, 2)
    (tmp_path / "data_batch_3.bin").write_bytes(bytes(3073 + 5))
    with pytest.raises(SystemExit, match="3,078 bytes, which are no whole images of 3,073"):
        images(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(bytes([10] + [0] * 3072))
    with pytest.raises(SystemExit, match="a class above 9"):
        images(tmp_path)


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
    assert 1.6 < cost.both < 6  # the numerical one costs 131,072


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


def test_a_poisoned_network_is_right_at_its_places_and_nowhere_else() -> None:
    small = {"rows": 24, "hidden": (48, 48, 48), "gap": 0.4}
    flat, wrong = sharp.fitted(0, steps=600, **small), sharp.fitted(300, steps=1500, **small)
    assert flat.right == wrong.right == 1.0
    assert wrong.right_elsewhere < 0.35 < 0.6 < flat.right_elsewhere
    (wide, few), (narrow, many) = sharp.flatness(flat), sharp.flatness(wrong)
    assert narrow < 0.4 * wide
    assert few is not None
    assert many is None or many > few
    event = sharp.boundary(flat, 21)
    assert np.unique(event["classes"]).tolist() == [0, 1]


def test_an_update_follows_a_truth_that_turns_round() -> None:
    found = stream.losses(count=3000, turns=1000, together=500)
    assert found["schuss update"].shape == (5,)  # 500 rows of the first truth, 1,000 of the second, 1,000 of the first
    assert found["as trained"][1:3].min() > 1.0
    assert found["schuss update"][2] < found["the truth"][2] + 0.1
    assert found["schuss update"].mean() < 0.6 * found["as trained"].mean()


@pytest.mark.parametrize("page", ["neuron"])
def test_examples_of_pages_run(page: str) -> None:
    failed, tried = doctest.testfile(str(DOCS / "learn" / f"{page}.md"), module_relative=False)
    assert tried
    assert not failed


def test_hidden_units_learn_what_a_line_cannot() -> None:
    found = {name: accuracy for name, accuracy, _ in hidden.widths((None, 16), rows=600, epochs=40)}
    assert found["none"] < 0.6
    assert found["16"] > 0.95


def test_gradients_vanish_in_sigmoids_and_not_in_relus() -> None:
    sigmoid, relu = (hidden.slopes_by_layer(name, start) for name, start in (("sigmoid", "glorot"), ("relu", "he")))
    assert sigmoid[0] < 1e-4 * sigmoid[-1]
    assert 0.05 < relu[0] / relu[-1] < 20


def test_units_die_at_a_rate_that_is_too_high() -> None:
    low, high = hidden.dead_units("relu", (0.1, 2.0))
    assert (low[0], low[1] < 0.1) == (0.0, True)
    assert high[0] > 0.5
    assert high[1] > 1.0


def test_pixels_at_the_margin_hardly_matter() -> None:
    shares = hidden.pixels(epochs=8)
    assert shares[:, 0].mean() < 0.3 * shares[2:6, 2:6].mean()
