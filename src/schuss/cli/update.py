"""The command that goes on learning: `schuss update`."""

from __future__ import annotations

import sys
from typing import Any

import click

from . import options
from .command import DONE, INTERRUPTED, as_json_text, complain, given, place
from .starting import quick_start


@click.command()
@click.argument("model")
@options.data
@click.option("--out", metavar="FILE", help="Write the model to this file instead of back to its own.")
@click.option("--weight", metavar="COLUMN", help="Column that holds a weight for each row; by default as in training.")
@options.option(
    "--save-every",
    default="10s",
    metavar="TIME|N rows",
    help="How often the file is replaced: after a time, or a number of rows such as '500 rows'.",
)
@click.option(
    "--from-row",
    type=click.IntRange(min=0),
    metavar="N",
    help="Where DATA begins among all rows that MODEL is to be updated with, counted from 0: rows that it has learned "
    "from already are passed over. By default all rows are new.",
)
@click.option(
    "--acknowledge",
    is_flag=True,
    help="Print how many rows, of all that MODEL was ever updated with, are safe on the disk: at the beginning, and "
    "after every save.",
)
@options.reading_again
@options.quiet
@options.as_json
def update(model: str, data: tuple[str, ...], acknowledge: bool, quiet: bool, as_json: bool, **settings: Any) -> int:
    """Go on learning from the rows of DATA, or from a stream (-), one by one, in their order.

    MODEL is the folder of a run, or its model.safetensors. Every row is answered before it is learned from; the loss
    that is shown is of these answers. Of standard input, rows of CSV, JSON lines and svmlight are learned as they come.
    """
    with quick_start():
        from ..updating.updating import update
        from . import printout, progress
        from .predictions import refuse_what_is_read

    if settings["out"] is not None:
        refuse_what_is_read(settings["out"], data)
    told = _acknowledge if acknowledge else None
    with progress.display(quiet=quiet) as show:
        summary = update(model, place(data), progress=show, acknowledge=told, **given(settings)).summary
    click.echo(as_json_text(summary) if as_json else printout.update(summary))
    if summary["outcome"] != "interrupted":
        return DONE
    return complain(INTERRUPTED, f"interrupted; the {summary['position']:,} rows so far are safe in {summary['model']}")


def _acknowledge(rows: int) -> None:
    click.echo(str(rows))
    sys.stdout.flush()
