"""What introductions to gradient descent say, run: each module makes the figures and tables of a page in docs/learn."""
