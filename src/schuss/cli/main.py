"""The command line: parse, call, print, exit code.

Exit codes: 0 done; 2 the input or the options are wrong (one sentence on stderr, no traceback); 130 interrupted;
1 a defect of schuss.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
import traceback
import webbrowser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..errors import OptionError, SchussError
from . import options
from .command import (
    DEFECT,
    DONE,
    INTERRUPTED,
    WRONG_INPUT,
    Skipped,
    as_json_text,
    complain,
    given,
    notice,
    place,
)
from .starting import give_memory_back, quick_start
from .update import update

if TYPE_CHECKING:
    from ..training.training import Result

# A disk that is full, a quota or a limit on the size of files that is used up.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code.

    >>> main(["--version"])
    schuss ...
    0
    """
    own = arguments is None
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A console that cannot show a character of the data shows its code instead.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with commands.make_context("schuss", list(arguments), obj={"own process": own}) as context:
            code = commands.invoke(context) or DONE
            sys.stdout.flush()
            return code
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        return complain(WRONG_INPUT, options.sentence(error))
    except SchussError as error:
        return complain(WRONG_INPUT, str(error))
    except (KeyboardInterrupt, click.Abort) as error:
        return complain(INTERRUPTED, f"interrupted: {error}" if str(error) else "interrupted")
    except BrokenPipeError:
        _print_nowhere()
        return DONE
    except MemoryError as error:
        said = f": {error}" if str(error) else ""
        return complain(WRONG_INPUT, f"there is not enough memory{said[:200]}")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            _print_nowhere()
            where = f"'{error.filename}'" if error.filename else "standard output"
            return complain(WRONG_INPUT, f"cannot write to {where}: {(error.strerror or str(error)).lower()}")
        traceback.print_exc()
        return complain(DEFECT, "this is a defect of schuss; please report it with the lines above")
    finally:
        if own:
            gc.freeze()  # what is left goes with the process: looking for garbage in it takes 50 ms


