"""A run that is interrupted or killed goes on to the very bytes it would have come to; what cannot go on says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from schuss import resume, train
from schuss.cli.main import main
from schuss.data import csv_blocks, files, parted, shuffle, svmlight
from schuss.descent.optimizers import rule_named
from schuss.errors import ModelFileError, OutputError, ResumeError
from schuss.race.record import read_record
from schuss.sealed import open_sealed, write_sealed
from schuss.training import preparation, reading
from schuss.training.basis import place_of
from schuss.training.training import Result

ROWS = 12_000
FILES = ("model.safetensors", "record.jsonl", "report.html")


def table() -> pa.Table:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, 4)).round(3)
    y = np.where(X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(size=ROWS) > 0, "yes", "no")
    return pa.table({f"x{i}": X[:, i] for i in range(4)} | {"y": y})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same rows in several places."""
    folder = tmp_path_factory.mktemp("rows")
    pq.write_table(table(), folder / "t.parquet", row_group_size=1_000)
    (folder / "parts").mkdir()
    pq.write_table(table().slice(0, 7_000), folder / "parts" / "a.parquet")
    pq.write_table(table().slice(7_000), folder / "parts" / "b.parquet")
    pacsv.write_csv(table(), folder / "t.csv", pacsv.WriteOptions(quoting_style="none"))
    with pa.CompressedOutputStream(str(folder / "t.csv.gz"), "gzip") as packed:
        pacsv.write_csv(table(), packed)
    svmlight = [
        f"{int(row['y'] == 'yes')} " + " ".join(f"{i + 1}:{row[f'x{i}']}" for i in range(4))
        for row in table().to_pylist()
    ]
    (folder / "t.svm").write_text("\n".join(svmlight) + "\n")
    names = ("t.parquet", "parts", "t.csv", "t.csv.gz", "t.svm")
    arrays = {"arrays": (np.stack([table()[f"x{i}"].to_numpy() for i in range(4)], 1), table()["y"].to_pylist())}
    return {name: str(folder / name) for name in names} | {"frame": table()} | arrays


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that do not fit into memory, as it were, in many small chunks."""
    monkeypatch.setattr(reading, "ROWS_MEMORY", 1 << 16)
    monkeypatch.setattr(reading, "ARRAYS_MEMORY", 1 << 16)
    monkeypatch.setattr(shuffle, "CHUNK_ROWS", 125)  # long chunks have 500
    monkeypatch.setattr(shuffle, "BUFFER_ROWS", 4_000)


def learn(place: Any, out: Path, progress: Any = None, **options: Any) -> Result:
    target = "y" if isinstance(place, pa.Table) or (isinstance(place, str) and not place.endswith("svm")) else None
    return train(place, target, **({"epochs": 4, "runs": 4, "out": out, "progress": progress, "force": True} | options))


def interrupting(at: int) -> Any:
    """Give a listener that interrupts at the so-manieth event, the moments between two chunks included."""
    heard = 0

    def listen(event: dict[str, Any]) -> None:
        nonlocal heard
        heard += event["event"] != "progress"
        if heard == at and event["event"] != "progress":
            os.kill(os.getpid(), signal.SIGINT)

    return listen


def undisturbed(place: Any, out: Path, **options: Any) -> bytes:
    learn(place, out, **options)
    return (out / "model.safetensors").read_bytes()


def check(place: Any, tmp_path: Path, moments: tuple[int, ...], **options: Any) -> None:
    """Interrupt a run at each of these events in turn, and compare what it comes to in the end."""
    expected = undisturbed(place, tmp_path / "whole", **options)
    out = tmp_path / "run"
    result = learn(place, out, interrupting(moments[0]), **options)
    again = None if place_of(place) else place
    for moment in moments[1:]:
        if result.summary["outcome"] != "interrupted":
            break
        assert result.summary["resume"] == str(out)
        assert len([*(out / "checkpoint").iterdir()]) in (1, 2)
        assert (out / "model.safetensors").exists(), "the best model so far"
        result = resume(out, again, progress=interrupting(moment))
    if result.summary["outcome"] == "interrupted":
        result = resume(out, again)
    assert (out / "model.safetensors").read_bytes() == expected
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    kinds = [event["event"] for event in result.record]
    assert "resume" in kinds
    assert kinds.count("finish") == kinds.count("start") == 1
    assert read_record(out / "record.jsonl") == result.record
    whole = [event for event in read_record(tmp_path / "whole" / "record.jsonl") if event["event"] == "evaluation"]
    ours = [event for event in result.record if event["event"] == "evaluation"]
    for one, other in zip(whole, ours, strict=True):
        assert (one["rows"], one["holdout_loss"], one["train_loss"]) == (
            other["rows"], other["holdout_loss"], other["train_loss"]
        )  # fmt: skip


def test_a_class_that_comes_up_after_a_resume_begins_training_anew(
    streamed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "SAMPLE_ROWS", 500)
    monkeypatch.setattr(parted, "BATCH_ROWS", 500)
    labels = table()["y"].to_pylist()
    labels[-5] = "perhaps"
    place = str(tmp_path / "late.csv")
    pacsv.write_csv(table().set_column(4, "y", pa.array(labels)), place)
    expected = undisturbed(place, tmp_path / "whole")
    out = tmp_path / "run"
    early = learn(place, out, interrupting(4))
    assert early.summary["outcome"] == "interrupted"
    assert early.model.classes == ["no", "yes"]
    result = resume(out)
    assert result.model.classes == ["no", "perhaps", "yes"]
    assert (out / "model.safetensors").read_bytes() == expected
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("place", ["t.parquet", "parts", "t.csv.gz", "t.svm", "frame"])
@pytest.mark.usefixtures("streamed")
def test_a_streamed_run_goes_on(data: dict[str, Any], place: str, tmp_path: Path) -> None:
    check(data[place], tmp_path, (5, 3, 4, 6))


@pytest.mark.parametrize("place", ["t.csv", "t.svm"])
@pytest.mark.usefixtures("streamed")
def test_a_streamed_text_is_entered_where_it_was_left(
    data: dict[str, Any], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pa, "cpu_count", lambda: 2)  # one thread reads CSV by Arrow's own reader, from the beginning
    for module in (csv_blocks, svmlight):
        monkeypatch.setattr(module, "_BLOCK_BYTES", 1 << 14)
    entered: list[int] = []
    opened = files.Content.opened
    monkeypatch.setattr(files.Content, "opened", lambda self, byte: (entered.append(byte), opened(self, byte))[1])
    check(data[place], tmp_path, (6, 20, 40))
    assert max(entered) > Path(data[place]).stat().st_size / 3


@pytest.mark.parametrize("place", ["t.csv", "arrays"])
def test_a_run_in_memory_goes_on(data: dict[str, Any], place: str, tmp_path: Path) -> None:
    check(data[place], tmp_path, (4, 3, 8, 5), epochs="auto", runs=6)


OTHERS = [
    {"optimizer": "sgd,adagrad", "order": "keep"}, {"holdout": "none"},
    {"optimizer": "adam:beta1=0.5,beta2=0.9,adam", "init": "zero,normal:0.3", "schedule": "step:0.5,0.25"},
]  # fmt: skip


@pytest.mark.parametrize("options", OTHERS)
@pytest.mark.usefixtures("streamed")
def test_other_options(data: dict[str, Any], options: dict[str, Any], tmp_path: Path) -> None:
    check(data["t.parquet"], tmp_path, (5, 4), **options)


def test_interrupted_in_the_finish(data: dict[str, Any], tmp_path: Path) -> None:
    expected = undisturbed(data["t.csv"], tmp_path / "whole", epochs="auto")

    stages: list[str] = []

    def listen(event: dict[str, Any]) -> None:
        stages.append(event["event"])
        if event["event"] == "finishing" and stages.count("finishing") == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    out = tmp_path / "run"
    result = learn(data["t.csv"], out, listen, epochs="auto")
    assert result.summary["outcome"] == "interrupted"
    assert resume(out).summary["outcome"] != "interrupted"
    assert (out / "model.safetensors").read_bytes() == expected


def test_checkpoints_come_by_the_clock_and_two_are_kept(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schuss.runs.checkpoints.PATIENCE", 0.0)
    out, seen = tmp_path / "run", set()

    def listen(event: dict[str, Any]) -> None:
        files = [path.name for path in (out / "checkpoint").glob("*")]
        assert len(files) <= 2
        seen.update(files)

    quiet = undisturbed(data["t.csv"], tmp_path / "quiet", epochs=60)
    learn(data["t.csv"], out, listen, epochs=60, checkpoint_every=0.01)
    assert len(seen) > 2
    assert (out / "model.safetensors").read_bytes() == quiet
    assert not (out / "checkpoint").exists()


@pytest.fixture
def interrupted(data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was interrupted, with two checkpoints, on a file of its own."""
    monkeypatch.setattr(reading, "ROWS_MEMORY", 1 << 16)
    monkeypatch.setattr(shuffle, "CHUNK_ROWS", 125)  # long chunks have 500
    monkeypatch.setattr(shuffle, "BUFFER_ROWS", 4_000)
    (tmp_path / "own.csv").write_bytes(Path(data["t.csv"]).read_bytes())
    out = tmp_path / "run"
    learn(str(tmp_path / "own.csv"), out, interrupting(4))
    resume(out, progress=interrupting(3))
    assert len([*(out / "checkpoint").iterdir()]) == 2
    return out


