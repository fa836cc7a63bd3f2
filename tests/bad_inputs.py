"""Bad input files, each against train, predict, evaluate and update; writes what schuss says of them to docs/errors.md.

python tests/bad_inputs.py docs/errors.md
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from schuss.cli.main import main

ROWS = 400
HEADER = "size,colour,level"


def table() -> pa.Table:
    """Rows with a number, a category and a target that follows from them."""
    random = np.random.default_rng(0)
    size, colour = random.normal(size=ROWS).round(3), random.choice(["red", "green", "blue"], ROWS)
    level = np.where(size + (colour == "red") > 0.3, "high", "low")
    return pa.table({"size": size, "colour": colour, "level": level})


def lines() -> list[str]:
    return [",".join(map(str, row.values())) for row in table().to_pylist()]


def csv(changed: dict[int, str] | None = None, header: str = HEADER) -> bytes:
    """The table as CSV, some of its rows (from 1) replaced."""
    rows = [(changed or {}).get(number, line) for number, line in enumerate(lines(), start=1)]
    return "\n".join([header, *rows, ""]).encode()


def reversed_columns() -> bytes:
    return "\n".join(",".join(reversed(line.split(","))) for line in [HEADER, *lines(), ""]).encode()


def labelled(labels: list[str]) -> bytes:
    rows = [f"{line.rpartition(',')[0]},{labels[place % len(labels)]}" for place, line in enumerate(lines())]
    return "\n".join([HEADER, *rows, ""]).encode()


def jsonl(last: str) -> bytes:
    return "\n".join([*map(json.dumps, table().to_pylist()), last]).encode()


def svmlight(last: str) -> bytes:
    rows = [f"{int(row['level'] == 'high')} 1:{row['size']} 2:1" for row in table().to_pylist()]
    return "\n".join([*rows, last]).encode()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(table(), sink, compression="none", use_dictionary=False, write_page_checksum=True)
    return sink.getvalue()


def arrow() -> bytes:
    sink = io.BytesIO()
    with ipc.new_stream(sink, table().schema) as stream:
        for batch in table().to_batches(max_chunksize=100):
            stream.write_batch(batch)
    return sink.getvalue()


def arrow_file() -> bytes:
    sink = io.BytesIO()
    with ipc.new_file(sink, table().schema) as file:
        for batch in table().to_batches(max_chunksize=100):
            file.write_batch(batch)
    return sink.getvalue()


def empty_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(table().slice(0, 0), sink)
    return sink.getvalue()


def sized(values: list[object]) -> bytes:
    """The table as CSV with other values of the column size."""
    rows = [f"{values[place % len(values)]},{line.partition(',')[2]}" for place, line in enumerate(lines())]
    return "\n".join([HEADER, *rows, ""]).encode()


def halves(second: bytes) -> dict[str, bytes]:
    """A folder with the table and another file."""
    return {"a.csv": csv(), "b.csv": second}


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]


# What the file is, its name, and its content: that of the files of a folder, or what a link leads to.
Content = bytes | dict[str, bytes] | str
FILES: list[tuple[str, str, Callable[[], Content]]] = [
    ("Parquet, its end cut off", "cut.parquet", lambda: parquet()[:-100]),
    ("Parquet with checksums, a bit flipped", "flipped.parquet", lambda: flipped(parquet(), 1000)),
    ("Arrow stream without its end marker", "no_end.arrow", lambda: arrow()[:-8]),
    ("Arrow file, its end cut off", "cut_file.arrow", lambda: arrow_file()[:-50]),
    ("Parquet without rows", "no_rows.parquet", empty_parquet),
    ("gzip, its end cut off", "cut.csv.gz", lambda: gzip.compress(csv())[:-500]),
    ("gzip with a wrong checksum", "flipped.csv.gz", lambda: flipped(gzip.compress(csv(), mtime=0), -6)),
    ("gzip of a line without end", "endless.csv.gz", lambda: gzip.compress(b"1" * (70 << 20), 1)),
    ("CSV cut off within a row", "cut_row.csv", lambda: csv().rpartition(b",")[0]),
    ("CSV cut off within a number", "cut_number.csv", lambda: reversed_columns()[:-2]),
    ("svmlight cut off within a number", "cut_number.svm", lambda: svmlight("1 1:0.5 2:0.123")),
    ("JSON lines cut off", "cut.jsonl", lambda: jsonl('{"size": 0.5, "colour": "r')),
    ("row too short", "short.csv", lambda: csv({123: "0.5,red"})),
    ("row too long", "long.csv", lambda: csv({123: "0.5,red,low,more"})),
    ("every row one field too long", "all_long.csv", lambda: csv(dict(enumerate((f"{row},7" for row in lines()), 1)))),
    ("quote that is never closed", "quote.csv", lambda: csv({123: '0.5,red,"low'})),
    ("UTF-16", "utf16.csv", lambda: csv().decode().encode("utf-16")),
    ("Latin-1", "latin1.csv", lambda: csv({123: "0.5,grün,low"}).decode().encode("latin-1")),
    ("Latin-1 in the header", "latin1_header.csv", lambda: csv(header="größe,colour,level").decode().encode("latin-1")),
    ("byte-order mark", "mark.csv", lambda: b"\xef\xbb\xbf" + csv()),
    ("bytes that are no text", "noise.csv", lambda: np.random.default_rng(0).bytes(5000)),
    ("field of 5 MB", "wide.csv", lambda: csv({123: "0.5," + "r" * 5_000_000 + ",low"})),
    ("NUL byte in a word", "nul.csv", lambda: csv({123: "0.5,r\0d,low"})),
    ("decimal commas", "commas.csv", lambda: csv(header=HEADER).replace(b",", b";").replace(b".", b",")),
    ("currency", "currency.csv", lambda: sized([f'"${place},500.00"' for place in range(40)])),
    ("dates of another order", "dates.csv", lambda: sized([f"{day}/12/2024" for day in range(1, 29)])),
    ("a word among few numbers", "few.csv", lambda: sized(["unknown", *range(40)])),
    ("title above the header", "title.csv", lambda: b"# a title\n" + csv()),
    ("semicolons", "semicolons.csv", lambda: csv().replace(b",", b";")),
    ("no header", "no_header.csv", lambda: csv()[len(HEADER) + 1 :]),
    ("empty file", "empty.csv", lambda: b""),
    ("header without rows", "header.csv", lambda: HEADER.encode() + b"\n"),
    ("two columns of one name", "twice.csv", lambda: csv(header="size,size,level")),
    ("word among numbers", "word.csv", lambda: csv({123: "ab:cd,red,low"})),
    ("infinite number", "inf.csv", lambda: csv({123: "inf,red,low"})),
    ("number beyond the largest", "overflow.csv", lambda: csv({123: "1e999,red,low"})),
    ("whole numbers beyond 2⁵³", "exact.csv", lambda: sized([2**60 + place for place in range(ROWS)])),
    ("numbers of a size of 10²⁰⁰", "large.csv", lambda: sized([f"{place}e200" for place in range(1, 50)])),
    ("numbers of a size of 10⁻³¹⁰", "small.csv", lambda: sized([f"{place}e-310" for place in range(50)])),
    ("column that is constant", "constant.csv", lambda: sized([0.5])),
    ("column without values", "no_values.csv", lambda: sized([""])),
    ("number followed by letters", "garbage.csv", lambda: csv({123: "12abc,red,low"})),
    ("one class only", "one_class.csv", lambda: labelled(["low"])),
    ("no value in the target", "no_target.csv", lambda: labelled([""])),
    ("labels NA and None", "markers.csv", lambda: labelled(["NA", "None"])),
    ("label that is missing", "missing.csv", lambda: csv({123: "0.5,red,"})),
    ("label that is new", "new_label.csv", lambda: csv({123: "0.5,red,zebra"})),
    ("labels 1, 1.0 and 01", "spellings.csv", lambda: labelled(["1", "0", "1.0", "01"])),
    ("labels of composed and decomposed letters", "accents.csv", lambda: labelled(["é", "e\u0301", "a"])),
    ("columns in another order", "order.csv", reversed_columns),
    ("column that a second file renames", "renamed", lambda: halves(csv(header="size,color,level"))),
    ("column that a second file lacks", "lacking", lambda: halves(b"size,level\n0.5,low\n")),
    ("numbers that are words in a second file", "types", lambda: halves(sized(["big", "small"]))),
    ("files of two formats", "formats", lambda: {"a.csv": csv(), "b.jsonl": jsonl("")}),
    ("folder without files", "nothing", dict),
    ("link that leads to itself", "loop.csv", lambda: "loop.csv"),
    ("JSON line that is no object", "list.jsonl", lambda: jsonl("[1, 2]\n")),
    ("two objects in a JSON line", "two.jsonl", lambda: jsonl('{"size": 1, "level": "low"} {"size": 2}\n')),
    ("JSON key that comes twice", "key.jsonl", lambda: jsonl('{"size": 1, "size": 2, "level": "low"}\n')),
    ("JSON value of another type", "type.jsonl", lambda: jsonl('{"size": "big", "colour": "red", "level": "low"}\n')),
    ("svmlight label that is a word", "word.svm", lambda: svmlight("high 1:0.5 2:1\n")),
    ("svmlight value without an index", "value.svm", lambda: svmlight("1 0.5 2:1\n")),
    ("svmlight index of 2·10⁹", "huge_index.svm", lambda: svmlight("1 2000000000:1\n")),
    ("svmlight index beyond 2³¹", "beyond.svm", lambda: svmlight("1 2147483648:1\n")),
    ("svmlight index below zero", "negative.svm", lambda: svmlight("1 -4:1\n")),
    ("svmlight index that comes twice", "twice.svm", lambda: svmlight("1 4:1 4:2\n")),
    ("svmlight value that is NaN", "nan.svm", lambda: svmlight("1 1:nan\n")),
    ("svmlight label that is NaN", "nan_label.svm", lambda: svmlight("nan 1:0.5\n")),
    ("JSON lists that are empty", "lists.jsonl", lambda: jsonl("").replace(b"{", b'{"list": [], ')),
    ("one JSON list", "list_of_all.json", lambda: json.dumps(table().to_pylist()).encode()),
    ("workbook", "book.xlsx", lambda: b"PK\3\4" + bytes(60)),
    ("zip archive", "archive", lambda: b"PK\3\4" + bytes(60)),
]


# What is asked for, and how.
OPTIONS = [
    (f"learning rate of {rate}", ["--learning-rate", rate])
    for rate in ("0", "-1", "nan", "inf", "1e10", "1e300", "fast")
] + [
    ("hyperparameter beyond its bounds", ["--optimizer", "adam:beta1=1.5"]),
    ("hyperparameter that there is not", ["--optimizer", "sgd:beta1=0.5"]),
    ("column that there is not", ["--numeric", "sise"]),
    ("held-out share of all rows", ["--holdout", "1"]),
    ("folder that cannot be made", ["--out", "good.csv/run"]),
]
TRAINING = ["--runs", "1", "--epochs", "1", "--force", "--json", "--quiet"]


def commands(name: str) -> Iterator[list[str]]:
    """Every command, of a file; those that use a model take one of its kind."""
    svmlight = name.endswith(".svm")
    model = "model_svm" if svmlight else "model"
    yield ["train", name, *([] if svmlight else ["--target", "level"]), "--out", "run", *TRAINING]
    yield ["predict", model, name, "--out", "predictions.csv"]
    yield ["evaluate", model, name]
    yield ["update", model, name, "--out", "updated.safetensors"]


def write(name: str, content: Content) -> None:
    """Make a file, a folder of files, or a link."""
    if isinstance(content, str):
        Path(name).symlink_to(content)
    elif isinstance(content, bytes):
        Path(name).write_bytes(content)
    else:
        Path(name).mkdir()
        for file, inner in content.items():
            Path(name, file).write_bytes(inner)


def outputs() -> dict[str, str]:
    """What an earlier command has left: finished runs, models, predictions."""
    files = [path for folder in ("run", "model", "model_svm") for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in (*files, Path("predictions.csv"))}


def said(command: list[str]) -> tuple[int, str]:
    """Run a command; give its exit code, and its sentence or its notices but for the one on the task."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command)
    if code == 0 and command[0] == "train":
        start = json.loads(Path("run/record.jsonl").read_text(encoding="utf-8").split("\n")[0])
        return code, "; ".join(notice for notice in start["notices"] if not notice.startswith("the task is"))
    return code, "; ".join(line.removeprefix("schuss: ") for line in err.getvalue().splitlines() if "schuss: " in line)


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """Work in a folder with a model of the good table."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("good.csv").write_bytes(csv())
            Path("good.svm").write_bytes(svmlight(""))
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                for out in ("model", "run"):
                    main(["train", "good.csv", "--target", "level", "--out", out, *TRAINING])
                main(["train", "good.svm", "--out", "model_svm", *TRAINING])
                main(["predict", "model", "good.csv", "--out", "predictions.csv"])
            yield Path(folder)
        finally:
            os.chdir(before)


def page() -> str:
    """Run everything, and give the page."""
    text = [
        "# Errors",
        "",
        "What the command line says of bad input. Wherever there is a sentence the exit code is 2, and nothing was",
        "written: a finished run, a model and a file of predictions that stood there stay as they were, as is",
        "compared each time; `update` alone keeps what the rows before a bad one have taught it. A notice is no error.",
        "This page is made by `python tests/bad_inputs.py docs/errors.md`, and a test compares it with what is said.",
        "Where one row alone is bad, `--on-bad-row skip` goes on without it.",
        "",
        "|input|command|what is said|",
        "|-|-|-|",
    ]
    with place():
        for what, name, make in FILES:
            write(name, make())
            text += answers(what, commands(name))
        text += ["", "## Options", "", "|option|command|what is said|", "|-|-|-|"]
        for what, options in OPTIONS:
            text += answers(what, [["train", "good.csv", "--target", "level", "--out", "run", *TRAINING, *options]])
    return "\n".join(text) + "\n"


def answers(what: str, commands: Iterable[list[str]]) -> list[str]:
    """Run commands, and give the lines of the page; what stood there must stay where a command fails."""
    found: dict[tuple[int, str], list[str]] = {}
    for command in commands:
        before = outputs()
        answer = said(command)
        assert answer[0] in (0, 2), (what, command, answer)
        assert answer[0] == 0 or outputs() == before, (what, command)
        found.setdefault(answer, []).append(command[0])
    lines = []
    for (code, sentence), names in found.items():
        shown = sentence.replace("|", "\\|").replace("<", "&lt;") or "nothing: it is read as it stands"
        kind = "notice: " if code == 0 and sentence and not sentence.startswith("notice") else ""
        lines.append(f"|{what}|{', '.join(names)}|{kind}{shown}|")
    return lines


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
