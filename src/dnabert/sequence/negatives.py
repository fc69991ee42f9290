"""Negatives that differ from the positives in what is to be learnt, not in what is easy to see.

`shuffle`: each positive with its letters in another order that keeps every dinucleotide. `genome`: windows of the
genome outside the positives, each with the length of a positive and its GC content within a tolerance, from either
strand.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.errors import InputError
from dnabert.files import check_not_input
from dnabert.progress import say, track_items
from dnabert.sequence import intervals, tables
from dnabert.sequence.alphabet import CODE_OF_BYTE, UNKNOWN
from dnabert.sequence.delimited import find
from dnabert.sequence.genome import Genome
from dnabert.sequence.letters import cut_windows
from dnabert.sequence.loci import read_bed
from dnabert.sequence.shuffle import draw_next, key_of, shuffle_dinucleotides
from dnabert.sequence.similarity import strand_hashes
from dnabert.sequence.tables import INTERVAL_NAMES, Table

METHODS = ("shuffle", "genome")
GC_TOLERANCE = 0.02
"""Share of G and C by which a window may differ from its positive: two bases in a hundred."""

_DRAWS = 2000
"""Windows looked at for a positive in one round."""
_ROUNDS = 50
_ROUNDS_IN_VAIN = 5
_ROWS_AT_ONCE = 1024


class Negatives(NamedTuple):
    """Positives and negatives.

    Attributes
    ----------
    columns : pa.Table
        `sequence`, `label` (1 for positives, 0 for negatives), and `chrom`, `start`, `end`, `strand` where the
        positives have a place. A shuffle has the place of its positive.
    positives, negatives : int
        Rows of each; the positives come first.
    asked : int
        Negatives that were asked for.
    gc_positives, gc_negatives : float
        Mean share of G and C among known bases.
    gc_difference : float
        The largest difference between a negative and its positive.
    """

    columns: pa.Table
    positives: int
    negatives: int
    asked: int
    gc_positives: float
    gc_negatives: float
    gc_difference: float


def make_negatives(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    method: str,
    genome: str | os.PathLike[str] | None = None,
    exclude: Sequence[str | os.PathLike[str]] = (),
    margin: int = 0,
    ratio: int = 1,
    length: int | None = None,
    gc_tolerance: float = GC_TOLERANCE,
    overlap: bool = False,
    seed: int = 0,
) -> Negatives:
    """Make negatives for positives, and one labelled table of both.

    Parameters
    ----------
    data : path
        The positives: FASTA, table or BED, as in `dnabert.sequence.tables.read`. Their labels, if any, must be one.
    out : path, optional
        `.tsv`, `.csv` or `.parquet` to write.
    method : str
        `shuffle` or `genome`.
    genome : path, optional
        FASTA that intervals refer to; `genome` draws from it, and needs positives with a place.
    exclude : sequence of path
        BED files of regions that no negative touches, beside the positives.
    margin : int
        Bases on both sides of the positives and the excluded regions that no negative touches either.
    ratio : int
        Negatives a positive.
    length : int, optional
        Take windows of this length around the midpoints of intervals as positives.
    gc_tolerance : float
        Largest difference between the share of G and C of a window and its positive.
    overlap : bool
        Whether windows may overlap each other.
    seed : int
        The same seed gives the same negatives.

    Returns
    -------
    Negatives

    Raises
    ------
    InputError
        If a file is not as required, there are no positives, they are pairs, have several labels, no place or one that
        is not on the genome, the excluded regions leave no room, or no window fits.
    """
    if out is not None:
        tables.check_output(out)
        check_not_input(out, data, genome, *exclude)
    _check_options(method, genome, exclude, margin, ratio, gc_tolerance)
    positives = tables.read(data, genome=genome, length=length)
    if positives.second is not None:
        raise InputError(
            f"{positives.path}: negatives are made of single sequences, and these rows are pairs; leave the second "
            "sequences out"
        )
    if positives.labels is not None and len(pc.unique(positives.labels)) > 1:
        found = ", ".join(pc.unique(positives.labels).to_pylist()[:4])
        raise InputError(f"{positives.path}: positives alone are required, these have the labels {found}; keep one")
    positives = _known(positives)
    if method == "shuffle":
        result = _shuffled(positives, ratio, seed)
    else:
        assert genome is not None
        result = _drawn(positives, Genome.open(genome), exclude, margin, ratio, gc_tolerance, overlap, seed)
    if out is not None:
        tables.write(result.columns, out)
    return result


def gc_content(letters: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Compute the share of G and C among the known bases of sequences.

    Parameters
    ----------
    letters : np.ndarray, uint8, shape (bytes,)
    offsets : np.ndarray, int64, shape (rows + 1,)

    Returns
    -------
    np.ndarray, float64, shape (rows,)
        NaN for a sequence without a known base.
    """
    content = np.empty(len(offsets) - 1)
    _gc_rows(letters, offsets, CODE_OF_BYTE, content)
    return content


