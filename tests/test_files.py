"""A file is replaced whole or not at all; one that is missing may have been misspelt."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

import schuss
from schuss import OutputError
from schuss.cli.main import main
from schuss.files import nearest, replacing


def test_replaces_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]


def test_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(OutputError, match=r"cannot write '.*a\.bin': no space left on device"), replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["missing/a.bin", "."])
def test_places_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    with pytest.raises(OutputError), replacing(tmp_path / place):
        pass
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with replacing(tmp_path / "a.bin") as file:
            file.write(b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640


def test_the_nearest_name_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "digits-digit").mkdir()
    for missing in (tmp_path / "digits-digti", str(tmp_path / "digits-digti")):
        assert nearest(missing) == f"; did you mean {tmp_path / 'digits-digit'}?"
    for other in ("digits-digit", "zebra", "nowhere/digits-digti"):
        assert nearest(tmp_path / other) == ""


def test_a_name_that_is_too_long_for_a_file() -> None:
    assert nearest("x" * 300 + ".csv") == ""


@pytest.mark.parametrize("command", ["train", "predict", "update", "export"])
def test_addresses_are_not_written_to(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(200, 2))
    schuss.train((X, X[:, 0] > 0), epochs=1, runs=2).model.save("model.safetensors")
    Path("rows.csv").write_text("x0,x1,y\n1,2,True\n3,4,False\n")
    out = ["--out", "s3://bucket/out.csv"]
    arguments = {
        "train": ["rows.csv", "--target", "y"],
        "export": ["model.safetensors", "--to", "json"],
    }.get(command, ["model.safetensors", "rows.csv"])
    assert main([command, *arguments, *out]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert (
        said == "schuss: 's3://bucket/out.csv' is an address: what is written goes to a file or folder of this machine"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "rows.csv"}
