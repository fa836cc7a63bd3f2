"""The report's page: structure, escaping, sameness, size, and every record that a run can leave behind."""

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from tests.report import records

from schuss.errors import DataError, OutputError
from schuss.report import render, write_report
from schuss.report.history import as_history

DEGENERATE = records.degenerate()
SECTIONS = ["answer", "race", "results", "learned", "data", "repeat"]
VOID = {"meta", "link", "br", "img", "input"}


class Page(HTMLParser):
    """What a page is made of; tags that are not closed in order are an error."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text, self.script, self.titles = [], [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        (self.script if inside == "script" else self.titles if inside == "title" else self.text).append(data)

    def all(self, tag):
        return [attrs for found, attrs in self.tags if found == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def pages():
    whole = {"binary": records.binary(), "multiclass": records.multiclass(), "regression": records.regression()}
    return {name: render(record) for name, record in whole.items()}


def svgs(html):
    return re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_everything_has_a_name_and_headings_go_down_by_one(pages, name):
    page = Page(pages[name])
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert levels.count(1) == 1
    named = [attrs for _, attrs in page.tags if attrs.get("role") in ("img", "region", "application", "group")]
    assert named
    assert all(attrs.get("aria-label", "").strip() for attrs in named)
    assert not re.search(r"<th[^>]*></th>", pages[name]), "a column without a name"
    assert all(attrs["scope"] in ("col", "row") for attrs in page.all("th"))


def test_a_run_is_told_how_far_it_was_behind_with_its_error():
    evaluations = [
        {"event": "evaluation", "rows": rows, "holdout_loss": {"0": best, "1": best + 0.1},
         "behind_error": {"0": 0.0, "1": 0.025}}
        for rows, best in ((100, 0.9), (200, 0.5))
    ]  # fmt: skip
    runs = [{"run": run, "optimizer": "adam", "learning_rate": rate} for run, rate in enumerate((0.1, 1.0))]
    html = render([{"event": "runs", "runs": runs}, *evaluations])
    assert "0.10 ± 0.025" in html
    assert "optimizer adam" in html
    assert '<th scope="col" class="t">optimizer</th>' not in html, "all runs have the same"
    apart = render([{"event": "runs", "runs": [runs[0], {**runs[1], "optimizer": "sgd"}]}, *evaluations])
    assert '<th scope="col" class="t">optimizer</th>' in apart


def test_the_same_record_gives_the_same_bytes(pages):
    assert render(records.binary()) == pages["binary"]


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_structure(pages, name):
    page = Page(pages[name])
    assert [section["id"] for section in page.all("section")] == SECTIONS
    assert [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)] == [1, 2, 2, 2, 2, 2]
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(landmark)) == 1
    assert len(page.all("figure")) == len(page.all("figcaption")) == (6 if name == "binary" else 5)
    assert len(page.all("details")) >= 3
    identities = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(identities) == len(set(identities))
    for _, attrs in page.tags:
        for reference in (attrs.get("href", ""), attrs.get("aria-labelledby")):
            assert not reference or reference.lstrip("#") in identities or reference == "data:,"
        for found in re.findall(r"url\(#([^)]*)\)", " ".join(value or "" for value in attrs.values())):
            assert found in identities
    assert all(cell.get("scope") for cell in page.all("th"))


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_it_asks_the_network_for_nothing(pages, name):
    html = pages[name]
    page = Page(html)
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy.split("script-src")[1].split(";")[0]
    assert not page.all("img") + page.all("iframe") + [script for script in page.all("script") if "src" in script]
    addresses = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")]
    assert all(address.startswith(("#", "data:,")) for address in addresses)
    assert "@import" not in html
    assert set(re.findall(r"https?://[^\s\"<]*", html)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize(("name", "most"), [("binary", 200_000), ("multiclass", 300_000), ("regression", 300_000)])
def test_size(pages, name, most):
    assert len(pages[name].encode()) < most


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_figures_are_well_formed_labelled_and_themed(pages, name):
    drawings = svgs(pages[name])
    assert len(drawings) == (11 if name == "binary" else 9)  # four or five figures for desk and phone, one for both
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"]
        assert not re.search('(fill|stroke)[:=]"?#', drawing), "a colour that is not of the palette"
        assert "<style" not in drawing
        assert "font-family" not in drawing


def test_every_run_has_a_curve_with_its_settings(pages):
    wide = ElementTree.fromstring(svgs(pages["binary"].split('id="race"')[1])[0])
    space = "{http://www.w3.org/2000/svg}"
    curves = [
        g for g in wide.iter(f"{space}g") if g.get("data-run") and g.find(f"{space}path[@class='reach']") is not None
    ]
    titles = [g.find(f"{space}title").text for g in curves]
    settings = next(event["runs"] for event in records.binary() if event["event"] == "runs")
    assert len(curves) >= 14  # two diverge before they are ever inside the picture
    for run in settings:
        words = f"run {run['run']}: adam, learning rate {run['learning_rate']:g}, L2 {run['l2']:.0e}".replace(
            "e-0", "e-"
        )
        assert (
            any(title.startswith(words.replace("L2 1e-4", "L2 0.0001")) for title in titles)
            or run["learning_rate"] == 1
        )


def test_the_answer_in_words(pages):
    words = Page(pages["binary"]).words
    assert "income from adult.csv" in words
    assert "It is right on 85.1% of 16,281 held-out rows (95% interval 84.5% to 85.6%)" in words
    assert "always naming the commonest class is right on 76.3%" in words
    assert "Its log loss is 0.3204 nats per row, 42% below the constant predictor's 0.5513." in words
    words = Page(pages["regression"]).words
    assert "It explains 83.9% of the variance on 20,000 held-out rows (R² 0.839)." in words
    assert "typical error (root mean square) is 17.93, 60% below the constant predictor's 44.63." in words


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (None, "A linear model of 77 features, trained on"),
        ("256,128", "A network with 2 hidden layers of 256, 128 relu units on 77 features, trained on"),
        ([64], "A network with 1 hidden layer of 64 relu units on 77 features, trained on"),
        ("mine:build", "A network (mine:build) on 77 features, trained on"),
    ],
)
def test_what_kind_of_model_it_is(network, words):
    record = records.newer(records.binary())
    record[0]["options"] |= {"network": network, "activation": "relu"}
    said = Page(render(record)).words
    assert words in said
    assert ("integrated gradients" in said) == (network is not None)


def test_scores_have_intervals_and_say_how_they_were_found():
    words = Page(render(records.newer(records.binary()))).words
    for said in (
        "accuracy 85.1% 84.5% to 85.6% Wilson (1927)",
        "area under the ROC curve 0.8000 0.7900 to 0.8100 DeLong et al. (1988), by logits",
        "gain on the constant predictor's loss 0.2309 0.2200 to 0.2400 standard error of paired differences",
        "accuracy on held-out rows (84.5% to 85.6%)",
        "Area under the ROC curve 0.800 (0.790 to 0.810), average precision 0.700 (0.680 to 0.720).",
        "age moves it most, by 2.90.",
        "Drift: 1 of 83 features differ by more than chance explains; the largest difference is 0.31 standard",
        "Measured on 3,236 held-out rows and 20,000 rows learned from",
    ):
        assert said in words, said


def test_a_gain_that_may_be_chance_is_said_to_be():
    record = records.newer(records.binary())
    record[-1]["intervals"]["gain"] = [-0.01, 0.4]
    assert (
        "below the constant predictor's 0.5513; the difference is within its 95% interval."
        in Page(render(record)).words
    )


def test_every_number_of_the_confusion_matrix_is_in_a_table(pages):
    words = Page(pages["binary"]).words
    for number in ("11,552", "863", "1,570", "2,296", "93.0%", "59.4%"):
        assert number in words


def test_nothing_of_the_data_becomes_markup():
    html = render(records.hostile())
    page = Page(html)
    assert len(page.all("script")) == 1
    assert "alert(1)" not in "".join(page.script)
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "link", "style", "body", "a", "header", "p", "span", "time", "nav", "main"),
        *("section", "h1", "h2", "dl", "div", "dt", "dd", "ul", "li", "figure", "figcaption", "details", "summary"),
        *("table", "caption", "thead", "tbody", "tr", "th", "td", "pre", "code", "button", "footer", "script"),
        *("svg", "g", "path", "text", "rect", "circle"),
    }
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    for drawing in svgs(html):
        ElementTree.fromstring(drawing)


def test_names_are_shown_as_they_are():
    page = Page(render(records.hostile()))
    words = page.words
    for name in (
        "<script>alert(1)</script>",
        "quote \" and ' apostrophe",
        "R&D; &amp; &lt;b&gt;",
        "naïve café 日本語の列 🎿",
    ):
        assert name in words
    assert "$math_{x}^2$ and $half" in words, "no mathtext"
    assert "{{ 7 * 7 }} {% raise %}" in words, "no template in a template"
    assert "49" not in re.findall(r"\b49\b(?![.])", words)


def test_long_names_are_cut_and_whole_in_the_title():
    record = records.hostile()
    page = Page(render(record))
    long = "a_very_long_column_name_" * 12
    drawn = [drawing for drawing in svgs(render(record)) if "a_very_long" in drawing]
    assert drawn
    for drawing in drawn:
        root = ElementTree.fromstring(drawing)
        assert all(len(text.text or "") <= 50 for text in root.iter("{http://www.w3.org/2000/svg}text"))
    assert any(long in title for title in page.titles)


def test_values_as_long_as_books_make_no_long_page():
    record = records.multiclass()
    short = len(render(record))
    start, finish = record[0], record[-1]
    book = "word " * 200_000
    start["target"] = book
    start["classes"] = [f"{book}{place}" for place in range(len(start["classes"]))]
    for column in start["columns"]:
        column["name"] = f"{book}{column['name']}"
    for weight in finish["weights"]:
        weight.update(feature=f"{book}{weight['feature']}", output=start["classes"][0], unit=f"per unit of {book}")
    html = render(record)
    assert "word word" in html
    assert len(html) < short + 200_000
    ElementTree.fromstring(svgs(html)[0])


@pytest.mark.parametrize("name", DEGENERATE)
def test_every_record_gives_a_whole_page(name):
    html = render(DEGENERATE[name])
    page = Page(html)
    unfinished = not any(event.get("event") == "finish" for event in DEGENERATE[name])
    said = [section["id"] for section in page.all("section")]
    assert said == [one for one in SECTIONS if not unfinished or one in ("answer", "race", "data", "repeat")]
    assert len(html.encode()) < 700_000
    for drawing in svgs(html):
        ElementTree.fromstring(drawing)
        assert not re.search(r"\b(nan|inf)\b", drawing)
    assert not re.search(r"\b(nan|None|inf)\b", page.words) or name == "weights broken"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("empty", "This record has no beginning"),
        ("start only", "It was never scored on held-out rows."),
        ("killed", "The record has no end: the training was killed, failed, or is still going on."),
        ("failed", "The training failed: adult.csv, row 8,123, column 'age': 'x' is not a number"),
        ("interrupted", "Go on with `schuss resume runs/adult-income`."),
        ("time limit", "The training ended at its time limit; the model is the best one so far."),
        ("all diverged", "Every run diverged: no held-out loss stayed finite."),
        (
            "all diverged",
            "All 16 runs diverged within 5,890 rows, at learning rates of 0.0003 to 1. Smaller ones are the",
        ),
        ("killed", "schuss resume runs/x goes on from the newest checkpoint, where there is one."),
        ("worse than constant", "The model is no better than a constant"),
        ("100 classes", "A confusion matrix of 100 classes would not be readable."),
        ("no weights", "The record holds no weights."),
        ("runs, no evaluation", "No run was scored on held-out rows"),
        (
            "from Python",
            "schuss.train('data/adult.csv', target='income', seed=0, learning_rate=0.1, ignore=['a', 'b'])",
        ),
        ("many columns", "… and 2,800 more columns."),
    ],
)
def test_what_went_wrong_is_said(name, sentence):
    assert sentence in Page(render(DEGENERATE[name])).words


def test_an_unfinished_run_names_the_best_so_far():
    page = Page(render(DEGENERATE["killed"]))
    said = r"After 2,356,000 rows the best run \(adam, learning rate [\d.]+, L2 [\de.-]+\) had a held-out log loss of"
    assert re.search(said, page.words)
    assert not any("winner" in title for title in page.titles)


def test_a_record_on_disk(tmp_path):
    path = tmp_path / "record.jsonl"
    lines = [json.dumps(event, ensure_ascii=False) for event in records.binary()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert render(path) == render(records.binary())


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "record.jsonl"
    lines = [json.dumps(event) for event in records.binary()]
    path.write_text("\n".join(lines[:30]) + "\n" + lines[30][:50], encoding="utf-8")
    assert "1 line of the record could not be read" in Page(render(path)).words


def test_a_line_separator_inside_a_name_is_no_end_of_line(tmp_path):
    path = tmp_path / "record.jsonl"
    event = {"event": "start", "target": "a\u2028b\x85c"}
    path.write_text(json.dumps(event, ensure_ascii=False) + "\n", encoding="utf-8")
    assert "could not be read" not in Page(render(path)).words


@pytest.mark.parametrize("content", [b"", b"\n\n", b"not a record", b"[1, 2]\n3\n", b"\x00\xff\xfe"])
def test_no_record_is_an_error_in_a_sentence(tmp_path, content):
    path = tmp_path / "record.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"record\.jsonl: a record of a run was expected, but it holds no events"):
        render(path)
    with pytest.raises(DataError, match="cannot be read"):
        render(tmp_path / "nothing.jsonl")


def test_writing_replaces_the_file_whole(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("the old one")
    assert write_report(records.binary(), path) == path
    assert path.read_text(encoding="utf-8") == render(records.binary())
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_a_missing_folder_is_an_error_in_a_sentence(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write_report(DEGENERATE["lean"], tmp_path / "missing" / "report.html")


def test_without_held_out_rows_the_losses_are_called_progressive():
    record = [{**event} for event in records.binary()]
    record[1] |= {"select_rows": 0, "score_rows": 0, "constant_loss": None}
    record[-1] |= {"holdout": None, "confusion": None}
    words = Page(render(record)).words
    assert "No rows were held out, so there is no score on rows that it has not learned from." in words
    assert "Progressive loss against training rows seen" in words


def test_the_finish_is_told_and_the_winner_stays_where_the_race_left_it() -> None:
    events = [dict(event) for event in records.binary()]
    end = events[-1]
    losses = [event["holdout_loss"] for event in events if event["event"] == "evaluation"]
    taken = losses[len(losses) // 2][str(end["winner"])]
    end["holdout"] = end["holdout"] | {"select_loss": taken}
    plain = as_history(events)
    end["holdout"] = end["holdout"] | {"select_loss": taken / 2}
    end["chosen"] = end["chosen"] | {"finish": "full-batch", "passes": 1234, "l2": 0.25}
    events.insert(-1, {"event": "polish", "penalties": [], "champion_loss": taken, "chosen": 0.25})
    finished = as_history(events)
    assert finished.model_at == plain.model_at
    assert finished.model_at[1] == taken
    sentence = "After the race, 1,234 full passes over the rows finished the model, with an L2 penalty of 0.25"
    assert f"{sentence}." in Page(render(events)).words
    assert "full passes" not in Page(render(records.binary())).words
    end["learned"] = {"scored": 900, "kept": 1000}
    page = Page(render(events)).words
    assert f"{sentence}; scores are those of a model of 900 rows, and the one that is kept has then learned" in page
    assert "trained on 900 rows of" in page
    end["learned"] = {"scored": 900, "kept": 900}
    assert f"{sentence}." in Page(render(events)).words
