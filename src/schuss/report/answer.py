"""The answer in words: what was trained on what, how good it is, and how the training ended."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schuss.intervals import wilson

from .figures.results import confusion_counts
from .history import History, interval, mapping, number, sequence
from .runs import loss_name, loss_unit, settings_in_words
from .words import count, duration, figure, no_better, percent, plural, setting, short_count, short_path, shorten

__all__ = ["Stat", "heading", "how_it_ended", "lead", "source_in_words", "stats", "warnings"]

_ENDS = {
    "converged": "The training ended because the held-out loss had stopped falling.",
    "epochs done": "The training ended after the epochs that were asked for.",
    "time limit": "The training ended at its time limit; the model is the best one so far.",
    "end of the stream": "The training ended with the stream of rows.",
    "interrupted": "The training was interrupted; the model is the best one so far.",
    "diverged": "Every run diverged, so there is no model.",
}


@dataclass(frozen=True)
class Stat:
    """A number worth a large font, and what it is."""

    value: str
    words: str


def source_in_words(history: History) -> str:
    """The name of the data."""
    source = mapping(history.start, "source")
    parts = sequence(source, "parts")
    name = short_path(source.get("name") or (parts[0] if parts else "")) or "the data"
    return f"{name} and {plural(len(parts) - 1, 'other file')}" if len(parts) > 1 and not source.get("name") else name


def target_in_words(history: History) -> str:
    """The name of the target, quoted where it stands in a sentence."""
    return shorten(history.start.get("target") or "the target", 80)


def heading(history: History) -> str:
    """What the report is about."""
    return f"{target_in_words(history)} from {source_in_words(history)}"


def lead(history: History) -> str:
    """How good the model is on held-out rows, against the constant predictor, in a few sentences."""
    holdout = mapping(history.finish, "holdout")
    if not history.start:
        return "This record has no beginning, so what was trained on which data is not known."
    if not math.isfinite(number(holdout.get("loss"))):
        return f"{_trained(history)} {_so_far(history)}"
    judged = _accuracy(history, holdout) if history.task == "classification" else _variance(history, holdout)
    return f"{_trained(history)} {judged} {_compared(history, holdout)}"


def _trained(history: History) -> str:
    features = number(history.start.get("features"))
    made_of = f" {'on' if history.network else 'of'} {plural(features, 'feature')}" if math.isfinite(features) else ""
    rows = number(mapping(history.finish, "learned").get("scored", history.data.get("training_rows")))
    seen = f" {plural(rows, 'row')} of" if math.isfinite(rows) else ""
    if history.task == "module":
        parameters = plural(number(history.start.get("parameters")), "parameter")
        return f"A {source_in_words(history)} of {parameters}, trained on{seen.removesuffix(' of')}."
    classes = len(sequence(history.start, "classes"))
    kind = f"tells apart the {classes} classes of" if classes > 2 else "predicts"
    trained = f"trained on{seen} {source_in_words(history)}"
    return f"{_model_in_words(history)}{made_of}, {trained}, {kind} {target_in_words(history)}."


def _model_in_words(history: History) -> str:
    """What kind of model it is."""
    if not history.network:
        return "A linear model"
    sizes = history.network.replace(" ", "").split(",")
    if not all(size.isdecimal() for size in sizes):
        return f"A network ({history.network})"
    activation = str(mapping(history.start, "options").get("activation") or "")
    layers = f"{plural(len(sizes), 'hidden layer')} of {', '.join(sizes)} {activation} units".replace("  ", " ")
    return f"A network with {layers}"


def _so_far(history: History) -> str:
    best = history.winner
    if best is None or not math.isfinite(best.final_loss):
        if history.runs and all(run.diverged for run in history.runs):
            return "Every run diverged: no held-out loss stayed finite."
        return "It was never scored on held-out rows."
    opening = "Its final score is not recorded."
    if history.judged_on == "progressive":
        opening = "No rows were held out, so there is no score on rows that it has not learned from."
    return (
        f"{opening} After {count(float(best.rows[-1]))} rows the best run ({settings_in_words(best)}) had a "
        f"{history.judged_on} {loss_name(history)} of {loss_of(best.final_loss, history)}."
    )


def loss_of(loss: float, history: History) -> str:
    """A loss of the race, compared with the constant predictor's."""
    if history.relative:
        return f"{figure(loss)} of the constant predictor's"
    if math.isfinite(history.constant_loss):
        return f"{figure(loss)}; the constant predictor has {figure(history.constant_loss)}"
    return figure(loss)


