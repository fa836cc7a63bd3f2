"""The seam between the training loop and whatever trains: what a run is, and what a population can do."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schuss.data.chunk import Chunk
from schuss.data.saved import Saved

__all__ = ["Population", "Run", "Tallies", "WinnerState"]


class Run(NamedTuple):
    """One setting of the hyperparameters, as a user would write them; `number` names it in the record."""

    number: int
    optimizer: str
    learning_rate: float
    l2: float
    schedule: str
    batch_size: int
    init: str = "zero"
    l1: float = 0.0


class Tallies(NamedTuple):
    """What a chunk said of each run before it was learned from.

    loss : `(runs,)` float64, sum of weight · loss over the chunk's rows, not finite for a run that has diverged;
    weight : sum of the rows' weights; rows : how many there were.
    """

    loss: NDArray[np.float64]
    weight: float
    rows: int


class WinnerState(NamedTuple):
    """One run taken out of its population: weights `(features + 1, outputs)`, the optimizer's memory and carry."""

    weights: NDArray[np.float32]
    slots: dict[str, NDArray[np.float32]]
    carry: NDArray[np.float64]


class Population(Protocol):
    """Runs of one optimizer and one batch size, as pure functions of a state (a state handed in is used up)."""

    def start(self, runs: tuple[Run, ...]) -> Any:
        """Give the state of runs that have not learned anything yet."""
        ...

    def begin_leg(self, state: Any, planned_rows: int) -> Any:
        """Begin the schedules anew, to reach their end after so many rows."""
        ...

    def replan(self, state: Any, planned_rows: int) -> Any:
        """Let the schedules reach their end after so many rows of the leg, without beginning anew."""
        ...

    def hear(self, state: Any, losses: dict[int, float]) -> Any:
        """Tell the schedules the held-out losses of runs, by number."""
        ...

    def advance(self, state: Any, chunk: Chunk) -> tuple[Any, Tallies]:
        """Learn from a chunk; each mini-batch is scored before it is learned from."""
        ...

    def up_to_date(self, state: Any) -> Any:
        """Bring every weight up to date; what reads weights as a whole (the three below) asks for it."""
        ...

    def losses(self, state: Any, chunk: Chunk) -> NDArray[np.float32]:
        """Give the loss of every row for every run `(rows, runs)`, without learning."""
        ...

    def keep(self, state: Any, numbers: list[int]) -> Any:
        """Go on with these runs alone."""
        ...

    def take(self, state: Any, number: int) -> WinnerState:
        """Copy one run out."""
        ...

    def saved(self, state: Any) -> Saved:
        """Give all of a state, to go on from."""
        ...

    def resumed(self, saved: Saved) -> Any:
        """Give the state that was saved; raises KeyError or ValueError where it is not that of such a population."""
        ...