def _print_nowhere() -> None:
    """Give up standard output: its reader has gone (`schuss predict … | head`), or its disk is full.

    Python flushes stdout once more at exit; pointing it to nowhere keeps that from complaining.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=options.OrderedGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, message="schuss %(version)s")
@click.pass_context
def commands(context: click.Context) -> None:
    """Train models by stochastic gradient descent without guessing the learning rate.

    A whole grid of hyperparameters trains at once, in one pass over the data; the runs race, the winner is kept, and a
    report draws what happened.

    \b
        schuss train flights.csv --target delayed
        schuss predict runs/flights-delayed new.csv
    """  # noqa: D301 - the backspace is how click is told to keep lines
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@commands.command()
@options.data
@options.columns
@options.descent
@options.network
@options.reading
@options.machine
@options.output
@options.as_json
def train(data: tuple[str, ...], quiet: bool, as_json: bool, **settings: Any) -> int:
    """Train a model on DATA and keep it with its report.

    DATA is one or several files (CSV, TSV, JSON lines, Parquet, Arrow, svmlight, .npz; also .gz and .zst), a folder, a
    pattern such as 'part-?.parquet', an address such as s3://bucket/table.parquet, or - for standard input.
    """
    with quick_start():
        from ..training.training import train
        from . import progress

    give_memory_back()
    with progress.display(quiet=quiet) as show:
        result = train(place(data), progress=show, **settings)
    return _trained(result, as_json)


@commands.command()
@click.argument("run")
@options.code
@options.own_optimizer
@options.quiet
@options.as_json
def resume(run: str, network: str | None, optimizer: str, quiet: bool, as_json: bool) -> int:
    """Go on with a run that was interrupted, from its newest checkpoint.

    RUN is its folder. The model is the one that the run would have come to without the interruption, byte for byte.
    """
    with quick_start():
        from ..training.resuming import is_finished, resume
        from . import progress

    give_memory_back()
    if is_finished(run):
        click.echo(f"'{run}' holds a finished run: nothing is left to do")
        return DONE
    with progress.display(quiet=quiet) as show:
        result = resume(run, network=network, optimizer=optimizer, progress=show)
    return _trained(result, as_json)


def _trained(result: Result, as_json: bool) -> int:
    """Print what a training gives, and give the exit code."""
    from . import printout

    summary = result.summary
    click.echo(as_json_text(summary) if as_json else printout.training(summary, result.record))
    if summary["outcome"] != "interrupted":
        return DONE
    goes_on = f"schuss resume {summary['resume']} goes on; " if summary["resume"] else ""
    return complain(INTERRUPTED, f"interrupted; {goes_on}the best model so far is saved in {summary['model']}")


@commands.command()
@click.argument("model")
@options.data
@click.option("--proba", is_flag=True, help="Add a column p_CLASS with the probability of each class.")
@click.option("--out", metavar="FILE", help="Write to this .csv or .parquet file instead of standard output.")
@options.code
@options.reading_again
def predict(
    model: str, data: tuple[str, ...], proba: bool, out: str | None, network: str | None, **reading: Any
) -> None:
    """Predict the rows of DATA: one row out for each row in, in the same order.

    MODEL is the folder of a run, or its model.safetensors.
    """
    with quick_start():
        from ..model.model import Model
        from . import predictions

    write = predictions.writer(out, reads=(model, *data))
    skipped = Skipped()
    loaded = Model.load(model, network)
    write(loaded.predict_batches(place(data), proba=proba, on_bad=skipped.add, tell=notice, **given(reading)))
    skipped.tell("have no prediction")


@commands.command()
@click.argument("model")
@options.data
@options.code
@options.reading_again
@options.as_json
def evaluate(model: str, data: tuple[str, ...], network: str | None, as_json: bool, **reading: Any) -> None:
    """Tell how well a model predicts DATA, which must hold the target.

    MODEL is the folder of a run, or its model.safetensors.
    """
    with quick_start():
        from ..model.model import Model
        from . import printout

    skipped = Skipped()
    scores = Model.load(model, network).evaluate(place(data), on_bad=skipped.add, tell=notice, **given(reading))
    skipped.tell("were left out")
    click.echo(as_json_text(scores) if as_json else printout.scores(scores))


commands.add_command(update)


@commands.command()
@click.argument("model")
@options.option(
    "--top", type=click.IntRange(min=1), default=20, metavar="N", help="How many of the weights that matter most."
)
@click.option("--rows", metavar="DATA", help="Show what each column adds to the score of each of these rows instead.")
@click.option("--out", metavar="FILE", help="Write the rows to this .csv or .parquet file instead of standard output.")
@options.code
@options.reading_again
@options.as_json
def explain(
    model: str, top: int, rows: str | None, out: str | None, network: str | None, as_json: bool, **reading: Any
) -> None:
    """Show the weights that matter most, in the units of the data, or what the score of each row consists of.

    MODEL is the folder of a run, or its model.safetensors.
    """
    from ..model.model import Model
    from . import predictions, printout

    if rows is None:
        if out is not None:
            raise OptionError("option '--out' is for the rows of --rows")
        weights = Model.load(model).explain(top=top)
        click.echo(as_json_text({"weights": weights}) if as_json else printout.weights(weights))
        return
    if as_json and out is not None:
        raise OptionError("options '--json' and '--out' do not go together")
    write = predictions.writer(out, reads=(model, rows))
    skipped = Skipped()
    batches = Model.load(model, network).contribution_batches(rows, on_bad=skipped.add, **given(reading))
    if as_json:
        click.echo(as_json_text({"rows": [row for batch in batches for row in batch.to_pylist()]}))
    else:
        write(batches)
    skipped.tell("are not explained")


@commands.command()
@click.argument("model")
@options.option(
    "--to",
    type=click.Choice(["onnx", "json"]),
    required=True,
    help="ONNX graph, which needs the package onnx, or JSON in the units of the data.",
)
@click.option("--out", metavar="FILE", help="Write to this file instead of standard output.")
def export(model: str, to: str, out: str | None) -> None:
    """Write a model for other programs, which predict the same with it.

    MODEL is the folder of a run, or its model.safetensors. Numbers, vectors of them and categories can be exported.
    """
    from ..files import replacing
    from ..model.model import FILE_NAME, Model
    from .predictions import refuse_what_is_read

    if out is not None:
        refuse_what_is_read(out, (model, f"{model}/{FILE_NAME}"))
    loaded = Model.load(model)
    content = loaded.to_json().encode() if to == "json" else loaded.to_onnx().SerializeToString()
    if out is not None:
        with replacing(out) as file:
            file.write(content)
    elif to == "onnx" and sys.stdout.isatty():
        raise OptionError("an ONNX model is no text: name a file with --out")
    else:
        sys.stdout.buffer.write(content)


@commands.command()
@options.data
@options.option("--seconds", default="2s", metavar="TIME", help="Time that each method has (0.5, 10s, 1m).")
@options.option(
    "--optimizer",
    type=options.Names(),
    metavar="NAME,…",
    help="Optimizers that climb as single runs, by default momentum, adagrad and adam, each with the rate in the "
    "middle of what the race tries.",
)
@options.columns
@options.without(options.descent, "optimizer", "schedule", "epochs", "time_limit")
@options.reading
@options.without(options.machine, "cache")
@options.output
@options.as_json
def compare(data: tuple[str, ...], quiet: bool, as_json: bool, **settings: Any) -> None:
    """Run the ladder on DATA: search, full-batch descent, samples, optimizers, and the race, for equal seconds each.

    All learn from the same rows, in memory, and are judged by the same held-out rows. Prints a table, and writes a page
    with the loss against seconds and against rows read, compare.html, into the folder.
    """
    from ..ladder.comparison import compare
    from . import printout, progress

    with progress.display(quiet=quiet) as show:
        compared = compare(place(data), progress=show, **given(settings))
    click.echo(as_json_text(compared.summary) if as_json else printout.comparison(compared.summary))


@commands.command()
@click.argument("objective", metavar="MODULE:OBJECTIVE")
@options.option(
    "--tolerance",
    type=float,
    default=1e-6,
    metavar="X",
    help="Error of a right gradient at most, in units of the largest slope of its block.",
)
@options.option(
    "--coordinates",
    type=click.IntRange(min=1),
    default=200,
    metavar="N",
    help="Numbers of a block that are moved, at most.",
)
@options.seed
@options.as_json
def gradcheck(objective: str, tolerance: float, coordinates: int, seed: int, as_json: bool) -> int:
    """Check the gradient of an objective of your own against differences of its values.

    MODULE:OBJECTIVE, or FILE.py:OBJECTIVE, names a function of arrays that gives its value and its gradient; the
    defaults of its arguments are the point to look at. The exit code is 2 if the gradient is wrong.

    \b
        def ridge(w=np.zeros(3)):
            return ((X @ w - y) ** 2).mean() + (w @ w), 2 * X.T @ (X @ w - y) / len(y) + 2 * w
    """  # noqa: D301
    from ..landscape.gradcheck import gradcheck
    from ..named import load
    from . import printout

    check = gradcheck(load(objective, "gradcheck"), tolerance=tolerance, coordinates=coordinates, seed=seed)
    click.echo(as_json_text(check.summary()) if as_json else printout.gradient_check(check.summary()))
    wrong = [block for block in check.blocks if not block.right]
    return DONE if check.right else complain(WRONG_INPUT, printout.wrong_gradient(wrong[0].name, wrong[0].worst[0]))


@commands.command()
@click.argument("run")
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
@click.option("--figures", metavar="DIR", help="Also write each figure into this folder, as SVG and PNG.")
def report(run: str, show: bool, figures: str | None) -> None:
    """Draw the report of RUN anew: one HTML file that needs nothing else.

    RUN is the folder of a run, also of one that failed, was interrupted or still trains.
    """
    from ..report import redraw, save_figures

    path = redraw(run)
    click.echo(str(path))
    if figures is not None:
        try:
            files = save_figures(run, figures)
        except OptionError as error:
            notice(f"the SVG files are written, but {error}")
        else:
            click.echo(f"{len(files)} files in {figures}")
    if show and not webbrowser.open(path.resolve().as_uri()):
        notice(f"no browser was found: open {path.resolve().as_uri()} in one")


@commands.command()
@click.argument("run")
@options.option(
    "--rows", type=click.IntRange(min=2), default=2000, metavar="N", help="Training rows to look at, drawn at random."
)
@options.option(
    "--resolution", type=click.IntRange(min=3), default=41, metavar="N", help="Points along each side of a surface."
)
@options.seed
@options.as_json
def landscape(run: str, rows: int, resolution: int, seed: int, as_json: bool) -> None:
    """Look at the ground that a run was trained on: the loss surface, its curvature, sharpness, noise, and advice.

    RUN is its folder; its data are read again. Writes landscape.jsonl there, and draws report.html anew.
    """
    with quick_start():
        from ..surveying.surveying import survey_run
        from . import printout

    found = survey_run(run, rows=rows, resolution=resolution, seed=seed)
    click.echo(as_json_text({"events": found.events}) if as_json else printout.landscape(found.events, found.report))


@commands.command()
def warmup() -> None:
    """Compile the kernels now, so that the first training need not."""
    from ..warmup import warmup

    click.echo(f"the kernels are compiled ({warmup():.1f} s)")
