"""The real data sets as a user would have them: files made from the originals, and how to read them back."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits, load_svmlight_file
from sklearn.model_selection import StratifiedKFold

Metric = Literal["accuracy", "log_loss", "r2"]
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)
A9A_FEATURES = 123  # the test file does not use the last one
KDDCUP_HEADER = (
    "duration,protocol_type,service,flag,src_bytes,dst_bytes,land,wrong_fragment,urgent,hot,num_failed_logins,"
    "logged_in,num_compromised,root_shell,su_attempted,num_root,num_file_creations,num_shells,num_access_files,"
    "num_outbound_cmds,is_host_login,is_guest_login,count,srv_count,serror_rate,srv_serror_rate,rerror_rate,"
    "srv_rerror_rate,same_srv_rate,diff_srv_rate,srv_diff_host_rate,dst_host_count,dst_host_srv_count,"
    "dst_host_same_srv_rate,dst_host_diff_srv_rate,dst_host_same_src_port_rate,dst_host_srv_diff_host_rate,"
    "dst_host_serror_rate,dst_host_srv_serror_rate,dst_host_rerror_rate,dst_host_srv_rerror_rate,label"
)


class Split(NamedTuple):
    """A file to train on and a file to be scored on."""

    train: Path
    test: Path


class Bar(NamedTuple):
    """What must be reached: a limit, or within a factor of what the reference script reaches."""

    metric: Metric
    limit: float | None = None
    factor: float = 1.0

    def value(self, reference: dict[str, Any] | None) -> float | None:
        """Give the limit, or None when it needs a reference that has not run."""
        if self.limit is not None:
            return self.limit
        return None if reference is None else self.factor * reference[self.metric]

    def sign(self) -> str:
        """Give the sign between a result and its limit."""
        return "≤" if self.metric == "log_loss" else "≥"

    def met(self, result: float, limit: float) -> bool:
        """Say whether a result reaches the limit."""
        return result <= limit if self.metric == "log_loss" else result >= limit


class DataSet(NamedTuple):
    """A data set, its files, its bars and the script that is its reference."""

    name: str
    target: str | None  # None: the format carries it
    prepare: Callable[[Path, Path], list[Split]]  # the folder of the originals, the folder to write to
    bars: tuple[Bar, ...]
    reference: str | None = None
    text: str | None = None  # the column of running text, if there is one

    @property
    def is_regression(self) -> bool:
        """Whether numbers are predicted."""
        return self.bars[0].metric == "r2"


def prepare_digits(_: Path, folder: Path) -> list[Split]:
    """Write scikit-learn's digits as CSV files in five folds."""
    pixels, labels = load_digits(return_X_y=True)
    table = pd.DataFrame(pixels.astype(int), columns=[f"pixel_{i}" for i in range(64)])
    table["digit"] = labels
    splits = []
    for fold, (train, test) in enumerate(FOLDS.split(table, table["digit"])):
        split = Split(folder / f"digits-train-{fold}.csv", folder / f"digits-test-{fold}.csv")
        table.iloc[train].to_csv(split.train, index=False)
        table.iloc[test].to_csv(split.test, index=False)
        splits.append(split)
    return splits


def prepare_adult(data: Path, folder: Path) -> list[Split]:
    """Put the names of adult.names over the original lines; blanks and `?` stay, the test labels' dots go."""
    lines = (data / "adult" / "adult.names").read_text().splitlines()
    names = [line.split(":")[0] for line in lines if ":" in line and not line.startswith("|")]
    header = ",".join([*names, "income"])
    split = Split(folder / "adult-train.csv", folder / "adult-test.csv")
    for path in split:
        rows = [line.removesuffix(".") for line in (data / "adult" / path.name).read_text().splitlines() if line]
        path.write_text("\n".join([header, *rows, ""]))
    return [split]