def test_a_damaged_checkpoint_falls_back_to_the_one_before(data: dict[str, Any], interrupted: Path) -> None:
    expected = undisturbed(str(interrupted.parent / "own.csv"), interrupted.parent / "whole")
    newest = max((interrupted / "checkpoint").iterdir())
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    result = resume(interrupted)
    [notice] = [event["message"] for event in result.record if event["event"] == "notice"]
    assert newest.name in notice
    assert "used instead" in notice
    assert (interrupted / "model.safetensors").read_bytes() == expected


def test_without_a_whole_checkpoint_training_begins_anew(interrupted: Path) -> None:
    expected = undisturbed(str(interrupted.parent / "own.csv"), interrupted.parent / "whole")
    for file in (interrupted / "checkpoint").iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    heard: list[str] = []
    resume(interrupted, progress=lambda event: heard.append(event.get("message", "")))
    assert any("training begins anew" in message for message in heard)
    assert (interrupted / "model.safetensors").read_bytes() == expected


def test_a_changed_file_is_refused(interrupted: Path) -> None:
    file = interrupted.parent / "own.csv"
    before = {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()}
    os.utime(file, ns=(1, 1))
    with pytest.raises(ResumeError, match=r"own\.csv has been changed since this run began: its time of change"):
        resume(interrupted)
    file.write_text(file.read_text() + "1,2,3,4,yes\n")
    with pytest.raises(ResumeError, match=r"own\.csv has been changed since this run began: its size"):
        resume(interrupted)
    assert {path: path.read_bytes() for path in interrupted.rglob("*") if path.is_file()} == before


