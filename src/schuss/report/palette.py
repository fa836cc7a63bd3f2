"""The report's colours, each once, for light and for dark paper.

A figure names its colours; on the page each is a CSS custom property of that name, so that one drawing serves both. The
steps of a scale change evenly in lightness (OKLCH), so they keep their order in grey and for colour-blind readers;
learning rates run from cold blue (small) to hot orange (large), the ground from violet (low) to yellow (high).
"""

from __future__ import annotations

__all__ = [
    "DARK",
    "GROUND_STEPS",
    "HEAT_STEPS",
    "HEAT_SWITCH",
    "LIGHT",
    "RATE_STEPS",
    "css_variables",
    "ground_colour",
    "heat_colour",
    "rate_colour",
]

RATE_STEPS = 12
GROUND_STEPS = 24
HEAT_STEPS = 10
HEAT_SWITCH = 6  # from this step on, text on a heat cell takes the colour "on-high"

_LIGHT_RATES = "242994 422a99 5c2b9a 742d97 8b2f8f a03284 b33777 c33f67 d14a54 db583e e1681f df7d03"
_DARK_RATES = "5468d6 7668db 9468db af69d6 c96bcc df6ebf f473af fe809f ff9395 ffa490 ffb490 fec394"
_LIGHT_GROUND = (
    "380b64 391971 38257c 363087 323c91 2c479a 2253a2 0360a5 066da0 07789e 04839f 0a8d9f "
    "06989f 0ea39f 00ae9e 02b999 11c491 3fcd87 63d47b 84da6f a2e062 bfe454 dbe847 f7ea3c"
)
_DARK_GROUND = (
    "4a237a 4a2e86 483891 45439b 414da5 3b58ad 3264b4 1f70b7 057cb6 0687b2 0792b0 089caf "
    "0ea6ad 05b0ac 05baa9 06c5a4 2ace9b 4bd790 6cdd84 8be377 a9e769 c5eb5c e1ed4e fcef43"
)
_LIGHT_HEATS = "eef6fe cce1f3 afcae3 91b5d4 749fc4 578ab4 3875a5 136095 024c7a 01385c"
_DARK_HEATS = "1a232b 233341 2c4458 365671 3f688b 497ba5 538fc1 5da3dc 71b7f1 8ecbff"


def _scale(name: str, colours: str) -> dict[str, str]:
    return {f"{name}-{step}": f"#{colour}" for step, colour in enumerate(colours.split())}


LIGHT: dict[str, str] = {
    "paper": "#ffffff",
    "raised": "#f5f7fa",
    "ink": "#16202b",
    "muted": "#566372",
    "rule": "#dfe5ec",
    "grid": "#e9edf2",
    "dropped": "#a3aeba",
    "constant": "#7b8794",
    "accent": "#0b6390",
    "positive": "#1f6fb0",
    "negative": "#c2531a",
    "warning": "#8a4b08",
    "on-low": "#16202c",
    "on-high": "#fffffe",
    **_scale("rate", _LIGHT_RATES),
    "path": "#fffffd",
    "casing": "#0c1119",
    **_scale("heat", _LIGHT_HEATS),
    **_scale("ground", _LIGHT_GROUND),
}

DARK: dict[str, str] = {
    "paper": "#10161d",
    "raised": "#18202a",
    "ink": "#e8edf3",
    "muted": "#9caab9",
    "rule": "#2b3643",
    "grid": "#202a35",
    "dropped": "#5b6978",
    "constant": "#8593a2",
    "accent": "#6cb8e6",
    "positive": "#5ea9e8",
    "negative": "#f08c50",
    "warning": "#f0b46a",
    "on-low": "#ffffff",
    "on-high": "#0b1016",
    **_scale("rate", _DARK_RATES),
    "path": "#fffffd",
    "casing": "#0c1119",
    **_scale("heat", _DARK_HEATS),
    **_scale("ground", _DARK_GROUND),
}


def _step(share: float, steps: int) -> int:
    return min(steps - 1, max(0, int(share * steps)))


def rate_colour(share: float) -> str:
    """Name of the colour of a learning rate at `share` (0 … 1) of the way, in logarithms, from smallest to largest.

    >>> rate_colour(0.0), rate_colour(1.0)
    ('rate-0', 'rate-11')
    """
    return f"rate-{_step(share, RATE_STEPS)}"


def heat_colour(share: float) -> tuple[str, str]:
    """Names of the colours of a heat cell for a share from 0 to 1: its fill and the text that is readable on it."""
    step = _step(share, HEAT_STEPS)
    return f"heat-{step}", "on-high" if step >= HEAT_SWITCH else "on-low"


def ground_colour(height: float) -> str:
    """Name of the colour of a height from 0 (the bottom of the valley) to 1."""
    return f"ground-{_step(height, GROUND_STEPS)}"


def css_variables(colours: dict[str, str]) -> str:
    """Write colours as declarations of CSS custom properties."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())
