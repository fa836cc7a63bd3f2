"""The compiled loops: the only room that knows numba and LLVM.

`store.run` is what the other rooms call. It finds a kernel's machine code on the disk and needs numba only for what has
never been compiled on this machine; the modules with the loops themselves are imported for that alone.
"""
