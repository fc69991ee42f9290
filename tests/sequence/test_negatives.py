"""Negatives by shuffling and from the genome."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

from dnabert import make_negatives
from dnabert.errors import InputError
from dnabert.sequence import intervals, tables
from dnabert.sequence.alphabet import decode_bases
from dnabert.sequence.genome import Genome
from dnabert.sequence.negatives import Negatives, gc_content
from tests.conftest import random_dna, write_fasta


@pytest.fixture
def genome(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Two contigs whose GC content changes along them, the second with N."""
    shares = 0.3 + 0.4 * (np.arange(90_000) % 3000) / 3000
    strong = rng.random((2, 90_000)) < shares
    codes = (2 * strong + rng.integers(0, 2, strong.shape)).astype(np.uint8)
    second = decode_bases(codes[1])
    return write_fasta(
        tmp_path / "g.fa", {"chrI": decode_bases(codes[0]), "chrII": second[:9300] + "N" * 450 + second[9750:]}
    )


@pytest.fixture
def positives(tmp_path: Path) -> Path:
    path = tmp_path / "peaks.bed"
    rows = [(f"chr{'I' * (1 + i % 2)}", 200 + 290 * i) for i in range(100)]
    path.write_text("".join(f"{chrom}\t{start}\t{start + 40 + i}\n" for i, (chrom, start) in enumerate(rows)))
    return path


def rows_of(result: Negatives, label: int) -> pa.Table:
    return result.columns.filter(pa.array(result.columns["label"].to_numpy() == label))


def distances(part: pa.Table, path: Path) -> np.ndarray:
    """Bases between each window and the nearest interval of a BED file, negative where they overlap."""
    bed = intervals.read(path).columns
    result = []
    for chrom, start, end in zip(*(part[name].to_pylist() for name in ("chrom", "start", "end")), strict=True):
        same = np.array(bed["chrom"].to_pylist()) == chrom
        gaps = np.maximum(bed["start"].to_numpy()[same] - end, start - bed["end"].to_numpy()[same])
        result.append(gaps.min(initial=10**9))
    return np.array(result)


def test_windows_match_and_keep_away(genome: Path, positives: Path, tmp_path: Path) -> None:
    excluded = tmp_path / "masked.bed"
    excluded.write_text("chrI\t10000\t14000\nchrII\t0\t3000\n")
    result = make_negatives(
        positives, tmp_path / "n.tsv", method="genome", genome=genome, exclude=[excluded], margin=15, ratio=2, seed=3
    )
    assert (result.positives, result.negatives, result.asked) == (100, 200, 200)
    own, made = rows_of(result, 1), rows_of(result, 0)
    assert own["start"].to_pylist() == [200 + 290 * i for i in range(100)]
    lengths = made["end"].to_numpy() - made["start"].to_numpy()
    assert lengths.tolist() == np.repeat(40 + np.arange(100), 2).tolist()
    gc = [gc_content(one.letters, one.offsets) for one in (tables.from_sequences(p["sequence"]) for p in (own, made))]
    difference = np.abs(np.repeat(gc[0], 2) - gc[1])
    assert difference.max() <= 0.02 + 1e-9
    assert result.gc_difference == pytest.approx(difference.max())
    assert result.gc_positives == pytest.approx(gc[0].mean())
    assert distances(made, positives).min() >= 15
    assert distances(made, excluded).min() >= 15
    assert not any("N" in sequence for sequence in made["sequence"].to_pylist())
    opened = Genome.open(genome)
    for row in made.slice(0, 20).to_pylist():
        codes = opened.window(row["chrom"], row["start"], row["end"], row["strand"])
        assert decode_bases(codes) == row["sequence"]
    assert {"+", "-"} == set(made["strand"].to_pylist())
    places = sorted(zip(*(made[name].to_pylist() for name in ("chrom", "start", "end")), strict=True))
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in itertools.pairwise(places))
    written = tables.read(tmp_path / "n.tsv")
    assert written.sequences.to_pylist() == result.columns["sequence"].to_pylist()
    assert written.labels is not None
    assert written.labels.to_pylist() == ["1"] * 100 + ["0"] * 200


def test_the_seed_decides(genome: Path, positives: Path) -> None:
    results = [make_negatives(positives, method="genome", genome=genome, seed=seed).columns for seed in (1, 1, 2)]
    assert results[0].equals(results[1])
    assert not results[0].equals(results[2])


