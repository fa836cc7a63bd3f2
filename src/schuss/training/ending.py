"""What comes after a race: full passes over the rows, a committee of networks, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..data.feed import Feed
from ..descent.losses import Loss
from ..finish.committee import committee, is_affordable
from ..finish.finish import Finished, finish, has_passes, run_rows
from ..model.model import outputs_of
from ..race.record import Recorder
from ..race.state import Finish
from .lineup import learning_threads, population_of
from .networks import architecture_of, least_rate
from .preparation import Prepared

__all__ = ["finished_race", "has_committee", "is_decided_by_passes", "is_finished_by_passes"]


def has_committee(prepared: Prepared, feed: Feed) -> bool:
    """Whether a committee of networks comes after the race."""
    settings = prepared.settings
    if settings.hidden is None or settings.epochs != "auto":
        return False
    return is_affordable(feed, architecture_of(settings, prepared.encoder).size, prepared.reader.holdout.kind)


def is_finished_by_passes(prepared: Prepared) -> bool:
    """Whether full passes come after the race, where they are cheap: whoever asks for epochs gets these and no more."""
    return prepared.settings.network is None and prepared.settings.epochs == "auto"


def is_decided_by_passes(prepared: Prepared, feed: Feed, loss: Loss) -> bool:
    """Whether full passes will decide wherever the race ends, so that a short one is enough."""
    shape = prepared.encoder.width + 1, outputs_of(prepared.encoder.classes)
    return is_finished_by_passes(prepared) and has_passes(feed, loss, shape, prepared.settings.l1)


def finished_race(
    prepared: Prepared,
    feed: Feed,
    loss: Loss,
    ended: Finish,
    *,
    constant_loss: float,
    record: Recorder,
    unit: float,
    stop: Callable[[], bool],
) -> Finished:
    """Make the best of a race's champion; the parameters are those of `finish`."""
    settings, champion = prepared.settings, ended.champion
    options: dict[str, Any] = {
        "l2": None if settings.l2 == "auto" else float(settings.l2),
        "record": record,
        "unit": unit,
        "stop": stop,
    }
    if settings.network is not None:
        optimizer, batch = champion.run.optimizer, champion.run.batch_size
        members: Any = population_of(optimizer, settings, prepared.encoder, feed, loss, batch)
        rate = least_rate(optimizer, record.events)
        return committee(champion, members, feed, loss, least_rate=rate, seed=settings.seed, **options)
    return finish(
        champion,
        feed,
        loss,
        constant_loss=constant_loss,
        spent_rows=run_rows(record, ended.rows),
        holdout=prepared.reader.holdout.kind,
        threads=learning_threads(settings, feed),
        **options,
    )
