"""Draw the figures of the documentation by running what they show; the data come from SCHUSS_DATA where it is set.

python docs/figures.py [race|search|rates|sample|ravine|rare|minima|sharp|edge|hidden|schedules|stream|report ...]
    [--cifar FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from lessons import edge, hidden, minima, rare, rates, ravine, sample, schedules, search, sharp, stream
from sklearn.datasets import load_digits

import schuss
from schuss.report import (
    curvature_spectrum,
    learning_rate_curves,
    loss_map,
    loss_surface,
    model_beside_baselines,
    roc_and_precision,
)

STATIC = Path(__file__).parent / "_static"


def race() -> None:
    """Sixteen runs on scikit-learn's digits: held-out loss against rows seen.

    With the hinge loss the race alone decides: full passes want a smooth one, and make the race before them short.
    """
    digits = load_digits(as_frame=True)
    result = schuss.train(digits.frame, "target", loss="hinge")
    learning_rate_curves(result.record).save(
        STATIC / "race.svg", "Held-out loss of sixteen runs against the training rows they have seen"
    )


def report() -> None:
    """What a report shows: the ground around a model of digits, and the thresholds between even and odd ones."""
    place = STATIC / "report"
    place.mkdir(exist_ok=True)
    digits = load_digits(as_frame=True).frame
    with tempfile.TemporaryDirectory() as folder:
        schuss.train(digits, "target", out=folder)
        schuss.survey_run(folder, digits)
        loss_surface(folder).save(place / "surface.svg", "The loss surface around a model of handwritten digits")
        loss_map(folder).save(place / "map.svg", "The same surface from above, with contour lines and a path")
        curvature_spectrum(folder).save(place / "spectrum.svg", "How dense the eigenvalues of the Hessian lie")
    parity = digits.assign(target=digits.target.mod(2).map({0: "even", 1: "odd"}))
    result = schuss.train(parity, "target", holdout="0.4")
    rows = result.summary["holdout"]["rows"]
    beside = model_beside_baselines(result.record)
    beside.save(place / "beside.svg", "The accuracy of the model beside the commonest class and the best single pixel")
    roc_and_precision(result.record).save(place / "thresholds.svg", f"ROC curve and precision on {rows} held-out rows")
    print(rows, "held-out rows", result.record[-1]["intervals"])


def main() -> None:
    """Draw those that are named, or all."""
    figures = {"race": race, "rates": rates.draw, "sample": sample.draw, "ravine": ravine.draw, "rare": rare.draw,
               "minima": minima.draw, "sharp": sharp.draw, "edge": edge.draw, "hidden": hidden.draw,
               "schedules": schedules.draw, "stream": stream.draw, "report": report}  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--cifar", type=Path, help="folder of the binary version of CIFAR-10")
    given = parser.parse_args()
    figures["search"] = lambda: search.draw(given.cifar)
    for name in given.names or figures:
        figures[name]()


if __name__ == "__main__":
    main()
