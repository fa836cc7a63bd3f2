"""Which runs go on, the one training loop, and the record of what happened."""
