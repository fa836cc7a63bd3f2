"""A trained model: what predicts, what explains, and its file."""
