"""The ground: surfaces, maps, slices, steps, the spectrum, drawn from what a run's folder holds."""

import itertools
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from html import unescape

import numpy as np
import pytest
from tests.report import ground, records

from schuss.cli.main import main
from schuss.errors import DataError, OptionError
from schuss.report import (
    curvature_spectrum,
    decision_boundary,
    drawn_figures,
    loss_map,
    loss_slices,
    loss_surface,
    losses_of_few_rows,
    precision_needed,
    redraw,
    render,
    save_figures,
    step_sizes,
)
from schuss.report.figures import plane, surface
from schuss.report.ground import read_slices, read_surfaces, relief
from schuss.report.history import as_history

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = [
    loss_surface,
    loss_map,
    loss_slices,
    losses_of_few_rows,
    step_sizes,
    curvature_spectrum,
    precision_needed,
    decision_boundary,
]


def paths(figure, colour=None):
    """The data of a drawing's paths, of those filled with a colour if it is named."""
    found = ElementTree.fromstring(figure.svg("")).iter(f"{SVG}path")
    return [one.attrib["d"] for one in found if colour is None or one.get("fill") == f"var(--{colour})"]


def area(data):
    """The area that the polygons of a path enclose, in square pixels."""
    total = 0.0
    for piece in data.replace("Z", "").split("M")[1:]:
        if "H" in piece:  # a rectangle: M x y H x V y H x Z
            x, y, right, low, _ = map(float, re.split("[ HV]", piece))
            total += abs((right - x) * (low - y))
        else:
            x, y = np.array(piece.split(), dtype=float).reshape(-1, 2).T
            total += abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return total


@pytest.mark.parametrize("draw", FIGURES)
def test_every_measurement_gives_a_figure(draw):
    figure = draw(ground.events())
    assert not figure.empty
    ElementTree.fromstring(figure.svg("what it shows"))


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize("name", ground.damaged())
def test_damaged_measurements_never_stop_the_report(draw, name):
    record = [*records.binary()[:3], ground.damaged()[name]]
    ElementTree.fromstring(draw(record).svg("what it shows"))
    if draw is loss_surface:
        render(record)


def test_heights_follow_the_losses_and_spikes_are_cut():
    calm = relief(np.array(ground.bowl()["losses"]))
    assert calm.limits == pytest.approx((0.1, 1.8))
    assert calm.log
    assert not calm.cut
    spiky = read_surfaces(as_history([ground.bowl(spike=True)]))[0].losses
    cut = relief(spiky)
    assert cut.cut
    assert cut.limits[1] < 4, "one spike of 10¹² leaves the valley as it was"
    tall = cut.height(spiky)
    assert np.isnan(tall[0, 0])
    assert tall[-1, -1] == 1.0
    assert np.nanmin(tall) == 0.0
    assert tall[12, 12] == 0.0


def test_the_map_fills_what_lies_above_each_height():
    """Of a plane that rises evenly to the right, so much is above each level as the level leaves."""
    steps = np.linspace(0, 1, 21)
    places = np.stack(np.broadcast_arrays(100 * steps[None, :], 100 * steps[:, None]), axis=-1)
    rising = np.broadcast_to(steps[None, :], (21, 21))
    for level in (0.0, 0.33, 0.5, 0.999):
        assert area(plane.above(places, rising, level)) == pytest.approx(1e4 * (1 - level), abs=20)
    (line,) = {tuple(piece.split()[::2]) for piece in plane.crossings(places, rising, 0.33).split("M")[1:]}
    assert line == ("33.0", "33.0")


def test_a_contour_of_a_cone_is_a_circle():
    steps = np.linspace(-1, 1, 81)
    places = np.stack(np.broadcast_arrays(100 * steps[None, :], 100 * steps[:, None]), axis=-1)
    cone = np.hypot(steps[None, :], steps[:, None])
    assert area(plane.above(places, cone, 0.6)) == pytest.approx(4e4 - np.pi * 60**2, rel=2e-3)
    points = np.array(plane.crossings(places, cone, 0.6).replace("M", " ").split(), dtype=float).reshape(-1, 2)
    np.testing.assert_allclose(np.hypot(*points.T), 60, atol=0.15)


