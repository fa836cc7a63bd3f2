"""Train from a lazy frame of polars: it is run once, streams over as Arrow memory, and may be larger than memory.

    pip install schuss polars
    python lazy_polars.py FOLDER

writes a small table of flights into FOLDER, scans it lazily, and prints how good the model is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

import schuss


def write_flights(path: Path) -> None:
    """Write a table: how far, with whom, flown or cancelled, minutes late."""
    rng = np.random.default_rng(0)
    distance, carrier = rng.normal(800.0, 300.0, 2000), rng.choice(["AA", "B6", "UA"], 2000)
    delay = (distance - 800.0) / 30.0 + 10.0 * (carrier == "AA") + rng.normal(size=2000)
    flown = rng.random(2000) < 0.9
    pl.DataFrame({"distance": distance, "carrier": carrier, "flown": flown, "delay": delay}).write_parquet(path)


def main() -> None:
    """Train on one query and predict another."""
    path = Path(sys.argv[1], "flights.parquet")
    write_flights(path)
    flights = pl.scan_parquet(path)
    result = schuss.train(flights.filter("flown").select("distance", "carrier", "delay"), "delay")
    print(f"R2 {result.summary['holdout']['r2']:.3f}")
    predictions = pl.from_arrow(result.model.predict(flights.filter(~pl.col("flown"))))
    print(predictions.describe())


if __name__ == "__main__":
    main()
