"""The tables of the regret benchmark, and how each is split into rows to train on, to validate by and to test with."""

from __future__ import annotations

import zlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import vstack
from sets import KDDCUP_HEADER, read_idx
from sklearn.datasets import load_svmlight_file

TARGET = "target"
SHARES = (0.70, 0.85)
"""Where validation begins, and where the test begins."""

TEST_ROWS = 100_000
"""Rows of a test at most: more of them would tell no more."""

SMALL, LARGE = 5_000, 100_000
GENERATED_ROWS = 5_000_000


class Table(NamedTuple):
    """Rows with their target.

    features : a frame, or a CSR matrix; target : `(rows,)`, words for classes and float64 for numbers.
    """

    features: Any
    target: np.ndarray

    def take(self, rows: np.ndarray) -> Table:
        """Copy rows."""
        frame = isinstance(self.features, pd.DataFrame)
        part = self.features.iloc[rows].reset_index(drop=True) if frame else self.features[rows]
        return Table(part, self.target[rows])

    @property
    def is_regression(self) -> bool:
        """Whether numbers are predicted."""
        return self.target.dtype.kind == "f"

    @property
    def source(self) -> Any:
        """What `schuss.train` takes: a frame with its target, or a pair."""
        if isinstance(self.features, pd.DataFrame):
            return pd.concat([self.features, pd.Series(self.target, name=TARGET)], axis=1)
        return self.features, self.target

    @property
    def options(self) -> dict[str, str]:
        """Options that tell `schuss.train` what is to be predicted."""
        target = {"target": TARGET} if isinstance(self.features, pd.DataFrame) else {}
        return {**target, "task": "regression" if self.is_regression else "classification"}


class Split(NamedTuple):
    """The three parts of a table; `given` are the first two together, which are all that a method may learn from."""

    train: Table
    validation: Table
    given: Table
    test: Table


def names(data: Path, group: str) -> list[str]:
    """Give the names of the sets of a group: small, middle, large, pmlb, all, or one set by its name."""
    pmlb = sorted(path.name.removesuffix(".tsv.gz") for path in (data / "pmlb").glob("*.tsv.gz"))
    uci = [f"uci_{path.name}" for path in sorted((data / "uci_regression").iterdir()) if path.is_dir()]
    every = [*pmlb, *uci, *OTHERS]
    if group == "pmlb":
        return pmlb
    if group == "all":
        return every
    if group in every:
        return [group]
    sizes = {"small": (0, SMALL), "middle": (SMALL, LARGE), "large": (LARGE, 10**12)}
    low, high = sizes[group]
    return [name for name in every if low <= rows_of(data, name) < high]


def rows_of(data: Path, name: str) -> int:
    """Give the rows of a set, known beforehand where reading it would take long."""
    if name in ROWS:
        return ROWS[name]
    if name.startswith("uci_"):
        return len(load(data, name).target)
    summary = pd.read_csv(data / "pmlb" / "SUMMARY.tsv", sep="\t", index_col="name")
    return int(summary.loc[name, "rows"])


def splits_of(rows: int) -> int:
    """Give the number of splits of a set: more where one says little."""
    return 10 if rows < SMALL else 3 if rows < LARGE else 1


def load(data: Path, name: str) -> Table:
    """Load a set."""
    if name in OTHERS:
        return OTHERS[name](data)
    if name.startswith("uci_"):
        frame = pd.read_csv(data / "uci_regression" / name.removeprefix("uci_") / "data.csv.gz", header=None)
        frame.columns = [f"x{place}" for place in range(frame.shape[1])]
        return table(frame, frame.columns[-1], regression=True)
    frame = pd.read_csv(data / "pmlb" / f"{name}.tsv.gz", sep="\t").copy()  # columns read one by one lie scattered
    summary = pd.read_csv(data / "pmlb" / "SUMMARY.tsv", sep="\t", index_col="name")
    return table(frame, TARGET, regression=not summary.loc[name, "classification"])


def table(frame: pd.DataFrame, target: str, *, regression: bool) -> Table:
    """Take the target out of a frame; classes become words, so that nobody takes them for numbers."""
    values = frame[target]
    features = frame.drop(columns=target)
    if regression:
        return Table(features, values.to_numpy(np.float64))
    return Table(features, np.array([f"is {value}" for value in values], dtype=object))


