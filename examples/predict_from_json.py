"""Predict with an exported model in plain Python.

    schuss export runs/RUN --to json | python predict_from_json.py rows.jsonl

prints a prediction for each line of the file, a JSON object with the values of the columns by name.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path


def predict(model: dict, row: dict) -> tuple:
    """Give the prediction, and the probability of each class where the loss has them by `sigmoid` or `softmax`."""
    return decided(model, network_scores(model, row) if "networks" in model else added_up(model, row))


def network_scores(model: dict, row: dict) -> list:
    """Give the mean of the scores of networks whose units are `relu` or `tanh`."""
    activation = {"relu": lambda z: max(z, 0.0), "tanh": math.tanh}[model["activation"]]
    scores = []
    for network in model["networks"]:
        a = added_up(network, row)
        for layer in network["layers"]:
            a = [activation(z) for z in a]
            products = (sum(x * w for x, w in zip(a, own, strict=True)) for own in zip(*layer["weights"], strict=True))
            a = [more + bias for more, bias in zip(products, layer["bias"], strict=True)]
        scores.append(a)
    return [sum(own) / len(own) * model["scale"] + model["shift"] for own in zip(*scores, strict=True)]


def added_up(model: dict, row: dict) -> list:
    """Give the intercept and what each column adds."""
    scores = list(model["intercept"])
    for column in model["columns"]:
        value = row.get(column["name"])
        if value is None:
            added = column["missing"]
        elif column["kind"] == "category":
            added = column["weights"].get(str(value), column["other"])
        else:
            clipped = min(max(value, column["low"]), column["high"])
            added = [weight * clipped for weight in column["weights"]]
        scores = [score + more for score, more in zip(scores, added, strict=True)]
    return scores


def decided(model: dict, scores: list) -> tuple:
    """Give the prediction of scores, and the probabilities."""
    if model["classes"] is None:
        return (math.exp(scores[0]) if model["link"] == "exp" else scores[0]), None
    scores = [0.0, *scores] if len(scores) == 1 else scores  # one score is that of the second of two classes
    powers = [math.exp(score - max(scores)) for score in scores]
    shares = {label: power / sum(powers) for label, power in zip(model["classes"], powers, strict=True)}
    prediction = model["classes"][scores.index(max(scores))]
    return prediction, shares if model["link"] in ("sigmoid", "softmax") else None


if __name__ == "__main__":
    model = json.load(sys.stdin)
    with Path(sys.argv[1]).open(encoding="utf-8") as rows:
        for line in rows:
            print(predict(model, json.loads(line))[0])
