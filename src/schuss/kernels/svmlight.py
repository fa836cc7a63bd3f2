"""Lines of `label index:value index:value ...` into numbers: one pass over the bytes of a block."""

from __future__ import annotations

import numpy as np

from schuss.kernels.options import inlined, kernel

_LINE_END, _BLANK, _PLUS, _MINUS, _DOT, _ZERO, _COLON, _E = (np.uint8(ord(sign)) for sign in "\n +-.0:e")
_LOWER = np.uint8(32)  # makes a small letter of a capital one
_0, _1, _2, _3, _10, _DIGIT = (np.uint64(number) for number in (0, 1, 2, 3, 10, 48))
_INDEX, _WHOLE = np.uint64(10), np.uint64(19)  # digits of an index, and of what fits into 64 bits
# Whole numbers up to 2^53 and powers of ten up to 10^22 are exact in float64, so their product or quotient is correctly
# rounded (Clinger, "How to read floating point numbers accurately", 1990). Otherwise three roundings are off by 2^-51,
# which seldom matters to a float32.
_EXACT, _EXACT_POWER, _SLACK = np.uint64(1 << 53), 22, 2.0**-50


@inlined
def _digits(text, at, whole):
    """Append digits to a whole number; give it, and where they end."""
    digit = np.uint64(text[at]) - _DIGIT
    while digit < _10:
        whole = whole * _10 + digit
        at += _1
        digit = np.uint64(text[at]) - _DIGIT
    return whole, at


@inlined
def _zeros(text, at):
    """Count the zeros that a number begins with."""
    zeros = _0
    while text[at] == _ZERO or text[at] == _DOT:
        zeros += np.uint64(text[at] == _ZERO)
        at += _1
    return zeros


@inlined
def _number(text, at, tens):
    """Read a number: give it, by which share of itself it may be wrong (infinity: not read), and how far it goes."""
    negative, power = text[at] == _MINUS, 0
    first = at + np.uint64(negative | (text[at] == _PLUS))
    whole, at = _digits(text, first, _0)
    digits = at - first
    if text[at] == _DOT:
        begin = at + _1
        whole, at = _digits(text, begin, whole)
        digits += at - begin
        power = -np.int64(at - begin)
    if (text[at] | _LOWER) == _E:
        below = text[at + _1] == _MINUS
        begin = at + _1 + np.uint64(below | (text[at + _1] == _PLUS))
        exponent, at = _digits(text, begin, _0)
        if at == begin or at - begin > _INDEX:
            return 0.0, np.inf, at
        power += -np.int64(exponent) if below else np.int64(exponent)
    overflows = digits > _WHOLE and digits - _zeros(text, first) > _WHOLE
    if digits == _0 or overflows or abs(power) >= len(tens) or (negative and whole == _0):
        return 0.0, np.inf, at  # the last one is -0, which kernels do not tell from 0
    number = np.float64(whole)
    number = number / tens[np.uint64(-power)] if power < 0 else number * tens[np.uint64(power)]
    slack = 0.0 if whole <= _EXACT and abs(power) <= _EXACT_POWER else _SLACK
    return -number if negative else number, slack, at


@inlined
def _end(text, begin, at, sure, place, left, left_at, found):
    """Give where a number ends; one that has not been read, or not to there, is left with its place."""
    if sure and (text[at] <= _BLANK or text[at] == _COLON):
        return at
    filled, at = found[2], begin
    left[filled] = _LINE_END
    while text[at] > _BLANK and text[at] != _COLON:
        filled += 1
        left[filled] = text[at]
        at += _1
    left_at[found[3]] = place
    found[2], found[3] = filled + 1, found[3] + 1
    return at


@inlined
def _next(text, at):
    """Give where the next token of a line begins, or the line ends."""
    while text[at] <= _BLANK and text[at] != _LINE_END:
        at += _1
    return at


@kernel()
def read(text, base, most, tens, labels, ends, indices, values, left, left_at, found):
    """Read the rows of a block, whose last byte is the end of a line.

    base, most : the smallest and the largest index; tens : powers of ten from 1 on, at most 10²⁸⁰;
    labels, ends : of each row, `ends[i + 1]` where the pairs of row i end; there is room for all lines;
    indices, values : of each pair, indices from 0; there is room for all colons;
    left, left_at : numbers that have not been read, each behind the end of a line, and what they are: the label of row
        `k // 3`, the index or the value of pair `k // 3` as `k % 3` is 0, 1 or 2;
    found : zeros; gets the rows, or -1 where a token is neither label nor pair; the pairs; the bytes of the numbers
        left, and how many these are; whether the indices of some row may not rise.
    """
    at, row, pair, unsorted = _0, _0, _0, False
    while at < np.uint64(len(text)):
        at = _next(text, at)
        if text[at] == _LINE_END:
            at += _1
            continue
        labels[row], slack, end = _number(text, at, tens)
        at = _end(text, at, end, slack == 0, _3 * row, left, left_at, found)
        fine, least = text[at] != _COLON, base
        at = _next(text, at)
        while fine and text[at] != _LINE_END:
            digits, end = _digits(text, at, _0)
            index, known = np.int64(digits), end - at <= _INDEX and text[end] == _COLON
            colon = _end(text, at, end, known, _3 * pair + _1, left, left_at, found)
            begin = colon + _1
            fine = colon > at and text[colon] == _COLON and text[begin] > _BLANK
            fine &= not known or base <= index <= most
            if fine:
                indices[pair] = index - base
                unsorted |= not known or index < least
                least = index + 1
                value, slack, end = _number(text, begin, tens)
                values[pair] = np.float32(value)
                sure = np.float32(value - slack * value) == np.float32(value + slack * value)
                at = _end(text, begin, end, sure, _3 * pair + _2, left, left_at, found)
                fine = text[at] != _COLON
                at = _next(text, at)
                pair += _1
        if not fine:
            found[0] = -1
            return
        row += _1
        ends[row] = pair
    found[0], found[1], found[4] = row, pair, unsorted
