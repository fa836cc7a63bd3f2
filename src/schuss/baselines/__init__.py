"""The ladder: ways to make a loss smaller, from guessing to L-BFGS, each one in as few lines as say it."""

from __future__ import annotations

from .sample import mini_batch, one_row
from .search import random_local_search, random_search, simulated_annealing
from .slope import backtracking, gradient_descent, l_bfgs, newton, numerical_descent, steepest_curvature
from .steps import Point, Step, Trajectory, follow

__all__ = [
    "METHODS",
    "Point",
    "Step",
    "Trajectory",
    "backtracking",
    "follow",
    "gradient_descent",
    "l_bfgs",
    "mini_batch",
    "newton",
    "numerical_descent",
    "one_row",
    "random_local_search",
    "random_search",
    "simulated_annealing",
    "steepest_curvature",
]

METHODS = {
    "random search": random_search,
    "random local search": random_local_search,
    "simulated annealing": simulated_annealing,
    "numerical gradient": numerical_descent,
    "gradient descent": gradient_descent,
    "backtracking": backtracking,
    "Newton": newton,
    "L-BFGS": l_bfgs,
    "one row": one_row,
    "mini-batch": mini_batch,
}
"""The methods by name, from the bottom of the ladder to its top."""
