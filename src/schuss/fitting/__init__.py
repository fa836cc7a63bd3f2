"""Linear models of arrays: to the optimum, along a schedule, by a race of learning rates, or as rows come."""