def test_a_cell_without_a_loss_stays_blank():
    whole, gaps = (paths(loss_map([ground.bowl(spike=spike)]), "ground-0")[0] for spike in (False, True))
    assert area(whole) == pytest.approx(362**2, rel=1e-3)
    assert area(whole) - area(gaps) == pytest.approx(3 * (362 / 24) ** 2, rel=0.02), "the three cells at three gaps"


def test_the_surface_is_drawn_from_the_back_to_the_front():
    fig = loss_surface([ground.bowl()])
    root = ElementTree.fromstring(fig.svg(""))
    cells = [
        np.array(one.attrib["d"][1:-1].split(), dtype=float).reshape(-1, 2)
        for one in root.iter(f"{SVG}path")
        if one.get("fill", "").startswith("var(--ground-")
    ]
    assert len(cells) == 24 * 24
    assert cells[0][:, 1].mean() < cells[-1][:, 1].mean(), "what is far is higher on the paper"


def test_the_path_lies_on_the_surface():
    one = read_surfaces(as_history([ground.bowl()]))[0]
    heights = relief(one.losses)
    walk = surface.path_heights(one, heights)
    expected = heights.height(0.1 + 1.5 * walk[:, 0] ** 2 + 0.2 * walk[:, 1] ** 2)
    np.testing.assert_allclose(walk[:, 2], expected, atol=0.03)
    np.testing.assert_allclose(walk[-1], [0, 0, 0], atol=1e-9)
    beside = {**ground.bowl(), "path": [[5.0, 5.0, 1.0, "far off"], [0.0, 0.0, 0.1, "the model"]]}
    walk = surface.path_heights(read_surfaces(as_history([beside]))[0], heights)
    assert np.abs(walk[:, :2]).max() <= 1 + 1e-9


def test_a_step_that_passes_a_tiny_grid_a_billion_times_over_has_few_points():
    path = [[5e9, 5e9, 1.0, "far off"], [0.5, 0.0, 1.0, "near"], [0.0, 0.0, 0.1, "the model"]]
    one = read_surfaces(as_history([{**ground.bowl(), "path": path}]))[0]
    walk = surface.path_heights(one, relief(one.losses))
    assert 2 <= len(walk) <= 400
    np.testing.assert_allclose(walk[-1, :2], [0, 0], atol=1e-9)


def test_what_the_script_turns_is_the_surface():
    one = read_surfaces(as_history([ground.bowl(spike=True)]))[0]
    data = json.loads(surface.surface_data(one))
    assert data["z"][0][:3] == [None, None, data["z"][0][2]]
    assert data["z"][12][12] == 0
    assert data["x"][0] == data["y"][0] == -1
    assert data["x"][-1] == data["y"][-1] == 1
    assert data["loss"] == "loss (nats)"
    assert data["names"] == ["first direction of the path", "second direction of the path"]


def test_slices_of_few_rows_are_a_figure_of_their_own():
    history = as_history(ground.events())
    assert [one.direction for one in read_slices(history)] == ["from the start to the model", "steepest curvature"]
    assert [one.rows for one in read_slices(history, few=True)] == [1, 3]


def test_the_section_says_what_was_measured():
    html = render([*records.binary(), *ground.events()])
    for words in (
        "The loss of the training rows over a plane through the model",
        "The lowest loss of the grid is 0.1000 at (0, 0), the highest 1e12 at (1, 1). From there it comes to 1.600 and "
        "1.600 along &#39;first direction of the path&#39;, to 0.3000 and 0.3000 along",
        "Beyond 2/λ₁ = 2 steps along the steepest direction grow: the edge of stability.",
        "The largest eigenvalue is 9.10 times the tenth one and 88.0 times the median one.",
        "6 bits a weight keep the loss.",
        "1,085 ± 58",
        "This plane holds 61.0% of the variance of the rows.",
        "The valley is a ravine: use momentum.",
        "Measured: first to median 88. Source: a textbook, section 8.",
    ):
        assert words in html, words
    assert len(html.encode()) < 1_000_000


