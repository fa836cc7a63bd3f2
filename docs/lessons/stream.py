"""A stream whose truth turns round: the loss of the answers, of the model as it was trained, and of the truth."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import schuss
from schuss.report.figures.curves import Curve, Frame, chart

from .drawing import DOCS, NARROW, WIDE

ROWS, TURNS, TOGETHER = 24_000, 8000, 400


def rows(count: int = ROWS, turns: int = TURNS, seed: int = 0) -> tuple[pa.Table, np.ndarray]:
    """Ten numbers and a class; what makes the scores changes after so many rows, and back. And the true scores."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, 10))
    truths = rng.normal(size=(2, 10))
    scores = (X * truths[np.arange(count) // turns % 2]).sum(axis=1)
    goals = np.where(rng.random(count) < 1 / (1 + np.exp(-scores)), "yes", "no")
    return pa.table({f"x{place}": X[:, place] for place in range(10)} | {"y": goals}), scores


def losses(count: int = ROWS, turns: int = TURNS, together: int = TOGETHER) -> dict[str, np.ndarray]:
    """Mean losses of every so many rows after the training: of the truth, the trained model, and its update."""
    table, scores = rows(count, turns)
    first = turns // 2
    model = schuss.train(table.slice(0, first), "y", runs=8).model
    true = np.where(table["y"].to_numpy() == "yes", 1.0, -1.0)
    found = {"the truth": np.logaddexp(0, -true * scores)[first:]}
    said = model.predict(table.slice(first), proba=True)["p_yes"].to_numpy()
    found["as trained"] = -np.log(np.where(true[first:] > 0, said, 1 - said))
    means = {name: each.reshape(-1, together).mean(axis=1) for name, each in found.items()}
    updated = []
    for start in range(first, count, together):
        done = schuss.update(model, table.slice(start, together))
        model, loss = done.model, done.summary["loss"]
        updated.append(loss)
    return means | {"schuss update": np.array(updated)}


def draw() -> None:
    """Make the figure."""
    found = losses()
    colours = {"the truth": "muted", "as trained": "rate-9", "schuss update": "accent"}
    places = TURNS // 2 + TOGETHER * (np.arange(len(found["the truth"])) + 0.5)
    lines = [
        Curve(name, np.stack([places, each], axis=1), colours[name], 2.2 if name == "schuss update" else 1.6)
        for name, each in found.items()
    ]
    frame = Frame("rows", "log loss of the last 400 (nats)", (TURNS / 2, ROWS), (0.3, 1.7))
    label = "A truth that turns round at row 8,000 and back at 16,000: the trained model is lost, its update follows"
    for name, size in (("online", WIDE), ("online-narrow", NARROW)):
        chart(lines, frame, narrow=size is NARROW, size=size).save(DOCS / "_static" / f"{name}.svg", label)
