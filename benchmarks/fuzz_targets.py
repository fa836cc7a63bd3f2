"""What `fuzz.py` gives its inputs to, and good inputs to begin with: readers of models and files, and the encoder."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

import schuss
from schuss import sealed
from schuss.data import csv_blocks, csv_skip, csv_types, jsonl, svmlight
from schuss.data import encoder as encoder_room
from schuss.data import schema as schema_room
from schuss.data.chunk import SparseRows, row_count
from schuss.data.columns.convert import in_one_piece
from schuss.data.columns.place import Place, fitting
from schuss.data.encoder import Encoder
from schuss.data.open import open_source
from schuss.data.schema import Role, infer_schema
from schuss.descent import initializers, losses, schedules, specs
from schuss.descent.optimizers import Adam
from schuss.descent.optimizers.hyperparameters import settings_of
from schuss.training import settings

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz", dir="/dev/shm" if Path("/dev/shm").exists() else None))


def resealed(content: bytes) -> bytes:
    """Make the sum fit, so that what lies behind it is reached."""
    import hashlib

    digits = slice(35, 99)
    if len(content) < 99:
        return content
    blank = content[:35] + b"0" * 64 + content[99:]
    return content[: digits.start] + hashlib.sha256(blank).hexdigest().encode() + content[digits.stop :]


def model(data: bytes) -> None:
    path = FOLDER / "m.safetensors"
    path.write_bytes(resealed(data))
    schuss.Model.load(path).predict(pa.table({"a": [1.0], "c": ["x"]}))


def values(data: bytes) -> None:
    """Load a model whose plain values have been changed, and all else is right: the sum, the sizes, the arrays."""
    begin, changed_values, end = GOOD_VALUES[0], data, GOOD_VALUES[1]
    try:
        told = json.dumps(changed_values.decode("ascii")).encode()
    except UnicodeDecodeError:
        return
    header = begin + told + end
    header += b" " * (-len(header) % 8)
    path = FOLDER / "v.safetensors"
    path.write_bytes(resealed(len(header).to_bytes(8, "little") + header + GOOD_VALUES[2]))
    schuss.Model.load(path).predict(pa.table({"a": [1.0], "c": ["x"]}))


GOOD_VALUES = [b"", b"", b""]


def good_values() -> list[bytes]:
    """Take a good model apart: what comes before its values in the header, what comes after, the arrays."""
    content = good_model()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip()
    told = json.loads(header)["__metadata__"]["values"]
    quoted = json.dumps(told).encode()
    place = header.index(quoted)
    GOOD_VALUES[:] = header[:place], header[place + len(quoted) :], content[8 + length :]
    return [told.encode()]


def reader(form: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        path = FOLDER / f"t.{form}"
        path.write_bytes(data)
        for how in ("stop", "skip"):
            with contextlib.suppress(schuss.SchussError):
                for _ in open_source(path, format=form, on_bad_row=how).batches():
                    pass

    return read


def encoder(data: bytes) -> None:
    """Infer the roles of columns made of the bytes, fit an encoder to them, and encode them."""
    path = FOLDER / "e.csv"
    path.write_bytes(b"a,b,c,y\n" + data)
    source = open_source(path, format="csv", on_bad_row="skip")
    table = pa.Table.from_batches([batch.table for batch in source.batches()])
    schema = infer_schema(table, name="t", target="y")
    fitted = Encoder.fit(table, schema, name="t")
    for batch in source.batches():
        fitted.encode(batch.table, where="t", first_row=batch.row)


def floats(data: bytes) -> pa.Array:
    return pa.array(np.frombuffer(data[: len(data) & ~7], np.float64))


def words_of(data: bytes) -> pa.Array:
    return pa.array([word.decode("utf-8", "replace") or None for word in data.split(b"\n")], pa.string())


def lists(data: bytes) -> pa.Array:
    """Lists of numbers of lengths that the bytes tell."""
    numbers = np.frombuffer(data, np.int8)
    offsets = np.minimum(np.append(0, np.cumsum(numbers & 3)), len(numbers)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers.astype(np.float32)))


def pairs(data: bytes) -> pa.Array:
    """Sparse rows: lists of indices and values of lengths that the bytes tell."""
    numbers = np.frombuffer(data[: len(data) & ~7], np.int32).reshape(-1, 2)
    offsets = np.minimum(np.append(0, np.cumsum(numbers[:, 0] & 3)), len(numbers)).astype(np.int32)
    fields = [pa.field("index", pa.int32(), nullable=False), pa.field("value", pa.float32(), nullable=False)]
    columns = [pa.array(numbers[:, 0] % 1000), pa.array(numbers[:, 1].copy().view(np.float32))]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(columns, fields=fields))


KINDS: tuple[Callable[[bytes], pa.Array], ...] = (
    floats,
    words_of,
    lambda data: pa.array(np.frombuffer(data, np.int8)),
    lambda data: pa.array(np.frombuffer(data[: len(data) & ~7], np.int64)),
    lambda data: pa.array(np.frombuffer(data[: len(data) & ~1], np.float16)),
    lambda data: pa.array([None if byte & 2 else bool(byte & 1) for byte in data], pa.bool_()),
    lambda data: pa.array(np.frombuffer(data[: len(data) & ~7], np.int64)).cast(pa.timestamp("us")),
    lambda data: pa.array(np.frombuffer(data[: len(data) & ~3], np.int32)).cast(pa.date32()),
    lambda data: words_of(data).dictionary_encode(),
    lambda data: pa.array([None if byte == 0 else float(byte) for byte in data], pa.float64()),
    lists,
    pairs,
    lambda data: words_of(data).cast(pa.large_string()),
    lambda data: pa.array(data.split(b" "), pa.binary()),
    lambda data: pa.array([byte or None for byte in data], pa.int16()).cast(pa.decimal128(9, 2)),
)
NAMES = ("a", "id", "<script>", "unnamed: 0", "", "é")


def column_of(data: bytes) -> tuple[str, pa.Array]:
    """Make a column: its first byte tells its type, its second one its name, the others are its values."""
    kind, name, content = data[0] % len(KINDS), NAMES[data[1] % len(NAMES)], data[2:]
    return name, KINDS[kind](content)


def sample_of(data: bytes) -> tuple[pa.Table, str]:
    """Make a table of one column and a target, which are the same where the third byte says so."""
    name, values = column_of(data)
    if data[2] & 7 == 7:
        return pa.table({name: values, "rows": np.arange(len(values)) % 5}), name
    return pa.table({name: values, "y": np.arange(len(values)) % (2 + data[2] % 30)}), "y"


def schema(data: bytes) -> None:
    """Infer roles and task of a column of any type: it has a role, or the reason why it is left out."""
    if len(data) < 4:
        return
    table, target = sample_of(data)
    found = infer_schema(table, name="t", target=target, task=("auto", "classification", "regression")[data[3] % 3])
    assert [column.name for column in found.columns] == table.column_names
    assert found.features()


def columns(data: bytes) -> None:
    """Judge a column of any type, as a target too; fit an encoder to one half of it and encode the other, both ways."""
    if len(data) < 4:
        return
    name, values = column_of(data)
    if not len(values):  # no sample is without rows
        return
    place = Place("t", 0, name)
    if data[2] & 3 == 3:
        with contextlib.suppress(schuss.SchussError), fitting(values, place, Role.TARGET):
            schema_room._judge_task(in_one_piece(values), place, ("auto", "classification", "regression")[data[3] % 3])
    with fitting(values, place, "feature"):
        role = schema_room._judge(name, in_one_piece(values)).role
    if role is Role.IGNORED:
        return
    half = (len(values) + 1) // 2
    first, rest = in_one_piece(values.slice(0, half)), in_one_piece(values.slice(half - half // 4))
    fitted = encoder_room._fit_column(role, first, place, {}, 6, None).laid_out(bool(data[3] & 4))
    with fitting(rest, place, role):
        prepared = fitted.prepare(rest, place)
        fitted.unseen(prepared)
        out = np.empty((len(rest), len(fitted.scale.centre)), np.float32)
        fitted.write(prepared, slice(0, len(rest)), out)
        assert np.isfinite(out).all()
        entries = fitted.entries(prepared, slice(0, len(rest)))
        assert np.isfinite(entries.values).all()
        assert entries.counts.sum() == len(entries.indices) == len(entries.values)


def tables(data: bytes) -> None:
    """Fit an encoder to one half of a table of a column and a target and encode the other: its features are finite."""
    if len(data) < 4:
        return
    table, target = sample_of(data)
    half = (len(table) + 1) // 2
    found = infer_schema(table.slice(0, half), name="t", target=target)
    fitted = Encoder.fit(table.slice(0, half), found, name="t", sparse=(None, False, True)[data[3] % 3], hash_bits=6)
    rest = table.slice(half - half // 4).combine_chunks().to_batches()
    for batch in rest:
        whole = fitted.encode(batch, where="t", first_row=half, target=bool(data[3] & 4))
        given = whole.rows.values if isinstance(whole.rows, SparseRows) else whole.rows
        assert np.isfinite(given).all()
        assert row_count(whole.rows) == (len(batch) if whole.kept is None else whole.kept.sum())


def good_columns() -> list[bytes]:
    rng = random.Random(0)
    heads = [bytes([kind, kind % len(NAMES), 0, 0]) for kind in range(len(KINDS))]
    few, many = b"red\nblue\n\nred\n1.5\n2024-01-02\n" * 4, bytes(range(64)) * 2
    text = b"\n".join(b"some words of row %d" % rng.randrange(99) for _ in range(24))
    reals = np.random.default_rng(0).normal(size=24).tobytes()
    return [head + content for head in heads for content in (few, many, text, reals)]


def svmlight_lines(data: bytes) -> None:
    """Parse lines: as many rows as lines that hold anything, with their pairs in order."""
    parsed = svmlight._parse(data, "t", 0, 1)
    lines = [line for line in svmlight._plain(data).split(b"\n") if line.translate(None, svmlight._BLANKS)]
    assert len(parsed.labels) == len(parsed.ends) - 1 == len(lines)
    assert parsed.ends[-1] == len(parsed.indices) == len(parsed.values)
    assert not len(parsed.indices) or 0 <= parsed.indices.min() <= parsed.indices.max() < 2**31 - 2
    assert (np.diff(parsed.indices)[np.diff(np.repeat(np.arange(len(lines)), np.diff(parsed.ends))) == 0] > 0).all()


JSON_SCHEMA = pa.schema([("a", pa.float64()), ("b", pa.string()), ("c", pa.list_(pa.float64()))])


def json_lines(data: bytes) -> None:
    """Parse lines with known types: as many rows as lines that hold anything."""
    table = jsonl._parse(data, "t", 0, JSON_SCHEMA)
    assert table.schema.names == JSON_SCHEMA.names
    assert table.num_rows == sum(bool(line.strip()) for line in data.split(b"\n"))


CSV_SCHEMA = pa.schema([("a", pa.float64()), ("b", pa.dictionary(pa.int32(), pa.string())), ("c", pa.int64())])


def csv_lines(data: bytes) -> None:
    """Cut lines into blocks and read around what is bad: each line is a row, and is read or skipped."""
    import io

    with contextlib.suppress(csv_blocks.NotByLinesError):
        blocks = list(csv_blocks.line_blocks(io.BytesIO(data)))
        assert b"".join(blocks) == data
    if not data.strip(b"\r\n"):
        return
    table, skipped = csv_skip.read_lines(
        data, CSV_SCHEMA.names, csv_types.Dialect(",", quoting=False, header=False), CSV_SCHEMA, first=False
    )
    assert table.num_rows == sum(bool(line) for line in data.splitlines())
    assert all(0 <= row.place < table.num_rows for row in skipped)


def words(data: bytes) -> None:
    """Parse what a user may write behind an option: a value or a ValueError with one line."""
    text = data.decode("utf-8", "replace")
    assert ",".join(specs.split_specs(text)) == text
    parsers = (
        schedules.parse_schedule, initializers.parse_initializer, losses.family_of,
        lambda spec: settings_of(Adam(), spec), settings.parse_bytes, settings.parse_seconds,
    )  # fmt: skip
    for parse in parsers:
        with contextlib.suppress(ValueError, schuss.SchussError):
            parse(text)


HEADED = 3 * 2 * 4 + 4 * 8


def header(data: bytes) -> None:
    """Parse the header of a model file: what it declares fits into the file."""
    if not data.startswith(sealed._BEGIN):
        return
    try:
        _, arrays = sealed._parsed(data, "model", HEADED)
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    assert sum(sealed._bytes(array) for array in arrays.values()) == HEADED


def good_header() -> list[bytes]:
    values = {"classes": ["a", "b"], "columns": [{"name": "x", "mean": 1.5}], "version": 1}
    arrays = {"weights": np.zeros((3, 2), np.float32), "own.scale": np.ones(4)}
    return [sealed._header("model", values, arrays)]


GOOD_MODEL = """
import sys, numpy as np, pyarrow as pa, schuss
table = pa.table({"a": np.arange(40.0) % 7, "c": ["x", "y"] * 20, "y": ["u", "v", "v", "u"] * 10})
model = schuss.train(table, "y", runs=1, epochs=1).model
model.predict(pa.table({"a": [1.0], "c": ["x"]}))
model.save(sys.argv[1])
"""


def good_model() -> bytes:
    """Train a model, in a process of its own: code that is watched cannot be compiled."""
    path = FOLDER / "good.safetensors"
    subprocess.run([sys.executable, "-c", GOOD_MODEL, str(path)], check=True)
    return path.read_bytes()


ROWS = b"".join(
    b"%d.5,%s,2024-01-%02d,%s\n" % (i, b"red" if i % 2 else b"blue", i % 28 + 1, b"uv"[i % 2 : i % 2 + 1])
    for i in range(40)
)
TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "model": (model, lambda: [good_model()]),
    "values": (values, good_values),
    "schema": (schema, good_columns),
    "columns": (columns, good_columns),
    "tables": (tables, good_columns),
    "svmlight": (reader("svmlight"), lambda: [b"1 1:0.5 3:2 # c\n-1 qid:3 2:1e3\n", b"0 0:1\n"]),
    "csv": (reader("csv"), lambda: [b"a,b,c,y\n" + ROWS, b'a;"b"\n"x\ny";2\n']),
    "jsonl": (reader("jsonl"), lambda: [b'{"a": 1, "b": [1, 2]}\n{"a": null, "b": "x"}\n']),
    "encoder": (encoder, lambda: [ROWS]),
    "svmlight_lines": (svmlight_lines, lambda: [b"1 1:0.5 3:2 # c\n-1 qid:3 2:1e3\n", b"+1.5 7:nan 2:-1\n\n0\n"]),
    "json_lines": (json_lines, lambda: [b'{"a": 1, "b": "x", "c": [1, 2]}\n{"a": null, "d": {"e": 1}}\n\n']),
    "csv_lines": (csv_lines, lambda: [b"1.5,red,2\n-1e9,,7\n,blue,\n", b"1;2;3\r\n4,5,6\r\n"]),
    "words": (
        words,
        lambda: [b"warmup:0.1+step:0.5,every=0.25,cosine", b"adam:beta1=0.8,0.9", b"4.5GiB", b"huber:2.5"],
    ),
    "header": (header, good_header),
}