def _check_options(
    method: str,
    genome: str | os.PathLike[str] | None,
    exclude: Sequence[str | os.PathLike[str]],
    margin: int,
    ratio: int,
    gc_tolerance: float,
) -> None:
    if method not in METHODS:
        raise InputError(f"--method {method}: one of {', '.join(METHODS)} is required")
    if method == "genome" and genome is None:
        raise InputError("--method genome draws windows from a genome; name its FASTA file with --genome")
    if method == "shuffle" and (exclude or margin):
        raise InputError("--exclude and --margin go with --method genome; a shuffle has no place in the genome")
    if ratio < 1:
        raise InputError(f"--ratio {ratio}: a number of negatives a positive from 1 on is required")
    if margin < 0:
        raise InputError(f"--margin {margin}: a number of bases from 0 on is required")
    if not 0 <= gc_tolerance <= 1:
        raise InputError(f"--gc-tolerance {gc_tolerance:g}: a share from 0 to 1 is required")


def _known(positives: Table) -> Table:
    """Leave out positives that hold nothing but N: they have no GC content and teach nothing."""
    known = np.flatnonzero(~np.isnan(gc_content(positives.letters, positives.offsets)))
    if len(known) == 0:
        raise InputError(f"{positives.path}: no positive holds a known base (all are N); is this the right genome?")
    if len(known) == positives.rows:
        return positives
    say(f"{positives.path}: {positives.rows - len(known):,} of {positives.rows:,} positives are all N and are left out")
    return tables.select(positives, known)


def _places(table: Table) -> list[str] | None:
    """Find the names of the columns chrom, start and end, or None."""
    names = [find(table.columns.column_names, (name,)) for name in INTERVAL_NAMES]
    return None if None in names else [name for name in names if name]


def _strands(table: Table) -> pa.Array:
    name = find(table.columns.column_names, ("strand",))
    if name is None:
        return pa.array(["."] * table.rows, pa.large_string())
    return table.columns[name].cast(pa.large_string()).combine_chunks()


def _joined(
    positives: Table,
    sequences: pa.LargeStringArray,
    parents: np.ndarray,
    places: dict[str, pa.Array] | None,
    asked: int,
) -> Negatives:
    """Put positives and negatives into one table."""
    names = _places(positives)
    columns = {
        "sequence": pa.concat_arrays([positives.sequences, sequences]),
        "label": pa.array(np.repeat([1, 0], [positives.rows, len(sequences)])),
    }
    if names is not None:
        for title, name in zip(INTERVAL_NAMES, names, strict=True):
            own = positives.columns[name].combine_chunks()
            own = own.cast(pa.large_string() if title == "chrom" else pa.int64())
            columns[title] = pa.concat_arrays([own, places[title] if places else own.take(pa.array(parents))])
        own = _strands(positives)
        columns["strand"] = pa.concat_arrays([own, places["strand"] if places else own.take(pa.array(parents))])
    gc = gc_content(positives.letters, positives.offsets)
    made = tables.from_sequences(sequences)
    gc_made = gc_content(made.letters, made.offsets)
    return Negatives(
        pa.table(columns),
        positives.rows,
        len(sequences),
        asked,
        float(gc.mean()),
        float(gc_made.mean()),
        float(np.abs(gc_made - gc[parents]).max()),
    )


# --- shuffles ---------------------------------------------------------------------------------------------------------


def _shuffled(positives: Table, ratio: int, seed: int) -> Negatives:
    sequences = shuffle_dinucleotides(positives.letters, positives.offsets, seed, copies=ratio)
    parents = np.repeat(np.arange(positives.rows), ratio)
    made = tables.from_sequences(sequences)
    own = strand_hashes(positives.letters, positives.offsets).forward
    same = np.isin(strand_hashes(made.letters, made.offsets).forward, own)
    if same.all():
        raise InputError(
            f"{positives.path}: no shuffle differs from the positives: their dinucleotides leave no other order; "
            "give longer sequences, or --method genome"
        )
    if same.any():
        say(
            f"{int(same.sum()):,} of {len(same):,} shuffles are a positive again (short or repetitive) and are left out"
        )
    kept = np.flatnonzero(~same)
    return _joined(positives, sequences.take(pa.array(kept)), parents[kept], None, len(same))


