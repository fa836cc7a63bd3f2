"""The main job, from a source to a result, and the same again from a checkpoint."""
