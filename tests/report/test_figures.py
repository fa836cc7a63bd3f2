"""The figures as functions of a record, what they are drawn with, and the colours they are drawn in."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest
from tests.report import records

from schuss.report import (
    column_importance,
    confusion_matrix,
    largest_weights,
    learning_rate_curves,
    loss_by_learning_rate,
    model_beside_baselines,
    reliability_curve,
    residuals,
    roc_and_precision,
)
from schuss.report import svg as drawing
from schuss.report.figures import axes
from schuss.report.figures.axes import Axis, Plot
from schuss.report.history import as_history
from schuss.report.markup import Markup, element
from schuss.report.palette import DARK, GROUND_STEPS, HEAT_STEPS, HEAT_SWITCH, LIGHT, RATE_STEPS
from schuss.report.runs import describe_run
from schuss.report.svg import Figure

FIGURES = [learning_rate_curves, loss_by_learning_rate, confusion_matrix, reliability_curve, residuals, largest_weights]
DEGENERATE = records.degenerate()
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("name", ["empty", "nulls", "lean", "one evaluation", "residuals broken"])
def test_every_record_gives_a_figure(draw, name):
    figure = draw(DEGENERATE[name])
    assert isinstance(figure, Figure)
    ElementTree.fromstring(figure.svg("what it shows"))


@pytest.mark.parametrize("draw", FIGURES)
def test_a_figure_can_be_saved_as_a_file_of_its_own(draw, tmp_path):
    record = records.regression() if draw is residuals else records.binary()
    draw(record).save(tmp_path / "figure.svg", "what it shows")
    text = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["aria-label"] == "what it shows"
    defined = root.find(f"{SVG}style").text
    for name in {part.split(")")[0] for part in text.split("var(--")[1:]}:
        assert f"--{name}:" in defined


def test_drawing_a_report_imports_only_numpy():
    code = """
