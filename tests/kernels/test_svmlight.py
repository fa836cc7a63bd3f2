"""Lines of svmlight against a reading token by token, with Python's numbers."""

from __future__ import annotations

import math
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schuss.data import svmlight
from schuss.errors import DataError

NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf)")
BLANKS = bytes.maketrans(bytes(range(33)), b" " * 10 + b"\n" + b" " * 22)
MOST = 2**31 - 2


def number(token: bytes) -> float:
    """Read a number; raises ValueError for what is none."""
    if not NUMBER.fullmatch(token):
        raise ValueError(token)
    return float(token)


def pairs_of(tokens: list[bytes], base: int) -> dict[int, float]:
    """Read the pairs of a row, in the order of their indices; raises ValueError for what is none."""
    row = dict[int, float]()
    for token in tokens:
        index, _, value = token.partition(b":")
        place = number(index)
        if not (base <= place <= MOST and place.is_integer()) or int(place) - base in row:
            raise ValueError(token)
        row[int(place) - base] = number(value)
    return dict(sorted(row.items()))


def expected(block: bytes, base: int) -> tuple[list[float], list[dict[int, float]]]:
    """Labels and pairs of the rows of a block; raises ValueError where there is something else."""
    lines = [tokens for line in block.translate(BLANKS).split(b"\n") if (tokens := line.split())]
    return [number(tokens[0]) for tokens in lines], [pairs_of(tokens[1:], base) for tokens in lines]


def bits(numbers: list[float] | np.ndarray, kind: str) -> list[int]:
    """The bits of numbers in float32 ("u4") or float64 ("u8"), every NaN the same."""
    with np.errstate(over="ignore"):
        array = np.asarray(numbers, np.float64).astype(kind.replace("u", "f"))
    array[np.isnan(array)] = math.nan
    return array.view(kind).tolist()


def check(block: bytes, base: int) -> bool:
    """Compare what a block gives; say whether it gives rows."""
    try:
        labels, rows = expected(block, base)
    except ValueError:
        with pytest.raises(DataError):
            svmlight._parse(block, "t", 0, base)
        return False
    parsed = svmlight._parse(block, "t", 0, base)
    assert svmlight._count(block) == len(labels)
    assert bits(parsed.labels, "u8") == bits(labels, "u8")
    assert np.diff(parsed.ends).tolist() == [len(row) for row in rows]
    assert parsed.indices.tolist() == [index for row in rows for index in row]
    assert bits(parsed.values, "u4") == bits([value for row in rows for value in row.values()], "u4")
    return True


def between_float32s(number: float, step: int) -> float:
    """A float64 that is halfway between two neighbouring float32s, or one of its own neighbours."""
    low = np.float32(number)
    with np.errstate(over="ignore"):  # the largest one's neighbour is infinite
        middle = (float(low) + float(np.nextafter(low, np.float32(np.inf)))) / 2
    return float(np.nextafter(middle, step * math.inf)) if step else middle


ODD = """0 -0 +1 -0.0 1. .5 -.5e1 +.5 00012 1e5 1E-05 1e22 1e23 1e280 1e281 1e-281 1e400 -1e-400 0e999 nan -inf inf 1e +
- . 1e+ 1-1 1.2.3 9007199254740992 9007199254740993 9007199254740993e-5 18446744073709551616 3.4028235677973366e38"""
ODD_INDICES = "1.0 +3 -0 -1 1.5 2e0 nan 000000000007 2147483646 2147483647 9e99"
SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
REAL = st.floats(allow_nan=False, allow_infinity=False) | st.builds(between_float32s, SINGLE, st.integers(-1, 1))
FORMS = st.sampled_from(["{!r}", "{:.17g}", "{:.9g}", "{:.16g}", "{:.18e}", "{:.25g}", "{:.6f}", "{:.0e}"])
WRITTEN = st.builds(str.format, FORMS, REAL)
VALUE = (
    WRITTEN
    | st.sampled_from(ODD.split())
    | st.integers(-(10**22), 10**22).map(str)
    | st.text("0123456789.eE+-", max_size=9)
)
INDEX = st.integers(0, 40).map(str) | st.sampled_from(ODD_INDICES.split())
PAIR = st.builds("{}{}{}".format, INDEX, st.sampled_from([":"] * 30 + ["::", " :", ": ", ""]), VALUE)
GOOD_PAIRS = st.dictionaries(st.integers(1, 60), WRITTEN, max_size=5).map(
    lambda pairs: [f"{index}:{value}" for index, value in pairs.items()]
)
LINE = st.builds(
    lambda blank, label, pairs, end: blank.join([label, *pairs]) + end,
    st.sampled_from([" "] * 20 + ["\t", "  ", " \r", "\x00"]),
    VALUE,
    GOOD_PAIRS | st.lists(PAIR, max_size=3),
    st.sampled_from(["", "", " ", "\r"]),
)
LINES = st.lists(LINE | st.sampled_from(["", " ", "\r", "\x01"]), max_size=5)
BLOCK = LINES.map(lambda lines: "\n".join(lines).encode())


@settings(deadline=None, max_examples=300)
@given(BLOCK, st.booleans(), st.integers(0, 1))
def test_any_lines(block: bytes, ended: bool, base: int) -> None:
    check(block + b"\n" * ended, base)


@settings(deadline=None, max_examples=300)
@given(BLOCK, st.integers(0, 1), st.randoms(use_true_random=False))
def test_lines_with_a_byte_changed(block: bytes, base: int, rng: random.Random) -> None:
    changed = bytearray(block + b"\n")
    changed[rng.randrange(len(changed))] = rng.choice(b" \n:.+-019eEn\t\x00q\xef\xff")
    check(bytes(changed), base)


def test_each_number_is_rounded_as_python_rounds_it() -> None:
    rng = np.random.default_rng(0)
    singles = (rng.normal(size=4000) * 10.0 ** rng.integers(-42, 38, 4000)).astype(np.float32)
    reals = np.concatenate([rng.normal(size=4000) * 10.0 ** rng.integers(-280, 280, 4000), singles])
    reals = np.append(reals, [between_float32s(float(single), step) for single in singles for step in (-1, 0, 1)])
    forms = ["{!r}", "{:.17g}", "{:.9g}", "{:.18e}", "{:.20e}", "{:.6f}"]
    lines = [form.format(number) for number in reals.tolist() for form in forms]
    assert check("".join(f"{text} 1:{text}\n" for text in lines).encode(), 1)


def test_few_numbers_are_left_to_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    given = list[bytes]()
    numbers = svmlight._numbers
    monkeypatch.setattr(svmlight, "_numbers", lambda lines: given.append(lines) or numbers(lines))
    values = np.random.default_rng(1).normal(size=20_000) * 10.0 ** np.arange(-10, 10).repeat(1000)
    svmlight._parse("".join(f"1 5:{value!r} 7:{value:.9g}\n" for value in values.tolist()).encode(), "t", 0, 1)
    assert sum(lines.count(b"\n") for lines in given) < 20


def test_indices_in_any_order() -> None:
    assert check(b"1 3:1 2:2\n-1 4:0.5\n2 9:1 1:2 5:3\n", 1)
    assert not check(b"1 3:1 2:2 3:4\n", 1)
