"""What else is known about the place of a variant: intervals that it overlaps, motifs that it changes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dnabert.errors import InputError
from dnabert.sequence.allele_windows import take
from dnabert.sequence.genome import Genome
from dnabert.sequence.loci import Loci, overlaps, read_bed
from dnabert.sequence.motifs import HIT, Motifs, choose, disruption, named, read_motifs
from dnabert.sequence.variants import Alleles, allele_codes

MOTIF_COLUMNS = ("motif", "motif_ref", "motif_alt", "motif_difference")


class Annotation(NamedTuple):
    """What alleles are annotated with.

    Attributes
    ----------
    genome : Genome
    beds : dict of str to Loci
        Loci by the name of their column.
    motifs : Motifs or None
    threshold : float
        Relative score that the better allele must reach; below 0 where the motifs were named.
    of_intervals : dict of str to np.ndarray
        For each name of an interval, bool, shape (motifs,): the motifs of this name. Empty where all motifs are looked
        at everywhere.
    """

    genome: Genome
    beds: dict[str, Loci]
    motifs: Motifs | None
    threshold: float
    of_intervals: dict[str, np.ndarray]

    @property
    def info(self) -> dict[str, tuple[str, str, str]]:
        """Number, type and description of each column, as VCF declares them."""
        found = {name: (".", "String", f"intervals of {name}.bed that the variant overlaps") for name in self.beds}
        if self.motifs is not None:
            texts: tuple[str, ...] = (
                "motif whose best match changes most",
                "its best log-odds with the reference allele (bits)",
            )
            texts += ("its best log-odds with the alternative allele (bits)", "the alternative's minus the reference's")
            kinds = ("String", "Float", "Float", "Float")
            found |= {name: ("A", kind, text) for name, kind, text in zip(MOTIF_COLUMNS, kinds, texts, strict=True)}
        return found

    def columns(self, alleles: Alleles) -> dict[str, pa.Array]:
        """Annotate a chunk.

        Returns
        -------
        dict of str to pa.Array, length rows
            Names of overlapped intervals joined by `|`, null for none; the motif, its scores and their difference.
        """
        found = {}
        lengths = np.maximum(allele_codes(alleles.ref).lengths, 1)
        pairs = {
            name: overlaps(bed, alleles.contig, alleles.start, alleles.start + lengths)
            for name, bed in self.beds.items()
        }
        for name, bed in self.beds.items():
            texts: list[str | None] = [None] * alleles.rows
            for row, interval in pairs[name].tolist():
                text = bed.names[interval] or f"{bed.start[interval]}-{bed.end[interval]}"
                before = texts[row]
                texts[row] = text if before is None else f"{before}|{text}"
            found[name] = pa.array(texts, pa.string())
        if self.motifs is not None:
            found |= self._motif_columns(alleles, pairs)
        return found

    def _motif_columns(self, alleles: Alleles, pairs: dict[str, np.ndarray]) -> dict[str, pa.Array]:
        assert self.motifs is not None
        (rows,) = np.nonzero(alleles.reason == 0)
        allowed = None
        if self.of_intervals:
            marked = np.zeros((alleles.rows, len(self.motifs.names)), dtype=bool)
            for name, bed in self.beds.items():
                for row, interval in pairs[name].tolist():
                    if bed.names[interval] in self.of_intervals:
                        marked[row] |= self.of_intervals[bed.names[interval]]
            allowed = marked[rows]
        ref, alt = (take(allele_codes(part), rows) for part in (alleles.ref, alleles.alt))
        found = disruption(
            self.motifs, self.genome, alleles.contig[rows], alleles.start[rows], ref, alt, self.threshold, allowed
        )
        motif = np.full(alleles.rows, -1)
        motif[rows] = found.motif
        columns = {"motif": pa.array([*self.motifs.names, ""]).take(pa.array(motif, mask=motif < 0))}
        for name, values in zip(MOTIF_COLUMNS[1:], (found.ref, found.alt, found.alt - found.ref), strict=True):
            whole = np.full(alleles.rows, np.nan, dtype=np.float32)
            whole[rows] = values
            columns[name] = pa.array(whole, mask=np.isnan(whole))
        return columns


def prepare(
    genome: Genome, beds: Sequence[Path], motifs: str | os.PathLike[str] | None, names: Sequence[str]
) -> Annotation:
    """Read what alleles are to be annotated with.

    Parameters
    ----------
    genome : Genome
    beds : sequence of pathlib.Path
        BED files; a column is named after its file.
    motifs : path, optional
        Database of motifs. Where the intervals of a BED file carry names of its motifs, a variant is looked at with the
        motifs of the intervals that it overlaps alone.
    names : sequence of str
        Motifs to look at; all by default.

    Returns
    -------
    Annotation

    Raises
    ------
    InputError
        If a file is not as required, or two BED files are named alike.
    """
    intervals: dict[str, Loci] = {}
    for path in beds:
        name = path.name.removesuffix(".gz").removesuffix(".bed")
        if name in intervals:
            raise InputError(f"{path}: columns are named after their BED files, and two are called so; rename one")
        intervals[name] = read_bed(path, genome)
    if motifs is None:
        if names:
            raise InputError(f"--motif {names[0]}: name the file that holds the motif with --motifs")
        return Annotation(genome, intervals, None, HIT, {})
    database = read_motifs(Path(motifs))
    if names:
        database = choose(database, names)
    of_intervals: dict[str, np.ndarray] = {}
    for name in {name for bed in intervals.values() for name in bed.names if name}:
        found = named(database, name)
        if found:
            of_intervals[name] = np.isin(np.arange(len(database.names)), found)
    return Annotation(genome, intervals, database, -1.0 if names or of_intervals else HIT, of_intervals)
