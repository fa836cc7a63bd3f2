"""Targets as class indices or standardised numbers, and the weights of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .columns.compute import pc
from .columns.convert import as_numbers, as_strings, is_numeric, string_codes
from .columns.numbers import LARGEST
from .columns.place import NOT_FINITE, Place

# An error lists the classes there are when they are at most this many.
LISTED_CLASSES = 10
# Classes that are whole numbers are looked up in a table of at most so many places.
_CLOSE_TOGETHER = 1 << 16
_SHORT = np.iinfo(np.int32)


@dataclass(frozen=True)
class TargetEncoder:
    """The encoder of the target.

    classes : for classification the labels in sorted order (text, booleans or integers), else None.
    mean, scale : for regression, targets are `(y - mean) / scale`.
    positive : whether targets must be at least zero; then their mean is the scale, and nothing is subtracted.
    """

    classes: tuple[Any, ...] | None
    mean: float = 0.0
    scale: float = 1.0
    positive: bool = False

    def encode(self, values: pa.Array, place: Place) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Give int32 class indices or float32 standardised numbers, and where there is no target, if anywhere.

        Raises UnknownClassError at a class that the sample has not, and DataError at what is not a finite number in
        regression.
        """
        return self._encode_numbers(values, place) if self.classes is None else self._encode_classes(values, place)

    def _encode_numbers(self, values: pa.Array, place: Place) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        numbers, missing = finite_numbers(values, place)
        if self.positive and (numbers < 0).any():
            row = int(np.argmax(numbers < 0))
            raise place.error(row, f"{numbers[row]:g} is negative, and this loss takes targets of at least 0")
        return ((numbers - self.mean) / self.scale).astype(np.float32), missing

    def _encode_classes(self, values: pa.Array, place: Place) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        assert self.classes is not None
        indices = self._whole_numbers(values, place)
        if indices is not None:
            return indices, None
        strings = as_strings(values)
        words = strings.dictionary
        if isinstance(self.classes[0], bool):  # a file may spell them True, TRUE or true
            words = pc.utf8_lower(words)
        found = pc.index_in(words, pa.array([_word(label) for label in self.classes]))
        table = np.append(pc.fill_null(found, -2).to_numpy(zero_copy_only=False), -1)
        indices = table[string_codes(strings)].astype(np.int32)
        strange = indices == -2
        if strange.any():
            row = int(np.argmax(strange))
            known = ", ".join(f"'{label}'" for label in self.classes[:LISTED_CLASSES])
            listing = f" ({known})" if len(self.classes) <= LISTED_CLASSES else ""
            complaint = f"'{strings[row].as_py()}' is none of the {len(self.classes):,} classes of the sample{listing}"
            raise place.unknown_class(row, complaint)
        missing = indices < 0
        if not missing.any():
            return indices, None
        indices[missing] = 0
        return indices, missing

    def _whole_numbers(self, values: pa.Array, place: Place) -> NDArray[np.int32] | None:
        """Look up classes that are whole numbers or booleans; None if there is anything else among the values.

        Where the classes have no gaps 0.2 ns a row of int8, else 1.6; by way of strings 17.
        """
        assert self.classes is not None
        low, high, kind = self.classes[0], self.classes[-1], values.type
        fits = (
            pa.types.is_boolean(kind) if isinstance(low, bool) else is_numeric(kind) and not pa.types.is_decimal(kind)
        )
        if isinstance(low, str) or not fits or values.null_count or not len(values) or high - low >= _CLOSE_TOGETHER:
            return None
        whole = numbers = as_numbers(values, place).values
        if numbers.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                whole = numbers.astype(np.int64)
        if whole.min() < low or whole.max() > high or (whole is not numbers and (whole != numbers).any()):
            return None
        if high - low + 1 == len(self.classes) and _SHORT.min <= low <= high <= _SHORT.max:
            indices = whole.astype(np.int32)
            indices -= np.int32(low)
            return indices
        table = np.full(int(high) - int(low) + 1, -1, np.int32)
        table[np.array(self.classes, np.int64) - int(low)] = np.arange(len(self.classes))
        indices = table[whole.astype(np.int64, copy=False) - int(low)]
        return None if (indices < 0).any() else indices


def fit_target(values: pa.Array, place: Place, task: str, *, positive: bool = False) -> TargetEncoder:
    """Find the classes, or mean and deviation, of the targets of a sample; `positive` ones are only divided."""
    if task == "classification":
        return TargetEncoder(class_labels(values, place))
    read = as_numbers(values, place)
    numbers = read.values.astype(np.float64)
    there = np.isfinite(numbers)  # infinite ones are refused when their row is encoded
    if read.missing is not None:
        there &= ~read.missing
    with np.errstate(all="ignore"):
        mean, deviation = float(numbers[there].mean()), float(numbers[there].std())
    if not (abs(mean) < LARGEST and 1 / LARGEST < (1.0 if positive else deviation) < LARGEST):
        raise place.refusal(
            f"its numbers, of mean {mean:.3g} and deviation {deviation:.3g}, are too large or too close together to be "
            "learned: give them in another unit"
        )
    if positive:  # a mean below zero has negative targets, which are refused when their row is encoded
        return TargetEncoder(None, 0.0, abs(mean) or 1.0, positive=True)
    return TargetEncoder(None, mean, deviation)


def class_labels(values: pa.Array, place: Place) -> tuple[Any, ...]:
    """Give the distinct labels in sorted order: booleans, integers, or text.

    >>> class_labels(pa.array([2.0, 1.0, None, 2.0]), Place("t", 0, "y"))
    (1, 2)
    """
    strings = as_strings(values)
    words = sorted(strings.dictionary.take(strings.indices.unique().drop_null()).to_pylist())
    if pa.types.is_boolean(values.type):
        return tuple(word == "true" for word in words)
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not is_numeric(kind):
        return tuple(words)
    broken = next((word for word in words if not word.lstrip("-").isdecimal()), None)
    if broken is not None:
        raise place.refusal(f"classes are text, booleans or whole numbers, but {broken} is none; is this a regression?")
    return tuple(sorted(int(word) for word in words))


def _word(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def finite_numbers(values: pa.Array, place: Place) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """Give numbers in float64, 0 where missing, and where that is, if anywhere; raises DataError at infinity."""
    read = as_numbers(values, place)
    numbers = read.values.astype(np.float64)
    missing = np.isnan(numbers)
    if read.missing is not None:
        missing |= read.missing
    numbers[missing] = 0.0
    infinite = np.isinf(numbers)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise place.error(row, f"{numbers[row]} {NOT_FINITE}")
    return numbers, missing if missing.any() else None


def row_weights(values: pa.Array, place: Place) -> NDArray[np.float32]:
    """Give the weights of rows; raises DataError at one that is missing, infinite or negative."""
    numbers, missing = finite_numbers(values, place)
    if missing is not None:
        raise place.error(int(np.argmax(missing)), "the weight is missing")
    if (numbers < 0).any():
        row = int(np.argmax(numbers < 0))
        raise place.error(row, f"the weight {numbers[row]:g} is negative")
    return numbers.astype(np.float32)
