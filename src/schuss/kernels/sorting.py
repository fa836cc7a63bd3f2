"""The terms of each row in ascending order, each once: whole numbers from 0 to below 2³⁰, mostly few."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.np.arrayobj import make_array

from schuss.kernels.lanes import emitted, spread_value, total_of
from schuss.kernels.options import inlined, kernel

FEW = 64
"""Numbers that are sorted by their ranks, which takes time with the square of their number."""

GROUP = 16
BEYOND = 1 << 30
"""More than any number."""

_WORD = ir.IntType(32)
_LANES = ir.VectorType(_WORD, GROUP)
_PLACES = ir.Constant(_LANES, list(range(GROUP)))


def rank_among(numbers, own, left, others, more, ties, room):
    """Count for sixteen numbers how many of sixteen others go before them; give the sum of that.

    Those go before a number that are less; with `ties`, 0 or 1, also those that are equal and lie further ahead.

    numbers : int32; own, others : where the two groups begin; left, more : how many of each there are; room :
    `(2 · GROUP,)` int32, gets the numbers of the first group, and what is counted added to what there is.
    """
    total = 0
    for i in range(min(int(left), GROUP)):
        number, at = int(numbers[int(own) + i]), int(own) + i
        before = [int(numbers[j]) for j in range(int(others), int(others) + min(int(more), GROUP))]
        ahead = [ties and int(others) + j < at for j in range(len(before))]
        count = sum(other < number + tie for other, tie in zip(before, ahead, strict=True))
        room[i] = number
        room[GROUP + i] += count
        total += count
    return np.int64(total)


def _lanes(number):
    return ir.Constant(_LANES, [number] * GROUP)


def _at(builder, values, places):
    """Give each lane the value of the lane at its place."""
    return builder.shuffle_vector(values, ir.Constant(_LANES, ir.Undefined), ir.Constant(_LANES, places))


def _spread(builder, number):
    """Give every lane a number."""
    return spread_value(builder, builder.trunc(number, _WORD), GROUP)


def _are_there(builder, many):
    """Say which lanes are below a number."""
    return builder.icmp_signed("<", _PLACES, _spread(builder, many))


@emitted(rank_among, lambda numbers, own, left, others, more, ties, room: types.int64)
def _(context, builder, signature, arguments):
    def group(which, at):
        data = make_array(signature.args[which])(context, builder, arguments[which]).data
        return builder.bitcast(builder.gep(data, [at]), _LANES.as_pointer())

    own, left, others, more, ties = (
        context.cast(builder, arguments[n], signature.args[n], types.int64) for n in range(1, 6)
    )
    mine, theirs = (builder.load(group(0, at), align=4) for at in (own, others))
    theirs = builder.select(_are_there(builder, more), theirs, _lanes(BEYOND))
    ranks, equal_too = _lanes(0), _spread(builder, ties)
    further = builder.add(_PLACES, _spread(builder, builder.sub(own, others)))
    for j in range(GROUP):
        further_ahead = builder.icmp_signed("<", _lanes(j), further)
        limit = builder.select(further_ahead, builder.add(mine, equal_too), mine)
        less = builder.icmp_signed("<", _at(builder, theirs, [j] * GROUP), limit)
        ranks = builder.select(less, builder.add(ranks, _lanes(1)), ranks)
    ranks = builder.select(_are_there(builder, left), ranks, _lanes(0))
    zero, after = (ir.Constant(ir.IntType(64), number) for number in (0, GROUP))
    before = builder.load(group(6, after), align=4)
    builder.store(mine, group(6, zero), align=4)
    builder.store(builder.add(before, ranks), group(6, after), align=4)
    return builder.zext(total_of(builder, ranks), ir.IntType(64))


@inlined
def _sort_few(numbers, begin, end, ties, sorted_numbers, to, room):
    """Write at most `FEW` numbers to where their ranks say; give the sum of the ranks."""
    total = np.int64(0)
    for own in range(begin, end, GROUP):
        for i in range(np.uint64(GROUP)):
            room[np.uint64(GROUP) + i] = 0
        for others in range(begin, end, GROUP):
            total += rank_among(numbers, own, end - own, others, end - others, ties, room)
        for i in range(np.uint64(min(np.int64(GROUP), end - own))):
            sorted_numbers[np.uint64(to + room[np.uint64(GROUP) + i])] = room[i]
    return total


@inlined
def _sort(numbers, begin, end):
    """Sort some numbers in place (Shell's method: no memory, no worst case)."""
    gap = (end - begin) // 2
    while gap > 0:
        for i in range(begin + gap, end):
            number, j = numbers[i], i
            while j >= begin + gap and numbers[j - gap] > number:
                numbers[j] = numbers[j - gap]
                j -= gap
            numbers[j] = number
        gap //= 2


@inlined
def _keep_each_once(numbers, begin, end, kept, times, to):
    """Keep each of some sorted numbers once, with its number of times; give where they end."""
    at, last = to - 1, np.int64(-1)
    for i in range(begin, end):
        number = np.int64(numbers[i])
        at += number != last
        times[at] = 1 if number != last else times[at] + 1
        kept[at] = last = number
    return at + 1


@kernel()
def each_once(numbers, counts, kept, times, room):
    """Sort the numbers of each row and keep each once, with its number of times; `counts` become how many are kept.

    numbers, kept : int32, with room for `GROUP` more after the last; the numbers of long rows are sorted in place;
    room : `(2 · GROUP,)` int32.
    """
    begin, to = np.int64(0), np.int64(0)
    for row in range(np.uint64(len(counts))):
        count = np.int64(counts[row])
        end = begin + count
        if count > FEW:
            _sort(numbers, begin, end)
            counts[row] = _keep_each_once(numbers, begin, end, kept, times, to) - to
        elif _sort_few(numbers, begin, end, 0, kept, to, room) == count * (count - 1) // 2:  # no two are equal
            for i in range(np.uint64(to), np.uint64(to + count)):
                times[i] = 1
        else:
            _sort_few(numbers, begin, end, 1, kept, to, room)
            counts[row] = _keep_each_once(kept, to, to + count, kept, times, to) - to
        begin, to = end, to + np.int64(counts[row])
