"""Columns of numbers into standardised rows, and rows to where they belong.

A table has its columns apart, training wants rows: most of the work is this transposition, done in blocks of rows that
stay in the cache. A row of 28 columns takes 20 ns there, with NumPy column by column 79.
"""

from __future__ import annotations

import ctypes

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from schuss.kernels.lanes import prefetch
from schuss.kernels.options import compiled_form_of, inlined, kernel

TOO_LARGE = 1e150  # larger numbers would overflow when squared
AHEAD = 8  # rows whose lines of memory are sent for ahead
_LINE = 16  # numbers of a line of memory


@intrinsic
def _load(typingctx, address, index, like):
    def codegen(context, builder, signature, arguments):
        start = builder.inttoptr(arguments[0], context.get_data_type(like).as_pointer())
        return builder.load(builder.gep(start, [arguments[1]]))

    return like(types.int64, types.int64, like), codegen


def load(address, index, like):
    """Read the number at place `index` of those that begin at `address`; it has the type of `like`."""
    kind = np.ctypeslib.as_ctypes_type(type(like))
    return type(like)(kind.from_address(int(address) + int(index) * ctypes.sizeof(kind)).value)


@compiled_form_of(load)
def _load_compiled(address, index, like):
    return lambda address, index, like: _load(address, index, like)


@intrinsic
def _transpose(typingctx, source, at, step, target, to, width):
    def codegen(context, builder, signature, arguments):
        word, vector = ir.IntType(64), ir.VectorType(ir.FloatType(), 8)

        def line(which, place, stride, k):
            data = context.make_array(signature.args[which])(context, builder, arguments[which]).data
            offset = builder.add(arguments[place], builder.mul(arguments[stride], ir.Constant(word, k)))
            return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())

        lines = [builder.load(line(0, 1, 2, k), align=4) for k in range(8)]
        for half in (4, 2, 1):  # swap the quarters off the diagonal, then those of each quarter, then of each of those
            first = [j if not j & half else j - half + 8 for j in range(8)]
            second = [j + half if not j & half else j + 8 for j in range(8)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), 8), mask) for mask in (first, second)]
            for k in (k for k in range(8) if not k & half):
                pair = lines[k], lines[k + half]
                lines[k], lines[k + half] = [builder.shuffle_vector(*pair, mask) for mask in masks]
        for k in range(8):
            builder.store(lines[k], line(3, 4, 5, k), align=4)
        return context.get_dummy_value()

    word = types.int64
    return types.void(source, word, word, target, word, word), codegen


def transpose(source, at, step, target, to, width):
    """Write 8 numbers of 8 lanes, `step` apart in `source`, as 8 rows, `width` apart in `target`.

    A whole row of 28, written within the cache, takes 20 ns with these vectors and 39 number by number.
    """
    for i in range(8):
        for j in range(8):
            target[to + i * width + j] = source[at + j * step + i]


@compiled_form_of(transpose)
def _transpose_compiled(source, at, step, target, to, width):
    return lambda source, at, step, target, to, width: _transpose(source, at, step, target, to, width)


@inlined
def _standardise(like, address, step, first, scales, c, out, to, count):
    """Standardise numbers, and say whether all lie within the bounds: NaN and infinity do not."""
    centre, factor, low, high = scales[c, 0], scales[c, 1], scales[c, 2], scales[c, 3]
    outside = False
    for i in range(count):
        z = (np.float64(load(address, (first + i) * step, like)) - centre) * factor
        outside |= not ((z >= low) & (z <= high))
        out[np.uint64(to + i)] = np.float32(z)
    return not outside


@inlined
def _is_missing(x, absent, at):
    """Whether a number is NaN, or its flag says so."""
    missing = x != x
    if absent != 0:
        missing |= load(absent, at, np.uint8(0)) != 0
    return missing