import sys
from schuss.report import render
render([{"event": "start"}])
print(" ".join({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"matplotlib", "jinja2", "pyarrow", "scipy", "numba", "PIL"}.isdisjoint(done.stdout.split())


def groups(figure, run=None):
    """The groups of a drawing that say something, those of one run alone if it is named."""
    root = ElementTree.fromstring(figure.svg(""))
    found = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}title") is not None]
    return found if run is None else [group for group in found if group.get("data-run") == str(run)]


def curve(figure, run):
    """The points of a run's curve in the units of the axes, and its group."""
    (group,) = [group for group in groups(figure, run) if group.find(f"{SVG}path[@class='reach']") is not None]
    numbers = group.findall(f"{SVG}path")[1].attrib["d"].replace("M", " ").split()
    pixels = np.array(numbers, dtype=float).reshape(-1, 2)
    plot = figure.plots[0]
    return np.stack([plot.x.value(pixels[:, 0]), plot.y.value(pixels[:, 1])], axis=1), group


def mark(figure, run):
    """Where the marker of a run lies, in the units of the axes."""
    plot, found = figure.plots[0], []
    for group in groups(figure, run):
        found += [(float(shape.attrib["cx"]), float(shape.attrib["cy"])) for shape in group.findall(f"{SVG}circle")]
        moved = [shape.attrib["transform"] for shape in group.findall(f"{SVG}path[@transform]")]
        found += [tuple(map(float, words.removeprefix("translate(").split(")")[0].split())) for words in moved]
    return [(plot.x.value(x), plot.y.value(y)) for x, y in found]


def words(figure):
    return [text.text for text in ElementTree.fromstring(figure.svg("")).iter(f"{SVG}text")]


def test_curves_hold_the_records_losses():
    record = records.binary()
    history = as_history(record)
    fig = learning_rate_curves(record)
    points, group = curve(fig, history.winner.number)
    expected = np.array(
        [
            (event["rows"], event["holdout_loss"][str(history.winner.number)])
            for event in record
            if event["event"] == "evaluation"
        ]
    )
    np.testing.assert_allclose(points[:, 0], expected[:, 0], rtol=2e-3)
    np.testing.assert_allclose(points[:, 1], expected[:, 1], atol=2e-4)
    widths = [float(found.attrib["stroke-width"]) for found in groups(fig) if "stroke-width" in found.attrib]
    assert float(group.attrib["stroke-width"]) == max(widths)


def test_a_dropped_run_ends_at_its_mark():
    record = records.binary()
    fig = learning_rate_curves(record)
    dropped = [run for run in as_history(record).runs if run.drop and not run.diverged]
    assert dropped
    for run in dropped:
        ((rows, loss),) = mark(fig, run.number)
        assert rows == pytest.approx(run.drop.rows, rel=2e-3)
        assert loss == pytest.approx(run.final_loss, abs=2e-4)


def test_spikes_do_not_ruin_the_axis():
    calm = learning_rate_curves(DEGENERATE["time limit"]).plots[0].y.limits
    spiky = learning_rate_curves(DEGENERATE["spikes"]).plots[0].y.limits
    assert spiky[1] < 2 * calm[1]


def test_a_diverging_run_leaves_at_the_top():
    run = {"event": "runs", "runs": [{"run": 0, "learning_rate": 0.1}, {"run": 1, "learning_rate": 9.0}]}
    losses = [(100, 0.6, 0.7), (200, 0.5, 5.0), (300, 0.4, None)]
    evaluations = [{"event": "evaluation", "rows": r, "holdout_loss": {"0": a, "1": b}} for r, a, b in losses]
    drop = {"event": "drop", "run": 1, "rows": 300, "reason": "diverged", "holdout_loss": None}
    fig = learning_rate_curves([{"event": "data", "constant_loss": 0.7}, run, *evaluations, drop])
    points, _ = curve(fig, 1)
    np.testing.assert_allclose(points[:, 1], [0.7, fig.plots[0].y.limits[1]], rtol=2e-3)
    assert 100 < points[1, 0] < 110  # it crosses the edge soon after the first evaluation


def test_confusion_matrix_says_its_counts():
    said = set(words(confusion_matrix(records.binary())))
    assert {"11,552", "863", "1,570", "2,296", "93.0%", "7.0%", "40.6%", "59.4%", "<=50K", ">50K"} <= said


def test_weights_are_sorted_by_size_and_signed():
    record = [{"event": "finish", "weights": [{"feature": "a", "weight": 0.1}, {"feature": "b", "weight": -2.0}]}]
    said = words(largest_weights(record))
    assert said.index("−2.00") < said.index("+0.100")
    assert said.index("b") < said.index("a")


def test_a_run_in_one_line():
    history = as_history(records.binary())
    assert describe_run(history.winner, history).startswith(f"run {history.winner.number}: adam, learning rate ")
    assert "the winner, held-out loss 0.3" in describe_run(history.winner, history)


def test_labels_are_spread_without_overlap():
    rng = np.random.default_rng(0)
    for _ in range(50):
        wanted = rng.uniform(0, 300, 12)
        placed = axes.spread(wanted, 16.0, 0.0, 300.0)
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


def lightness(colour):
    """L of OKLab, Ottosson (2020)."""
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    cones = np.array([
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]) @ linear  # fmt: skip
    return float(np.cbrt(cones) @ [0.2104542553, 0.7936177850, -0.0040720468])


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_the_ground_is_even_in_lightness(colours):
    steps = np.diff([lightness(colours[f"ground-{step}"]) for step in range(GROUND_STEPS)])
    np.testing.assert_allclose(steps, steps.mean(), atol=0.004)
    assert contrast(colours["path"], colours["casing"]) > 15, "the path is seen on every colour"


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
    ((rows, loss),) = mark(learning_rate_curves(record), winner)
    assert rows == pytest.approx(at["rows"], rel=2e-3)
    assert loss == pytest.approx(at["holdout_loss"][str(winner)], abs=2e-4)


def test_a_winner_that_was_dropped_later_is_still_the_winner():
    plain = records.binary()
    winner = as_history(plain).winner.number
    record, _ = late(plain, winner, 1_000_000)
    fig = learning_rate_curves(record)
    _, group = curve(fig, winner)
    assert float(group.attrib["stroke-width"]) > 3
    assert len(mark(fig, winner)) == 1, "the model's mark, none of a drop"
    assert "the winner" in group.find(f"{SVG}title").text


def test_losses_of_a_regression_are_shares_of_the_constant_predictors():
    record = records.regression()
    scaled = [dict(event) for event in record]
    for event in scaled:  # the same race, recorded in other units
        if event["event"] == "data":
            event["constant_loss"] *= 1e-3
        if event["event"] == "evaluation":
            event["holdout_loss"] = {run: loss and loss * 1e-3 for run, loss in event["holdout_loss"].items()}
    for run in as_history(record).runs:
        if any(
            group.find(f"{SVG}path[@class='reach']") is not None
            for group in groups(learning_rate_curves(record), run.number)
        ):
            one, other = (curve(learning_rate_curves(found), run.number)[0] for found in (record, scaled))
            np.testing.assert_allclose(one, other, rtol=1e-12)
    assert "held-out mean squared error (share of the constant's)" in words(learning_rate_curves(record))
    winner = as_history(record).winner
    assert winner.final_loss < 0.5


@pytest.mark.parametrize("limits", [(0.0, 1.0), (-3.7, 11.2), (1e-9, 3e-9), (5e6, 5.1e6), (-1e-3, 0.0), (99.9, 100.1)])
@pytest.mark.parametrize("most", [3, 5, 8])
def test_linear_ticks_are_round_even_and_inside(limits, most):
    ticks = axes.linear_ticks(limits, most)
    steps = np.diff(ticks)
    assert 2 <= len(ticks) <= most + 1
    assert limits[0] - 1e-9 * abs(limits[0]) <= ticks[0]
    assert ticks[-1] <= limits[1] + 1e-9 * abs(limits[1])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - round_one) for round_one in (1, 2, 2.5, 5)) < 1e-6
    labels = [axes.even_labels(ticks)(tick) for tick in ticks]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("limits", [(1.0, 2.0), (0.3, 0.4), (1e-5, 10.0), (7.0, 8e9)])
