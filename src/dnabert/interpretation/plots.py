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
LINE = 120
"""Most bases of one line of a figure that shows letters."""
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
        Lines of at most 120 bases, one colour scale centred at 0.

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
    for axes, first, last in lines:
        part = effects[first:last].T  # (4, bases)
        image = axes.imshow(
            part,
            cmap=DIVERGING,
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, part.shape[1] - 0.5, 3.5, -0.5),
        )
        own = [(i, BASES.index(base)) for i, base in enumerate(sequence[first:last]) if base in BASES]
        if own:
            axes.plot(*zip(*own, strict=True), ".", color="black", markersize=1.5, markeredgewidth=0)
        axes.set_yticks(range(4), list(BASES))
        axes.set_ylabel("Base")
        axes.tick_params(axis="y", length=0)
        _letters_below(axes, sequence[first:last], start + first)
    assert image is not None
    bar = figure.colorbar(image, ax=[axes for axes, *_ in lines], fraction=0.03, pad=0.01, aspect=12)
    bar.set_label(f"Effect ({unit})")
    return figure


@mpl.rc_context(STYLE)
def landscape(
    scores: np.ndarray, *, start: int = 0, unit: str = "attention", title: str = "", mark: int | None = None
) -> Figure:
    """Draw scores of a set of sequences: their mean on top, a row a sequence below.

    Parameters
    ----------
    scores : np.ndarray, float, shape (sequences, bases)
        NaN where a sequence has ended. Scores below 0 bring a scale around 0.
    start : int
        Position of the first base, for the axis (0-based).
    unit : str
        Of the scores.
    title : str
    mark : int, optional
        A position to mark with a line.

    Returns
    -------
    matplotlib.figure.Figure
        Of more than 500 sequences, neighbours share a row, as their mean.
    """
    figure = Figure(figsize=(WIDTH / 2, 3.4), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    rows, mean = _means(scores)
    finite = np.abs(rows[np.isfinite(rows)])
    high = float(np.quantile(finite, 0.99)) if len(finite) else 1.0
    signed = bool((rows < 0).any())
    extent = (start - 0.5, start + scores.shape[1] - 0.5, len(scores), 0)
    image = below.imshow(
        rows,
        cmap=DIVERGING if signed else SEQUENTIAL,
        vmin=-high if signed else 0,
        vmax=high or 1.0,
        aspect="auto",
        interpolation="nearest",
        extent=extent,
    )
    top.plot(start + np.arange(scores.shape[1]), mean, color="black", linewidth=0.8)
    top.set_ylabel("Mean")
    if mark is not None:
        for axes in (top, below):
            axes.axvline(start + mark, color=COLOURS["T"], linewidth=0.6, linestyle="--")
    below.set_ylabel("Sequence")
    below.set_xlabel("Position (bp, 0-based)")
    bar = figure.colorbar(
        image, ax=below, location="bottom", fraction=0.06, pad=0.02, aspect=30, extend="both" if signed else "max"
    )
    bar.set_label(unit[:1].upper() + unit[1:])
    _without_box(top)
    if title:
        figure.suptitle(title, fontsize=8)
    return figure


@mpl.rc_context(STYLE)
def track(scores: np.ndarray, sequence: str, *, start: int = 0, unit: str = "attention", title: str = "") -> Figure:
    """Draw one sequence with letters as high as their scores.

    Parameters
    ----------
    scores : np.ndarray, float, shape (bases,)
        A score a base; those below 0 hang down.
    sequence : str, length bases
    start : int
        Position of the first base, for the axis (0-based).
    unit : str
        Of the scores.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        Lines of at most 120 bases, one scale.

    Raises
    ------
    InputError
        If the lengths differ.
    """
    if scores.shape != (len(sequence),):
        raise InputError(f"scores of shape {scores.shape} do not fit a sequence of {len(sequence)} bases")
    sequence = sequence.upper().replace("U", "T")
    heights = np.zeros((len(sequence), 4))
    for i, base in enumerate(sequence):
        if base in BASES:
            heights[i, BASES.index(base)] = np.nan_to_num(scores[i])
    figure, lines = _lines(sequence, height=0.7, title=title)
    low, high = min(0.0, float(heights.min())), max(0.0, float(heights.max())) or 1.0
    for axes, first, last in lines:
        _logo(axes, heights[first:last])
        axes.set_xlim(-0.5, lines[0][2] - 0.5)
        axes.set_ylim(low * 1.05, high * 1.05)
        axes.set_ylabel(unit[:1].upper() + unit[1:])
        _letters_below(axes, sequence[first:last], start + first)
    return figure


@mpl.rc_context(STYLE)
def context_map(weights: np.ndarray, *, start: int = 0, title: str = "", mark: int | None = None) -> Figure:
    """Draw the attention of every base of a sequence to every other.

    Parameters
    ----------
    weights : np.ndarray, float, shape (bases, bases)
        Entry (i, j): the attention of base i to base j.
    start : int
        Position of the first base, for the axes (0-based).
    title : str
    mark : int, optional
        The attended position to mark with a line.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(WIDTH / 2, WIDTH / 2), layout="constrained")
    axes = figure.subplots()
    end = start + len(weights) - 0.5
    image = axes.imshow(
        weights,
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=float(np.quantile(weights, 0.99)) or 1.0,
        interpolation="nearest",
        extent=(start - 0.5, end, end, start - 0.5),
    )
    if mark is not None:
        axes.axvline(start + mark, color=COLOURS["T"], linewidth=0.6, linestyle="--")
    axes.set_xlabel("Attended position (bp, 0-based)")
    axes.set_ylabel("Attending position (bp, 0-based)")
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, extend="max")
    bar.set_label("Attention, summed over heads")
    if title:
        axes.set_title(title)
    return figure


@mpl.rc_context(STYLE)
def motif_logo(
    frequencies: np.ndarray, *, title: str = "", match: np.ndarray | None = None, match_title: str = "", offset: int = 0
) -> Figure:
    """Draw a motif, and below it the database's motif that it matches.

    Parameters
    ----------
    frequencies : np.ndarray, float, shape (width, 4)
        Shares of A, C, G, T at each position.
    title : str
    match : np.ndarray, float, shape (its width, 4), optional
        The motif of the database, in the direction in which it matches.
    match_title : str
    offset : int
        Where the match starts, counted from the motif's first position; below 0 if before it.

    Returns
    -------
    matplotlib.figure.Figure
    """
    both = [(frequencies, title, 0)] + ([] if match is None else [(match, match_title, offset)])
    figure = Figure(figsize=(WIDTH / 2, 0.4 + 1.0 * len(both)), layout="constrained")
    rows = figure.subplots(len(both), 1, sharex=True, squeeze=False)[:, 0]
    first = min(start for _, _, start in both)
    last = max(start + len(one) for one, _, start in both)
    for axes, (one, name, start) in zip(rows, both, strict=True):
        heights = np.zeros((last - first, 4))
        heights[start - first : start - first + len(one)] = one * information(one)[:, None]
        _logo(axes, heights)
        axes.set_ylim(0, 2)
        axes.set_ylabel("Information (bits)")
        axes.set_title(name)
        axes.set_xlim(-0.5, last - first - 0.5)
        ticks = [i for i in range(last - first) if (i + first) % 5 == 4 or i + first == 0]
        axes.set_xticks(ticks, [str(i + first + 1) for i in ticks])
        _without_box(axes)
    rows[-1].set_xlabel("Position in the motif (bp)")
    return figure


def information(frequencies: np.ndarray) -> np.ndarray:
    """Compute the information of each position of a motif against even bases.

    Parameters
    ----------
    frequencies : np.ndarray, float, shape (width, 4)

    Returns
    -------
    np.ndarray, float64, shape (width,)
        Bits, 0 to 2.
    """
    shares = np.maximum(frequencies, 1e-12)
    return np.clip(2 + (frequencies * np.log2(shares)).sum(axis=1), 0, 2)


def _means(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbouring rows into at most 500, and all of them; scores may lie on disk."""
    parts = np.array_split(np.arange(len(scores)), min(len(scores), ROWS))
    sums, counts = np.zeros((2, len(parts), scores.shape[1]))
    for i, part in enumerate(parts):
        block = scores[part[0] : part[-1] + 1].astype(np.float64)
        sums[i], counts[i] = np.nansum(block, axis=0), np.isfinite(block).sum(axis=0)
    with np.errstate(invalid="ignore"):  # a position that no sequence reaches has no mean
        return sums / counts, sums.sum(axis=0) / counts.sum(axis=0)


def _logo(axes: Axes, heights: np.ndarray) -> None:
    import logomaker
    import pandas as pd  # what logomaker takes

    if not heights.any():
        return  # logomaker warns of an axis without height
    # letters drawn one by one are slow: only those that can be seen
    heights = np.where(np.abs(heights) < 0.002 * np.abs(heights).max(initial=0), 0, heights)
    logomaker.Logo(
        pd.DataFrame(heights, columns=list(BASES)),
        ax=axes,
        color_scheme={base: COLOURS[base] for base in BASES},
        show_spines=False,
        flip_below=False,
    )


def _without_box(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _lines(sequence: str, height: float, title: str) -> tuple[Figure, list[tuple[Axes, int, int]]]:
    """Make a figure with lines of like length: the axes of each, its first base and the one after its last."""
    count = -(-len(sequence) // LINE)
    length = -(-len(sequence) // count)
    figure = Figure(figsize=(WIDTH, 0.5 + (height + 0.45) * count), layout="constrained")
    grid = figure.subplots(count, 1, squeeze=False)[:, 0]
    lines = [(axes, i * length, min((i + 1) * length, len(sequence))) for i, axes in enumerate(grid)]
    for axes, *_ in lines:
        axes.set_xlim(-0.5, length - 0.5)
    if title:
        figure.suptitle(title, fontsize=8)
    grid[-1].set_xlabel("Position (bp, 0-based)", labelpad=2)
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
