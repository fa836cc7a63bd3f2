"""What a step of gradient descent is: losses, penalties, optimizers, schedules, first weights; no loops over data."""
