"""The sections of the page after its answer, in their order; each is a function from the history to HTML."""

from __future__ import annotations

from .advice import advice
from .data import data
from .ground import ground
from .learned import learned
from .race import race
from .repeat import repeat
from .results import results

__all__ = ["SECTIONS"]

SECTIONS = (race, results, learned, ground, advice, data, repeat)
