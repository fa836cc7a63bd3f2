"""Train from the answer of a query: a relation of DuckDB goes to schuss as Arrow memory, without a file in between.

    pip install schuss duckdb
    python query_duckdb.py FOLDER

writes a small table of flights into FOLDER, asks DuckDB for those that were flown, and prints how good the model is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import schuss


def write_flights(path: Path) -> None:
    """Write a table: how far, with whom, flown or cancelled, late or not."""
    rng = np.random.default_rng(0)
    distance, carrier = rng.normal(800.0, 300.0, 2000), rng.choice(["AA", "B6", "UA"], 2000)
    late = 0.2 * rng.normal(size=2000) < (distance - 800.0) / 300.0 + (carrier == "AA")
    flown = rng.random(2000) < 0.9
    pq.write_table(pa.table({"distance": distance, "carrier": carrier, "flown": flown, "late": late}), path)


def main() -> None:
    """Train on one query and predict another."""
    path = Path(sys.argv[1], "flights.parquet")
    write_flights(path)
    flown = duckdb.sql(f"SELECT distance, carrier, late FROM '{path}' WHERE flown")
    result = schuss.train(flown, "late")
    print(f"accuracy {result.summary['holdout']['accuracy']:.3f}")
    cancelled = duckdb.sql(f"SELECT distance, carrier FROM '{path}' WHERE NOT flown")
    predictions = duckdb.from_arrow(result.model.predict(cancelled))
    print(predictions.aggregate("prediction, count(*) AS flights").order("prediction"))


if __name__ == "__main__":
    main()
