"""What a step of gradient descent is: losses, penalties, optimizers, schedules; formulas only, no loops over data."""