def test_log_ticks_are_inside_and_few(limits):
    ticks = axes.log_ticks(limits, 7)
    assert 2 <= len(ticks) <= 7
    assert limits[0] * (1 - 1e-9) <= ticks[0]
    assert ticks[-1] <= limits[1] * (1 + 1e-9)
    assert all(low < high for low, high in pairwise(ticks))


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_goes_there_and_back(log):
    axis = Axis((0.5, 80.0), 300.0, 20.0, log)
    values = np.array([0.5, 1.0, 40.0, 80.0])
    assert axis.at(values)[[0, -1]].tolist() == [300.0, 20.0]
    np.testing.assert_allclose(axis.value(axis.at(values)), values)
    assert (np.diff(axis.at(values)) < 0).all()


def test_a_line_is_cut_at_the_edges_and_has_gaps_above_them():
    plot = Plot(Axis((0.0, 4.0), 0.0, 40.0), Axis((0.0, 10.0), 100.0, 0.0))
    points = axes.inside(plot.at([0, 1, 2, 3, 4], [5, 15, 15, 5, -5]), plot)
    seen = np.stack([plot.x.value(points[:, 0]), plot.y.value(points[:, 1])], axis=1)
    np.testing.assert_allclose(seen, [[0, 5], [0.5, 10], [np.nan, np.nan], [2.5, 10], [3, 5], [3.5, 0]])
    gap = plot.at([0, 1, 2], [5, np.nan, 15])
    assert axes.inside(gap, plot).size == 0
    calm = plot.at([0, 1, 2], [5, 6, 7])
    assert axes.inside(calm, plot) is calm


def test_a_path_has_gaps_where_a_number_is_missing():
    assert drawing.path([[0, 0], [1, 1.26], [np.nan, 2], [3, 3]]) == "M0 0 1 1.3M3 3"
    assert drawing.path(np.empty((0, 2))) == ""


