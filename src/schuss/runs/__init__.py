"""What a run keeps in its folder: the record, checkpoints, and at last the finished files."""
