"""The data that the lessons learn from."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from schuss.data.chunk import Chunk
from schuss.descent.losses import MulticlassHinge, Softmax
from schuss.objective import LinearObjective


class Images(NamedTuple):
    """Pixels as they are, `(rows, pixels)`, and the class of each image, to learn from and to test on."""

    name: str
    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    def hinge(self, rows: int | None = None) -> LinearObjective:
        """The multiclass hinge loss of the first rows, in float32."""
        pixels, labels = self.train[:rows], self.labels[:rows]
        return LinearObjective(chunk(pixels.astype(np.float32), labels), MulticlassHinge(), 0.0)

    def accuracy(self, weights: np.ndarray) -> float:
        """The share of test images whose class has the highest score."""
        scores = self.test @ weights[:-1] + weights[-1]
        return float((scores.argmax(axis=1) == self.test_labels).mean())


def chunk(rows: np.ndarray, labels: np.ndarray) -> Chunk:
    """Rows with their classes, each weighing one."""
    return Chunk(rows, labels.astype(np.int32), np.ones(len(rows), np.float32))


def digits() -> LinearObjective:
    """Softmax on scikit-learn's digits, pixels of zero mean and equal variance, with a small penalty, in float64."""
    found = load_digits()
    pixels = found.data[:, found.data.std(axis=0) > 0]
    pixels = (pixels - pixels.mean(axis=0)) / pixels.std(axis=0)
    order = np.random.default_rng(0).permutation(len(pixels))[:1600]
    return LinearObjective(chunk(pixels[order], found.target[order]), Softmax(), 1e-3)


def images(cifar: Path | None = None) -> Images:
    """CIFAR-10 from a folder with its binary version, else Fashion-MNIST under SCHUSS_DATA, else the digits."""
    if cifar is not None:
        return cifar_10(cifar)
    folder = Path(os.environ.get("SCHUSS_DATA", "")) / "fashion_mnist"
    if folder.is_dir():
        return fashion_mnist(folder)
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.data))
    pixels, labels = found.data[order] * 16.0, found.target[order]
    return Images("scikit-learn's digits", pixels[:1400], labels[:1400], pixels[1400:], labels[1400:])


def fashion_mnist(folder: Path) -> Images:
    """The 60,000 and 10,000 drawings of clothes (Xiao, Rasul and Vollgraf 2017)."""

    def read(name: str, header: int) -> np.ndarray:
        with gzip.open(folder / f"{name}.gz") as file:
            return np.frombuffer(file.read(), np.uint8)[header:]

    parts = [
        (read(f"{part}-images-idx3-ubyte", 16).reshape(-1, 784), read(f"{part}-labels-idx1-ubyte", 8))
        for part in ("train", "t10k")
    ]
    return Images("Fashion-MNIST", *parts[0], *parts[1])


CIFAR_ROW = 1 + 3 * 32 * 32
"""Bytes of an image in the binary version: its class, then its red, green and blue pixels."""


def cifar_10(folder: Path) -> Images:
    """The 50,000 and 10,000 photographs of Krizhevsky (2009) from `cifar-10-batches-bin`, the binary version.

    The one for Python holds pickles, which run whatever code is in them, and is not read.
    """

    def read(name: str) -> np.ndarray:
        file = folder / f"{name}.bin"
        if not file.is_file():
            pickled = " beside the version for Python, whose pickles are not read" if (folder / name).is_file() else ""
            raise SystemExit(f"'{folder}' has no {file.name} of CIFAR-10's binary version{pickled}")
        found = np.fromfile(file, np.uint8)
        if found.size == 0 or found.size % CIFAR_ROW:
            raise SystemExit(f"'{file}' has {found.size:,} bytes, which are no whole images of {CIFAR_ROW:,}")
        if found[::CIFAR_ROW].max() > 9:
            raise SystemExit(f"'{file}' has a class above 9 where an image begins: it is not of CIFAR-10")
        return found.reshape(-1, CIFAR_ROW)

    train = np.concatenate([read(f"data_batch_{number}") for number in range(1, 6)])
    test = read("test_batch")
    return Images("CIFAR-10", train[:, 1:], train[:, 0], test[:, 1:], test[:, 0])
