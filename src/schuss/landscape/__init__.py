"""What the ground under a descent looks like: is the gradient right, which step is right, how steep is it."""
