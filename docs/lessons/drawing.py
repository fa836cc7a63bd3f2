"""Figures and tables as files that pages include: an SVG for desk and one for phone, and rows of Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from schuss.report.figures.curves import Curve, Frame, chart
from schuss.report.svg import Figure

DOCS = Path(__file__).parent.parent
PICTURES = DOCS / "_static" / "learn"
MADE = DOCS / "learn" / "made"

WIDE, NARROW = (720.0, 380.0), (360.0, 320.0)


def save(name: str, label: str, draw: Callable[[bool], Figure]) -> None:
    """Write a figure for desk and phone, and the lines that a page includes."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    MADE.mkdir(parents=True, exist_ok=True)
    draw(False).save(PICTURES / f"{name}.svg", label)
    draw(True).save(PICTURES / f"{name}-narrow.svg", label)
    lines = [
        "```{raw} html",
        "<picture>",
        f'<source media="(max-width: 34em)" srcset="../_static/learn/{name}-narrow.svg">',
        f'<img src="../_static/learn/{name}.svg" alt="{label}" loading="lazy">',
        "</picture>",
        "```",
    ]
    (MADE / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def curves(name: str, label: str, lines: Sequence[Curve], frame: Frame, **options: Any) -> None:
    """Draw curves in a frame."""
    save(name, label, lambda narrow: chart(lines, frame, narrow=narrow, size=NARROW if narrow else WIDE, **options))


def table(name: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table; all columns but the first are numbers."""
    MADE.mkdir(parents=True, exist_ok=True)
    rule = "|" + "|".join(["-", *["-:"] * (len(head) - 1)]) + "|"
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    (MADE / f"{name}.md").write_text("\n".join(["| " + " | ".join(head) + " |", rule, *lines]) + "\n", encoding="utf-8")
