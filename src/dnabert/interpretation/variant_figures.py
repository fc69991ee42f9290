"""Figures of scored variants: a map of a saturated region, scores against measured effects."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from dnabert.errors import InputError
from dnabert.files import existing_file
from dnabert.interpretation import plots
from dnabert.sequence import delimited
from dnabert.sequence.delimited import find
from dnabert.sequence.tables import PARQUET_SUFFIXES, SECOND_NAMES, SEQUENCE_NAMES
from dnabert.sequence.variant_files import (
    ALT_NAMES,
    CHROM_NAMES,
    POS_NAMES,
    REF_NAMES,
    column_names,
    is_index_file,
    is_vcf,
    open_source,
)

LONGEST = 5000
"""Bases of a map at most: 50 lines of 100."""
FEWEST = 3
"""Points that a correlation needs."""

Region: TypeAlias = tuple[str, int, int]
"""A contig and a 0-based half-open interval on it."""


def check(
    figure: Path | None,
    measured: str | None,
    out: Path,
    variants: Path | None,
    saturation: str | None,
    genome: Path | None,
    sequences: Path | None,
) -> list[Region]:
    """Raise InputError unless a figure can be drawn of what a run will write; return the regions to draw maps of."""
    if is_vcf(out):
        raise InputError(f"{out}: figures are drawn from tables; give an --out that ends in .tsv or .parquet")
    if figure is not None and figure.suffix.lower() not in (".png", ".svg"):
        raise InputError(f"--figure {figure}: figures are written as .png and .svg; give a name that ends so")
    if figure is not None and measured is None and saturation is None:
        raise InputError(
            "--figure: a map needs --saturation, a scatter needs the column of measured effects: --measured"
        )
    if measured is not None:
        if variants is None or is_vcf(variants) or is_index_file(existing_file(variants, "file of variants")):
            raise InputError(f"--measured {measured}: measured effects are a column of a table of variants; give one")
        names = column_names(variants)
        if genome is None and sequences is None:  # the output does not repeat the rows' own sequences
            own = [find(names, wanted) for wanted in (SEQUENCE_NAMES, SECOND_NAMES)]
            names = [name for name in names if name not in own]
        if measured not in names:
            raise InputError(f"--measured {measured}: the input has no such column; it has {', '.join(names)}")
    if figure is None or measured is not None or saturation is None:
        return []
    loci = open_source(None, genome=genome, sequences=sequences, saturation=saturation)
    assert loci.regions is not None
    contigs, starts, ends = (part.tolist() for part in loci.regions[:3])
    regions = [(loci.genome.names[i], *bounds) for i, *bounds in zip(contigs, starts, ends, strict=True)]
    longest = max(end - start for _, start, end in regions)
    if longest > LONGEST:
        raise InputError(f"--figure: a map of {longest:,} bases cannot be read; {LONGEST:,} are the most")
    return regions


def read_scores(path: Path) -> pa.Table:
    """Read a table of scores."""
    return pyarrow.parquet.read_table(path) if path.suffix.lower() in PARQUET_SUFFIXES else delimited.read(path)


def main_score(fields: Sequence[str]) -> str:
    """Return the score that figures show: the likelihood ratio, the first log-odds, or the first difference."""
    return next(name for start in ("llr", "log_odds", "difference") for name in fields if name.startswith(start))


def effects(content: pa.Table, fields: Sequence[str]) -> tuple[np.ndarray, str]:
    """Read the main score as gain (positive) or loss, and say what it is called then.

    The paper's log-odds ratio is the reference's minus the alternative's: its sign is turned.
    """
    name = main_score(fields)
    values = _numbers(content[name])
    return (-values, f"-{name}") if name.startswith("log_odds") else (values, name)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.string())
        empty = pc.equal(column, "")
        column = pc.if_else(empty, None, column)
    try:
        return column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    except pa.ArrowException as error:
        raise InputError(f"the column of measured effects holds other than numbers ({error})") from error


def draw(
    table: Path, figure: Path, fields: Sequence[str], measured: str | None = None, regions: Sequence[Region] = ()
) -> list[Path]:
    """Draw a scatter if a column of measured effects is named, else a map of each region.

    Parameters
    ----------
    table : pathlib.Path
        What `score_variants` wrote.
    figure : pathlib.Path
        `.png` or `.svg`; both are written. Maps after the first are numbered.
    fields : sequence of str
        Names of the scores.
    measured : str, optional
        Column of measured effects.
    regions : sequence of (str, int, int)
        Contigs and 0-based half-open intervals, as `check` returns them.

    Returns
    -------
    list of pathlib.Path
    """
    content = read_scores(table)
    values, name = effects(content, fields)
    stem = figure.with_suffix("")
    if measured is not None:
        drawn = scatter(values, _numbers(content[measured]), score=name, effect=measured)
        return list(plots.save(drawn, stem))
    written: list[Path] = []
    whats = {"llr": "log-likelihood ratio", "-log_odds": "log-odds of the alternative - reference"}
    what = next((text for start, text in whats.items() if name.startswith(start)), name)
    unit = "nats" if name == "llr" else "bits" if name.startswith("-log_odds") else "output"
    for number, region in enumerate(regions):
        contig, start, end = region
        sequence, changes = _map_of(content, values, region)
        title = f"{contig}:{start:,}-{end:,}, {what}"
        drawn = plots.mutation_map(changes, sequence, start=start, unit=unit, title=title)
        written += plots.save(drawn, stem if not number else stem.with_name(f"{stem.name}-{number + 1}"))
    return written


def _map_of(content: pa.Table, scores: np.ndarray, region: Region) -> tuple[str, np.ndarray]:
    """Lay the scores of a region's substitutions out as a map: sequence, N where unknown, and effects, (bases, 4)."""
    contig, start, end = region
    chrom, pos = (content[str(find(content.column_names, wanted))] for wanted in (CHROM_NAMES, POS_NAMES))
    places = pos.cast(pa.int64()).to_numpy() - 1
    own = pc.equal(chrom.cast(pa.string()), contig).to_numpy() & (places >= start) & (places < end)
    ref, alt = (
        content[str(find(content.column_names, wanted))].filter(pa.array(own)).to_pylist()
        for wanted in (REF_NAMES, ALT_NAMES)
    )
    bases, values = ["N"] * (end - start), np.full((end - start, 4), np.nan)
    for place, before, after, value in zip(places[own] - start, ref, alt, scores[own], strict=True):
        bases[place] = before
        values[place, plots.BASES.index(after)] = value
    return "".join(bases), values