def _accuracy(history: History, holdout: Mapping[str, Any]) -> str:
    accuracy, rows = number(holdout.get("accuracy")), number(holdout.get("rows"))
    if not math.isfinite(accuracy):
        return ""
    sentence = f"It is right on {percent(accuracy)} of {plural(rows, 'held-out row')}"
    if rows > 0:
        low, high = wilson(accuracy, rows)
        sentence += f" (95% interval {percent(low)} to {percent(high)})"
    counts = confusion_counts(history)
    if counts is not None and counts.sum() > 0:
        most = float(counts.sum(axis=1).max() / counts.sum())
        sentence += f", where always naming the commonest class is right on {percent(most)}"
    return sentence + "."


def _variance(history: History, holdout: Mapping[str, Any]) -> str:
    r2, rows = number(holdout.get("r2")), number(holdout.get("rows"))
    if not math.isfinite(r2):
        return ""
    where = f"on {plural(rows, 'held-out row')}" if math.isfinite(rows) else "on held-out rows"
    if r2 <= 0:
        return f"It explains none of the variance {where} (R² {figure(r2, 3)})."
    return f"It explains {percent(r2)} of the variance {where} (R² {figure(r2, 3)})."


def _compared(history: History, holdout: Mapping[str, Any]) -> str:
    loss, constant = number(holdout.get("loss")), number(holdout.get("constant_loss"))
    name, unit = loss_name(history), loss_unit(history)
    if history.start.get("loss") == "squared_error" and loss >= 0:
        name, loss, constant = "typical error (root mean square)", math.sqrt(loss), math.sqrt(max(constant, 0.0))
    sentence = f"Its {name} is {figure(loss)}{unit and ' ' + unit}"
    if not math.isfinite(constant):
        return f"{sentence}."
    gain = interval(history, "gain")
    if constant > 0 and loss < constant:
        doubt = "; the difference is within its 95% interval" if gain and gain[0] <= 0 else ""
        return (
            f"{sentence}, {percent(1 - loss / constant, 0)} below the constant predictor's {figure(constant)}{doubt}."
        )
    return f"{sentence}, no better than the constant predictor's {figure(constant)}."


def stats(history: History) -> list[Stat]:
    """The few numbers to see at a glance."""
    holdout = mapping(history.finish, "holdout")
    accuracy, r2, loss = (number(holdout.get(key)) for key in ("accuracy", "r2", "loss"))
    found = []
    if math.isfinite(accuracy):
        found.append(Stat(percent(accuracy), f"accuracy on held-out rows{_between(history, 'accuracy', percent)}"))
    if math.isfinite(r2):
        found.append(Stat(figure(r2, 3), f"R² on held-out rows{_between(history, 'r2', _three)}"))
    if math.isfinite(loss):
        constant = number(holdout.get("constant_loss"))
        against = f"; constant predictor {figure(constant, 3)}" if math.isfinite(constant) else ""
        between = _between(history, "loss", _three)
        found.append(Stat(figure(loss, 3), f"held-out {loss_name(history)}{between}{against}"))
    rows, seconds = number((history.finish or {}).get("rows")), history.seconds
    rows = rows if math.isfinite(rows) else history.rows_seen
    if math.isfinite(seconds) and math.isfinite(rows):
        speed = number((history.finish or {}).get("rows_per_second"))
        pace = f", {short_count(speed)} a second" if math.isfinite(speed) else ""
        found.append(Stat(duration(seconds), f"for {short_count(rows)} rows{pace}"))
    if len(history.runs) > 1:
        lost = sum(run.diverged for run in history.runs)
        dropped = sum(run.drop is not None for run in history.runs) - lost
        ways = [f"{count(dropped)} dropped on the way"] * bool(dropped) + [f"{count(lost)} diverged"] * bool(lost)
        found.append(Stat(count(len(history.runs)), ", ".join(["runs raced", *ways])))
    return found