@inlined
def _standardise_with_care(like, address, step, absent, first, scales, c, out, to, count, problem):
    """Standardise numbers, missing ones to zero, the others clipped; note the first that is not finite."""
    centre, factor, low, high = scales[c, 0], scales[c, 1], scales[c, 2], scales[c, 3]
    wild = False
    for i in range(count):
        at = (first + i) * step
        x = np.float64(load(address, at, like))
        missing = _is_missing(x, absent, at)
        z = min(max((x - centre) * factor, low), high)
        wild |= (not missing) & (not abs(x) <= TOO_LARGE)
        out[np.uint64(to + i)] = np.float32(0.0) if missing else np.float32(z)
    if wild and problem[0] < 0:
        i = first
        while _is_missing(np.float64(load(address, i * step, like)), absent, i * step) or (
            abs(np.float64(load(address, i * step, like))) <= TOO_LARGE
        ):
            i += 1
        problem[0], problem[1] = i, c


@inlined
def _indicate(like, address, step, absent, first, scales, c, out, to, count):
    """Write the indicators of missing numbers."""
    there = np.float32((0.0 - scales[c, 0]) * scales[c, 1])
    gone = np.float32((1.0 - scales[c, 0]) * scales[c, 1])
    for i in range(count):
        at = (first + i) * step
        missing = _is_missing(load(address, at, like), absent, at)
        out[np.uint64(to + i)] = gone if missing else there


@inlined
def _write_lane(like, lanes, scales, c, first, out, to, count, problem):
    """Write the feature that lane `c` gives for some rows."""
    address, step, absent = lanes[c, 0], lanes[c, 1], lanes[c, 2]
    # Two loops each: LLVM makes vectors of the one over neighbouring numbers alone.
    if lanes[c, 4] != 0 and step == 1:
        _indicate(like, address, 1, absent, first, scales, c, out, to, count)
    elif lanes[c, 4] != 0:
        _indicate(like, address, step, absent, first, scales, c, out, to, count)
    else:
        fine = False
        if absent == 0 and step == 1:
            fine = _standardise(like, address, 1, first, scales, c, out, to, count)
        elif absent == 0:
            fine = _standardise(like, address, step, first, scales, c, out, to, count)
        if not fine and step == 1:
            _standardise_with_care(like, address, 1, absent, first, scales, c, out, to, count, problem)
        elif not fine:
            _standardise_with_care(like, address, step, absent, first, scales, c, out, to, count, problem)


@inlined
def _send_for(out, place):
    """Send for the memory of a row."""
    if place >= 0:
        for j in range(0, out.shape[1], _LINE):
            prefetch(out, np.uint64(place), np.uint64(j))
        prefetch(out, np.uint64(place), np.uint64(out.shape[1] - 1))  # a row of 28 often ends in a third line


@inlined
def _copy_runs(runs, block, begin, out, place):
    """Copy a row, run by run."""
    for r in range(len(runs)):
        source, target = np.uint64(begin + runs[r, 0]), np.uint64(runs[r, 1])
        for j in range(np.uint64(runs[r, 2])):
            out[np.uint64(place), target + j] = block[source + j]


