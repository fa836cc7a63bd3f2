"""Write scikit-learn's digits into a folder as digits.csv, to train on, and new_digits.csv, to try the model on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def main(folder: Path) -> None:
    """Split the 1,797 drawings 4 : 1 at random and write both parts, pixels 0 to 16 and the digit they show."""
    digits = load_digits()
    table = np.column_stack([digits.data, digits.target])
    table = table[np.random.default_rng(0).permutation(len(table))]
    header = ",".join([*digits.feature_names, "digit"])
    cut = len(table) * 4 // 5
    for name, rows in (("digits.csv", table[:cut]), ("new_digits.csv", table[cut:])):
        np.savetxt(folder / name, rows, fmt="%d", delimiter=",", header=header, comments="")
        print(f"wrote {folder / name}: {len(rows)} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
