"""Draw the figures of the documentation by running what they show; the data come from SCHUSS_DATA where it is set.

python docs/figures.py [race|search|rates|sample|ravine|rare|minima|schedules|stream ...] [--cifar FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lessons import minima, rare, rates, ravine, sample, schedules, search, stream
from sklearn.datasets import load_digits

import schuss
from schuss.report import learning_rate_curves

STATIC = Path(__file__).parent / "_static"


def race() -> None:
    """Sixteen runs on scikit-learn's digits: held-out loss against rows seen."""
    digits = load_digits(as_frame=True)
    result = schuss.train(digits.frame, "target")
    learning_rate_curves(result.record).save(
        STATIC / "race.svg", "Held-out loss of sixteen runs against the training rows they have seen"
    )


def main() -> None:
    """Draw those that are named, or all."""
    figures = {"race": race, "rates": rates.draw, "sample": sample.draw, "ravine": ravine.draw, "rare": rare.draw,
               "minima": minima.draw, "schedules": schedules.draw, "stream": stream.draw}  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--cifar", type=Path, help="folder of the binary version of CIFAR-10")
    given = parser.parse_args()
    figures["search"] = lambda: search.draw(given.cifar)
    for name in given.names or figures:
        figures[name]()


if __name__ == "__main__":
    main()
