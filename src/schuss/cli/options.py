"""The options of the command line: how each is read, what it means, and the sentence for one that cannot be."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class OrderedGroup(click.Group):
    """Commands in the order of their definition, with the nearest name for a misspelt one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names as defined; click would sort them."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            known = f"; the commands are {', '.join(self.commands)}"
            raise click.UsageError(f"no such command '{args[0]}'{nearest(args[0], self.commands) or known}", ctx)
        return super().resolve_command(ctx, args)


class AutoOr(click.ParamType):
    """'auto' or a number of the given kind."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind
        self.name = "auto or a number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int | float:
        """Parse one value."""
        if not isinstance(value, str) or value == "auto":
            return value
        try:
            return self.kind(value)
        except ValueError:
            number = "a whole number" if self.kind is int else "a number"
            self.fail(f"'{value}' is neither 'auto' nor {number}", param, ctx)


class Names(click.ParamType):
    """Names separated by commas; one that holds a comma is quoted as in CSV: '"a,b",c'."""

    name = "NAME,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Parse one value."""
        return tuple(next(csv.reader([value]), ())) if isinstance(value, str) else value


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Declare an option whose default, if it has one, is shown in the help."""
    return click.option(*names, show_default=settings.get("default", ()) not in ((), None), **settings)


def group(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Join declarations into one decorator that keeps their order."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def without(declarations: Callable[[Command], Command], *names: str) -> Callable[[Command], Command]:
    """Leave some options out of joined declarations."""

    def decorate(command: Command) -> Command:
        def probe(*ignored: Any) -> None:
            """Collects what is declared."""

        declared = getattr(declarations(cast(Any, probe)), "__click_params__", [])
        for parameter in (one for one in declared if one.name not in names):
            command.__dict__.setdefault("__click_params__", []).append(parameter)
        return command

    return decorate


data = click.argument("data", nargs=-1, required=True, metavar="DATA...")

_format = option(
    "--format",
    metavar="NAME",
    help="Format of DATA, where the file name does not tell it: csv, tsv, jsonl, parquet, arrow, svmlight or npz.",
)

bad_rows = group(
    option(
        "--on-bad-row",
        default="stop",
        metavar="stop|skip",
        help="What to do at a row that cannot be read or used: stop, or skip it, count it and say so.",
    ),
    option(
        "--max-bad-rows",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="Share of the rows that may be skipped as bad before that is an error after all.",
    ),
)

reading = group(
    _format,
    option(
        "--header/--no-header",
        default=True,
        help="Whether the first line of a CSV file names the columns; else they are column_1, column_2 and so on.",
    ),
    bad_rows,
)

reading_again = group(
    _format,
    option(
        "--header/--no-header",
        default=None,
        help="Whether the first line of a CSV file names the columns; by default as in training.",
    ),
    bad_rows,
)

columns = group(
    option("--target", metavar="COLUMN", help="Column to learn to predict; svmlight and .npz files carry their own."),
    option("--weight", metavar="COLUMN", help="Column that holds a weight for each row."),
    option("--class-weight", metavar="balanced", help="Weigh the rows so that all classes count the same."),
    option("--numeric", metavar="COLUMN,…", type=Names(), default=(), help="Columns to read as numbers."),
    option("--categorical", metavar="COLUMN,…", type=Names(), default=(), help="Columns to read as categories."),
    option("--text", metavar="COLUMN,…", type=Names(), default=(), help="Columns to read as text, word by word."),
    option("--ignore", metavar="COLUMN,…", type=Names(), default=(), help="Columns to leave out."),
    option(
        "--scan",
        is_flag=True,
        help="Find roles and statistics from all rows instead of a sample; reads the data once more.",
    ),
)

descent = group(
    option(
        "--task",
        default="auto",
        metavar="auto|classification|regression",
        help="What to learn; auto decides by the values of the target.",
    ),
    option(
        "--loss",
        metavar="NAME[:NUMBER]",
        help="Loss to minimise. For classes: log_loss (default), hinge, crammer_singer, squared_hinge (each with its "
        "margin, hinge:1), modified_huber, perceptron, sigmoid_squared_error. For numbers: squared_error (default), "
        "absolute_error, huber, epsilon_insensitive, squared_epsilon_insensitive (with δ and ε in the target's unit, "
        "huber:2.5), quantile:0.5, poisson.",
    ),
    option(
        "--optimizer",
        type=Names(),
        default=("auto",),
        metavar="auto|NAME[:HYPER=X,…],…|MODULE:NAME",
        help="Optimizers that race: sgd, momentum, nesterov, adagrad, adadelta, rmsprop, centred_rmsprop, adam, "
        "amsgrad, adamw, lion, ftrl, prodigy, schedule_free_sgd, schedule_free_adamw; averaged_NAME for the average of "
        "any one's weights, MODULE:NAME for your own. Hyperparameters stand behind the name: "
        "adam:beta1=0.8,beta2=0.95; a list such as momentum:0.5,momentum:0.9 lets several race.",
    ),
    option(
        "--learning-rate",
        metavar="auto|X",
        type=AutoOr(float),
        default="auto",
        help="Learning rate; auto lets a whole grid of them race.",
    ),
    option(
        "--schedule",
        default="linear",
        metavar="NAME[:NUMBERS],…",
        help="How the learning rate changes: constant, linear, exponential, step, polynomial, cosine, inverse_time, "
        "inverse_sqrt, invscaling, optimal, one_cycle, stable_decay, wsd or plateau; with numbers such as cosine:0.01, "
        "and warmup:0.1+cosine to rise first; a list lets several race.",
    ),
    option(
        "--init",
        default="auto",
        metavar="auto|NAME[:SCALE],…",
        help="Where the weights begin: zero, normal, uniform, glorot or he; with a scale such as normal:0.1; auto is "
        "zero for a linear model, and for a network glorot or he, as its activation asks. A list lets several race.",
    ),
    option(
        "--l2",
        metavar="auto|X",
        type=AutoOr(float),
        default="auto",
        help="Strength of the L2 penalty on the standardised features.",
    ),
    option(
        "--l1",
        metavar="X",
        type=click.FloatRange(min=0.0),
        default=0.0,
        help="Strength of the L1 penalty, which makes weights exactly zero.",
    ),
    option("--batch-size", metavar="auto|N", type=AutoOr(int), default="auto", help="Rows in a mini-batch."),
    option(
        "--epochs",
        metavar="auto|N",
        type=AutoOr(int),
        default="auto",
        help="Passes over the data; auto goes on while the held-out loss falls.",
    ),
    option("--time-limit", metavar="TIME", help="Stop after this time (60s, 10m, 2h) with the best model so far."),
    option("--runs", type=click.IntRange(min=1), default=16, metavar="N", help="Runs that race, all together."),
    option(
        "--holdout",
        default="0.1",
        metavar="SHARE",
        help="Rows kept aside to judge the runs: a share, last:SHARE, group:COLUMN, a file, or none.",
    ),
    option(
        "--order",
        default="shuffle",
        metavar="shuffle|once|replace|keep",
        help="Order of the rows: shuffled anew each epoch, shuffled once, drawn with replacement, or as they are.",
    ),
    option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Seed of everything random; the same seed gives the same model, bit for bit.",
    ),
)

code = option(
    "--network",
    metavar="MODULE:FACTORY",
    help="Let the code run that a model or run with a module of your own names: code that a file names is not run for "
    "that alone.",
)

own_optimizer = option(
    "--optimizer",
    metavar="MODULE:NAME,…",
    default="auto",
    help="Let the code run that a run with optimizers of your own names, as --network does.",
)

network = group(
    option(
        "--network",
        metavar="N,N,…|MODULE:FACTORY",
        help="Units of the hidden layers of a network, such as 256,128, or what makes a module of your own: "
        "FACTORY(features, outputs). Without it the model is linear. Needs PyTorch.",
    ),
    option(
        "--activation",
        default="relu",
        metavar="NAME",
        help="What hidden units make of their sums: relu, leaky_relu, elu, gelu, silu, tanh, sigmoid or identity.",
    ),
    option(
        "--dropout",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="Share of the hidden units that each mini-batch does without.",
    ),
    option("--device", default="auto", metavar="auto|cpu|cuda", help="Where networks learn."),
)

seed = option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Seed of everything random.")

machine = group(
    option(
        "--memory", metavar="SIZE", help="Memory the weights may take (4GB); by default a quarter of the machine's."
    ),
    option(
        "--cache",
        default="auto",
        metavar="auto|off|DIR",
        help="Where encoded rows that do not fit into memory wait for later epochs; auto: beside the run.",
    ),
    option(
        "--checkpoint-every",
        metavar="TIME",
        default="60s",
        help="How often training is written down, so that schuss resume can go on with it.",
    ),
    option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads to train with; by default one a core."),
    option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Share the rows out to so many workers, who may be on other machines; needs pip install 'schuss[ray]'.",
    ),
    option(
        "--cluster",
        metavar="auto|HOST:PORT|here",
        help="Ray cluster of the workers: the one this machine belongs to, an address, or here: one after the other in "
        "this process, to the same bytes, without Ray. By default one is started on this machine.",
    ),
)

quiet = option("--quiet", "-q", is_flag=True, help="Show no progress and no notices.")

output = group(
    option("--out", metavar="DIR", default="runs/{name}-{target}", help="Folder of the run."),
    option("--force", is_flag=True, help="Write over a finished run in that folder."),
    quiet,
)

as_json = option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def nearest(name: str, known: Iterable[str]) -> str:
    """Give the end of a sentence that suggests the name that may have been meant, or nothing.

    >>> nearest("--epoch", ["--epochs", "--seed"]), nearest("--lr", ["--l2", "--learning-rate"])
    ("; did you mean '--epochs'?", "; did you mean '--learning-rate'?")
    """
    known = list(known)
    initials = {f"--{''.join(word[0] for word in one[2:].split('-'))}": one for one in known if "-" in one[2:]}
    close = [initials[name]] if name in initials else difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def sentence(error: click.ClickException) -> str:
    """Say in one sentence what click found wrong."""
    parameter = getattr(error, "param", None)
    named = f"option '{parameter.opts[0]}'" if isinstance(parameter, click.Option) else "an argument"
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        known = [name for each in error.ctx.command.get_params(error.ctx) for name in each.opts]
        return f"no such option '{error.option_name}'{nearest(error.option_name, known)}"
    if isinstance(error, click.MissingParameter):
        return f"{parameter.human_readable_name if parameter else named} is missing"
    if isinstance(error, click.BadParameter):
        return f"{named}: {_plain(error.message)}"
    return _plain(error.format_message())


def _plain(message: str) -> str:
    """Turn click's 'Two. Sentences.' into the form of our own messages."""
    message = " ".join(message.split()).rstrip(".")
    return message[:1].lower() + message[1:]