@kernel()
def numbers(single, double, byte, lanes, scales, runs, start, stop, places, out, aside, tile, block, problem):
    """Write features of numbers: row `start + i` of the lanes to row `places[i]` of `out`.

    A place below zero is one of `aside`: -1 is its first row, -2 the next one. Rows may go anywhere: sending for their
    memory ahead took 45 to 33 ns a row of 28 that goes to one of 16 streams, 50 to 43 at random within these.

    single, double, byte : a float32, a float64 and a uint8; None for types that no lane has, and whose loops are then
        not compiled: each takes a second and a half;
    lanes : `(lanes, 5)`, a line for each feature: address of the first number, distance to the next in numbers, address
        of flags for missing ones or 0, bytes of a number (1, 4 or 8), whether the feature indicates missing numbers;
    scales : `(lanes, 4)`: centre, factor, lower and upper bound;
    runs : `(runs, 3)`: the first of some lanes that are neighbours in the row, its feature, the number of these lanes;
    tile : `8 · rows` and block : `rows · 8⌈lanes / 8⌉` numbers, room to work in, rows a multiple of 8;
    problem : gets row and lane of the first number that is not finite; its row must be negative before.
    """
    step = np.int64(len(tile) // 8)
    padded = np.int64(len(block) // step)
    for first in range(start, stop, step):
        count = min(step, stop - first)
        for group in range(0, len(lanes), 8):
            for c in range(group, min(group + 8, len(lanes))):
                to = (c - group) * step
                if single is not None and lanes[c, 3] == 4:
                    _write_lane(single, lanes, scales, c, first, tile, to, count, problem)
                if double is not None and lanes[c, 3] == 8:
                    _write_lane(double, lanes, scales, c, first, tile, to, count, problem)
                if byte is not None and lanes[c, 3] == 1:
                    _write_lane(byte, lanes, scales, c, first, tile, to, count, problem)
            for i in range(0, count, 8):
                transpose(tile, i, step, block, i * padded + group, padded)
        for i in range(count):
            _send_for(out, places[first - start + min(i + AHEAD, count - 1)])
            place = places[first - start + i]
            if place < 0:
                _copy_runs(runs, block, i * padded, aside, -1 - place)
            else:
                _copy_runs(runs, block, i * padded, out, place)


@kernel()
def place_features(features, places, first, out, aside):
    """Copy row i of `features` to row `places[i]` of `out`, from column `first` on; below zero as in `numbers`."""
    for i in range(len(places)):
        _send_for(out, places[min(i + AHEAD, len(places) - 1)])
        place = places[i]
        for j in range(np.uint64(features.shape[1])):
            if place < 0:
                aside[np.uint64(-1 - place), np.uint64(first) + j] = features[i, j]
            else:
                out[np.uint64(place), np.uint64(first) + j] = features[i, j]


@kernel()
def hold_out(uses, start, stop, targets, weights, places, held_targets, held_weights, ends):
    """Give the held-out ones of the rows `start` to `stop` their places, and move what goes with them.

    uses : of each row: 0 to learn from, 1 to select, 2 to score, others are left out;
    places : of each row: 0 to learn from; -1, -2, … to select, then to score; all that are left out get the next one;
    ends : where those that select end, and those that score; then the number of rows to learn from.
    """
    selecting, scoring, learned = 0, 0, 0
    for i in range(start, stop):
        selecting += uses[i] == 1
        scoring += uses[i] == 2
        learned += uses[i] == 0
    ends[0], ends[1], ends[2] = selecting, selecting + scoring, learned
    select, score = 0, selecting
    for i in range(start, stop):
        rank = -1
        if uses[i] == 1:
            rank = select
            select += 1
        elif uses[i] == 2:
            rank = score
            score += 1
        elif uses[i] != 0:
            places[i - start] = -1 - selecting - scoring
            continue
        places[i - start] = -1 - rank
        if rank >= 0:
            held_targets[rank], held_weights[rank] = targets[i], weights[i]


@inlined
def mixed(word):
    """Spread the information of all bits to all bits (the finaliser of MurmurHash3)."""
    word ^= word >> np.uint64(33)
    word *= np.uint64(0xFF51AFD7ED558CCD)
    word ^= word >> np.uint64(33)
    word *= np.uint64(0xC4CEB9FE1A85EC53)
    return word ^ (word >> np.uint64(33))


@kernel()
def hashed_uses(first, salt, share, uses):
    """Hold out the keys `first`, `first + 1`, … whose hash falls below the share: 1 for one half, 2 for the other.

    0.5 ns a row, 1.9 with the call for 8,192 of them; NumPy takes 8 there.
    """
    for i in range(len(uses)):
        word = mixed(mixed(np.uint64(first) + np.uint64(i)) + np.uint64(salt))
        unit = np.float64(np.int64(word >> np.uint64(11))) * (1.0 / 9007199254740992.0)
        uses[i] = np.uint8(1) if unit < share / 2 else np.uint8(2) if unit < share else np.uint8(0)