def _three(value: float) -> str:
    return figure(value, 3)


def _between(history: History, key: str, words: Callable[[float], str]) -> str:
    """The 95 % interval of a score in brackets, nothing where it is not known."""
    ends = interval(history, key)
    return f" ({words(ends[0])} to {words(ends[1])})" if ends else ""


def how_it_ended(history: History) -> list[str]:
    """How the training ended and what to do next, a sentence each."""
    if history.finish is None:
        error = history.error.strip()
        ended = "The record has no end: the training was killed, failed, or is still going on."
        return [_sentence(f"The training failed: {error}") if error else ended, *_next(history)]
    outcome, advice = (str(history.finish.get(key) or "").strip() for key in ("outcome", "advice"))
    ended = _ENDS.get(outcome, f"the training ended: {outcome}" if outcome else "")
    if advice and outcome in ("converged", "epochs done"):
        ended = ""  # the advice begins by saying so
    said = [_sentence(words) for words in (ended, advice, _polished(history)) if words]
    return said if advice else said + _next(history)


def _next(history: History) -> list[str]:
    """What to do after a training that came to no good end, nothing after one that did."""
    runs, outcome = history.runs, (history.finish or {}).get("outcome", "")
    if runs and all(run.diverged for run in runs):
        rates = sorted({run.learning_rate for run in runs if run.learning_rate > 0})
        tried = f", at learning rates of {setting(rates[0])} to {setting(rates[-1])}" if rates else ""
        tried = f", at a learning rate of {setting(rates[0])}" if len(rates) == 1 else tried
        last = max((run.drop.rows for run in runs if run.drop and math.isfinite(run.drop.rows)), default=math.nan)
        when = f" within {plural(last, 'row')}" if last > 0 else " before the first evaluation"
        return [
            f"All {plural(len(runs), 'run')} diverged{when}{tried}.",
            "Smaller ones are the first thing to try; --learning-rate auto races over many.",
        ]
    if outcome != "interrupted" and (history.finish is not None or history.error.strip() not in ("", "interrupted")):
        return []
    folder = shlex.quote(str(mapping(history.start, "options").get("out") or "RUN"))
    return [f"schuss resume {folder} goes on from the newest checkpoint, where there is one."]


def _polished(history: History) -> str:
    """What full passes made of the winner after the race, empty where the model is the winner as it was."""
    passes = number(mapping(history.finish, "chosen").get("passes"))
    if not math.isfinite(passes):
        return ""
    l2 = setting(mapping(history.finish, "chosen").get("l2"))
    said = f"After the race, {count(passes)} full passes over the rows finished the model, with an L2 penalty of {l2}"
    scored, kept = (number(mapping(history.finish, "learned").get(model)) for model in ("scored", "kept"))
    if not kept > scored:
        return said
    seen = f"scores are those of a model of {plural(scored, 'row')}"
    return f"{said}; {seen}, and the one that is kept has then learned from all {count(kept)}"


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def warnings(history: History) -> list[str]:
    """What should make the reader careful."""
    said = []
    twins, skipped = number(history.data.get("twins")), number(history.data.get("skipped_rows"))
    if twins >= 0.001:
        said.append(f"{percent(twins)} of the held-out rows have an identical training row, which flatters the score.")
    if skipped > 0:
        said.append(f"{plural(skipped, 'row')} {'was' if skipped == 1 else 'were'} skipped.")
    holdout = mapping(history.finish, "holdout")
    if number(holdout.get("loss")) >= number(holdout.get("constant_loss")):
        said.append(_sentence(no_better(mapping(history.start, "options").get("learning_rate"))))
    if history.damaged:
        said.append(f"{plural(history.damaged, 'line')} of the record could not be read and is left out here.")
    return said + [_sentence(notice) for notice in _strings(history.start.get("notices")) if notice]


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else []
