"""Going on with a model: the same bits however rows come, nothing lost or learned twice; a sentence else."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from tests.test_faults import FAULTS, every_operation, under

from schuss import DataError, Model, OptionError, OutputError, train, update
from schuss.cli.main import main
from schuss.updating.learner import Learner

ROWS = 900


def table(rows: int = ROWS, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 2)).round(3)
    kinds = rng.choice(["red", "green", 'bl"ue, so to say'], rows)
    turned = np.where(np.arange(rows) < rows // 2, 1, -1)
    goals = np.where(turned * (X @ [1.0, -2.0] + (kinds == "red")) > 0, "yes", "no")
    return pa.table({"a": X[:, 0], "b": X[:, 1], "kind": kinds, "y": goals})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(table(600, seed=0), "y", runs=4, epochs=2, out=folder / "run")
    return folder / "run" / "model.safetensors"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same rows in several formats."""
    folder = tmp_path_factory.mktemp("rows")
    pacsv.write_csv(table(), folder / "t.csv")
    pq.write_table(table(), folder / "t.parquet", row_group_size=100)
    lines = [json.dumps(row) for row in table().to_pylist()]
    (folder / "t.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {name: str(folder / name) for name in ("t.csv", "t.parquet", "t.jsonl")}


@pytest.fixture
def model(tmp_path: Path, trained: Path) -> Path:
    (tmp_path / "m").write_bytes(trained.read_bytes())
    return tmp_path / "m"


@pytest.fixture(scope="module")
def wanted(trained: Path) -> bytes:
    """What all rows make of the model."""
    path = trained.with_name("wanted")
    update(trained, table(), out=path)
    return path.read_bytes()


def command(*arguments: str, stdin: str | None = None, capsys: Any, monkeypatch: Any) -> tuple[int, str, str]:
    if stdin is not None:
        raw = io.TextIOWrapper(io.BytesIO(stdin.encode()))
        monkeypatch.setattr(sys, "stdin", raw)
    code = main(["update", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl"])
def test_every_format_gives_the_same_bits(name: str, places: dict[str, str], model: Path, wanted: bytes) -> None:
    update(model, places[name])
    assert model.read_bytes() == wanted


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_stream_gives_the_same_bits(name: str, places: dict[str, str], model: Path, wanted: bytes) -> None:
    with Path(places[name]).open("rb") as stream:
        update(model, "-", stdin=stream)
    assert model.read_bytes() == wanted


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", None])
def test_times_of_a_stream_count_in_whatever_zone_they_are_written(form: str, zone: str | None) -> None:
    rng = np.random.default_rng(0)
    moments = pd.Timestamp("2024-03-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 90 * 24 * 60, 300), unit="min")
    rows = pd.DataFrame({"at": moments, "y": np.where((moments.hour < 12) ^ (rng.random(300) < 0.1), "am", "pm")})
    model = train(rows[:200], "y", runs=2).model
    expected = update(model, rows[200:])
    written = [str(at.tz_convert(zone).isoformat()) for at in rows["at"][200:]]  # with offsets of two kinds in Berlin
    text = rows[200:].assign(at=written)
    lines = text.to_csv(index=False) if form == "csv" else text.to_json(orient="records", lines=True)
    found = update(model, "-", stdin=io.BytesIO(lines.encode()), format=form)
    assert expected.summary["accuracy"] > 0.8
    np.testing.assert_array_equal(found.model.weights, expected.model.weights)


@pytest.mark.parametrize("sizes", [[450, 450], [1, 1, 898], [100] * 9])
def test_several_updates_give_the_same_bits(sizes: list[int], model: Path, wanted: bytes) -> None:
    start = 0
    for size in sizes:
        update(model, table().slice(start, size), save_every="17 rows")
        start += size
    assert model.read_bytes() == wanted


def test_arrow_streams_come_as_well(model: Path, wanted: bytes) -> None:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table().schema) as writer:
        writer.write_table(table(), max_chunksize=70)
    update(model, "-", stdin=io.BytesIO(sink.getvalue()))
    assert model.read_bytes() == wanted


def test_every_row_is_answered_before_it_is_learned_from(trained: Path) -> None:
    rows, model = table().slice(430, 60), Model.load(trained)
    said, losses = [], []
    for place in range(60):
        row = rows.slice(place, 1)
        predicted = model.predict(row, proba=True)
        truth = row["y"][0].as_py()
        said.append(predicted["prediction"][0].as_py() == truth)
        losses.append(-np.log(predicted[f"p_{truth}"][0].as_py()))
        model = update(model, row).model
    summary = update(Model.load(trained), rows).summary
    assert summary["accuracy"] == pytest.approx(np.mean(said))
    assert summary["loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert summary["recent_loss"] == pytest.approx(summary["loss"])


def test_a_model_follows_a_change_and_stays_one_model(model: Path) -> None:
    frozen = Model.load(model).evaluate(table())
    summary = update(model, table()).summary
    assert summary["loss"] < 0.5 * frozen["loss"]
    again = Model.load(model)
    assert again.evaluate(table().slice(450))["accuracy"] > 0.9
    assert again.explain(3)[0]["feature"] == "b"


@pytest.mark.parametrize("optimizer", ["adagrad", "momentum", "averaged_sgd", "schedule_free_adamw", "prodigy", "lion"])
@pytest.mark.usefixtures("uncompiled_kernels")
def test_whatever_optimizer_trained_it(optimizer: str) -> None:
    result = train(table(600, seed=0), "y", runs=2, epochs=1, optimizer=optimizer)
    summary = update(result.model, table()).summary
    assert summary["recent_loss"] < 0.4


@pytest.mark.parametrize("task", ["regression", "classes", "text", "counts"])
@pytest.mark.usefixtures("uncompiled_kernels")
def test_every_kind_of_model(task: str) -> None:
    rng = np.random.default_rng(0)
    words = rng.choice(["one", "two", "three", "four", "five", "six"], (500, 4))
    numbers = rng.normal(size=500)
    columns = {"a": numbers, "words": [" ".join(some) for some in words], "n": rng.poisson(np.exp(0.5 * numbers))}
    columns["c"] = np.digitize(numbers, [-1, 0, 1]).astype(str)
    columns["r"] = 3 * numbers + 100
    target = {"regression": "r", "classes": "c", "text": "c", "counts": "n"}[task]
    rows = pa.table(columns | {"t": columns["words"]}).select(["a", "words", target])
    options = {"loss": "poisson"} if task == "counts" else {"text": "words"} if task == "text" else {"ignore": "words"}
    model = train(rows.slice(0, 200), target, runs=4, epochs=2, **options).model
    summary = update(model, rows.slice(200)).summary
    assert summary["learned"] == 300
    constant = train(rows.slice(0, 200), target, runs=1, epochs=1, learning_rate=1e-9, **options).model
    assert summary["loss"] < 1.02 * constant.evaluate(rows.slice(200))["loss"]


def test_weights_count_as_in_training(trained: Path) -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2.0, ROWS)
    weighted = table().append_column("w", pa.array(weights)).append_column("other", pa.array(1000 * weights))
    model = train(weighted, "y", runs=2, epochs=1, weight="w", ignore="other").model
    assert model.settings["trained"]["mean_weight"] == pytest.approx(weights.mean())
    by_hand = Learner(model)
    prepared = by_hand.encoder.prepare(weighted.to_batches()[0], where="t", first_row=0)
    np.testing.assert_allclose(by_hand._weights(prepared), weights / weights.mean(), rtol=1e-6)
    one, other = (update(model, weighted, weight=column).model.weights for column in ("w", "other"))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, update(model, weighted).model.weights)
    with pytest.raises(DataError, match="lacks the column 'w'"):
        update(model, table())


def test_class_weights_count_as_in_training() -> None:
    rows = table(600, seed=0)
    rows = pa.concat_tables([rows, rows.filter(pa.compute.equal(rows["y"], "yes"))])
    model = train(rows, "y", runs=2, epochs=1, class_weight="balanced").model
    learner = Learner(model)
    prepared = learner.encoder.prepare(rows.combine_chunks().to_batches()[0], where="t", first_row=0)
    shares = np.bincount(prepared.targets, learner._weights(prepared))
    assert shares[0] == pytest.approx(shares[1], rel=1e-3)


# --- safe -------------------------------------------------------------------------------------------------------------


def start(model: Path, *arguments: str) -> subprocess.Popen[str]:
    code = "import sys; from schuss.cli.main import main; raise SystemExit(main(sys.argv[1:]))"
    given = [sys.executable, "-c", code, "update", str(model), *arguments]
    return subprocess.Popen(given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_whoever_resends_from_what_was_acknowledged_loses_nothing(model: Path, wanted: bytes) -> None:
    header, *lines = [
        ",".join([str(row["a"]), str(row["b"]), '"' + row["kind"].replace('"', '""') + '"', row["y"]])
        for row in [{"a": "a", "b": "b", "kind": "kind", "y": "y"}, *table().to_pylist()]
    ]
    safe, kills, rng = 0, 0, np.random.default_rng(0)
    while safe < ROWS:
        # Resent from somewhere before what is safe: what is known is passed over.
        begin = max(safe - 7, 0)
        given = ("--acknowledge", "--save-every", "25 rows", "--from-row", str(begin), "--quiet")
        process = start(model, "-", *given)
        assert process.stdin is not None
        assert process.stdout is not None
        assert int(process.stdout.readline()) >= safe  # what was said to be safe is
        until = ROWS if kills == 4 else min(ROWS, begin + int(rng.integers(60, 400)))
        process.stdin.write("\n".join([header, *lines[begin:until], ""]))
        if until == ROWS:
            heard, err = process.communicate()
            assert process.returncode == 0, err
            safe = max(int(line) for line in heard.split("\n") if line.isdigit())
            break
        process.stdin.flush()
        while safe < until - 25:
            safe = int(process.stdout.readline())
        process.kill()
        process.communicate()
        kills += 1
    assert kills >= 2
    assert model.read_bytes() == wanted
    assert not list(model.parent.glob(f".{model.name}.*"))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_file_operation_leaves_a_whole_model(
    fault: str, tmp_path: Path, trained: Path, wanted: bytes
) -> None:
    def work(path: Path) -> None:
        update(path, table(), save_every="600 rows")

    def fresh(name: str) -> Path:
        (tmp_path / name).write_bytes(trained.read_bytes())
        return tmp_path / name

    whole = fresh("whole")
    count = every_operation(lambda: work(whole))
    assert count > 10
    for at in range(1, count + 1):
        path = fresh(f"{at}")
        try:
            under(lambda path=path: work(path), at, fault)
        except pytest.fail.Exception:
            assert fault != "kill"  # a save that failed was made up for by the next
        position = Model.load(path).settings.get("updates", {"position": 0})["position"]
        assert position in (0, 600, 900)
        update(path, table(), from_row=0)
        assert path.read_bytes() == wanted


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interruption_saves_the_rows_so_far(model: Path) -> None:
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    process = start(model, "-", "--acknowledge")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    process.stdin.write("a,b,kind,y\n1,2,red,yes\n1,2,red,no\n")
    process.stdin.flush()
    while fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4)) != bytes(4):
        time.sleep(0.01)  # the pipe still holds them
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.startswith("2\n")
    assert err.splitlines()[-1] == f"schuss: interrupted; the 2 rows so far are safe in {model}"
    assert Model.load(model).settings["updates"]["learned"] == 2


def test_nobody_elses_work_is_undone(model: Path, trained: Path) -> None:
    def rows() -> Any:
        yield table().slice(0, 500).combine_chunks().to_batches()[0]
        model.write_bytes(trained.read_bytes() + b"")
        os.utime(model, ns=(1, 1))
        yield table().slice(500).combine_chunks().to_batches()[0]

    reader = pa.RecordBatchReader.from_batches(table().schema, rows())
    with pytest.raises(OutputError, match="was changed meanwhile by another process"):
        update(model, reader)
    assert model.read_bytes() == trained.read_bytes()


def test_a_full_disk_on_the_way_ends_nothing(model: Path, wanted: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    save, told, tries = Model.save, [], []

    def failing(self: Model, path: Any) -> None:
        tries.append(path)
        if len(tries) < 3:
            raise OutputError(f"cannot write '{path}': no space left on device")
        save(self, path)

    monkeypatch.setattr(Model, "save", failing)
    acknowledged: list[int] = []
    update(model, table(), save_every="300 rows", progress=told.append, acknowledge=acknowledged.append)
    assert acknowledged == [0, 900]
    assert [event["message"] for event in told if event["event"] == "notice"] == [
        f"not saved, learning goes on: cannot write '{model}': no space left on device"
    ] * 2
    assert model.read_bytes() == wanted


# --- told -------------------------------------------------------------------------------------------------------------


def test_the_command(model: Path, places: dict[str, str], capsys: Any, monkeypatch: Any) -> None:
    code, out, _ = command(str(model), places["t.csv"], capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0
    assert out.splitlines()[0].startswith("learned   900 of 900 rows in ")
    text = Path(places["t.csv"]).read_text(encoding="utf-8")
    arguments = (str(model), "-", "--json", "--acknowledge", "--save-every", "400 rows")
    code, out, _ = command(*arguments, stdin=text, capsys=capsys, monkeypatch=monkeypatch)
    *acknowledged, summary = out.splitlines()
    assert code == 0
    assert acknowledged == ["900", "1200", "1600", "1800"]
    told = json.loads(summary)
    assert {name: told[name] for name in ("rows", "learned", "position", "learned_ever", "outcome", "saves")} == {
        "rows": 900, "learned": 900, "position": 1800, "learned_ever": 1800, "outcome": "done", "saves": 3,
    }  # fmt: skip
    assert told["model"] == str(model)


def test_another_file_can_be_written(model: Path, trained: Path, tmp_path: Path, places: dict[str, str]) -> None:
    update(model, places["t.csv"], out=tmp_path / "other")
    assert model.read_bytes() == trained.read_bytes()
    assert Model.load(tmp_path / "other").settings["updates"]["position"] == ROWS
    assert main(["update", str(model), places["t.csv"], "--out", places["t.csv"]]) == 2


BAD = "a,b,kind,y\n1,2,red,yes\n,,,\n1,2,violet,no\n1,x,red,no\n1,2,red,perhaps\n1,2,red,yes\n1e200,2,red,yes\n"


def test_bad_rows_end_it_with_the_rows_before_them(model: Path, capsys: Any, monkeypatch: Any) -> None:
    code, out, err = command(str(model), "-", stdin=BAD, capsys=capsys, monkeypatch=monkeypatch)
    assert (code, out) == (2, "")
    assert err == "schuss: standard input, row 4, column 'b': 'x' is not a number\n"
    assert Model.load(model).settings["updates"] == pytest.approx({"position": 3, "learned": 2, "loss": 0}, abs=5)
    rest = "a,b,kind,y\n1,2,red,no\n1,2,red,perhaps\n"
    code, _, err = command(str(model), "-", "--from-row", "3", stdin=rest, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert err == (
        "schuss: standard input, row 2, column 'y': 'perhaps' is none of the 2 classes of the sample ('no', 'yes')\n"
    )


def test_bad_rows_are_skipped_and_counted(model: Path, capsys: Any, monkeypatch: Any) -> None:
    arguments = (str(model), "-", "--on-bad-row", "skip", "--max-bad-rows", "0.5", "--json")
    code, out, _ = command(*arguments, stdin=BAD, capsys=capsys, monkeypatch=monkeypatch)
    told = json.loads(out)
    assert code == 0
    assert {name: told[name] for name in ("rows", "learned", "skipped_rows", "bad_rows", "position", "unseen")} == {
        "rows": 7, "learned": 3, "skipped_rows": 4, "bad_rows": 3, "position": 7, "unseen": {"kind": 2},
    }  # fmt: skip
    code, _, err = command(*arguments[:4], stdin=BAD, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert "3 of 7 rows cannot be used, more than '--max-bad-rows 0.01' allows" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "standard input is empty"),
        ("a,b,kind\n1,2,red\n", "standard input lacks the column 'y'"),
        ("a;y\n1;yes\n", "standard input lacks the columns 'b', 'kind'"),
        ("a,b,kind,y\n1,2,red\n", "standard input, row 1: expected 4 fields, found 3"),
        ('{"a": 1, "b": "2", "kind": "x", "y": "yes"}\n', """standard input, row 1, column 'b': "2" is not a number"""),
    ],
)
def test_a_sentence_for_what_cannot_be_read(text: str, said: str, model: Path, capsys: Any, monkeypatch: Any) -> None:
    before = model.read_bytes()
    code, out, err = command(str(model), "-", stdin=text, capsys=capsys, monkeypatch=monkeypatch)
    assert (code, out, err) == (2, "", f"schuss: {said}\n")
    assert model.read_bytes() == before


def test_a_sentence_for_options_that_cannot_be(model: Path, places: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="the model has had none yet, so DATA must begin at one of 0 to 0"):
        update(model, places["t.csv"], from_row=3)
    update(model, places["t.csv"])
    with pytest.raises(OptionError, match="the model has learned from the first 900 rows"):
        update(model, places["t.csv"], from_row=901)
    for every in ("soon", "0 rows", "0s"):
        with pytest.raises(OptionError, match="option '--save-every' takes"):
            update(model, places["t.csv"], save_every=every)
    with pytest.raises(OptionError, match=r"not 'soon'; or a number of rows such as '500 rows'$"):
        update(model, places["t.csv"], save_every="soon")
    with pytest.raises(OptionError, match="option '--on-bad-row' is one of stop, skip"):
        update(model, places["t.csv"], on_bad_row="ignore")


def test_the_status_on_the_way(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schuss.updating.updating.TOLD_EVERY", 0.0)
    told: list[Any] = []
    update(model, table(), save_every="300 rows", progress=told.append)
    updates = [event for event in told if event["event"] == "update"]
    assert [event["rows"] for event in updates] == [300, 600, 900]
    assert all(event["loss"] > 0 and event["recent_loss"] > 0 for event in updates)


def test_networks_do_not_go_on() -> None:
    pytest.importorskip("torch")
    model = train(table(300, seed=0), "y", network="4", runs=2, epochs=1).model
    with pytest.raises(OptionError, match="only linear models go on learning from new rows, and this one is a network"):
        update(model, table())