def load_adult(data: Path) -> Table:
    """Put both files of adult together."""
    lines = (data / "adult" / "adult.names").read_text().splitlines()
    columns = [line.split(":")[0] for line in lines if ":" in line and not line.startswith("|")]
    parts = [
        pd.read_csv(
            data / "adult" / f"adult-{part}.csv", header=None, names=[*columns, "income"], skipinitialspace=True
        )
        for part in ("train", "test")
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame["income"] = frame["income"].str.rstrip(".")
    return table(frame, "income", regression=False)


def load_a9a(data: Path) -> Table:
    """Put both files of a9a together, sparse."""
    parts = [load_svmlight_file(str(data / "a9a" / part), n_features=123) for part in ("a9a", "a9a.t")]
    target = np.where(np.concatenate([labels for _, labels in parts]) > 0, "is 1", "is -1").astype(object)
    return Table(vstack([rows for rows, _ in parts]).tocsr(), target)


def load_bank(data: Path) -> Table:
    """Load bank_marketing, which has no header."""
    frame = pd.read_csv(data / "bank_marketing" / "bank-full.csv", header=None)
    frame.columns = [f"x{place}" for place in range(frame.shape[1])]
    return table(frame, frame.columns[-1], regression=False)


def load_elec2(data: Path) -> Table:
    """Load elec2."""
    return table(pd.read_csv(data / "elec2" / "electricity.zip"), "class", regression=False)


def load_kddcup99(data: Path) -> Table:
    """Load the ten percent of kddcup99, normal or not."""
    frame = pd.read_csv(data / "kddcup99" / "kddcup.data_10_percent.gz", header=None, names=KDDCUP_HEADER.split(","))
    frame["label"] = np.where(frame["label"] == "normal.", "normal", "attack")
    return table(frame, "label", regression=False)


def load_nycflights13(data: Path) -> Table:
    """Load the flights that arrived, without when they did."""
    frame = pd.read_csv(data / "nycflights13" / "flights.csv.gz").drop(columns="arr_time")
    return table(frame[frame["arr_delay"].notna()].reset_index(drop=True), "arr_delay", regression=True)


def load_fashion_mnist(data: Path) -> Table:
    """Load all 70,000 images, a column for each pixel."""
    folder = data / "fashion_mnist"
    images = np.concatenate(
        [read_idx(folder / f"{p}-images-idx3-ubyte.gz", 16).reshape(-1, 784) for p in ("train", "t10k")]
    )
    labels = np.concatenate([read_idx(folder / f"{p}-labels-idx1-ubyte.gz", 8) for p in ("train", "t10k")])
    frame = pd.DataFrame(images, columns=[f"pixel_{place}" for place in range(784)])
    return Table(frame, np.array([f"is {label}" for label in labels], dtype=object))


def generate(data: Path, *, regression: bool, rows: int = GENERATED_ROWS, features: int = 20) -> Table:
    """Make a table of correlated columns of scales from 0.01 to 100, a few of them skewed; half of them matter."""
    rng = np.random.default_rng(20)
    values = rng.standard_normal((rows, features), np.float32)
    values[:, 1:] += 0.7 * values[:, :-1]
    values[:, ::5] = np.exp(0.5 * values[:, ::5])
    slopes = np.where(np.arange(features) % 2, rng.normal(size=features), 0.0).astype(np.float32) / 2
    signal = values @ slopes
    values *= np.geomspace(0.01, 100, features, dtype=np.float32)
    frame = pd.DataFrame(values, columns=[f"x{place}" for place in range(features)])
    if regression:
        noise = rng.standard_normal(rows, np.float32) * (0.5 + np.abs(signal) / 2)
        return Table(frame, (10 + 3 * (signal + noise)).astype(np.float64))
    likely = 1 / (1 + np.exp(-1.5 * (signal - signal.mean()) + 1))
    return Table(frame, np.where(rng.random(rows, np.float32) < likely, "yes", "no").astype(object))


OTHERS = {
    "adult": load_adult,
    "a9a": load_a9a,
    "bank_marketing": load_bank,
    "elec2": load_elec2,
    "fashion_mnist": load_fashion_mnist,
    "nycflights13": load_nycflights13,
    "kddcup99": load_kddcup99,
    "generated_numbers": partial(generate, regression=True),
    "generated_classes": partial(generate, regression=False),
}
ROWS = {
    "adult": 48_842, "a9a": 48_842, "bank_marketing": 45_211, "elec2": 45_312, "fashion_mnist": 70_000,
    "nycflights13": 327_346, "kddcup99": 494_021, "generated_numbers": GENERATED_ROWS,
    "generated_classes": GENERATED_ROWS,
}  # fmt: skip


def split(whole: Table, name: str, number: int) -> Split:
    """Split a table 70/15/15; each class is split alike, and no class is lacking in training."""
    rng = np.random.default_rng([number, zlib.crc32(name.encode())])
    where = places(whole, rng)
    parts = [np.flatnonzero(mask) for mask in (where < SHARES[0], (where >= SHARES[0]) & (where < SHARES[1]))]
    test = np.flatnonzero(where >= SHARES[1])
    train, validation = (rng.permutation(part) for part in parts)
    test = rng.permutation(test)[:TEST_ROWS]
    return Split(*(whole.take(rows) for rows in (train, validation, np.concatenate([train, validation]), test)))


def places(whole: Table, rng: np.random.Generator) -> np.ndarray:
    """Give each row a random place in [0, 1), spread evenly within each class."""
    order = rng.permutation(len(whole.target))
    where = np.empty(len(order))
    if whole.is_regression:
        where[order] = np.arange(len(order)) / len(order)
        return where
    codes = pd.factorize(whole.target[order])[0]
    for code in range(codes.max() + 1):
        rows = order[codes == code]
        shift = rng.random()
        where[rows] = np.maximum(np.arange(len(rows)) - shift, 0) / len(rows)
    return where


def reshuffled(given: Table, name: str, number: int) -> tuple[Table, Table]:
    """Split the given rows into training and validation in another way, as another expert might have done."""
    rng = np.random.default_rng([number, zlib.crc32(name.encode()), 1])
    where = places(given, rng)
    cut = SHARES[0] / SHARES[1]
    return given.take(np.flatnonzero(where < cut)), given.take(np.flatnonzero(where >= cut))
