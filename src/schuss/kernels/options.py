"""How every kernel is compiled."""

from __future__ import annotations

from functools import partial

from numba import njit
from numba.extending import overload, register_jitable

# Fused multiply-add is allowed. Reordering is not: a run's bits must not depend on its neighbours. Neither is assuming
# that values are finite: it would compile the detection of diverged runs away. Dividing by zero gives inf, no error;
# the check alone would stop LLVM from vectorising. Kernels allocate nothing, so no references are counted ("_nrt"):
# numba does not see that by itself in deeply nested loops, and the code would need its run-time library.
FAST = {"fastmath": {"contract", "nsz"}, "error_model": "numpy", "_nrt": False}

kernel = partial(njit, nogil=True, **FAST)
# A formula that LLVM declines to inline is a call in the innermost loop and is not vectorised: 17 against 0.9 ns.
INLINE = {**FAST, "forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
compiled_form_of = partial(overload, jit_options=INLINE)
inlined = register_jitable(**INLINE)
shared = register_jitable(**{**INLINE, "forceinline": False})
"""Of a function that is called from several places of a kernel, and long enough that a call does not count."""