# --- windows of the genome --------------------------------------------------------------------------------------------


def _drawn(
    positives: Table,
    genome: Genome,
    exclude: Sequence[str | os.PathLike[str]],
    margin: int,
    ratio: int,
    gc_tolerance: float,
    overlap: bool,
    seed: int,
) -> Negatives:
    names = _places(positives)
    if names is None:
        raise InputError(
            f"{positives.path}: --method genome needs to know where the positives lie, to keep away from them; "
            "give BED or a table with chrom, start and end, or --method shuffle"
        )
    lengths = np.repeat(np.diff(positives.offsets), ratio)
    gc = np.repeat(gc_content(positives.letters, positives.offsets), ratio)
    parents = np.repeat(np.arange(positives.rows), ratio)
    regions = [_in_genome(positives, genome, names)]
    for path in exclude:
        loci = read_bed(Path(path), genome)
        first = genome.starts[loci.contig]
        regions.append((loci.contig, first + loci.start, first + loci.end))
    gaps = _gaps(genome, regions, margin, int(lengths.min()))
    copies = np.tile(np.arange(ratio), positives.rows)
    states = _keys(np.uint64(seed), parents, copies)
    known = np.unique(strand_hashes(positives.letters, positives.offsets).either)
    starts = _draw_windows(genome, gaps, lengths, gc, gc_tolerance, overlap, states, known)
    kept = np.flatnonzero(starts >= 0)
    advice = "widen --gc-tolerance, give a smaller --margin or --ratio or fewer --exclude"
    rule = f"outside the regions with the GC content of a positive within {gc_tolerance:g}"
    if not overlap:
        rule += ", none over another"
        advice += ", or allow --overlap"
    if len(kept) == 0:
        raise InputError(f"{genome.path.name}: no window was found {rule}; {advice}")
    if len(kept) < len(starts):
        say(f"WARNING: only {len(kept):,} of {len(starts):,} windows were found {rule}; {advice}")
    starts, lengths = starts[kept], lengths[kept]
    minus = states[kept] & np.uint64(1) == 1  # the key of a stream is random in every bit
    sequences = cut_windows(genome.codes, starts, np.concatenate([[0], np.cumsum(lengths)]), minus)
    contig = np.searchsorted(genome.starts, starts, side="right") - 1
    places = {
        "chrom": pa.array(np.array(genome.names, dtype=object)[contig], pa.large_string()),
        "start": pa.array(starts - genome.starts[contig]),
        "end": pa.array(starts - genome.starts[contig] + lengths),
        "strand": pa.array(np.where(minus, "-", "+"), pa.large_string()),
    }
    return _joined(positives, sequences, parents[kept], places, len(parents))


