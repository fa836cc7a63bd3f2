"""The record: order, JSON, what is not finite, a torn last line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from schuss.errors import DataError, OutputError
from schuss.race.record import Recorder, plain, read_record


def test_round_trip(tmp_path: Path) -> None:
    heard: list[dict] = []
    record = Recorder(tmp_path / "record.jsonl", heard.append)
    record("start", seed=np.int64(3), name="größe\n\u2028", none=None)
    record("evaluation", holdout_loss={0: float("nan"), 1: np.float32(0.5)}, losses=np.array([1.0, np.inf]))
    record.tell("progress", rows=3)
    record("finish", ok=True, pair=(1, 2.5))
    record.close()
    events = read_record(tmp_path / "record.jsonl")
    assert events == record.events == [
        {"event": "start", "seed": 3, "name": "größe\n\u2028", "none": None},
        {"event": "evaluation", "holdout_loss": {"0": None, "1": 0.5}, "losses": [1.0, None]},
        {"event": "finish", "ok": True, "pair": [1, 2.5]},
    ]  # fmt: skip
    assert [event["event"] for event in heard] == ["start", "evaluation", "progress", "finish"]
    for line in (tmp_path / "record.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_events_are_on_the_disk_at_once(tmp_path: Path) -> None:
    record = Recorder(tmp_path / "record.jsonl")
    for count in range(1, 4):
        record("evaluation", rows=count)
        assert len(read_record(tmp_path / "record.jsonl")) == count
    record.close()


def test_a_line_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    record = Recorder(path)
    record("start", seed=0)
    record("evaluation", text="ümlaut", rows=5)
    record.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        assert read_record(path) == record.events[:1], f"cut after {length} bytes"


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    for text in ("[1]\n", "not json\n", '{"no": "event"}\n', '{"event": "start"}\n{\n{"event": "finish"}\n'):
        path = tmp_path / "record.jsonl"
        path.write_text(text)
        with pytest.raises(DataError, match=r"record\.jsonl is not a record"):
            read_record(path)


def test_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        Recorder(tmp_path / "missing" / "record.jsonl")


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), np.float64("nan"), np.float32("inf")])
def test_plain_makes_null_of_what_is_not_finite(value: float) -> None:
    assert plain([value]) == [None]
    assert plain(np.array([value])) == [None]
    assert plain({"a": {"b": (value,)}}) == {"a": {"b": [None]}}
