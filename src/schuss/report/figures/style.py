"""What all figures share: fonts, paper, quiet axes, tick labels without mathtext."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..palette import LIGHT
from ..words import MINUS, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (9, 3)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")

Which = Literal["x", "y"]
Limits = tuple[float, float]

SIZE = 13.0  # text, in points; a figure is drawn one point to the CSS pixel

_SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so the layout is the same everywhere
    "font.size": SIZE,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # "$" and "_" in names are what they are
    "axes.edgecolor": LIGHT["rule"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": LIGHT["rule"],
    "ytick.color": LIGHT["rule"],
    "xtick.labelcolor": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["muted"],
    "figure.facecolor": LIGHT["paper"],
    "savefig.facecolor": "auto",
    "svg.fonttype": "none",  # real text: small, searchable, in the page's font
    "svg.hashsalt": "schuss",  # the same record gives the same bytes
    "path.simplify": False,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with the report's settings whatever the user's matplotlibrc says, and leave theirs as they were."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for name, value in _SETTINGS.items():
            matplotlib.rcParams[name] = value  # pyright: ignore[reportArgumentType]
        yield


def canvas(width: float, height: float) -> Figure:
    """Make an empty figure of so many CSS pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72)


def blank(sentence: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    with drawing():
        fig = canvas(600, 120)
        fig.text(0.5, 0.5, str(sentence), ha="center", va="center", color=LIGHT["muted"], parse_math=False)
    return fig


def place(fig: Figure, left: float, bottom: float, right: float, top: float) -> Axes:
    """Add axes by their margins in CSS pixels."""
    width, height = fig.get_size_inches() * 72
    axes = fig.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )
    axes.tick_params(length=0, pad=6)
    axes.set_axisbelow(True)
    return axes


def title(axes: Axes, text: str, left: float = 0.0, across: float = 0.0) -> None:
    """Say above the axes what they show, from `left` pixels before a place `across` them (0 left, 1 right)."""
    axes.annotate(
        text,
        (across, 1),
        (-left, 10),
        xycoords="axes fraction",
        textcoords="offset points",
        color=LIGHT["muted"],
        va="bottom",
    )


def mark(artist: Any, identity: str, words: str) -> None:
    """Give an artist a name within its figure and the words that are shown on hovering."""
    artist.set_gid(identity)
    artist.set_label(str(words))


def log_axis(axes: Axes, which: Which, limits: Limits, label: Callable[[float], str], most: int = 7) -> None:
    """Scale an axis logarithmically with ticks at 1, 2, 5 × powers of ten, fewer where there are many."""
    axes.set(**{f"{which}scale": "log", f"{which}lim": limits})
    _ticks(axes, which, _log_ticks(*limits, most), label)


def linear_axis(
    axes: Axes, which: Which, limits: Limits, label: Callable[[float], str] | None = None, most: int = 6
) -> None:
    """Scale an axis linearly, with round ticks; without `label` all of them get the same number of decimals."""
    from matplotlib.ticker import MaxNLocator

    axes.set(**{f"{which}lim": limits})
    values = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(*limits)
    ticks = [float(tick) for tick in values if limits[0] <= tick <= limits[1]]
    _ticks(axes, which, ticks, label or _even_label(ticks))


def _even_label(ticks: Sequence[float]) -> Callable[[float], str]:
    largest = max(map(abs, ticks), default=0.0)
    decimals = next((d for d in range(7) if all(abs(t - round(t, d)) <= 1e-9 * largest for t in ticks)), None)
    if decimals is None or largest >= 1e6:
        return loss_label
    return lambda tick: f"{tick:,.{decimals}f}".replace("-", MINUS)


def _ticks(axes: Axes, which: Which, ticks: Sequence[float], label: Callable[[float], str]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([label(float(tick)) for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(inside) <= most:
            break
    while len(inside) > most:
        inside = inside[::2]
    return inside if len(inside) >= 2 else [low, high]


def loss_label(value: float) -> str:
    """Write a loss for an axis."""
    return figure(value, 2) if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:,.4g}".replace("-", MINUS)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    """Move labels apart to at least `gap` from each other, each as near as possible to where it is wanted.

    >>> spread([1.0, 1.1, 5.0], 1.0, 0.0, 9.0).tolist()
    [0.55, 1.55, 5.0]
    """
    order = np.argsort(wanted, kind="stable")
    groups: list[tuple[float, int]] = []  # labels that touch: the sum of where they are wanted, and how many they are

    def centre(total: float, size: int) -> float:
        half = (size - 1) * gap / 2
        return min(max(total / size, low + half), max(low + half, high - half))

    for at in order:
        total, size = float(wanted[at]), 1
        while groups and centre(*groups[-1]) + groups[-1][1] * gap / 2 > centre(total, size) - size * gap / 2:
            before, more = groups.pop()
            total, size = before + total, more + size
        groups.append((total, size))
    result = np.empty(len(order))
    result[order] = [centre(total, size) + (i - (size - 1) / 2) * gap for total, size in groups for i in range(size)]
    return result


@dataclass(frozen=True)
class Sign:
    """An entry of a figure's key: a line or marker (as keywords of matplotlib's `Line2D`) and what it stands for."""

    words: str
    line: dict[str, Any] = field(default_factory=dict)
    scale: tuple[str, ...] = ()  # colours side by side instead of a line

    @property
    def width(self) -> float:
        """Room it takes, in CSS pixels, the words by an average character."""
        return self._sample + 10 + 6.6 * len(self.words) + 22

    @property
    def _sample(self) -> float:
        return 11.0 * len(self.scale) if self.scale else 22.0


def key_rows(signs: Sequence[Sign], width: float) -> list[list[Sign]]:
    """Break the entries of a key into rows no wider than `width` CSS pixels."""
    rows: list[list[Sign]] = []
    room = 0.0
    for sign in signs:
        if not rows or sign.width > room:
            rows.append([])
            room = width
        rows[-1].append(sign)
        room -= sign.width
    return rows


def draw_key(fig: Figure, rows: Sequence[Sequence[Sign]], left: float, row_height: float = 22.0) -> None:
    """Draw a key into the top of a figure."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    height = fig.get_size_inches()[1] * 72
    inches = fig.dpi_scale_trans
    for row, signs in enumerate(rows):
        x, y = left, height - row_height * (row + 0.5)
        for sign in signs:
            for step, colour in enumerate(sign.scale):
                corner = ((x + 11 * step) / 72, (y - 5) / 72)
                fig.add_artist(Rectangle(corner, 11.5 / 72, 10 / 72, color=colour, lw=0, transform=inches))
            if not sign.scale:
                fig.add_artist(
                    Line2D([x / 72, (x + 11) / 72, (x + 22) / 72], [y / 72] * 3, transform=inches, **sign.line)
                )
            start = x + (11 * len(sign.scale) if sign.scale else 22) + 10
            fig.text(
                start / 72, y / 72, sign.words, transform=inches, va="center_baseline", color=LIGHT["muted"], size=12
            )
            x += sign.width
