"""Runs of networks side by side, in PyTorch; torch is imported in this room and in `schuss.torch` alone."""