def folder(path, *events):
    path.mkdir()
    (path / "record.jsonl").write_text("\n".join(map(json.dumps, records.binary())), encoding="utf-8")
    if events:
        (path / "landscape.jsonl").write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
    return path


def test_what_lies_beside_the_record_takes_the_place_of_the_records_own(tmp_path):
    run = folder(tmp_path / "run", {"event": "landscape", "rows": 5}, ground.bowl(), {"event": "finish", "x": 1})
    with (run / "record.jsonl").open("a", encoding="utf-8") as record:
        record.write("\n" + json.dumps({**ground.bowl(), "directions": ["old", "older"]}))
    history = as_history(run)
    assert [one.directions[0] for one in read_surfaces(history)] == ["first direction of the path"]
    assert history.finish["event"] == "finish"
    assert "x" not in history.finish


def test_redrawing_a_run(tmp_path):
    run = folder(tmp_path / "run", ground.bowl())
    assert redraw(run) == run / "report.html"
    assert 'id="figure-surface"' in (run / "report.html").read_text(encoding="utf-8")
    (run / "record.jsonl").rename(run / "record.jsonl.part")
    (run / "landscape.jsonl").unlink()
    redraw(run)
    assert 'id="figure-surface"' not in (run / "report.html").read_text(encoding="utf-8")
    with pytest.raises(DataError, match="is not the folder of a run"):
        redraw(tmp_path / "nothing")


def test_every_figure_is_saved_as_svg_and_png(tmp_path):
    pytest.importorskip("resvg_py")
    record = [*records.binary(), *ground.events()]
    names = [name for name, _ in drawn_figures(record)]
    assert {"race", "confusion", "surface", "map", "map-2", "few-rows", "boundary"} <= set(names)
    assert "residuals" not in names, "a figure with nothing to show is left out"
    files = save_figures(record, tmp_path / "figures")
    assert {file.name for file in files} == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    for file in files:
        if file.suffix == ".png":
            assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        else:
            ElementTree.fromstring(file.read_text(encoding="utf-8"))


def test_without_the_package_that_draws_png_files_a_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(OptionError, match=r"PNG files need the package resvg_py: pip install 'schuss\[png\]'"):
        save_figures([ground.bowl()], tmp_path)
    assert (tmp_path / "surface.svg").exists()


