"""Does any input crash, hang or fill the memory? The readers of models, svmlight, CSV, JSON lines, and the encoder.

    python benchmarks/fuzz.py TARGET SECONDS [SEED]

model, svmlight, csv, jsonl and encoder go through files, as users do; the others call what parses directly, some
hundred times as often, and hold it to what it must give: rows that are counted right, names that come back.

With atheris (`pip install atheris`) inputs are found by the coverage of the code, else they are good ones with
random changes. Anything but a sentence (SchussError) ends the run with a traceback, the input in `fuzz-TARGET.bin`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

ATHERIS = importlib.util.find_spec("atheris") is not None
if ATHERIS:
    import atheris

    with atheris.instrument_imports(include=["schuss"]):
        import schuss
        from schuss import sealed, settings
        from schuss.data import csv_blocks, csv_skip, csv_types, jsonl, svmlight
        from schuss.data.encoder import Encoder
        from schuss.data.open import open_source
        from schuss.data.schema import infer_schema
        from schuss.descent import initializers, losses, schedules, specs
        from schuss.descent.optimizers import Adam
        from schuss.descent.optimizers.hyperparameters import settings_of
else:
    import schuss
    from schuss import sealed, settings
    from schuss.data import csv_blocks, csv_skip, csv_types, jsonl, svmlight
    from schuss.data.encoder import Encoder
    from schuss.data.open import open_source
    from schuss.data.schema import infer_schema
    from schuss.descent import initializers, losses, schedules, specs
    from schuss.descent.optimizers import Adam
    from schuss.descent.optimizers.hyperparameters import settings_of

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz", dir="/dev/shm" if Path("/dev/shm").exists() else None))
LONGEST_SECONDS = 10.0


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


def svmlight_lines(data: bytes) -> None:
    """Parse lines: as many rows as lines that hold anything, with their pairs in order."""
    parsed = svmlight._parse(data, "t", 0, 1)
    lines = [line for line in svmlight._plain(data).split(b"\n") if line.translate(None, svmlight._BLANKS)]
    assert len(parsed.labels) == len(parsed.lengths) == len(lines)
    assert parsed.lengths.sum() == len(parsed.indices) == len(parsed.values)
    assert not len(parsed.indices) or 1 <= parsed.indices.min() <= parsed.indices.max() < 2**31 - 1


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


def good_model() -> bytes:
    table = pa.table({"a": np.arange(40.0) % 7, "c": ["x", "y"] * 20, "y": ["u", "v", "v", "u"] * 10})
    schuss.train(table, "y", runs=1, epochs=1).model.save(FOLDER / "good.safetensors")
    return (FOLDER / "good.safetensors").read_bytes()


ROWS = b"".join(
    b"%d.5,%s,2024-01-%02d,%s\n" % (i, b"red" if i % 2 else b"blue", i % 28 + 1, b"uv"[i % 2 : i % 2 + 1])
    for i in range(40)
)
TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "model": (model, lambda: [good_model()]),
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


def changed(good: bytes, rng: random.Random) -> bytes:
    """Change, cut, copy or insert a few bytes."""
    data = bytearray(good)
    for _ in range(rng.randint(1, 6)):
        place, length = rng.randint(0, len(data)), rng.choice([1, 1, 2, 4, 16])
        piece = rng.choice(
            [rng.randbytes(length), bytes(data[place : place + length]) * 2, b"", b'"', b",", b"\n", b"nan", b"9" * 30]
        )
        data[place : place + rng.choice([0, length])] = piece
    return bytes(data)


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    run, seeds = TARGETS[name]
    good = seeds()
    started, cases, slowest = time.monotonic(), 0, 0.0

    def once(data: bytes) -> None:
        nonlocal cases, slowest
        cases += 1
        began = time.process_time()
        try:
            run(data)
        except schuss.SchussError:
            pass
        except Exception:
            Path(f"fuzz-{name}.bin").write_bytes(data)
            raise
        slowest = max(slowest, time.process_time() - began)
        if slowest > LONGEST_SECONDS:
            Path(f"fuzz-{name}.bin").write_bytes(data)
            raise TimeoutError(f"{slowest:.1f} s")
        if time.monotonic() - started > seconds:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            how = "by coverage (atheris)" if ATHERIS else "by chance"
            print(
                f"{name}: {cases:,} cases {how} in {seconds:.0f} s, slowest {slowest:.2f} s, {peak} MiB at most",
                flush=True,
            )
            os._exit(0)

    if ATHERIS:
        corpus = FOLDER / "corpus"
        corpus.mkdir()
        for number, data in enumerate(good):
            (corpus / str(number)).write_bytes(data)
        atheris.Setup([sys.argv[0], str(corpus), "-max_len=8192", "-rss_limit_mb=4096", "-verbosity=0"], once)
        atheris.Fuzz()
        return
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    while True:
        once(changed(rng.choice(good), rng))


if __name__ == "__main__":
    main()
