"""What a training itself shows of the ground: when, and that it costs nobody anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import schuss
from schuss.judging import glance
from schuss.runs.folder import RECORD

GROUND = ("surface", "curvature", "touched", "advice")


def kinds(record: list[dict]) -> list[str]:
    return [event["event"] for event in record if event["event"] in GROUND]


def data(rows: int = 300, features: int = 4):
    values = np.random.default_rng(0).normal(size=(rows, features))
    return values, (values[:, 0] + 0.5 * values[:, 1] > 0).astype(int)


def test_a_small_training_shows_its_ground_and_ends_with_the_finish(tmp_path: Path) -> None:
    done = schuss.train(data(), runs=3, out=tmp_path)
    assert kinds(done.record) == list(GROUND)
    assert done.record[-1]["event"] == "finish"
    surface = next(event for event in done.record if event["event"] == "surface")
    assert [point[3] for point in surface["path"]] == ["zero weights", "end of the race", "model"]
    assert surface["path"][0][2] == pytest.approx(np.log(2), rel=1e-6)
    assert surface["path"][2][2] <= surface["path"][1][2]
    assert np.nanmin(surface["losses"]) >= 0.99 * surface["center_loss"]  # the finish has found the minimum
    again = schuss.train(data(), runs=3, out=tmp_path / "again")
    assert [one for one in again.record if one["event"] in GROUND] == [
        one for one in done.record if one["event"] in GROUND
    ]
    assert (tmp_path / RECORD).stat().st_size < 100_000


def test_losses_with_kinks_show_a_surface_without_curvature() -> None:
    assert kinds(schuss.train(data(), runs=2, epochs=1, loss="hinge").record) == ["surface", "touched", "advice"]


def test_work_that_would_be_noticed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "NUMBERS", 4 * glance.FEWEST_ROWS - 1)
    assert kinds(schuss.train(data(), runs=2, epochs=1).record) == []
    monkeypatch.setattr(glance, "NUMBERS", 4 * glance.FEWEST_ROWS)
    assert kinds(schuss.train(data(), runs=2, epochs=1).record) == list(GROUND)
    monkeypatch.setattr(glance, "PARAMETERS", 4)
    assert kinds(schuss.train(data(), runs=2, epochs=1).record) == []
