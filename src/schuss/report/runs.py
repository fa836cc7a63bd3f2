"""Runs and their losses in words."""

from __future__ import annotations

import math

from .history import History, Run
from .words import count, figure, setting

__all__ = ["describe_run", "fate_in_words", "loss_name", "loss_unit", "optimizer_of", "race_loss", "settings_in_words"]

_NAMES = {
    "squared_error": "mean squared error",
    "absolute_error": "mean absolute error",
    "huber": "mean Huber loss",
    "epsilon_insensitive": "mean error beyond the tolerance",
    "squared_epsilon_insensitive": "mean squared error beyond the tolerance",
    "quantile": "mean pinball loss",
    "poisson": "mean Poisson deviance",
    "perceptron": "share of wrong rows",
    "sigmoid_squared_error": "squared error of the probability",
    "crammer_singer": "Crammer–Singer hinge",
    "modified_huber": "modified Huber loss",
}
_UNITS = {"log_loss": "nats per row"}


def loss_name(history: History) -> str:
    """The name of the loss that was trained on."""
    name, _, parameter = str(history.start.get("loss") or "loss").partition(":")
    return _NAMES.get(name, name.replace("_", " ")) + (parameter and f" ({parameter})")


def loss_unit(history: History) -> str:
    """The unit of the loss, where it has a name."""
    return _UNITS.get(str(history.start.get("loss")), "")


def race_loss(history: History) -> str:
    """What the runs' losses are, with their unit."""
    unit = "share of the constant's" if history.relative else loss_unit(history)
    return f"{history.judged_on} {loss_name(history)}{unit and f' ({unit})'}"


def describe_run(run: Run, history: History) -> str:
    """One line on a run: its settings, what became of it, its last loss."""
    loss = history.model_at[1] if run is history.winner else run.final_loss
    said = f"{history.judged_on} loss {figure(loss)}" if math.isfinite(loss) else "no finite loss"
    return f"run {run.number}: {settings_in_words(run)}; {fate_in_words(run, history)}, {said}"


def settings_in_words(run: Run) -> str:
    """The settings of a run that make it different from its neighbours."""
    parts = [optimizer_of(run), f"learning rate {setting(run.settings.get('learning_rate'))}"]
    if run.settings.get("l2") is not None:
        parts.append(f"L2 {setting(run.settings['l2'])}")
    return ", ".join(filter(None, parts))


def fate_in_words(run: Run, history: History) -> str:
    """What became of a run."""
    if run is history.winner and history.finish is not None:
        return "the winner"
    if run.drop is not None:
        return f"{'diverged' if run.diverged else 'dropped'} after {count(run.drop.rows)} rows"
    return "in the race to the end" if history.finish is not None else "still racing"


def optimizer_of(run: Run) -> str:
    """The name of a run's optimizer, empty where the record holds none."""
    return str(run.settings.get("optimizer") or "")