def test_a_file_written_over_in_place_with_its_size_and_time_is_refused(interrupted: Path) -> None:
    file = interrupted.parent / "own.csv"
    stat, text = file.stat(), file.read_bytes()
    for place in (len(text) - 3, len(text) // 2, 30):
        changed = bytearray(text)
        changed[place] = ord("7") if changed[place] != ord("7") else ord("8")
        file.write_bytes(changed)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        with pytest.raises(ResumeError, match=r"own\.csv has been changed since this run began: its content"):
            resume(interrupted)
    file.write_bytes(text)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    resume(interrupted)


def test_an_archive_of_arrays_written_over_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3_000, 4)), rng.integers(0, 2, 3_000)
    file, out = tmp_path / "t.npz", tmp_path / "run"
    np.savez(file, X=X, y=y)
    stat = file.stat()
    train(str(file), epochs=4, runs=4, out=out, progress=interrupting(4))
    X[100, 2] += 1.0
    np.savez(file, X=X, y=y)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ResumeError, match="its content is another one"):
        resume(out)


def test_another_version_is_refused(interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from schuss.training import basis

    now = basis.versions()
    monkeypatch.setattr(basis, "versions", lambda network=False: now | {"numpy": "0.1", "machine": "abacus"})
    with pytest.raises(ResumeError, match=r"machine .* \(now abacus\), numpy .* \(now 0\.1\)"):
        resume(interrupted)


def test_long_chunks_of_blocks_on_two_threads_go_on_too(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schuss.data.chunk.CHUNK_ROWS", 128)
    check(data["arrays"], tmp_path, (4, 6, 8, 10), runs=20, threads=2, epochs=3)


def test_the_threads_are_those_of_the_beginning(interrupted: Path) -> None:
    expected = undisturbed(str(interrupted.parent / "own.csv"), interrupted.parent / "whole")
    before = pa.cpu_count()
    pa.set_cpu_count(1)
    try:
        resume(interrupted)
    finally:
        pa.set_cpu_count(before)
    assert (interrupted / "model.safetensors").read_bytes() == expected


def test_other_arrays_are_refused(data: dict[str, Any], tmp_path: Path) -> None:
    X, y = data["arrays"]
    learn((X, y), tmp_path, interrupting(4))
    with pytest.raises(ResumeError, match="data in memory"):
        resume(tmp_path)
    other = X.copy()
    other[-1, -1] += 1
    with pytest.raises(ResumeError, match="not those that this run began with"):
        resume(tmp_path, (other, y))
    assert main(["resume", str(tmp_path)]) == 2


def test_training_in_the_folder_of_an_unfinished_run(interrupted: Path) -> None:
    place = str(interrupted.parent / "own.csv")
    with pytest.raises(OutputError, match=r"holds an unfinished run: schuss resume .* goes on, --force begins anew"):
        learn(place, interrupted, force=False)
    learn(place, interrupted)
    assert sorted(path.name for path in interrupted.iterdir()) == sorted(FILES)


def test_a_finished_run_says_so(data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learn(data["t.csv"], tmp_path)
    with pytest.raises(ResumeError, match="holds a finished run: nothing is left to do"):
        resume(tmp_path)
    assert main(["resume", str(tmp_path)]) == 0
    assert "nothing is left to do" in capsys.readouterr().out
    assert main(["resume", str(tmp_path / "nowhere")]) == 2


def test_standard_input_cannot_be_read_again(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(data["t.csv"]).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        result = train("-", "y", runs=4, out=tmp_path, progress=interrupting(3), format="csv")
    assert result.summary["outcome"] == "interrupted"
    assert result.summary["resume"] is None
    with pytest.raises(ResumeError, match="no checkpoint to go on from, and began with standard input, which is gone"):
        resume(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_ten_kills(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "kills.py"
    if not script.exists():
        pytest.skip("the benchmarks are not here")
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "10", "--only", "parquet"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kills, _, ended, differed = map(int, done.stdout.split("**all**|")[1].rstrip("|\n").split("|"))
    assert kills >= 10
    assert ended >= 1
    assert differed == 0


RULE = """
from typing import NamedTuple

class Plain(NamedTuple):
    scalar_names = ("rate",)
    slot_names = ()

    def scalars(self, carry, rate):
        return carry, (rate,)

    def move(self, s, w, g, slots):
        return s[0] * g, s[0], slots
"""


def test_an_own_optimizer_goes_on_when_it_is_named_again(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "named_again.py").write_text(RULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    options = {"optimizer": "named_again.py:Plain", "epochs": 2}
    expected = undisturbed(data["t.csv"], tmp_path / "whole", **options)
    learn(data["t.csv"], tmp_path / "run", interrupting(4), **options)
    rule_named.cache_clear()  # as in a process that has not been told the name
    (tmp_path / "named_again.py").write_text(f"raise SystemExit('it has run')\n{RULE}")
    assert main(["resume", "run"]) == 2
    error = capsys.readouterr().err
    assert (
        "this run needs code that its files only name: option '--optimizer' with 'named_again.py:Plain' lets it run"
        in error
    )
    assert error.count("\n") == 1
    with pytest.raises(ResumeError, match="only name"):
        resume("run", optimizer="averaged_sgd")
    (tmp_path / "named_again.py").write_text(RULE)
    assert main(["resume", "run", "--optimizer", "named_again.py:Plain", "--quiet"]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == expected


def test_forged_checkpoints_are_refused(interrupted: Path) -> None:
    """Their sums fit: what kernels would take on trust is looked at before anything is learned."""
    older, newest = sorted((interrupted / "checkpoint").iterdir())
    older.unlink()
    with open_sealed(newest, "checkpoint") as file:
        values, arrays = file.values, {name: file.load(name) for name in file.arrays}
    targets, rows = arrays["feed.select.kept.targets"], arrays["feed.select.kept.rows"]
    orders = arrays["feed.place.shuffle.buckets.own.orders"]
    counts = arrays["feed.place.shuffle.buckets.turns.counts"]
    forged = [
        ("record.lines", None),
        ("basis.own.constant", np.array([np.nan])),
        ("feed.select.kept.targets", np.full_like(targets, 1 << 30)),
        ("feed.select.kept.targets", targets[:-1]),
        ("feed.select.kept.rows", rows[:, :-1].copy()),
        ("feed.select.kept.rows", rows * np.float32("nan")),
        ("feed.score.kept.weights", arrays["feed.score.kept.weights"].astype(float)),
        ("feed.place.shuffle.buckets.own.orders", np.full_like(orders, 1 << 30)),
        ("feed.place.shuffle.buckets.own.targets", np.full_like(orders, 7)),
        ("feed.place.shuffle.buckets.turns.counts", counts + (1 << 40)),
        ("feed.place.shuffle.layout.targets", None),
        ("feed.place.index.slices", np.full((1, 4), 1 << 60)),
        ("race.population0.0.weights", np.zeros((2, 2), np.float32)),
    ]
    for name, array in forged:
        kept = {known: each for known, each in (arrays | {name: array}).items() if each is not None}
        with newest.open("wb") as file:
            write_sealed(file, "checkpoint", values, kept)
        with pytest.raises(ModelFileError, match="the checkpoint is not one of this schuss"):
            resume(interrupted)
