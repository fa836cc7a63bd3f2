"""schuss: stochastic gradient descent without guessing the learning rate."""

__version__ = "0.1.0"
