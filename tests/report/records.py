"""Made-up records that look like real ones: runs on a valley-shaped loss, with every way a run can go wrong."""

import copy
import math

import numpy as np

HOSTILE = [
    "<script>alert(1)</script>",
    "quote \" and ' apostrophe",
    "R&D; &amp; &lt;b&gt;",
    "$math_{x}^2$ and $half",
    "naïve café 日本語の列 🎿",
    "--> ]]> <!-- -->",
    "control \x00\x0b\x1b and \ud800 surrogate",
    "new\nline and\ttab",
    "rtl \u202e override",
    "{{ 7 * 7 }} {% raise %}",
    "a_very_long_column_name_" * 12,
    "</svg></style></title>",
    "javascript:alert(1)",
    "",
]


def _settings(optimizers, rates, penalties, schedule="linear", batch_size=32):
    grid = [(o, r, p) for o in optimizers for r in rates for p in penalties]
    return [
        {"run": i, "optimizer": o, "learning_rate": r, "l2": p, "schedule": schedule, "batch_size": batch_size}
        for i, (o, r, p) in enumerate(grid)
    ]


def _race(rng, runs, *, floor, constant, total, evaluations, best_rate, diverges_at):
    """Evaluations and drops: the loss falls as a power of rows × rate, towards a floor that rises with the rate."""
    moments = np.unique(np.geomspace(total / 400, total, evaluations).astype(int))
    racing = {run["run"]: run for run in runs}
    events, fate = [{"event": "leg", "leg": 0, "start_rows": 0, "planned_rows": total // 2, "epochs": 4}], {}
    noise = dict.fromkeys(racing, 0.0)
    second_leg = False
    for step, rows in enumerate(moments):
        losses = {}
        for run, held in racing.items():
            ratio = held["learning_rate"] / best_rate
            noise[run] = 0.6 * noise[run] + rng.normal(0, 0.012 * min(ratio, 6.0) ** 0.5)
            gone = math.exp(-((ratio * rows / (total * 0.02)) ** 0.55))
            plateau = 0.02 * max(0.0, math.log10(ratio)) ** 2 + 0.25 * (held["l2"] or 0) ** 0.5
            loss = floor + (constant - floor) * (gone + plateau) + noise[run] * (constant - floor) * 0.8
            if held["learning_rate"] >= diverges_at:
                loss = constant * math.exp((rows / total) ** 0.3 * 4 * ratio / 10)
                loss = None if loss > 1e6 else loss
            losses[str(run)] = loss
        train = {run: None if loss is None else loss * 1.02 for run, loss in losses.items()}
        events.append(
            {
                "event": "evaluation",
                "leg": int(second_leg),
                "rows": int(rows),
                "epoch": 8 * rows / total,
                "seconds": 6.0 * rows / total,
                "holdout_loss": losses,
                "behind_error": {run: 0.0 if loss is None else 0.1 * abs(loss - floor) for run, loss in losses.items()},
                "train_loss": train,
            }
        )
        for run, loss in losses.items():
            if loss is None or loss > 20 * constant:
                fate[int(run)] = "diverged"
        alive = sorted((k for k in losses if int(k) not in fate), key=lambda k: losses[k])
        keep = max(3, round(len(runs) * (1 - 1.1 * (step / len(moments)))))
        for run in alive[keep:] if step > 3 else []:
            fate[int(run)] = "behind"
        for run in [run for run in list(racing) if run in fate]:
            del racing[run]
            drop = {"event": "drop", "run": run, "leg": int(second_leg), "rows": int(rows), "reason": fate[run]}
            events.append({**drop, "holdout_loss": losses[str(run)]})
        if rows > total / 2 and not second_leg:
            second_leg = True
            events.append({"event": "leg", "leg": 1, "start_rows": int(rows), "planned_rows": total // 2, "epochs": 4})
    final = events and {int(k): v for e in events if e["event"] == "evaluation" for k, v in e["holdout_loss"].items()}
    winner = min(racing, key=lambda run: final[run]) if racing else None
    return events, winner, final


def _start(task, target, classes, name, columns, **more):
    return {
        "event": "start",
        "schuss": "0.1.0",
        "time": "2026-11-20T13:50:58+00:00",
        "command": f"schuss train {name} --target {target}",
        "source": {"name": name, "parts": [name], "rows": 327_346, "bytes": 14_212_412},
        "task": task,
        "target": target,
        "classes": classes,
        "loss": "log_loss" if task == "classification" else "squared_error",
        "sparse": False,
        "features": sum(c["features"] for c in columns),
        "columns": columns,
        "options": {
            "task": "auto",
            "optimizer": "auto",
            "learning_rate": "auto",
            "epochs": "auto",
            "runs": 16,
            "holdout": "0.1",
            "order": "shuffle",
            "threads": None,
            "seed": 0,
            "scan": False,
            "out": "runs/x",
        },
        "seed": 0,
        "versions": {"python": "3.11.9", "numpy": "2.4.6", "numba": "0.68.0", "pyarrow": "22.0.0"},
        "notices": ["Column 'tailnum' has 4,037 values in 262,144 rows: taken as an identifier and left out."],
        **more,
    }


COLUMNS = [
    {"name": "age", "role": "number", "note": "", "features": 1, "missing": 0.0, "mean": 38.6, "deviation": 13.6},
    {
        "name": "workclass",
        "role": "category",
        "note": "",
        "features": 9,
        "missing": 0.057,
        "categories": 9,
        "known": 9,
        "buckets": 0,
    },
    {"name": "education", "role": "category", "note": "", "features": 16, "missing": 0.0, "categories": 16},
    {
        "name": "capital_gain",
        "role": "number",
        "note": "",
        "features": 1,
        "missing": 0.0,
        "mean": 1079.1,
        "deviation": 7452.0,
    },
    {"name": "native_country", "role": "category", "note": "", "features": 42, "missing": 0.018, "categories": 42},
    {
        "name": "hours_per_week",
        "role": "number",
        "note": "",
        "features": 1,
        "missing": 0.0,
        "mean": 40.4,
        "deviation": 12.4,
    },
    {"name": "seen", "role": "datetime", "note": "month, day of the week, hour", "features": 7, "missing": 0.0},
    {"name": "tailnum", "role": "ignored", "note": "an identifier: 4,037 values", "features": 0, "missing": 0.0},
    {"name": "year", "role": "ignored", "note": "constant: 2013", "features": 0, "missing": 0.0},
    {"name": "income", "role": "target", "note": "", "features": 0, "missing": 0.0},
]


def _weights(rng, names, outputs, most=40):
    pairs = [(n, o) for n in names for o in outputs]
    values = sorted(rng.laplace(0, 0.5, len(pairs)), key=abs, reverse=True)
    order = rng.permutation(len(pairs))
    return [
        {
            "feature": pairs[i][0],
            "output": pairs[i][1],
            "weight": float(w),
            "in_data_units": float(w / rng.uniform(0.5, 900)),
            "unit": "" if "=" in pairs[i][0] else f"per unit of {pairs[i][0]}",
        }
        for i, w in zip(order, values, strict=True)
    ][:most]


def _finish(winner, runs, holdout, outcome="converged", **more):
    chosen = {k: v for k, v in next((r for r in runs if r["run"] == winner), {}).items() if k != "run"}
    return {
        "event": "finish",
        "outcome": outcome,
        "advice": "",
        "winner": winner,
        "chosen": {**chosen, "epochs": 8.0},
        "holdout": holdout,
        "rows": 2_356_000,
        "seconds": 6.4,
        "rows_per_second": 368_125.0,
        "peak_memory_bytes": 411_041_792,
        **more,
    }


def looked_at(names):
    """What a newer record also tells: columns that matter, and how far held-out rows are from those learned from."""
    columns = [{"column": name, "spread": 2.9 / (1 + at)} for at, name in enumerate(names)]
    apart = [
        {"name": name, "feature": name, "difference": 0.31 / (1 + at), "beyond_chance": at == 0}
        for at, name in enumerate(names[:4])
    ]
    drift = {"rows": 3236, "against": 20_000, "features": 83, "beyond_chance": 1, "columns": apart}
    return {"columns": columns, "drift": drift}


def thresholds():
    """The thresholds of scores whose ROC curve is y = x^(1/4), of an area of 4/5."""
    true = np.round(3866 * np.linspace(0, 1, 120)).astype(int)
    return {
        "negatives": 12_415,
        "positives": 3866,
        "false_positives": np.round(12_415 * (true / 3866) ** 4).astype(int).tolist(),
        "true_positives": true.tolist(),
    }


def newer(record):
    """The record as it is written today, of one as it was at first."""
    record = copy.deepcopy(record)
    finish = record[-1]
    names = [column["name"] for column in record[0]["columns"] if column["features"]]
    finish |= looked_at(names)
    finish["weights"] = [{**weight, "importance": abs(weight["weight"]) / 2} for weight in finish["weights"]]
    finish["intervals"] = {"loss": [0.31, 0.33], "gain": [0.22, 0.24]}
    if "confusion" in finish:
        finish["curve"] = thresholds()
        finish["holdout"] |= {"auc": 0.8, "average_precision": 0.7}
        finish["intervals"] |= {"accuracy": [0.845, 0.856], "auc": [0.79, 0.81], "average_precision": [0.68, 0.72]}
    return record


def binary(seed=0, rates=None, optimizers=("adam",), penalties=(1e-6, 1e-4)):
    """A race of 16 runs for two classes."""
    rng = np.random.default_rng(seed)
    rates = rates or [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
    runs = _settings(optimizers, rates, penalties)
    events, winner, _ = _race(
        rng, runs, floor=0.316, constant=0.552, total=2_356_000, evaluations=48, best_rate=0.01, diverges_at=1.0
    )
    confusion = [[11_552, 863], [1_570, 2_296]]
    holdout = {
        "rows": 16_281,
        "loss": 0.3204,
        "accuracy": (11_552 + 2_296) / 16_281,
        "constant_loss": 0.5513,
        "select_loss": 0.3181,
        "brier": 0.1012,
    }
    told = np.linspace(0.01, 0.99, 15) ** 1.5
    reliability = {
        "predicted": told.tolist(),
        "actual": np.clip(told + rng.normal(0, 0.02, 15), 0, 1).tolist(),
        "rows": [1086] * 6 + [1085] * 9,
    }
    names = [
        "age",
        "capital_gain",
        "hours_per_week",
        *(f"education={e}" for e in ("Bachelors", "Masters", "Doctorate", "11th", "Preschool")),
        *(f"native_country={c}" for c in ("Philippines", "Mexico", "Cambodia", "Holand-Netherlands")),
        "workclass=?",
        *(f"occupation={o}" for o in ("Exec-managerial", "Priv-house-serv", "Other-service", "Prof-specialty")),
        "seen: day of the week 7",
    ]
    return [
        _start("classification", "income", ["<=50K", ">50K"], "data/adult.csv", COLUMNS),
        {
            "event": "data",
            "training_rows": 294_611,
            "select_rows": 16_280,
            "score_rows": 16_281,
            "skipped_rows": 0,
            "twins": 0.0021,
            "constant_loss": 0.552,
        },
        {"event": "runs", "runs": runs},
        *events,
        _finish(
            winner, runs, holdout, confusion=confusion, reliability=reliability, weights=_weights(rng, names, [">50K"])
        ),
    ]


def multiclass(seed=1, classes=10):
    """A race of three optimizers for many classes."""
    rng = np.random.default_rng(seed)
    runs = _settings(["adagrad", "adam", "sgd"], [0.001, 0.01, 0.1, 0.5, 1.0], [1e-5])
    constant = math.log(classes)
    events, winner, _ = _race(
        rng, runs, floor=0.11, constant=constant, total=180_000, evaluations=60, best_rate=0.05, diverges_at=1.0
    )
    names = [str(i) for i in range(classes)] if classes <= 10 else [f"species number {i}" for i in range(classes)]
    confusion = rng.poisson(1.2, (classes, classes)) + np.diag(rng.integers(70, 95, classes))
    columns = [{"name": "x", "role": "vector", "note": "", "features": 64, "missing": 0.0}]
    holdout = {
        "rows": int(confusion.sum()),
        "loss": 0.112,
        "accuracy": float(confusion.trace() / confusion.sum()),
        "constant_loss": constant,
        "select_loss": 0.12,
    }
    start = _start("classification", "y", names, "digits.npz", columns)
    return [
        start,
        {
            "event": "data",
            "training_rows": 1_437,
            "select_rows": 180,
            "score_rows": 180,
            "skipped_rows": 0,
            "twins": 0.0,
            "constant_loss": constant,
        },
        {"event": "runs", "runs": runs},
        *events,
        _finish(
            winner,
            runs,
            holdout,
            confusion=confusion.tolist() if classes <= 30 else None,
            weights=_weights(rng, [f"x[{i}]" for i in range(64)], names),
        ),
    ]


def regression(seed=2):
    """A race of 16 runs for a number."""
    rng = np.random.default_rng(seed)
    runs = _settings(["adam", "momentum"], [1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0], [1e-4])
    events, winner, _ = _race(
        rng, runs, floor=310.0, constant=1992.0, total=1_200_000, evaluations=40, best_rate=0.01, diverges_at=0.3
    )
    actual = rng.gamma(2.0, 22.0, 500) - 30
    predicted = actual + rng.standard_t(3, 500) * 12
    counts, edges = np.histogram(rng.standard_t(3, 20_000) * 12, bins=40, range=(-80, 80))
    holdout = {"rows": 20_000, "loss": 321.4, "r2": 0.8386, "constant_loss": 1992.0, "select_loss": 318.0}
    start = _start(
        "regression",
        "arr_delay",
        None,
        "nycflights13/flights.parquet",
        [*COLUMNS[:7], {**COLUMNS[-1], "name": "arr_delay"}],
    )
    return [
        start,
        {
            "event": "data",
            "training_rows": 287_346,
            "select_rows": 20_000,
            "score_rows": 20_000,
            "skipped_rows": 9_430,
            "twins": 0.0,
            "constant_loss": 1992.0,
        },
        {"event": "runs", "runs": runs},
        *events,
        _finish(
            winner,
            runs,
            holdout,
            residuals={
                "predicted": predicted.tolist(),
                "actual": actual.tolist(),
                "edges": edges.tolist(),
                "counts": counts.tolist(),
            },
            weights=_weights(
                rng,
                ["dep_delay", "distance", "hour", "air_time", *(f"carrier={c}" for c in ("AA", "UA", "B6", "HA"))],
                [None],
            ),
        ),
    ]


def hostile():
    """Every string of the record is an attack or a nuisance."""
    record = copy.deepcopy(binary(seed=3))
    start, finish = record[0], record[-1]
    start["source"] = {"name": HOSTILE[0], "parts": HOSTILE, "rows": None, "bytes": None}
    start["command"] = f"schuss train {HOSTILE[0]} --target {HOSTILE[1]}"
    start["target"] = HOSTILE[0]
    start["classes"] = HOSTILE
    start["columns"] = [
        {"name": n, "role": "category", "note": n, "features": 2, "missing": 0.5, "categories": HOSTILE}
        for n in HOSTILE
    ]
    start["columns"] += [{"name": n, "role": "ignored", "note": n, "features": 0, "missing": 0.0} for n in HOSTILE]
    start["options"] = {name: name for name in HOSTILE}
    start["versions"] = {name: name for name in HOSTILE}
    start["notices"] = HOSTILE
    start["loss"] = HOSTILE[3]
    start["schuss"] = start["time"] = HOSTILE[0]
    record[2]["runs"] = [
        {**run, "optimizer": HOSTILE[i % len(HOSTILE)], "schedule": HOSTILE[-1 - i % len(HOSTILE)]}
        for i, run in enumerate(record[2]["runs"])
    ]
    size = len(HOSTILE)
    finish.update(outcome=HOSTILE[0], advice=HOSTILE[0], chosen={name: name for name in HOSTILE})
    finish["confusion"] = (np.eye(size, dtype=int) * 7).tolist()
    finish["weights"] = [
        {"feature": n, "output": o, "weight": 1.0 - i / 9, "in_data_units": 0.1, "unit": n}
        for i, (n, o) in enumerate(zip(HOSTILE, HOSTILE[::-1], strict=True))
    ]
    return record


def degenerate():
    """Records of runs that went wrong, stopped early or are unusual, each with a name."""
    whole, number = binary(seed=4), regression(seed=5)
    evaluations = [e for e in whole if e["event"] == "evaluation"]

    def without(*kinds, record=whole):
        return [e for e in copy.deepcopy(record) if e["event"] not in kinds]

    def changed(kind, record=whole, **more):
        return [{**e, **more} if e["event"] == kind else e for e in copy.deepcopy(record)]

    one_run = copy.deepcopy(without("drop"))
    for event in one_run:
        if event["event"] == "runs":
            event["runs"] = event["runs"][:1]
        if event["event"] == "evaluation":
            event["holdout_loss"] = {"0": 0.4}
            event["train_loss"] = {}
        if event["event"] == "finish":
            event["winner"] = 0
    everything_diverges = [
        *without("drop", "evaluation", "finish"),
        {**evaluations[0], "holdout_loss": {str(i): None for i in range(16)}},
    ]
    everything_diverges += [
        {"event": "drop", "run": i, "leg": 0, "rows": 5_890, "reason": "diverged", "holdout_loss": None}
        for i in range(16)
    ]
    spiky = copy.deepcopy(whole)
    for i, event in enumerate(e for e in spiky if e["event"] == "evaluation"):
        if i % 7 == 3:
            event["holdout_loss"] = {run: (loss or 1.0) * 1e12 for run, loss in event["holdout_loss"].items()}
    nulls = copy.deepcopy(whole)
    for event in nulls:
        for key in [key for key in event if key != "event"]:
            event[key] = None
    flat = changed("evaluation", holdout_loss={str(i): 0.5 for i in range(16)})
    negative = changed("evaluation", holdout_loss={str(i): -1.0 - i for i in range(16)})
    not_numbers = changed("evaluation", holdout_loss={i: float("nan") if i % 2 else float("inf") for i in range(16)})
    crowd = without("runs", "evaluation", "drop")
    crowd[2:2] = [
        {"event": "runs", "runs": _settings(["adam"], np.geomspace(1e-5, 10, 256).tolist(), [0.0])},
        *(
            {**e, "holdout_loss": {str(i): 0.3 + i / 999 + 1 / (1 + k) for i in range(256)}}
            for k, e in enumerate(evaluations)
        ),
    ]
    lean = [{"event": "start"}, {"event": "finish"}]
    return {
        "empty": [],
        "start only": whole[:1],
        "start and data": whole[:2],
        "runs, no evaluation": whole[:3],
        "one evaluation": whole[:5],
        "killed": without("finish"),
        "failed": [
            *without("finish"),
            {"event": "error", "message": "adult.csv, row 8,123, column 'age': 'x' is not a number"},
        ],
        "interrupted": changed("finish", outcome="interrupted", advice="Go on with `schuss resume runs/adult-income`."),
        "time limit": changed("finish", outcome="time limit"),
        "no holdout": changed("finish", holdout=None, confusion=None, weights=None),
        "no weights": changed("finish", weights=[]),
        "worse than constant": changed(
            "finish", holdout={"rows": 5, "loss": 0.9, "accuracy": 0.2, "constant_loss": 0.6}
        ),
        "one run": one_run,
        "all diverged": everything_diverges,
        "all diverged, finished": [*everything_diverges, {"event": "finish", "outcome": "diverged", "winner": None}],
        "spikes": spiky,
        "nulls": nulls,
        "flat": flat,
        "negative losses": negative,
        "not finite": not_numbers,
        "256 runs": crowd,
        "100 classes": multiclass(seed=6, classes=100),
        "30 classes": multiclass(seed=7, classes=30),
        "reliability broken": changed("finish", reliability={"predicted": [2.0, None, 0.5], "actual": [0.1, 0.2, 0.5]}),
        "confusion of zeros": changed("finish", confusion=[[0, 0], [0, 0]]),
        "confusion not square": changed("finish", confusion=[[1, 2], [3]]),
        "residuals equal": changed(
            "finish", number, residuals={"predicted": [1.0] * 5, "actual": [1.0] * 5, "edges": [], "counts": []}
        ),
        "residuals broken": changed(
            "finish",
            number,
            residuals={"predicted": [None, 1e300, 3.0], "actual": [1.0, -1e300], "edges": [0], "counts": [2]},
        ),
        "weights broken": changed(
            "finish", weights=[{"feature": None, "weight": None}, {"weight": 0.0}, {"feature": "a", "weight": 1e-30}]
        ),
        "from Python": changed("start", command=None, options={"learning_rate": 0.1, "ignore": ["a", "b"], "l2": None}),
        "newer": newer(whole),
        "newer, of numbers": newer(number),
        "thresholds broken": changed("finish", curve={**thresholds(), "true_positives": [3, 2, None]}),
        "thresholds of one class": changed("finish", curve={**thresholds(), "positives": 0}),
        "intervals broken": changed("finish", intervals={"accuracy": [0.9], "loss": [2, 1], "auc": None, "gain": 3}),
        "columns broken": changed("finish", columns=[{"column": None}, 3, {"column": "a", "spread": 0.0}]),
        "drift broken": changed("finish", drift={"features": 3, "columns": [{"name": None}, 3], "beyond_chance": None}),
        "many columns": changed(
            "start", columns=[{"name": f"c{i}", "role": "number", "features": 1, "missing": None} for i in range(3000)]
        ),
        "lean": lean,
        "hostile": hostile(),
    }
