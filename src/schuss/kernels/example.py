"""The smallest kernel there is, for the documentation and the tests of the store."""

from __future__ import annotations

from schuss.kernels.options import kernel


@kernel()
def scale(x, factor, out):
    """Write `factor · x` into `out`."""
    for i in range(len(x)):
        out[i] = factor * x[i]
