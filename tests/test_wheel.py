"""The built wheel, installed with its dependencies into an empty environment, does the main job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import schuss

ROOT = Path(__file__).parent.parent


def done(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def run(*command: str | Path, cwd: Path) -> str:
    found = done(*command, cwd=cwd)
    assert found.returncode == 0, f"{command}\n{found.stdout}\n{found.stderr}"
    return found.stdout


@pytest.mark.skipif("SCHUSS_TEST_WHEEL" not in os.environ, reason="needs PyPI; CI sets SCHUSS_TEST_WHEEL=1")
def test_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "empty", with_pip=True)
    bin = tmp_path / "empty" / ("Scripts" if os.name == "nt" else "bin")
    run(bin / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)

    assert run(bin / "schuss", "--version", cwd=tmp_path) == f"schuss {schuss.__version__}\n"
    rows = [f"{number},{number % 7},{'high' if number > 150 else 'low'}" for number in range(300)]
    (tmp_path / "small.csv").write_text("\n".join(["size,noise,level", *rows]) + "\n")
    summary = json.loads(run(bin / "schuss", "train", "small.csv", "--target", "level", "--json", cwd=tmp_path))
    assert summary["holdout"]["accuracy"] > 0.9
    predictions = run(bin / "schuss", "predict", summary["model"], "small.csv", cwd=tmp_path)
    assert len(predictions.splitlines()) == 1 + len(rows)
    assert Path(tmp_path, summary["report"]).exists()
    for extra, words in (
        ("torch", ["train", "small.csv", "--target", "level", "--network", "8", "--out", "network"]),
        ("ray", ["train", "small.csv", "--target", "level", "--workers", "1", "--cluster", "auto", "--out", "workers"]),
        ("onnx", ["export", summary["model"], "--to", "onnx", "--out", "small.onnx"]),
    ):
        refused = done(bin / "schuss", *words, cwd=tmp_path)
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
        assert f"pip install 'schuss[{extra}]'" in refused.stderr
