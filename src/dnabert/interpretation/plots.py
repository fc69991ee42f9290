"""Figures of explanations, at the width of a journal page and in colours that everybody can tell apart.

Each function returns a matplotlib figure and touches no global state; `save` writes it as PNG and SVG.
"""

import os
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dnabert.errors import InputError
from dnabert.files import replacing

BASES = "ACGT"
"""The order of the four columns of effects and motifs, as in MEME and JASPAR."""

COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00", "N": "#999999"}
"""A colour a base, from the palette of Okabe and Ito (jfly.uni-koeln.de/color), made for all kinds of colour vision."""

DIVERGING, SEQUENTIAL = "RdBu_r", "cividis"
"""Scales that stay readable without red-green vision: around 0, and from 0 upwards."""

STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.hashsalt": "dnabert",
}
WIDTH = 7.1
"""Inches: two columns of a journal page, 180 mm."""
LINE = 100
"""Bases of one line of a figure that shows letters."""
ROWS = 500
"""Rows of a landscape at most; more sequences than that share a row, as their mean."""


def save(figure: Figure, stem: str | os.PathLike[str], dpi: int = 300) -> tuple[Path, Path]:
    """Write a figure as PNG and SVG; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    stem : path
        The files' name without suffix.
    dpi : int
        Dots an inch of the PNG and of images within the SVG.

    Returns
    -------
    tuple of pathlib.Path
        The PNG and the SVG file.
    """
    stem = Path(stem)
    png, svg = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    with mpl.rc_context(STYLE):
        with replacing(png) as temporary:
            figure.savefig(temporary, dpi=dpi, metadata={"Software": "dnabert"})
        with replacing(svg) as temporary:
            figure.savefig(temporary, dpi=dpi, metadata={"Date": None, "Creator": "dnabert"})
    return png, svg


@mpl.rc_context(STYLE)
def mutation_map(
    effects: np.ndarray,
    sequence: str,
    *,
    start: int = 0,
    unit: str = "logit",
    title: str = "",
    limit: float | None = None,
) -> Figure:
    """Draw what each other base would change at each position: a heat map of 4 rows, the sequence as letters below.

    Parameters
    ----------
    effects : np.ndarray, float, shape (bases, 4)
        Effect of each base in the order A, C, G, T, in `unit`; 0 or NaN at the sequence's own base, which is marked
        with a dot.
    sequence : str, length bases
        The sequence itself.
    start : int
        Position of the first base, for the axis (0-based).
    unit : str
        Of the effects, for the colour bar.
    title : str
    limit : float, optional
        Where the scale ends on both sides of 0; the largest effect by default.

    Returns
    -------
    matplotlib.figure.Figure
        Lines of 100 bases, one colour scale centred at 0.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    if effects.shape != (len(sequence), 4):
        raise InputError(
            f"effects of shape {effects.shape} do not fit a sequence of {len(sequence)} bases; "
            f"({len(sequence)}, 4) is required"
        )
    sequence = sequence.upper().replace("U", "T")
    limit = limit or float(np.nanmax(np.abs(effects), initial=0.0)) or 1.0
    figure, lines = _lines(sequence, height=0.75, title=title)
    image = None
    for axes, first in lines:
        part = effects[first : first + LINE].T  # (4, bases)
        image = axes.imshow(
            part,
            cmap=DIVERGING,
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, part.shape[1] - 0.5, 3.5, -0.5),
        )
        own = [(i, BASES.index(base)) for i, base in enumerate(sequence[first : first + LINE]) if base in BASES]
        if own:
            axes.plot(*zip(*own, strict=True), ".", color="black", markersize=1.5, markeredgewidth=0)
        axes.set_yticks(range(4), list(BASES))
        axes.set_ylabel("Base")
        axes.tick_params(axis="y", length=0)
        _letters_below(axes, sequence[first : first + LINE], start + first)
    assert image is not None
    bar = figure.colorbar(image, ax=[axes for axes, _ in lines], fraction=0.03, pad=0.01, aspect=12)
    bar.set_label(f"Effect ({unit})")
    return figure


def _lines(sequence: str, height: float, title: str) -> tuple[Figure, list[tuple[Axes, int]]]:
    """Make a figure with an axes for every 100 bases: the axes and the first base of each."""
    firsts = list(range(0, len(sequence), LINE))
    figure = Figure(figsize=(WIDTH, 0.5 + (height + 0.45) * len(firsts)), layout="constrained")
    grid = figure.subplots(len(firsts), 1, squeeze=False)
    longest = min(LINE, len(sequence))
    lines = [(axes, first) for axes, first in zip(grid[:, 0], firsts, strict=True)]
    for axes, _ in lines:
        axes.set_xlim(-0.5, longest - 0.5)
    if title:
        figure.suptitle(title, fontsize=8)
    lines[-1][0].set_xlabel("Position (bp, 0-based)", labelpad=2)
    return figure, lines


def _letters_below(axes: Axes, sequence: str, start: int) -> None:
    """Write the bases under an axes in their colours, and positions at every tenth."""
    for i, base in enumerate(sequence):
        axes.text(
            i,
            -0.03,
            base,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=5,
            family="monospace",
            weight="bold",
            color=COLOURS.get(base, COLOURS["N"]),
        )
    ticks = [i for i in range(len(sequence)) if (start + i) % 10 == 0]
    axes.set_xticks(ticks, [f"{start + i:,}" for i in ticks])
    axes.tick_params(axis="x", pad=7, length=0)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
