"""Why a few rows are enough: rows read, repeated rows, a bad row, batch sizes, orders."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from schuss.baselines import Step, gradient_descent, mini_batch
from schuss.data.chunk import Chunk
from schuss.descent.losses import SquaredError
from schuss.objective import LinearObjective
from schuss.report.figures.curves import Curve, Frame, colours

from . import drawing
from .problems import digits

REPEATS = 1200


def zeros(objective: LinearObjective) -> np.ndarray:
    """Weights to start from."""
    outputs = 1 if isinstance(objective.loss, SquaredError) else 10
    return np.zeros((objective.rows.rows.shape[1] + 1, outputs))


def measured(objective: LinearObjective, steps: Iterator[Step], rows: float, grow: float = 1.12) -> np.ndarray:
    """The loss over all rows along a descent, at rows ever farther apart: `(points, 2)`."""
    points: list[tuple[float, float]] = []
    due = 0.0
    for step in steps:
        if step.rows >= due:
            points.append((step.rows, float(objective.values(step.weights[None])[0])))
            due = max(step.rows * grow, 1.0)
        if step.rows >= rows:
            break
    return np.array(points)


def rows_to_reach(line: np.ndarray, loss: float) -> float:
    """Rows after which a descent first was at a loss, infinite if it never was."""
    below = np.flatnonzero(line[:, 1] <= loss)
    return float(line[below[0], 0]) if below.size else np.inf


def decaying(rate: float, rows: float) -> object:
    """A rate that falls as 1 / (1 + rows read / rows)."""
    return lambda read: rate / (1 + read / rows)


def by_rows(objective: LinearObjective, passes: int = 60) -> dict[str, np.ndarray]:
    """Full-batch descent beside mini-batches and single rows, by rows read."""
    start, many = zeros(objective), objective.pass_rows
    rate = 1.0 / 1.9  # over the steepest curvature of the standardised digits, measured
    descents = {
        "all rows": (gradient_descent(objective, start, np.random.default_rng(0), rate=rate), passes * many),
        "32 rows": (
            mini_batch(objective, start, np.random.default_rng(0), rate=decaying(0.1, 3 * many)), passes * many,
        ),
        "one row": (
            mini_batch(objective, start, np.random.default_rng(0), batch=1, rate=decaying(0.02, many)),
            passes // 6 * many,
        ),
    }  # fmt: skip
    return {name: measured(objective, steps, rows) for name, (steps, rows) in descents.items()}


def repeated(rows: int = 100, repeats: int = REPEATS, passes: int = 200) -> dict[str, np.ndarray]:
    """The same rows once and repeated: full-batch descent pays for each copy, mini-batches pay for none."""
    whole = digits()
    few = LinearObjective(Chunk(*(np.ascontiguousarray(part[:rows]) for part in whole.rows)), whole.loss, 1e-2)
    many = LinearObjective(Chunk(*(np.repeat(part, repeats, axis=0) for part in few.rows)), whole.loss, 1e-2)
    start, found = zeros(few), {}
    for name, objective in ((f"{rows} rows", few), (f"{rows} rows × {repeats:,}", many)):
        sampled = mini_batch(objective, start, np.random.default_rng(0), batch=10, rate=0.05)
        found[f"few: {name}"] = measured(few, sampled, passes * rows)
    descent = list(itertools.islice(gradient_descent(few, start, np.random.default_rng(0), rate=0.5), passes))
    check = list(itertools.islice(gradient_descent(many, start, np.random.default_rng(0), rate=0.5), 3))
    assert all(np.allclose(a.weights, b.weights) for a, b in zip(check, descent, strict=False))
    for copies in (1, repeats):  # the steps are the same, and each reads so many copies
        found[f"all: {rows} rows" + (f" × {repeats:,}" if copies > 1 else "")] = measured(
            few, (step._replace(rows=step.rows * copies) for step in descent), np.inf
        )
    return found


def bad_row(batches: tuple[int, ...] = (1, 32), rows: int = 2000) -> dict[str, np.ndarray]:
    """One row with a target a hundred standard deviations off: what it does to descent by one row and by 32."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(rows, 5))
    targets = features @ rng.normal(size=5) + 0.3 * rng.normal(size=rows)
    targets[rows // 2] += 100.0
    good = np.arange(rows) != rows // 2
    chunk = Chunk(features, targets, np.ones(rows))
    objective = LinearObjective(chunk, SquaredError(), 0.0)
    judge = LinearObjective(Chunk(features[good], targets[good], np.ones(rows - 1)), SquaredError(), 0.0)
    found = {}
    for batch in batches:
        name = "one row" if batch == 1 else f"{batch} rows"
        steps = mini_batch(objective, zeros(objective), np.random.default_rng(0), batch=batch, rate=0.03, order="keep")
        steps = itertools.takewhile(lambda step: step.rows < rows, steps)
        found[name] = np.array([(step.rows, float(judge.values(step.weights[None])[0])) for step in steps])
    return found


def batch_sizes(
    objective: LinearObjective, sizes: tuple[int, ...], loss: float, rates: tuple[float, ...], most: int
) -> np.ndarray:
    """Rows to read until the loss is reached, with the best rate for each batch size: `(sizes, 2)`."""
    found = []
    for size in sizes:
        best = np.inf
        for rate in rates:
            rng = np.random.default_rng(0)
            with np.errstate(over="ignore", invalid="ignore"):
                steps = mini_batch(objective, zeros(objective), rng, batch=size, rate=rate)
                line = measured(objective, steps, min(best, most), 1.08)
            best = min(best, rows_to_reach(line, loss))
        found.append((size, best))
    return np.array(found)


def orders(epochs: int = 40, seeds: int = 12, rows: int = 60) -> dict[str, np.ndarray]:
    """Excess loss after each epoch of single rows in different orders, least squares, a rate that falls with time."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(rows, 4))
    targets = features @ rng.normal(size=4) + rng.normal(size=rows)
    order = np.argsort(targets)  # rows as a file may have them: sorted
    objective = LinearObjective(Chunk(features[order], targets[order], np.ones(rows)), SquaredError(), 0.0)
    joined = np.column_stack([features, np.ones(rows)])
    best = float(objective.values(np.linalg.lstsq(joined, targets, rcond=None)[0][None, :, None])[0])
    names = {
        "keep": "as they are, sorted",
        "replace": "with replacement",
        "once": "one shuffle",
        "shuffle": "reshuffled",
    }
    found = {}
    for given, name in names.items():
        lines = []
        for seed in range(seeds):
            rate = decaying(0.1, rows)
            steps = mini_batch(
                objective, zeros(objective), np.random.default_rng(seed), batch=1, rate=rate, order=given
            )
            ends = itertools.islice(steps, 0, epochs * rows + 1, rows)
            weights = np.stack([step.weights for step in ends])
            lines.append(objective.values(weights) - best)
        found[name] = np.column_stack([np.arange(epochs + 1), np.mean(lines, axis=0)])
    return found


def draw() -> None:
    """Make the figures."""
    objective = digits()
    found = by_rows(objective)
    shades = dict(zip(found, ("rate-3", "rate-6", "rate-9"), strict=True))
    lines = [Curve(name, line, shades[name], 2.4) for name, line in found.items()]
    frame = Frame("rows read", "loss (nats)", (100, 60 * 1600), (0.05, 2.4), x_log=True)
    drawing.curves("by-rows", "Loss against rows read, for batches of all rows, 32 and one", lines, frame)

    found = repeated()
    lines = []
    for name, line in found.items():
        kind, said = name.split(": ")
        copied = "×" in said
        lines.append(
            Curve(
                f"{'all rows' if kind == 'all' else '10 rows'}{', copied' if copied else ''}",
                line,
                "rate-3" if kind == "all" else "rate-9",
                2.0 if not copied else 3.0,
                () if not copied else (2, 1.5),
            )
        )
    frame = Frame("rows read", "loss of the 100 rows (nats)", (10, 3e7), (0.0, 2.4), x_log=True)
    drawing.curves("repeated", "Loss against rows read, on 100 rows and on each of them 1,200 times", lines, frame)

    found = bad_row()
    lines = [
        Curve(name, line, colour, 2.0) for (name, line), colour in zip(found.items(), ("rate-9", "rate-3"), strict=True)
    ]
    frame = Frame("rows read", "loss of the good rows", (0, 2000), (0.03, 30.0), y_log=True)
    drawing.curves("bad-row", "Loss against rows read; after 1,000 rows comes a bad one", lines, frame)

    sizes = (1, 4, 16, 64, 256, 1600)
    reached = batch_sizes(objective, sizes, 0.25, tuple(np.geomspace(0.01, 1.5, 7)), 16 * 1600)
    lines = [
        Curve("rows", reached, "rate-9", 2.4, marks=True),
        Curve("steps", np.column_stack([reached[:, 0], reached[:, 1] / reached[:, 0]]), "rate-3", 2.4, marks=True),
    ]
    frame = Frame("rows in a batch", "to reach a loss of 0.25", (1, 1600), (5, 2e5), x_log=True, y_log=True)
    drawing.curves("batch-sizes", "Rows and steps that it takes to reach a loss, by batch size", lines, frame)

    found = orders()
    lines = [
        Curve(name, line, shade, 2.2) for (name, line), shade in zip(found.items(), colours(len(found)), strict=True)
    ]
    frame = Frame("epochs", "loss above the minimum", (0, 40), (1e-6, 3.0), y_log=True)
    drawing.curves("orders", "Loss above the minimum against epochs, for four orders of the rows", lines, frame)
