"""Figures of scored variants: a map of a saturated region, scores against measured effects."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from dnabert.errors import InputError
from dnabert.interpretation import plots
from dnabert.sequence import delimited
from dnabert.sequence.delimited import find
from dnabert.sequence.tables import PARQUET_SUFFIXES
from dnabert.sequence.variant_files import ALT_NAMES, CHROM_NAMES, POS_NAMES, REF_NAMES, is_vcf

LONGEST = 5000
"""Bases of a map at most: 50 lines of 100."""


def check(figure: Path | None, measured: str | None, out: Path, saturation: str | None) -> None:
    """Raise InputError unless a figure can be drawn of what a run will write."""
    if is_vcf(out):
        raise InputError(f"{out}: figures are drawn from tables; give an --out that ends in .tsv or .parquet")
    if figure is not None and figure.suffix.lower() not in (".png", ".svg"):
        raise InputError(f"--figure {figure}: figures are written as .png and .svg; give a name that ends so")
    if figure is not None and measured is None and saturation is None:
        raise InputError(
            "--figure: a map needs --saturation, a scatter needs the column of measured effects: --measured"
        )


def read_scores(path: Path, measured: str | None = None) -> pa.Table:
    """Read a table of scores; `measured` must be one of its columns."""
    suffix = path.suffix.lower()
    content = pyarrow.parquet.read_table(path) if suffix in PARQUET_SUFFIXES else delimited.read(path)
    if measured is not None and measured not in content.column_names:
        raise InputError(
            f"--measured {measured}: the input has no such column; it has {', '.join(content.column_names)}"
        )
    return content


def main_score(names: list[str]) -> str:
    """Return the column that figures show: the likelihood ratio, the first log-odds, or the first difference."""
    return next(name for start in ("llr", "log_odds", "difference") for name in names if name.startswith(start))


def effects(content: pa.Table, name: str) -> np.ndarray:
    """Read a score as gain (positive) or loss: the paper's log-odds ratio is the reference minus the alternative."""
    values = _numbers(content[name])
    return -values if name.startswith("log_odds") else values


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.string())
        empty = pc.equal(column, "")
        column = pc.if_else(empty, None, column)
    try:
        return column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    except pa.ArrowException as error:
        raise InputError(f"the column of measured effects holds other than numbers ({error})") from error


def draw(table: Path, figure: Path, measured: str | None) -> list[Path]:
    """Draw a scatter if a column of measured effects is named, else a map of each stretch of the table.

    Parameters
    ----------
    table : pathlib.Path
        What `score_variants` wrote.
    figure : pathlib.Path
        `.png` or `.svg`; both are written. Maps after the first are numbered.
    measured : str, optional
        Column of measured effects.

    Returns
    -------
    list of pathlib.Path
    """
    content = read_scores(table, measured)
    name = main_score(content.column_names)
    stem = figure.with_suffix("")
    if measured is not None:
        drawn = scatter(_numbers(content[name]), _numbers(content[measured]), score=name, effect=measured)
        return list(plots.save(drawn, stem))
    written: list[Path] = []
    for number, (contig, start, sequence, values) in enumerate(_stretches(content, effects(content, name))):
        if len(sequence) > LONGEST:
            raise InputError(f"--figure: a map of {len(sequence):,} bases cannot be read; {LONGEST:,} are the most")
        whats = {"llr": "log-likelihood ratio", "log_odds": "log-odds of the alternative - reference"}
        what = next((text for start, text in whats.items() if name.startswith(start)), name)
        title = f"{contig}:{start:,}-{start + len(sequence):,}, {what}"
        unit = "nats" if name == "llr" else "bits" if name.startswith("log_odds") else "output"
        drawn = plots.mutation_map(values, sequence, start=start, unit=unit, title=title)
        written += plots.save(drawn, stem if not number else stem.with_name(f"{stem.name}-{number + 1}"))
    return written


def _stretches(content: pa.Table, scores: np.ndarray) -> list[tuple[str, int, str, np.ndarray]]:
    """Lay the scores of substitutions out as maps: contig, first base (0-based), sequence, effects (bases, 4)."""
    names = content.column_names
    chrom, pos, ref, alt = (
        content[str(find(names, wanted))] for wanted in (CHROM_NAMES, POS_NAMES, REF_NAMES, ALT_NAMES)
    )
    places = pos.cast(pa.int64()).to_numpy() - 1
    contigs = chrom.to_pylist()
    turns = [
        i
        for i in range(len(places))
        if i == 0 or contigs[i] != contigs[i - 1] or not 0 <= places[i] - places[i - 1] <= LONGEST
    ]
    found = []
    for first, end in zip(turns, [*turns[1:], len(places)], strict=True):
        start = int(places[first])
        bases = ["N"] * (int(places[end - 1]) - start + 1)
        values = np.full((len(bases), 4), np.nan)
        for i in range(first, end):
            bases[places[i] - start] = ref[i].as_py()
            values[places[i] - start, plots.BASES.index(alt[i].as_py())] = scores[i]
        found.append((contigs[first], start, "".join(bases), values))
    return found


def report(table: Path, measured: str) -> None:
    """Print how the scores rank with measured effects."""
    content = read_scores(table, measured)
    name = main_score(content.column_names)
    pair = np.stack([_numbers(content[name]), _numbers(content[measured])])
    pair = pair[:, np.isfinite(pair).all(axis=0)]
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
    if known.sum() < 3:
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
