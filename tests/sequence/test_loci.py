"""Intervals on a genome: BED files, regions in words, overlaps against the obvious way."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from dnabert.errors import InputError
from dnabert.sequence.genome import Genome
from dnabert.sequence.loci import Loci, overlaps, parse_region, read_bed


@pytest.fixture
def genome() -> Genome:
    return Genome.of_letters(
        Path("g.fa"), ("chr1", "chr2", "chr7:3-9"), np.full(300, 65, np.uint8), np.array([0, 100, 200, 300])
    )


def test_overlaps_are_those_of_the_obvious_way(rng: np.random.Generator) -> None:
    contig, start = np.sort(rng.integers(0, 3, 60)), rng.integers(0, 90, 60)
    order = np.lexsort((start, contig))
    contig, start = contig[order], start[order]
    intervals = Loci(contig, start, start + rng.integers(1, 40, 60), ("",) * 60)
    of, at = rng.integers(-1, 3, 200), rng.integers(0, 99, 200)
    end = at + rng.integers(1, 6, 200)
    expected = [
        (query, i)
        for query in range(200)
        for i in range(60)
        if contig[i] == of[query] and intervals.start[i] < end[query] and intervals.end[i] > at[query]
    ]
    assert overlaps(intervals, of, at, end).tolist() == [list(pair) for pair in expected]


def test_bed_files_are_sorted_onto_the_genome(genome: Genome, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.bed.gz", "wt") as text:
        text.write("track name=x\n# note\nchr2\t5\t9\tlate\n\nchr1\t50\t60\t\nchrUn\t1\t2\tgone\nchr1\t3\t8\tfirst\n")
    found = read_bed(tmp_path / "a.bed.gz", genome)
    assert found.contig.tolist() == [0, 0, 1]
    assert found.start.tolist() == [3, 50, 5]
    assert found.end.tolist() == [8, 60, 9]
    assert found.names == ("first", "", "late")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t5\t101\n", "a.bed line 1: chr1:5-101 is no interval inside its contig, which has 100 bases"),
        ("1\t5\t9\n", r"no contig '1'.*did you mean 'chr1'\?"),
        ("chr1\t5\t9\n2\t5\t9\n", r"a.bed line 2: g.fa: there is no contig '2'; .*did you mean 'chr2'\?"),
    ],
)
def test_intervals_that_are_not_on_the_genome(text: str, message: str, genome: Genome, tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_text(text)
    with pytest.raises(InputError, match=message):
        read_bed(tmp_path / "a.bed", genome)


def test_regions_in_words(genome: Genome) -> None:
    for text, expected in (
        ("chr1:3-9", (0, 3, 9)),
        ("chr2", (1, 0, 100)),
        ("chr7:3-9", (2, 0, 100)),
        ("chr1:0-1,0", (0, 0, 10)),
    ):
        region = parse_region(text, genome)
        assert (region.contig[0], region.start[0], region.end[0]) == expected
    with pytest.raises(InputError, match="chr1:90-101 does not lie inside its contig"):
        parse_region("chr1:90-101", genome)
    with pytest.raises(InputError, match="no contig 'chr9'"):
        parse_region("chr9:1-2", genome)
    with pytest.raises(InputError, match="no contig 'chr1:,-5'"):
        parse_region("chr1:,-5", genome)
