"""The figures as functions of a record, and the colours they are drawn in."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.report import records

from schuss.report import confusion_matrix, largest_weights, learning_rate_curves, loss_by_learning_rate, residuals
from schuss.report.figures import style
from schuss.report.history import as_history
from schuss.report.palette import DARK, HEAT_STEPS, HEAT_SWITCH, LIGHT, RATE_STEPS
from schuss.report.runs import describe_run

FIGURES = [learning_rate_curves, loss_by_learning_rate, confusion_matrix, residuals, largest_weights]
DEGENERATE = records.degenerate()


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("name", ["empty", "nulls", "lean", "one evaluation", "residuals broken"])
def test_every_record_gives_a_figure(draw, name):
    assert isinstance(draw(DEGENERATE[name]), Figure)


@pytest.mark.parametrize("draw", FIGURES)
def test_a_figure_can_be_saved_as_a_picture(draw):
    record = records.regression() if draw is residuals else records.binary()
    file = io.BytesIO()
    draw(record).savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_importing_the_report_imports_no_matplotlib():
    code = "import sys, schuss.report; sys.exit('matplotlib' in sys.modules or 'jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_leaves_pyplot_alone():
    code = (
        "import sys; from schuss.report import learning_rate_curves; learning_rate_curves([]); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def lines(fig, gid):
    return [line for axes in fig.axes for line in axes.lines if str(line.get_gid()).startswith(gid)]


def test_curves_hold_the_records_losses():
    record = records.binary()
    history = as_history(record)
    winner = history.winner
    (line,) = [line for line in lines(learning_rate_curves(record), "run-") if line.get_gid() == f"run-{winner.number}"]
    expected = [
        (event["rows"], event["holdout_loss"][str(winner.number)]) for event in record if event["event"] == "evaluation"
    ]
    np.testing.assert_array_equal(line.get_xydata(), expected)
    assert line.get_linewidth() == max(other.get_linewidth() for other in lines(learning_rate_curves(record), "run-"))


def test_a_dropped_run_ends_at_its_mark():
    record = records.binary()
    fig = learning_rate_curves(record)
    dropped = [run for run in as_history(record).runs if run.drop and not run.diverged]
    assert dropped
    for run in dropped:
        (mark,) = lines(fig, f"mark-{run.number}")[:1]
        assert mark.get_xdata()[0] == run.drop.rows
        assert mark.get_ydata()[0] == run.final_loss


def test_spikes_do_not_ruin_the_axis():
    calm = learning_rate_curves(DEGENERATE["time limit"]).axes[0].get_ylim()
    spiky = learning_rate_curves(DEGENERATE["spikes"]).axes[0].get_ylim()
    assert spiky[1] < 2 * calm[1]


def test_a_diverging_run_leaves_at_the_top():
    run = {"event": "runs", "runs": [{"run": 0, "learning_rate": 0.1}, {"run": 1, "learning_rate": 9.0}]}
    losses = [(100, 0.6, 0.7), (200, 0.5, 5.0), (300, 0.4, None)]
    evaluations = [{"event": "evaluation", "rows": r, "holdout_loss": {"0": a, "1": b}} for r, a, b in losses]
    drop = {"event": "drop", "run": 1, "rows": 300, "reason": "diverged", "holdout_loss": None}
    fig = learning_rate_curves([{"event": "data", "constant_loss": 0.7}, run, *evaluations, drop])
    top = fig.axes[0].get_ylim()[1]
    (line,) = [line for line in lines(fig, "run-1") if line.get_gid() == "run-1"]
    assert line.get_ydata().tolist() == [0.7, top]
    assert 100 < line.get_xdata()[1] < 110  # it crosses the edge soon after the first evaluation


def test_confusion_matrix_says_its_counts():
    fig = confusion_matrix(records.binary())
    words = {text.get_text() for text in fig.axes[0].texts}
    assert {"11,552", "863", "1,570", "2,296", "93.0%", "7.0%", "40.6%", "59.4%", "<=50K", ">50K"} <= words


def test_weights_are_sorted_by_size_and_signed():
    record = [{"event": "finish", "weights": [{"feature": "a", "weight": 0.1}, {"feature": "b", "weight": -2.0}]}]
    words = [text.get_text() for text in largest_weights(record).axes[0].texts]
    assert words.index("−2.00") < words.index("+0.100")
    assert words.index("b") < words.index("a")


def test_a_run_in_one_line():
    history = as_history(records.binary())
    assert describe_run(history.winner, history).startswith(f"run {history.winner.number}: adam, learning rate ")
    assert "the winner, held-out loss 0.3" in describe_run(history.winner, history)


def test_labels_are_spread_without_overlap():
    rng = np.random.default_rng(0)
    for _ in range(50):
        wanted = rng.uniform(0, 300, 12)
        placed = style.spread(wanted, 16.0, 0.0, 300.0)
        assert np.diff(np.sort(placed)).min() >= 16 - 1e-9
        assert placed.min() >= -1e-9
        assert placed.max() <= 300 + 1e-9
        assert (np.argsort(wanted) == np.argsort(placed)).all()


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_text_and_curves_stand_out_from_the_paper(colours):
    for name in ("ink", "muted", "accent", "warning"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    for name in ("positive", "negative", "constant", *(f"rate-{step}" for step in range(RATE_STEPS))):
        assert contrast(colours[name], colours["paper"]) >= 2.95, name
    for step in range(HEAT_STEPS):
        ink = colours["on-high" if step >= HEAT_SWITCH else "on-low"]
        assert contrast(ink, colours[f"heat-{step}"]) >= 4.45, step


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_scales_are_ordered_in_grey(colours):
    for name, steps in (("rate", RATE_STEPS), ("heat", HEAT_STEPS)):
        assert len({np.sign(d) for d in np.diff([luminance(colours[f"{name}-{i}"]) for i in range(steps)])}) == 1


def test_every_colour_has_one_name_in_both_themes():
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)


def late(record, winner, rows):
    """Let the winner be crowned after so many rows and dropped at the end."""
    at = next(event for event in record if event["event"] == "evaluation" and event["rows"] >= rows)
    last = max(event["rows"] for event in record if event["event"] == "evaluation")
    drop = {"event": "drop", "run": winner, "leg": 1, "rows": last, "reason": "behind", "holdout_loss": 0.4}
    finish = {**record[-1], "winner": winner}
    finish["holdout"] = {**finish["holdout"], "select_loss": at["holdout_loss"][str(winner)]}
    return [*record[:-1], drop, finish], at


def test_the_model_is_marked_where_it_was_taken():
    plain = records.binary()
    winner = as_history(plain).winner.number
    record, at = late(plain, winner, 1_000_000)
    (mark,) = lines(learning_rate_curves(record), "model-")
    assert mark.get_xydata().tolist() == [[at["rows"], at["holdout_loss"][str(winner)]]]


def test_a_winner_that_was_dropped_later_is_still_the_winner():
    plain = records.binary()
    winner = as_history(plain).winner.number
    record, _ = late(plain, winner, 1_000_000)
    fig = learning_rate_curves(record)
    (line,) = [line for line in lines(fig, "run-") if line.get_gid() == f"run-{winner}"]
    assert line.get_linewidth() > 3
    assert not [mark for mark in lines(fig, "mark-") if mark.get_gid() == f"mark-{winner}"]
    assert "the winner" in line.get_label()


def test_losses_of_a_regression_are_shares_of_the_constant_predictors():
    record = records.regression()
    scaled = [dict(event) for event in record]
    for event in scaled:  # the same race, recorded in other units
        if event["event"] == "data":
            event["constant_loss"] *= 1e-3
        if event["event"] == "evaluation":
            event["holdout_loss"] = {run: loss and loss * 1e-3 for run, loss in event["holdout_loss"].items()}
    for one, other in zip(
        lines(learning_rate_curves(record), "run-"), lines(learning_rate_curves(scaled), "run-"), strict=True
    ):
        np.testing.assert_allclose(one.get_ydata(), other.get_ydata(), rtol=1e-12)
    words = [text.get_text() for text in learning_rate_curves(record).axes[0].texts]
    assert "held-out mean squared error (share of the constant predictor's)" in words
    winner = as_history(record).winner
    assert winner.final_loss < 0.5
