"""Draw the figures of the documentation by running what they show.

python docs/figures.py
"""

from pathlib import Path

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


if __name__ == "__main__":
    race()
