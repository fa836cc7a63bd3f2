"""Text that is ASCII into terms, sixteen characters at a time."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.np.arrayobj import make_array

from schuss.kernels.encode import mixed
from schuss.kernels.lanes import emitted, spread_value, total_of
from schuss.kernels.options import kernel
from schuss.kernels.terms import BASE, BLANK, PAIR

AT_ONCE = 16
"""Characters that are looked at together: as many must be there to be read behind the last one."""

WORD = np.uint8(1)
_POWERS = [pow(int(BASE), place, 1 << 64) for place in range(AT_ONCE + 1)]
_NEXT_POWER = np.uint64(_POWERS[AT_ONCE])
_BYTE, _LONG = ir.IntType(8), ir.IntType(64)
_BYTES, _LONGS = ir.VectorType(_BYTE, AT_ONCE), ir.VectorType(_LONG, AT_ONCE)
_RANGES = {"word": ("09", "az", "__"), "blank": ("\t\r", "\x1c ")}
"""Lower-case characters of words, and blanks, of ASCII; all others are marks."""


def run_of(codes, at, stop, word):
    """Say how many of the next sixteen characters are of one kind, and what they add to the hash of their token.

    at, stop : where they begin, and where the row ends; word : whether they are of a word, else they are marks.
    """
    first = last = int(at)
    while last < min(int(at) + AT_ONCE, int(stop)) and _is(codes[last], "word" if word else "mark"):
        last += 1
    terms = [(int(codes[i]) + 1) * _POWERS[i - first] for i in range(first, last)]
    return np.int64(last - first), np.uint64(sum(terms) % (1 << 64))


def _is(code, kind):
    """Whether a character is of a word, or neither that nor a blank."""
    word, blank = (any(low <= chr(code) <= high for low, high in _RANGES[name]) for name in ("word", "blank"))
    return word if kind == "word" else not word and not blank


def _bytes(number):
    return ir.Constant(_BYTES, [number] * AT_ONCE)


def _among(builder, letters, ranges):
    """Say of each character whether it is in one of some ranges."""
    found = ir.Constant(ir.VectorType(ir.IntType(1), AT_ONCE), [0] * AT_ONCE)
    for low, high in ranges:
        above = builder.sub(letters, _bytes(ord(low)))
        found = builder.or_(found, builder.icmp_unsigned("<=", above, _bytes(ord(high) - ord(low))))
    return found


@emitted(run_of, lambda codes, at, stop, word: types.Tuple((types.int64, types.uint64)))
def _(context, builder, signature, arguments):
    data = make_array(signature.args[0])(context, builder, arguments[0]).data
    at, stop = (context.cast(builder, arguments[n], signature.args[n], types.int64) for n in (1, 2))
    of_word = context.cast(builder, arguments[3], signature.args[3], types.boolean)
    letters = builder.load(builder.bitcast(builder.gep(data, [at]), _BYTES.as_pointer()), align=1)
    words, blanks = (_among(builder, letters, _RANGES[name]) for name in ("word", "blank"))
    inside = builder.select(of_word, words, builder.not_(builder.or_(words, blanks)))
    # The place of the first one that is not inside; seventeen bits, so that there is one.
    bits = builder.zext(builder.bitcast(inside, ir.IntType(AT_ONCE)), _LONG)
    count = builder.cttz(builder.not_(bits), ir.Constant(ir.IntType(1), 1))
    left = builder.sub(stop, at)
    count = builder.select(builder.icmp_signed("<", left, count), left, count)
    places = ir.Constant(_LONGS, list(range(AT_ONCE)))
    counted = builder.icmp_unsigned("<", places, spread_value(builder, count, AT_ONCE))
    numbers = builder.add(builder.zext(letters, _LONGS), ir.Constant(_LONGS, [1] * AT_ONCE))
    terms = builder.mul(numbers, ir.Constant(_LONGS, _POWERS[:AT_ONCE]))
    terms = builder.select(counted, terms, ir.Constant(_LONGS, [0] * AT_ONCE))
    return context.make_tuple(builder, signature.return_type, [count, total_of(builder, terms)])


@kernel()
def lower(codes, begin, out, state):
    """Copy characters from `begin` on, ASCII in lower case; `state[0]` has bit 7 if not all are ASCII."""
    met = np.uint8(0)
    for i in range(np.uint64(len(out))):
        code = codes[np.uint64(begin) + i]
        met |= code
        out[i] = code + np.uint8(32) * np.uint8(np.uint8(code - np.uint8(65)) < np.uint8(26))
    state[0] = met


@kernel()
def terms(codes, bounds, kinds, shift, buckets, counts):
    """Give the terms of each row as `kernels.terms.terms` does, of characters in lower case.

    `AT_ONCE` characters more must be there to be read. A row of eight words takes 61 ns so, character by character 150:
    there the processor guesses wrongly where most words end.
    """
    drop, filled = np.uint64(shift), np.int64(0)
    for row in range(np.uint64(len(counts))):
        begin, i, stop = filled, np.int64(bounds[row] - bounds[0]), np.int64(bounds[row + np.uint64(1)] - bounds[0])
        before = np.uint64(0)
        while i < stop:
            kind = kinds[np.uint64(codes[np.uint64(i)])]
            if kind == BLANK:
                i += 1
                continue
            length, total = run_of(codes, i, stop, kind == WORD)
            i += length
            power, last = _NEXT_POWER, length
            while last == AT_ONCE:
                last, more = run_of(codes, i, stop, kind == WORD)
                total += more * power
                power *= _NEXT_POWER
                length += last
                i += last
            token = mixed(total + np.uint64(length))
            if filled > begin:
                buckets[np.uint64(filled)] = np.int32(np.int64(mixed(before * PAIR + token) >> drop))
                filled += 1
            buckets[np.uint64(filled)] = np.int32(np.int64(token >> drop))
            filled += 1
            before = token
        if filled == begin:  # a row without characters has one token of none
            buckets[np.uint64(filled)] = np.int32(np.int64(mixed(np.uint64(0)) >> drop))
            filled += 1
        counts[row] = filled - begin