def _in_genome(table: Table, genome: Genome, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the contig of intervals, and their start and end in `Genome.codes`."""
    for name in names:
        row = pc.index(pc.is_null(table.columns[name], nan_is_null=True), True).as_py()
        if row >= 0:
            raise InputError(f"{table.where(row)}: '{name}' is empty; fill it or delete the row")
    contig = tables.contigs_of(table, genome, names[0])
    try:
        start, end = (table.columns[name].cast(pa.int64()).to_numpy() for name in names[1:])
    except pa.ArrowException as error:
        raise InputError(f"{table.path}: start and end must be whole numbers ({error}); correct them") from error
    outside = (start < 0) | (start >= end) | (end > genome.lengths[contig])
    if outside.any():
        row = int(outside.argmax())
        raise InputError(
            f"{table.where(row)}: {table.columns[names[0]][row]}:{start[row]}-{end[row]} is no interval inside its "
            f"contig, which has {genome.lengths[contig[row]]:,} bases in {genome.path.name} (0-based half-open "
            "coordinates); correct it"
        )
    return contig, genome.starts[contig] + start, genome.starts[contig] + end


def _gaps(
    genome: Genome, regions: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], margin: int, shortest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the stretches between regions that have room for a window: start and end in `Genome.codes`."""
    contig, start, end = (np.concatenate(column) for column in zip(*regions, strict=True))
    start = np.maximum(start - margin, genome.starts[contig])
    end = np.minimum(end + margin, genome.starts[contig + 1])
    # an empty region at each end of a contig, so that no gap spans two
    taken_start, taken_end = intervals.merged(
        np.concatenate([start, genome.starts]), np.concatenate([end, genome.starts])
    )
    first, last = taken_end[:-1], taken_start[1:]
    room = last - first >= shortest
    if not room.any():
        raise InputError(
            f"{genome.path.name}: outside the positives and the excluded regions no stretch of {shortest} bases is "
            "left; give a smaller --margin or fewer --exclude"
        )
    return first[room], last[room]


def _draw_windows(
    genome: Genome,
    gaps: tuple[np.ndarray, np.ndarray],
    lengths: np.ndarray,
    gc: np.ndarray,
    tolerance: float,
    overlap: bool,
    states: np.ndarray,
    known: np.ndarray,
) -> np.ndarray:
    """Draw a window for each row in rounds; int64, shape (rows,), where it starts in `Genome.codes`, -1: none found."""
    ends = np.cumsum(gaps[1] - gaps[0])
    starts = np.full(len(lengths), -1)
    in_vain = 0
    with track_items("Drawing windows", len(lengths), "windows") as advance:
        for _ in range(_ROUNDS):
            waiting = np.flatnonzero(starts < 0)
            accepted = starts >= 0
            for rows in np.split(waiting, range(_ROWS_AT_ONCE, len(waiting), _ROWS_AT_ONCE)):
                _draw(genome.codes, *gaps, ends, rows, lengths, gc, tolerance, states, starts)
            new = np.flatnonzero((starts >= 0) & ~accepted)
            cut = cut_windows(
                genome.codes,
                starts[new],
                np.concatenate([[0], np.cumsum(lengths[new])]),
                np.zeros(len(new), dtype=bool),
            )
            made = tables.from_sequences(cut)
            starts[new[np.isin(strand_hashes(made.letters, made.offsets).either, known)]] = -1
            if not overlap:
                drawn = np.flatnonzero(starts >= 0)
                _drop_overlaps(drawn[np.argsort(starts[drawn], kind="stable")], lengths, accepted, starts)
            gained = int((starts >= 0).sum() - accepted.sum())
            advance(gained)
            in_vain = 0 if gained else in_vain + 1
            if gained == len(waiting) or in_vain == _ROUNDS_IN_VAIN:
                break
    return starts


@numba.njit(nogil=True, cache=True)
def _gc_rows(letters: np.ndarray, offsets: np.ndarray, table: np.ndarray, content: np.ndarray) -> None:
    for row in range(len(content)):
        strong = known = 0
        for i in range(offsets[row], offsets[row + 1]):
            code = table[letters[i]]
            known += code < UNKNOWN
            strong += code == 2 or code == 3
        content[row] = strong / known if known else np.nan


@numba.njit(nogil=True, cache=True)
def _keys(seed: np.uint64, rows: np.ndarray, copies: np.ndarray) -> np.ndarray:
    keys = np.empty(len(rows), dtype=np.uint64)
    for i in range(len(rows)):
        keys[i] = key_of(seed, rows[i], copies[i])
    return keys


@numba.njit(nogil=True, cache=True)
def _draw(
    codes: np.ndarray,
    gap_starts: np.ndarray,
    gap_ends: np.ndarray,
    ends: np.ndarray,
    rows: np.ndarray,
    lengths: np.ndarray,
    gc: np.ndarray,
    tolerance: float,
    states: np.ndarray,
    starts: np.ndarray,
) -> None:
    """Draw windows that lie in a gap, hold no N and have the GC content wanted; `ends` are cumulative bases of gaps."""
    total = np.uint64(ends[-1])
    for row in rows:
        length = lengths[row]
        wanted = gc[row]
        state = states[row : row + 1]
        for _ in range(_DRAWS):
            at = np.int64(draw_next(state) % total)
            gap = np.searchsorted(ends, at, side="right")
            start = gap_starts[gap] + at - (ends[gap] - (gap_ends[gap] - gap_starts[gap]))
            if start + length > gap_ends[gap]:
                continue
            strong = 0
            unknown = False
            for i in range(start, start + length):
                code = codes[i]
                if code >= UNKNOWN:
                    unknown = True
                    break
                strong += code >> 1  # C is 2 and G is 3
            if not unknown and abs(strong - wanted * length) <= tolerance * length + 1e-9:
                starts[row] = start
                break


@numba.njit(nogil=True, cache=True)
def _drop_overlaps(order: np.ndarray, lengths: np.ndarray, accepted: np.ndarray, starts: np.ndarray) -> None:
    """Of windows that overlap keep the one accepted before, else the one that starts first."""
    kept = -1
    for row in order:
        if kept >= 0 and starts[row] < starts[kept] + lengths[kept]:
            if accepted[row] and not accepted[kept]:
                starts[kept] = -1
                kept = row
            else:
                starts[row] = -1
        else:
            kept = row