def test_words_are_escaped_once_and_markup_is_not():
    inside = element("b", {"title": 'a "quote" & <more>'}, "1 < 2")
    assert inside == '<b title="a &quot;quote&quot; &amp; &lt;more&gt;">1 &lt; 2</b>'
    assert element("p", {}, inside, "&") == f"<p>{inside}&amp;</p>"
    assert isinstance(inside, Markup)
    assert not isinstance(inside.strip(), Markup), "what is cut from markup is words again"


@pytest.mark.parametrize("shape", drawing.MARKERS)
def test_every_marker_is_drawn_about_its_place(shape):
    found = ElementTree.fromstring(drawing.marker(shape, (30.0, 40.0), 8.0, "accent", "ink", 1.5))
    assert "30" in found.attrib.get("cx", "") + found.attrib.get("transform", "")
    assert found.attrib["stroke"] == "var(--ink)"


def test_the_roc_curve_has_the_area_of_its_thresholds():
    fig = roc_and_precision(records.newer(records.binary()))
    roc, precision = fig.plots
    lines = [
        np.array(found.attrib["d"].replace("M", " ").split(), dtype=float).reshape(-1, 2)
        for found in ElementTree.fromstring(fig.svg("")).iter(f"{SVG}path")
        if found.get("stroke-width") == "2.2"
    ]
    rate, recall = roc.x.value(lines[0][:, 0]), roc.y.value(lines[0][:, 1])
    assert np.trapezoid(recall, rate) == pytest.approx(0.8, abs=3e-3)
    recall, right = precision.x.value(lines[1][:, 0]), precision.y.value(lines[1][:, 1])
    expected = 3866 * recall[1:] / (3866 * recall[1:] + 12_415 * recall[1:] ** 4)
    np.testing.assert_allclose(right[1:], expected, atol=5e-3)
    assert right[0] == right[1], "nothing is found yet"


def test_columns_are_drawn_by_how_much_they_move_the_score():
    record = records.newer(records.binary())
    said = words(column_importance(record))
    assert said.index("age") < said.index("workclass") < said.index("education")
    assert {"2.90", "1.45", "0.967"} <= set(said)
    assert column_importance(records.binary()).empty


def test_weights_are_drawn_by_what_a_standard_deviation_moves():
    rare = {"feature": "rare", "weight": -5.0, "importance": 0.01, "in_data_units": -5.0}
    common = {"feature": "common", "weight": 0.5, "importance": 0.5, "in_data_units": 0.5}
    intercept = {"feature": "(intercept)", "weight": 9.0, "importance": None, "in_data_units": 9.0}
    said = words(largest_weights([{"event": "finish", "weights": [rare, intercept, common]}]))
    assert said.index("common") < said.index("rare")
    assert "+0.500" in said
    assert "−0.0100" in said
    assert "(intercept)" not in said


def beside(task, holdout, **finish):
    return model_beside_baselines([{"event": "start", "task": task}, {"event": "finish", "holdout": holdout, **finish}])


def test_the_model_stands_beside_what_needs_none():
    alone = {"feature": "age", "accuracy": 0.7}
    drawn = beside(
        "classification", {"accuracy": 0.9}, confusion=[[50, 5], [5, 40]], single_feature=alone,
        intervals={"accuracy": [0.83, 0.94]},
    )  # fmt: skip
    said = re.findall("<title>(.*?)</title>", drawn.svg(""))
    assert said == [
        "always class 1: accuracy 55.0%", "age alone: accuracy 70.0%", "the model: accuracy 90.0% (83.0% to 94.0%)",
    ]  # fmt: skip
    (plot,) = drawn.plots
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', drawn.svg(""))]
    assert widths == pytest.approx([float(plot.x.at(score) - plot.x.at(0)) for score in (0.55, 0.7, 0.9)], abs=0.1)


def test_a_feature_worse_than_the_mean_has_room_to_the_left():
    drawn = beside("regression", {"r2": 0.4}, single_feature={"feature": "age", "r2": -0.2})
    assert drawn.plots[0].x.limits == (-0.2, 1.0)
    assert "always the mean: R² 0" in drawn.svg("")
    assert beside("regression", {}).empty
    assert beside("classification", {"accuracy": 0.4}).empty