def report(table: Path, fields: Sequence[str], measured: str) -> None:
    """Print how the scores rank with measured effects."""
    content = read_scores(table)
    values, name = effects(content, fields)
    pair = np.stack([values, _numbers(content[measured])])
    pair = pair[:, np.isfinite(pair).all(axis=0)]
    if pair.shape[1] < FEWEST:
        raise InputError(
            f"--measured {measured}: {FEWEST} rows with a score and a measured effect are needed, there are "
            f"{pair.shape[1]}; the scores are in {table}"
        )
    print(f"Spearman of {name} with {measured}: {spearmanr(*pair).statistic:.3f} (n = {pair.shape[1]:,})")


@mpl.rc_context(plots.STYLE)
def scatter(
    scores: np.ndarray, measured: np.ndarray, *, score: str = "Score", effect: str = "Measured effect", title: str = ""
) -> Figure:
    """Draw scores against measured effects, with the number of points and Spearman's correlation.

    Parameters
    ----------
    scores, measured : np.ndarray, float, shape (points,)
        Points where one is NaN are left out.
    score, effect : str
        Names of the axes.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If fewer than three points are left.
    """
    known = np.isfinite(scores) & np.isfinite(measured)
    if known.sum() < FEWEST:
        raise InputError(f"a scatter needs three points with a score and a measured effect, there are {known.sum()}")
    scores, measured = scores[known], measured[known]
    figure = Figure(figsize=(plots.WIDTH / 2, plots.WIDTH / 2), layout="constrained")
    axes = figure.subplots()
    many = len(scores) > 300
    axes.plot(
        scores, measured, ".", color=plots.COLOURS["C"], markersize=3, alpha=0.3 if many else 0.7, markeredgewidth=0
    )
    axes.axhline(0, color="#999999", linewidth=0.5, zorder=0)
    axes.axvline(0, color="#999999", linewidth=0.5, zorder=0)
    axes.set_xlabel(score)
    axes.set_ylabel(effect)
    correlation = float(spearmanr(scores, measured).statistic)
    axes.set_title(f"{title + ', ' if title else ''}n = {len(scores):,}, Spearman {correlation:.3f}", fontsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
