"""The curves of all schedules."""

from __future__ import annotations

import numpy as np

from schuss.descent.schedules import SCHEDULES, Plateau, Slowed, bound, parse_schedule

from .drawing import DOCS


def factors(spec: str, steps: int = 200) -> np.ndarray:
    """The factor of a schedule at every step, for a plateau with a loss that stops falling."""
    schedule = bound(parse_schedule(spec), 0.1, 1.0)
    found = schedule.factors(np.arange(steps) / steps, steps)
    if not isinstance(schedule, Plateau):
        return found
    slowed = Slowed()
    for begin in range(0, steps, steps // 16):
        slowed = schedule.after(slowed, max(1 - begin / steps, 0.6))
        found[begin:] = slowed.factor
    return found


def draw() -> None:
    """Small curves side by side: the factor of every schedule from the beginning of the training to its end."""
    width, height, gap, across = 150, 70, 24, 4
    drawn = []
    for place, spec in enumerate([*SCHEDULES, "warmup:0.2+cosine"]):
        row, column = divmod(place, across)
        x, y = gap + column * (width + gap), gap + row * (height + 2 * gap)
        curve = factors(spec)
        points = " ".join(
            f"{x + width * step / len(curve):.1f},{y + height * (1 - one):.1f}" for step, one in enumerate(curve)
        )
        drawn += [
            f'<path d="M{x} {y}V{y + height}H{x + width}"/>',
            f'<polyline points="{points}"/>',
            f'<text x="{x}" y="{y + height + 16}">{spec}</text>',
        ]
    rows = -(-(len(SCHEDULES) + 1) // across)
    size = f"0 0 {gap + across * (width + gap)} {rows * (height + 2 * gap) + gap}"
    style = "text{font:12px sans-serif;fill:#888}path,polyline{stroke:#888;fill:none}"
    style += "polyline{stroke:#2a78d6;stroke-width:2}"
    (DOCS / "_static" / "schedules.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}"><title>The factor of every schedule</title>'
        f"<style>{style}</style>{''.join(drawn)}</svg>\n",
        encoding="utf-8",
    )