def read_idx(path: Path, header_bytes: int) -> np.ndarray:
    """Read the bytes of an IDX file behind its header."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8, offset=header_bytes)


def prepare_fashion_mnist(data: Path, folder: Path) -> list[Split]:
    """Write Parquet files with a column for each pixel and the label."""
    split = Split(folder / "fashion-train.parquet", folder / "fashion-test.parquet")
    for path, part in zip(split, ("train", "t10k"), strict=True):
        images = read_idx(data / "fashion_mnist" / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
        columns = {f"pixel_{i}": np.ascontiguousarray(images[:, i]) for i in range(784)}
        columns["label"] = read_idx(data / "fashion_mnist" / f"{part}-labels-idx1-ubyte.gz", 8)
        pq.write_table(pa.table(columns), path, compression="snappy", row_group_size=10_000)
    return [split]


def prepare_a9a(data: Path, folder: Path) -> list[Split]:
    """Copy the svmlight files as they are."""
    split = Split(folder / "a9a.svm", folder / "a9a-test.svm")
    for path, original in zip(split, ("a9a", "a9a.t"), strict=True):
        path.write_bytes((data / "a9a" / original).read_bytes())
    return [split]


def prepare_sms_spam(data: Path, folder: Path) -> list[Split]:
    """Deal the original lines into five folds."""
    header, *lines = (
        (data / "sms_spam" / "SMSSpamCollection").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    )
    rows = np.array(lines, dtype=object)
    splits = []
    for fold, parts in enumerate(FOLDS.split(rows, [line.partition("\t")[0] for line in lines])):
        split = Split(folder / f"sms-train-{fold}.tsv", folder / f"sms-test-{fold}.tsv")
        for path, part in zip(split, parts, strict=True):
            path.write_text("\n".join([header, *rows[part], ""]), encoding="utf-8")
        splits.append(split)
    return splits


def prepare_nycflights13(data: Path, folder: Path) -> list[Split]:
    """Write the flights of January to October and those of November and December, without arr_time."""
    flights = pd.read_csv(data / "nycflights13" / "flights.csv.gz", dtype=str, keep_default_na=False)
    flights = flights.drop(columns="arr_time")
    early = flights["month"].astype(int) <= 10
    split = Split(folder / "flights-train.csv", folder / "flights-test.csv")
    flights[early].to_csv(split.train, index=False)
    flights[~early].to_csv(split.test, index=False)
    return [split]


def prepare_kddcup99(data: Path, folder: Path) -> list[Split]:
    """Put a header over the original lines and turn the label into normal or attack."""
    split = Split(folder / "kddcup-train.csv.gz", folder / "kddcup-test.csv.gz")
    for path, original in zip(split, ("kddcup.data_10_percent.gz", "corrected.gz"), strict=True):
        with (
            gzip.open(data / "kddcup99" / original, "rt") as lines,
            gzip.open(path, "wt", compresslevel=3) as file,
        ):
            file.write(KDDCUP_HEADER + "\n")
            for line in lines:
                values, _, label = line.rpartition(",")
                file.write(f"{values},{'normal' if label.strip() == 'normal.' else 'attack'}\n")
    return [split]


def read(path: Path, target: str | None) -> tuple[Any, np.ndarray]:
    """Read a prepared file back: its features (a frame, or CSR) and its target, NaN where a number is missing."""
    if path.suffix == ".svm":
        rows, labels = load_svmlight_file(str(path), n_features=A9A_FEATURES)
        rows.indices, rows.indptr = (
            rows.indices.astype(np.int32),
            rows.indptr.astype(np.int32),
        )  # SGDClassifier wants it
        return rows, labels
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    elif path.suffix == ".tsv":
        table = pd.read_csv(path, sep="\t", quoting=csv.QUOTE_NONE)
    else:
        table = pd.read_csv(path, skipinitialspace=True)
    labels = table.pop(target)
    return table, labels.to_numpy()


SETS = (
    DataSet("digits", "digit", prepare_digits, (Bar("accuracy", 0.955),)),
    DataSet("adult", "income", prepare_adult, (Bar("accuracy", 0.850), Bar("log_loss", 0.321))),
    DataSet("fashion_mnist", "label", prepare_fashion_mnist, (Bar("accuracy", 0.840),)),
    DataSet("a9a", None, prepare_a9a, (Bar("accuracy", 0.848),)),
    DataSet("sms_spam", "Label", prepare_sms_spam, (Bar("accuracy", 0.983),), text="SMS"),
    DataSet(
        "nycflights13", "arr_delay", prepare_nycflights13, (Bar("r2", 0.828),), reference="reference_nycflights13.py"
    ),
    DataSet("kddcup99", "label", prepare_kddcup99, (Bar("log_loss", factor=1.01),), reference="reference_kddcup99.py"),
)
