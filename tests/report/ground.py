"""Made-up measurements of the ground around a model, with a valley whose shape is known."""

import numpy as np


def bowl(size=25, spike=False):
    """A surface that is 0.1 + 1.5 a² + 0.2 b² and the path of a descent into it."""
    steps = np.linspace(-1, 1, size)
    losses = 0.1 + 1.5 * steps[None, :] ** 2 + 0.2 * steps[:, None] ** 2
    rows = losses.tolist()
    if spike:
        rows[0][0] = rows[0][1] = rows[1][0] = None
        rows[-1][-1] = 1e12
    path = [
        [-0.9 * 0.6**t, 0.8 * 0.9**t, 0.1 + 1.5 * (0.9 * 0.6**t) ** 2 + 0.2 * (0.8 * 0.9**t) ** 2] for t in range(12)
    ]
    return {
        "event": "surface",
        "of": "training rows",
        "rows": 1437,
        "directions": ["first direction of the path", "second direction of the path"],
        "a": steps.tolist(),
        "b": steps.tolist(),
        "losses": rows,
        "path": [[*point, f"after {t} epochs"] for t, point in enumerate(path)] + [[0.0, 0.0, 0.1, "the model"]],
        "center_loss": 0.1,
        "unit": "nats",
    }


def cut(direction, curvature, **more):
    """A slice through a parabola."""
    steps = np.linspace(-1, 1, 41)
    return {
        "event": "slice",
        "direction": direction,
        "t": steps.tolist(),
        "losses": (0.1 + curvature / 2 * steps**2).tolist(),
        "holdout_losses": None,
        "kinks": None,
        "rows": 1437,
        **more,
    }


def events():
    """One measurement of each kind."""
    grid, rates = np.logspace(-6, 0.3, 60), np.logspace(-4, 1, 16)
    x = np.linspace(-2, 2, 30)
    classes = (x[None, :] ** 2 + x[:, None] ** 2 > 1.4).astype(int) + (x[None, :] + x[:, None] > 2)
    return [
        {**bowl(), "directions": ["random", "another random"], "path": []},
        bowl(spike=True),
        cut("from the start to the model", 4.0, holdout_losses=(0.15 + 2 * np.linspace(-1, 1, 41) ** 2).tolist()),
        cut("steepest curvature", 3.0),
        cut("random", 1.0, rows=1, kinks=[-0.3, 0.4]),
        cut("random", 0.5, rows=3, kinks=[]),
        {
            "event": "step_sizes",
            "at": "start",
            "rates": rates.tolist(),
            "losses": (0.1 + 1.9 * (1 - rates) ** 2).tolist(),
            "before": 2.0,
            "edge": 2.0,
        },
        {
            "event": "curvature",
            "eigenvalues": [1.2, 0.8, 0.5, 0.3],
            "residuals": [1e-7] * 4,
            "trace": 9.2,
            "trace_error": 0.1,
            "parameters": 650,
            "ravine": {"first_to_tenth": 9.1, "first_to_median": 88.0},
            "negative_mass": None,
        },
        {
            "event": "spectrum",
            "scale": "log",
            "grid": grid.tolist(),
            "density": np.exp(-((np.log10(grid) + 3) ** 2)).tolist(),
            "spread": [0.02] * grid.size,
            "probes": 8,
        },
        {
            "event": "sharpness",
            "keskar": 0.11,
            "epsilon": 1e-3,
            "basin": {"rise": 0.1, "radius": {"0.05": 0.2, "0.5": 0.45, "0.95": 0.8}, "directions": 64},
            "log_volume": -292.0,
            "bits": {"bits": [2, 4, 6, 8], "losses": [2.1, 0.4, 0.1, 0.1], "needed": 6, "rise": 0.01},
        },
        {"event": "noise", "scale": 1085.0, "error": 58.0, "batch_size": 32},
        {"event": "touched", "quantiles": {"0.5": 0.6}, "rare_share": 0.08, "rare_below": 0.01, "features": 61},
        {
            "event": "boundary",
            "x": x.tolist(),
            "y": x.tolist(),
            "classes": classes.tolist(),
            "names": ["ham", "spam", "other"],
            "axes": ["first coordinate", "second coordinate"],
            "points": [[0.0, 0.0, 0], [1.5, 1.5, 2], [9.0, 9.0, 1]],
            "share": 0.61,
        },
        {
            "event": "advice",
            "rules": [
                {
                    "rule": "ravine",
                    "sentence": "The valley is a ravine: use momentum.",
                    "numbers": {"first_to_median": 88.0},
                    "source": "a textbook, section 8",
                }
            ],
        },
    ]


def damaged():
    """Measurements that lack parts, or whose parts do not fit each other, each with a name."""
    whole = bowl()
    steps = [-1.0, 0.0, 1.0]
    return {
        "no losses": {"event": "surface", "a": steps, "b": steps},
        "ragged": {**whole, "losses": [row[: 25 - at % 2] for at, row in enumerate(whole["losses"])]},
        "nothing finite": {**whole, "losses": [[None] * 25] * 25},
        "not rising": {**whole, "a": [0.0] * 25},
        "flat": {**whole, "losses": [[0.5] * 25] * 25},
        "negative": {**whole, "losses": (np.array(whole["losses"]) - 9).tolist()},
        "path of words": {**whole, "path": [["a", "b", "c"], 3, [0.0], [0.1, None, 1.0], [5.0, 5.0, 1.0, "beside"]]},
        "no directions": {**whole, "directions": None, "unit": None},
        "slice too short": {"event": "slice", "t": [0.0], "losses": [1.0]},
        "slice of one number": {"event": "slice", "t": steps, "losses": [None, 1.0, 1.0], "kinks": [None, "x", 0.5]},
        "steps": {"event": "step_sizes", "rates": [0.0, -1.0, 0.1, 0.2], "losses": [1, 1, None, 0.5]},
        "steps all lost": {"event": "step_sizes", "rates": [0.1, 0.2], "losses": [None, None], "edge": None},
        "curvature of nothing": {"event": "curvature", "eigenvalues": [None], "residuals": [], "ravine": None},
        "curvature of one": {"event": "curvature", "eigenvalues": [0.5], "residuals": []},
        "negative curvature": {"event": "curvature", "eigenvalues": [0.5, -0.5], "residuals": [0.0, 0.0]},
        "spectrum": {"event": "spectrum", "grid": steps, "density": [0.0, 0.0, 0.0]},
        "linear spectrum": {"event": "spectrum", "grid": steps, "density": [0.1, 5.0, 0.0], "spread": [0.1, None, 0.1]},
        "spectrum with logarithms of zero": {"event": "spectrum", "scale": "log", "grid": [0, 1], "density": [1, 1]},
        "sharpness": {"event": "sharpness", "bits": {"bits": [2, None], "losses": [1.0]}, "basin": 3},
        "boundary": {"event": "boundary", "x": steps, "y": steps, "classes": [[0, 1, 7]] * 3, "names": ["a", "b"]},
        "advice": {"event": "advice", "rules": [{"rule": "x"}, 3, {"sentence": "Do.", "numbers": {"n": None}}]},
        "nulls": {"event": "noise", "scale": None, "error": None},
    }
