"""Bad input files, each against train, predict, evaluate and update; writes what schuss says of them to docs/errors.md.

python tests/bad_inputs.py docs/errors.md
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from schuss.cli import main

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


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]


# What the file is, its name, and its content.
FILES: list[tuple[str, str, Callable[[], bytes]]] = [
    ("Parquet, its end cut off", "cut.parquet", lambda: parquet()[:-100]),
    ("Parquet with checksums, a bit flipped", "flipped.parquet", lambda: flipped(parquet(), 1000)),
    ("Arrow stream without its end marker", "no_end.arrow", lambda: arrow()[:-8]),
    ("gzip, its end cut off", "cut.csv.gz", lambda: gzip.compress(csv())[:-500]),
    ("gzip with a wrong checksum", "flipped.csv.gz", lambda: flipped(gzip.compress(csv(), mtime=0), -6)),
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
    ("NUL byte in a word", "nul.csv", lambda: csv({123: "0.5,r\0d,low"})),
    ("decimal commas", "commas.csv", lambda: csv(header=HEADER).replace(b",", b";").replace(b".", b",")),
    ("no header", "no_header.csv", lambda: csv()[len(HEADER) + 1 :]),
    ("empty file", "empty.csv", lambda: b""),
    ("header without rows", "header.csv", lambda: HEADER.encode() + b"\n"),
    ("two columns of one name", "twice.csv", lambda: csv(header="size,size,level")),
    ("word among numbers", "word.csv", lambda: csv({123: "ab:cd,red,low"})),
    ("infinite number", "inf.csv", lambda: csv({123: "inf,red,low"})),
    ("number beyond the largest", "overflow.csv", lambda: csv({123: "1e999,red,low"})),
    ("number followed by letters", "garbage.csv", lambda: csv({123: "12abc,red,low"})),
    ("one class only", "one_class.csv", lambda: labelled(["low"])),
    ("no value in the target", "no_target.csv", lambda: labelled([""])),
    ("label that is new", "new_label.csv", lambda: csv({123: "0.5,red,zebra"})),
    ("labels 1, 1.0 and 01", "spellings.csv", lambda: labelled(["1", "0", "1.0", "01"])),
    ("labels of composed and decomposed letters", "accents.csv", lambda: labelled(["é", "e\u0301", "a"])),
    ("JSON line that is no object", "list.jsonl", lambda: jsonl("[1, 2]\n")),
    ("two objects in a JSON line", "two.jsonl", lambda: jsonl('{"size": 1, "level": "low"} {"size": 2}\n')),
    ("JSON key that comes twice", "key.jsonl", lambda: jsonl('{"size": 1, "size": 2, "level": "low"}\n')),
    ("JSON value of another type", "type.jsonl", lambda: jsonl('{"size": "big", "colour": "red", "level": "low"}\n')),
    ("svmlight index of 2·10⁹", "huge_index.svm", lambda: svmlight("1 2000000000:1\n")),
    ("svmlight index beyond 2³¹", "beyond.svm", lambda: svmlight("1 2147483648:1\n")),
    ("svmlight index below zero", "negative.svm", lambda: svmlight("1 -4:1\n")),
    ("svmlight index that comes twice", "twice.svm", lambda: svmlight("1 4:1 4:2\n")),
    ("svmlight value that is NaN", "nan.svm", lambda: svmlight("1 1:nan\n")),
    ("zip archive", "archive", lambda: b"PK\3\4" + bytes(60)),
]


def commands(name: str) -> Iterator[list[str]]:
    target = [] if name.endswith(".svm") else ["--target", "level"]
    yield ["train", name, *target, "--out", "run", "--force", "--runs", "1", "--epochs", "1", "--json", "--quiet"]
    if not name.endswith(".svm"):
        yield ["predict", "model", name, "--out", "predictions.csv"]
        yield ["evaluate", "model", name]
        yield ["update", "model", name, "--out", "updated.safetensors"]


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
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                main(["train", "good.csv", "--target", "level", "--out", "model", "--runs", "1", "--epochs", "1"])
            yield Path(folder)
        finally:
            os.chdir(before)


def page() -> str:
    """Run everything, and give the page."""
    text = [
        "# Errors",
        "",
        "What the command line says of bad input. Wherever there is a sentence the exit code is 2, and nothing was",
        "written: a finished run, a model and a file of predictions that stood there stay as they were; `update` alone",
        "keeps what the rows before a bad one have taught it. A notice is no error. This page is made by",
        "`python tests/bad_inputs.py docs/errors.md`, and a test compares it with what is said. Where one row alone is",
        "bad, `--on-bad-row skip` goes on without it.",
        "",
        "|input|command|what is said|",
        "|-|-|-|",
    ]
    with place():
        for what, name, make in FILES:
            Path(name).write_bytes(make())
            found: dict[tuple[int, str], list[str]] = {}
            for command in commands(name):
                found.setdefault(said(command), []).append(command[0])
            for (code, sentence), names in found.items():
                shown = sentence.replace("|", "\\|").replace("<", "&lt;") or "nothing: it is read as it stands"
                kind = "notice: " if code == 0 and sentence and not sentence.startswith("notice") else ""
                text.append(f"|{what}|{', '.join(names)}|{kind}{shown}|")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