def test_the_command_draws_the_report_and_the_figures(tmp_path, capsys, monkeypatch):
    run, shown = folder(tmp_path / "run", ground.bowl()), []
    monkeypatch.setattr("webbrowser.open", lambda address: not shown.append(address))
    assert main(["report", str(run), "--open", "--figures", str(tmp_path / "figures")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == str(run / "report.html")
    assert shown == [(run / "report.html").as_uri()]
    assert (tmp_path / "figures" / "surface.svg").exists()
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err == f"schuss: '{tmp_path / 'nothing'}' is not the folder of a run\n"
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert main(["report", str(run), "--open", "--figures", str(tmp_path / "figures")]) == 0
    said = capsys.readouterr().err
    assert "notice: the SVG files are written, but PNG files need the package resvg_py" in said
    assert "notice: no browser was found" in said


def test_one_looks_from_where_the_ground_is_low():
    """A slope that rises to one corner is seen from the opposite one, whichever it is."""
    steps = np.linspace(-1, 1, 9)
    for right in (-1, 1):
        for up in (-1, 1):
            rising = {**ground.bowl(9), "losses": (5 + right * steps[None, :] + up * steps[:, None]).tolist()}
            view = json.loads(surface.surface_data(read_surfaces(as_history([rising]))[0]))["view"]
            away = np.sin(view[0]) * right + np.cos(view[0]) * up
            assert away > 1, "the high corner is the one at the back"


def test_a_path_that_leaves_the_plane_has_a_gap():
    path = [[-0.9, 0.0, 1, ""], [0.0, 5.0, 1, ""], [0.0, 0.0, 1, "the model"]]
    one = read_surfaces(as_history([{**ground.bowl(), "path": path}]))[0]
    walk = surface.path_heights(one, relief(one.losses))
    assert np.isnan(walk[:, 2]).any()
    assert np.isfinite(walk[[0, -1]]).all()
    data = json.loads(surface.surface_data(one))
    assert None in data["path"]
    assert data["path"][-1][:2] == [0, 0]


def test_the_surface_that_holds_most_of_the_path_is_drawn_first():
    beside = {**ground.bowl(), "directions": ["a", "b"], "path": [[9.0, 9.0, 1, ""], [0.0, 0.0, 1, ""]]}
    within, without = ground.bowl(), {**ground.bowl(), "directions": ["c", "d"], "path": []}
    found = read_surfaces(as_history([without, beside, within]))
    assert [one.directions[0] for one in found] == ["first direction of the path", "a", "c"]


def test_hostile_names_of_the_ground_stay_words():
    found = []
    for event in ground.events():
        named = {key: records.HOSTILE[:2] for key in ("directions", "axes") if key in event}
        named |= {key: records.HOSTILE[0] for key in ("of", "unit", "at", "direction") if key in event}
        if "names" in event:
            named["names"] = records.HOSTILE[:3]
        if event["event"] == "advice":
            named["rules"] = [
                {"rule": h, "sentence": h, "numbers": {h: 1.0}, "source": h} for h in records.HOSTILE if h
            ]
        if event["event"] == "surface":
            named["path"] = [[0.0, 0.0, 0.1, hostile] for hostile in records.HOSTILE]
        found.append({**event, **named})
    html = render([*records.hostile(), *found])
    assert html.count("<script>") == 1, "the page's own"
    assert "<script>alert" not in html
    for drawing in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        ElementTree.fromstring(drawing)
    data = re.search(r'data-surface="([^"]*)"', html)[1]
    assert json.loads(unescape(data))["names"][0] == records.HOSTILE[0]


def test_pointing_at_the_ground_shows_no_run_of_the_race():
    for draw in FIGURES:
        assert "data-run" not in draw(ground.events()).svg("")


def test_without_a_script_the_surface_is_a_picture():
    html = render([*records.binary(), ground.bowl()])
    box = re.search(r'<div data-surface="[^"]*">(.*?)<figcaption>', html, flags=re.DOTALL)[1]
    assert len(re.findall(r"<svg[^>]*role=\"img\" aria-label=\"The lowest loss", box)) == 2, "for desk and phone"
    assert re.search(r"<canvas[^>]* hidden=\"\"", box)
    assert re.search(r'<div class="controls"[^>]* hidden=""', box)
    assert "turning" not in re.search(r"<div data-surface", html)[0]
    assert "class Turning" in html
    assert "class Turning" not in render(records.binary()), "its script comes only where it is needed"


@pytest.mark.parametrize("narrow", [True, False])
def test_the_words_along_the_floor_of_a_surface_do_not_touch(narrow):
    """A digit of the widest of the fonts, DejaVu Sans, takes 0.64 of its size, and 0.75 of it in height."""
    steps = (1.25 * np.linspace(-1, 1, 25)).tolist()
    longest = [ground.bowl() | {"a": steps, "b": steps}]
    texts = re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="middle" font-size="([\d.]+)"[^>]*>([^<]+)<',
        loss_surface(longest, narrow=narrow).svg("surface"),
    )
    boxes = []
    for x, y, size, words in texts:
        half = 0.32 * float(size) * len(words)
        boxes.append((float(x) - half, float(x) + half, float(y) - 0.75 * float(size), float(y), words))
    assert len(boxes) == 9
    touching = [
        (one[4], other[4])
        for one, other in itertools.combinations(boxes, 2)
        if one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
    ]
    assert touching == []