def test_windows_come_from_everywhere(tmp_path: Path, rng: np.random.Generator) -> None:
    """Each start outside the excluded region is equally likely, in each contig."""
    genome = write_fasta(tmp_path / "g.fa", {name: random_dna(1020, rng) for name in "ab"})
    (tmp_path / "p.bed").write_text("a\t0\t20\n")
    (tmp_path / "x.bed").write_text("b\t500\t1020\n")
    result = make_negatives(
        tmp_path / "p.bed",
        method="genome",
        genome=genome,
        exclude=[tmp_path / "x.bed"],
        ratio=6000,
        gc_tolerance=1,
        overlap=True,
    )
    made = rows_of(result, 0)
    in_a = np.array(made["chrom"].to_pylist()) == "a"
    start = made["start"].to_numpy()
    assert (start[in_a].min(), start[in_a].max(), start[~in_a].min(), start[~in_a].max()) == (20, 1000, 0, 480)
    counts = np.concatenate([np.bincount((start[in_a] - 20) // 109, minlength=9), np.bincount(start[~in_a] // 37)])
    expected = np.array([109] * 9 + [37] * 13)
    assert scipy.stats.chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 1e-4


def test_too_few_windows_are_said(genome: Path, positives: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = make_negatives(positives, method="genome", genome=genome, ratio=40)
    assert 300 < result.negatives < result.asked == 4000
    assert f"WARNING: only {result.negatives:,} of 4,000 windows were found" in capsys.readouterr().err


def test_a_window_with_the_sequence_of_a_positive_is_no_negative(tmp_path: Path, rng: np.random.Generator) -> None:
    unit = random_dna(50, rng)
    genome = write_fasta(tmp_path / "g.fa", {"a": unit * 3 + random_dna(30, rng)})
    (tmp_path / "p.bed").write_text("a\t0\t50\n")
    result = make_negatives(tmp_path / "p.bed", method="genome", genome=genome, ratio=300, gc_tolerance=1, overlap=True)
    assert unit not in rows_of(result, 0)["sequence"].to_pylist()


def test_shuffles(genome: Path, positives: Path, tmp_path: Path) -> None:
    result = make_negatives(positives, method="shuffle", genome=genome, ratio=3, length=60)
    assert (result.positives, result.negatives, result.gc_difference) == (100, 300, 0)
    own, made = rows_of(result, 1), rows_of(result, 0)
    for parent, row in enumerate(made.to_pylist()):
        before = own["sequence"][parent // 3].as_py()
        pairs = [Counter(text[i : i + 2] for i in range(59)) for text in (before, row["sequence"])]
        assert pairs[0] == pairs[1]
        assert row["start"] == own["start"][parent // 3].as_py()
    fasta = write_fasta(tmp_path / "p.fa", {"a": "ACGTTGCAAGTCGATCAGTC", "b": "A" * 20})
    result = make_negatives(fasta, method="shuffle")
    assert result.columns.column_names == ["sequence", "label"]
    assert (result.positives, result.negatives) == (2, 1)  # a run of A has no other order


def test_positives_of_n_alone(genome: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.bed"
    path.write_text("chrII\t9400\t9450\nchrII\t200\t250\n")
    for method in ("shuffle", "genome"):
        assert make_negatives(path, method=method, genome=genome).positives == 1
        assert "p.bed: 1 of 2 positives are all N and are left out" in capsys.readouterr().err
    path.write_text("chrII\t9400\t9450\n")
    with pytest.raises(InputError, match="no positive holds a known base"):
        make_negatives(path, method="genome", genome=genome)


def test_one_label_is_enough_and_two_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sequence,label\nACGTTGCAAGTCGATCAGTC,1\n")
    assert make_negatives(path, method="shuffle").positives == 1
    path.write_text("sequence,label\nACGTTGCAAGTCGATCAGTC,1\nACGTACGTAT,0\n")
    with pytest.raises(InputError, match="positives alone are required, these have the labels 1, 0; keep one"):
        make_negatives(path, method="shuffle")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "markov"}, "--method markov: one of shuffle, genome is required"),
        ({"method": "genome", "genome": None}, "name its FASTA file with --genome"),
        ({"method": "shuffle", "margin": 5}, "--exclude and --margin go with --method genome"),
        ({"ratio": 0}, "--ratio 0: a number of negatives a positive from 1 on"),
        ({"margin": -1}, "--margin -1: a number of bases from 0 on"),
        ({"gc_tolerance": 1.5}, r"--gc-tolerance 1.5: a share from 0 to 1"),
        ({"margin": 95_000}, r"no stretch of 40 bases is left; give a smaller --margin"),
        ({"length": 70_000}, "no contig has room for a window of 70000 bases"),
        ({"exclude": ["whole.bed"]}, r"no stretch of 40 bases is left"),
        ({"exclude": ["other.bed"]}, r"other.bed line 2: g.fa: there is no contig '2'; .* did you mean 'chrII'\?"),
        ({"exclude": ["long.bed"]}, r"long.bed line 1: chrI:100-90001 is no interval inside its contig"),
        ({"exclude": ["turned.bed"]}, r"turned.bed line 1: chrI:50-20 is empty: start must be below end"),
        ({"exclude": ["empty.bed"]}, r"empty.bed: the file holds no intervals"),
        ({"exclude": ["none.bed"]}, r"none.bed: no such BED file"),
        ({"out": "n.bed"}, r"n.bed: tables are written as .tsv, .csv or .parquet"),
    ],
)
def test_bad_input(
    options: dict[str, object],
    message: str,
    genome: Path,
    positives: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("whole.bed").write_text("chrI\t0\t90000\nchrII\t0\t90000\n")
    Path("other.bed").write_text("chrI\t0\t90000\n2\t0\t90000\n")
    Path("long.bed").write_text("chrI\t100\t90001\n")
    Path("turned.bed").write_text("chrI\t50\t20\n")
    Path("empty.bed").write_text("# no peak today\n")
    with pytest.raises(InputError, match=message):
        make_negatives(positives, **{"method": "genome", "genome": genome, **options})  # type: ignore[arg-type]


def test_excluded_contigs_that_the_genome_lacks_are_said(
    genome: Path, positives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e.bed").write_text("chrI\t50000\t90000\nchrIII\t0\t90000\n")
    result = make_negatives(positives, method="genome", genome=genome, exclude=[tmp_path / "e.bed"])
    assert "e.bed: 1 intervals on contigs that g.fa lacks are left out" in capsys.readouterr().err
    made = rows_of(result, 0).to_pylist()
    assert not [row for row in made if row["chrom"] == "chrI" and row["end"] > 50000]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("chrI,350,50", r"p.csv.* 1: chrI:350-50 is no interval inside its contig, which has 90,000 bases in g.fa"),
        ("chrI,-5,50", r"chrI:-5-50 is no interval"),
        ("chrI,5,90001", r"chrI:5-90001 is no interval"),
        ("chrI,,350", r"p.csv.* 1: 'start' is empty; fill it or delete the row"),
        ("chrI,50,", r"'end' is empty"),
        ("I,50,90", r"there is no contig 'I'"),
    ],
)
def test_places_beside_sequences_are_checked(place: str, message: str, genome: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(f"sequence,chrom,start,end\nACGTTGCAAGTCGATCAGTC,{place}\n")
    with pytest.raises(InputError, match=message.replace(" 1:", " [12]:")):
        make_negatives(tmp_path / "p.csv", method="genome", genome=genome)


@pytest.mark.parametrize("method", ["shuffle", "genome"])
def test_pairs_are_refused(method: str, genome: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("sequence,sequence2,chrom,start,end\nACGTTGCAAGTC,GATCAGTC,chrI,5,17\n")
    with pytest.raises(InputError, match=r"p.csv: negatives are made of single sequences, and these rows are pairs"):
        make_negatives(tmp_path / "p.csv", method=method, genome=genome)


def test_an_input_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("sequence\nACGTTGCAAGTC\n")
    with pytest.raises(InputError, match="this is an input; name another --out"):
        make_negatives(tmp_path / "p.tsv", tmp_path / "p.tsv", method="shuffle")
    assert (tmp_path / "p.tsv").read_text() == "sequence\nACGTTGCAAGTC\n"


def test_positives_without_a_place_or_a_match(tmp_path: Path, genome: Path, rng: np.random.Generator) -> None:
    fasta = write_fasta(tmp_path / "p.fa", {"a": random_dna(40, rng)})
    with pytest.raises(InputError, match="--method genome needs to know where the positives lie"):
        make_negatives(fasta, method="genome", genome=genome)
    bare = write_fasta(tmp_path / "at.fa", {"a": "GC" * 50 + "AT" * 500})
    (tmp_path / "p.bed").write_text("a\t0\t100\n")
    with pytest.raises(InputError, match=r"at.fa: no window was found outside the regions .* within 0.02"):
        make_negatives(tmp_path / "p.bed", method="genome", genome=bare)
    (tmp_path / "p.bed").write_text("#\n")
    with pytest.raises(InputError, match=r"p.bed: the file holds no intervals"):
        make_negatives(tmp_path / "p.bed", method="genome", genome=bare)
    with pytest.raises(InputError, match="no shuffle differs from the positives"):
        make_negatives(write_fasta(tmp_path / "a.fa", {"a": "A" * 30}), method="shuffle")


@pytest.mark.real_data
@pytest.mark.parametrize("factor", ["Reb1", "Abf1"])
def test_real_peaks(factor: str, real_data: Path) -> None:
    peaks = real_data / f"saccer3/chipexo/{factor}.bed"
    other = real_data / f"saccer3/chipexo/{'Abf1' if factor == 'Reb1' else 'Reb1'}.bed"
    result = make_negatives(
        peaks, method="genome", genome=real_data / "saccer3/sacCer3.fa.gz", length=101, exclude=[other], margin=50
    )
    assert result.negatives == result.asked == result.positives == len(intervals.read(peaks).columns)
    made = rows_of(result, 0)
    assert min(distances(made, peaks).min(), distances(made, other).min()) >= 50
    assert result.gc_difference <= 0.02 + 1e-9
    gc = [
        gc_content(one.letters, one.offsets)
        for one in map(tables.from_sequences, (rows_of(result, 1)["sequence"], made["sequence"]))
    ]
    assert scipy.stats.ks_2samp(*gc).pvalue > 0.01
    assert abs(gc[0].mean() - gc[1].mean()) < 0.005
