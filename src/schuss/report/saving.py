"""What a run has to show, drawn again: its report, and each of its figures as a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from schuss.errors import DataError, OutputError
from schuss.files import nearest

from . import figures
from .figures.plane import MAPS
from .history import History, RecordLike, as_history
from .page import write_report
from .svg import Figure

__all__ = ["drawn_figures", "redraw", "save_figures"]

_FIGURES: dict[str, Callable[[History], Figure]] = {
    "beside": figures.model_beside_baselines,
    "race": figures.learning_rate_curves,
    "losses": figures.loss_by_learning_rate,
    "confusion": figures.confusion_matrix,
    "thresholds": figures.roc_and_precision,
    "reliability": figures.reliability_curve,
    "residuals": figures.residuals,
    "columns": figures.column_importance,
    "weights": figures.largest_weights,
    "surface": figures.loss_surface,
    **{f"map-{which + 1}" if which else "map": partial(figures.loss_map, which=which) for which in range(MAPS)},
    "steps": figures.step_sizes,
    "slices": figures.loss_slices,
    "few-rows": figures.losses_of_few_rows,
    "spectrum": figures.curvature_spectrum,
    "precision": figures.precision_needed,
    **{
        f"boundary-{which + 1}" if which else "boundary": partial(figures.decision_boundary, which=which)
        for which in range(MAPS)
    },
}


def redraw(run: Path | str) -> Path:
    """Write the report of a run anew, `report.html` in its folder, from its record and what was measured of its ground.

    Raises
    ------
    DataError
        When there is no such folder, or no record in it.
    OutputError
        When the report cannot be written.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise DataError(f"'{run}' is not the folder of a run{nearest(folder)}")
    return write_report(folder, folder / "report.html")


def drawn_figures(record: RecordLike) -> Iterator[tuple[str, Figure]]:
    """Give the name and the drawing of each figure that a record holds the numbers of."""
    history = as_history(record)
    for name, draw in _FIGURES.items():
        figure = draw(history)
        if not figure.empty:
            yield name, figure


def save_figures(record: RecordLike, folder: Path | str, *, png: bool = True) -> list[Path]:
    """Write each figure of a record into a folder, as SVG and, where asked, as PNG; give the files.

    Raises
    ------
    OptionError
        When PNG files are asked for and the package that draws them is not installed; the SVG files are there then.
    OutputError
        When the folder or a file cannot be written.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to '{place}': {(error.strerror or str(error)).lower()}") from None
    found = list(drawn_figures(record))
    for name, figure in found:
        figure.save(place / f"{name}.svg", name)
    files = [place / f"{name}.svg" for name, _ in found]
    for name, figure in found if png else []:
        figure.save_png(place / f"{name}.png")
        files.append(place / f"{name}.png")
    return files
