"""Going on learning from rows as they come."""
