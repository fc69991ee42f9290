"""Simulated sequences whose answer is known.

Background comes from a first-order Markov model; positives carry instances of known motifs under rules of spacing;
negatives carry the same instances with their letters shuffled, so that their composition is the same and only the
motif is gone. `truth.bed` says what was planted where.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from dnabert.files import claim_folder, replacing
from dnabert.sequence.alphabet import decode_bases, reverse_complement

LENGTH = 101
"""Bases of a labelled sequence; the start of transcription of a promoter is its base 70."""
TSS = 70
ROWS = {"train": 2000, "dev": 400, "test": 400}
CONTIGS = {"simA": 1_000_000, "simB": 700_000, "simC": 300_000}
GENOME_SPACING = 400
"""Mean bases between the motifs of the simulated genome."""

# P(next base | base), rows and columns A, T, C, G: 41 % GC and few CpG, as in vertebrate genomes
BACKGROUND = np.array(
    [
        [0.33, 0.26, 0.17, 0.24],
        [0.22, 0.33, 0.20, 0.25],
        [0.35, 0.34, 0.26, 0.05],
        [0.29, 0.24, 0.21, 0.26],
    ]
)


class Motif(NamedTuple):
    """A motif of JASPAR: its accession and, for each position, the counts of A, C, G, T (rounded)."""

    accession: str
    counts: tuple[tuple[int, int, int, int], ...]


# JASPAR 2022 CORE vertebrates (Castro-Mondragon et al. 2022, doi 10.1093/nar/gkab1113)
MOTIFS = {
    "TATA box": Motif(
        "MA0108.2",
        (
            (61, 145, 152, 31),
            (16, 46, 18, 309),
            (352, 0, 2, 35),
            (3, 10, 2, 374),
            (354, 0, 5, 30),
            (268, 0, 0, 121),
            (360, 3, 20, 6),
            (222, 2, 44, 121),
            (155, 44, 157, 33),
            (56, 135, 150, 48),
            (83, 147, 128, 31),
            (82, 127, 128, 52),
            (82, 118, 128, 61),
            (68, 107, 139, 75),
            (77, 101, 140, 71),
        ),
    ),
    "CTCF": Motif(
        "MA0139.1",
        (
            (87, 291, 76, 459),
            (167, 145, 414, 187),
            (281, 49, 449, 134),
            (56, 800, 21, 36),
            (8, 903, 0, 2),
            (744, 13, 65, 91),
            (40, 528, 334, 11),
            (107, 433, 48, 324),
            (851, 11, 32, 18),
            (5, 0, 903, 3),
            (333, 3, 566, 9),
            (54, 12, 504, 341),
            (12, 0, 890, 8),
            (56, 8, 775, 71),
            (104, 733, 5, 67),
            (372, 13, 507, 17),
            (82, 482, 307, 37),
            (117, 322, 73, 396),
            (402, 181, 266, 59),
        ),
    ),
    "E-box": Motif(
        "MA0058.3",
        (
            (3307, 1556, 1295, 719),
            (1915, 2809, 1514, 637),
            (39, 6876, 0, 0),
            (6876, 0, 87, 38),
            (0, 6876, 7, 229),
            (329, 39, 6876, 19),
            (69, 159, 20, 6876),
            (0, 27, 6876, 36),
            (1341, 2450, 1638, 1446),
            (1122, 2225, 986, 2543),
        ),
    ),
    "GC box": Motif(
        "MA0079.5",
        (
            (1, 1, 950, 47),
            (1, 1, 997, 1),
            (1, 1, 997, 1),
            (1, 1, 997, 1),
            (267, 731, 1, 1),
            (1, 1, 997, 1),
            (1, 85, 912, 1),
            (254, 52, 659, 35),
            (161, 1, 836, 1),
        ),
    ),
}


class Planted(NamedTuple):
    """An instance of a motif in a sequence: 0-based half-open interval and strand."""

    motif: str
    start: int
    end: int
    strand: str


Rule = Callable[[np.random.Generator], list[tuple[str, int, str]]]
"""Draws what a positive carries: (motif, start, strand) of each instance."""


def core_promoter(rng: np.random.Generator) -> list[tuple[str, int, str]]:
    """A TATA box 33 to 28 bases before the start of transcription; in 7 of 10 a GC box 10 to 25 bases before it."""
    start = TSS - int(rng.integers(28, 34))
    sites = [("TATA box", start, "+")]
    if rng.random() < 0.7:
        sites.append(("GC box", start - int(rng.integers(10, 26)) - len(MOTIFS["GC box"].counts), "+"))
    return sites


def ctcf(rng: np.random.Generator) -> list[tuple[str, int, str]]:
    """A CTCF site anywhere, on either strand."""
    width = len(MOTIFS["CTCF"].counts)
    return [("CTCF", int(rng.integers(0, LENGTH - width + 1)), _strand(rng))]


def e_box(rng: np.random.Generator) -> list[tuple[str, int, str]]:
    """An E-box anywhere, on either strand."""
    width = len(MOTIFS["E-box"].counts)
    return [("E-box", int(rng.integers(0, LENGTH - width + 1)), _strand(rng))]


def e_box_with_gc_box(rng: np.random.Generator) -> list[tuple[str, int, str]]:
    """An E-box and, 5 to 15 bases after it, a GC box."""
    box, other = len(MOTIFS["E-box"].counts), len(MOTIFS["GC box"].counts)
    gap = int(rng.integers(5, 16))
    start = int(rng.integers(0, LENGTH - box - gap - other + 1))
    return [("E-box", start, _strand(rng)), ("GC box", start + box + gap, "+")]


TASKS: dict[str, dict[str, Rule]] = {
    "core_promoter": {"promoter": core_promoter},
    "ctcf": {"ctcf": ctcf},
    "e_box": {"e_box": e_box, "e_box_gc_box": e_box_with_gc_box},
}
"""The tasks and the rule of each class; `background` is a class of all."""


class Simulated(NamedTuple):
    """Where the files of a simulation are: the task folders by name, and the genome."""

    tasks: dict[str, Path]
    genome: Path


def simulate(out: str | os.PathLike[str], seed: int = 0, overwrite: bool = False) -> Simulated:
    """Write three labelled tasks and a genome with the same motifs.

    Parameters
    ----------
    out : path
        A folder: `core_promoter/`, `ctcf/` and `e_box/` with `train.tsv`, `dev.tsv`, `test.tsv` (name, sequence, label)
        and `truth.bed`; `genome.fa` and `genome.truth.bed`.
    seed : int
        The same seed writes the same files.
    overwrite : bool
        Replace a simulation that is there.

    Returns
    -------
    Simulated

    Raises
    ------
    InputError
        If the folder is taken or cannot be written.
    """
    folder = claim_folder(out, overwrite)
    children = np.random.SeedSequence(seed).spawn(len(TASKS) + 1)
    with replacing(folder) as temporary:
        temporary.mkdir()
        (temporary / "run.json").write_text(f'{{"command": "simulate", "seed": {seed}}}\n')
        for (name, rules), child in zip(TASKS.items(), children[1:], strict=True):
            _write_task(temporary / name, rules, np.random.default_rng(child))
        _write_genome(temporary, np.random.default_rng(children[0]))
    return Simulated({name: folder / name for name in TASKS}, folder / "genome.fa")


def background(length: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a sequence from the Markov model `BACKGROUND`.

    Returns
    -------
    np.ndarray, uint8, shape (length,)
        Base codes.
    """
    codes = np.empty(length, dtype=np.uint8)
    _walk(rng.random(length), np.cumsum(BACKGROUND, axis=1), codes)
    return codes


@numba.njit(cache=True)
def _walk(draws: np.ndarray, cumulative: np.ndarray, codes: np.ndarray) -> None:
    base = 0
    for i in range(len(draws)):
        following = 0
        while following < 3 and draws[i] >= cumulative[base, following]:
            following += 1
        codes[i] = following
        base = following


def draw_instance(motif: str, rng: np.random.Generator) -> np.ndarray:
    """Draw an instance of a motif, each position by its counts.

    Returns
    -------
    np.ndarray, uint8, shape (width,)
        Base codes.
    """
    counts = np.array(MOTIFS[motif].counts, dtype=np.float64)[:, [0, 3, 1, 2]]  # A, C, G, T -> A, T, C, G
    shares = np.cumsum(counts / counts.sum(axis=1, keepdims=True), axis=1)
    return (rng.random(len(counts))[:, None] >= shares[:, :3]).sum(axis=1).astype(np.uint8)


def _plant(codes: np.ndarray, motif: str, start: int, strand: str, rng: np.random.Generator, decoy: bool) -> Planted:
    instance = draw_instance(motif, rng)
    if decoy:
        instance = rng.permutation(instance)
    if strand == "-":
        instance = reverse_complement(instance)
    codes[start : start + len(instance)] = instance
    return Planted(motif, start, start + len(instance), strand)


def _write_task(folder: Path, rules: dict[str, Rule], rng: np.random.Generator) -> None:
    folder.mkdir()
    truth = []
    labels = ["background", *rules]
    for part, rows in ROWS.items():
        lines = ["name\tsequence\tlabel"]
        for i, choice in enumerate(rng.permutation(np.arange(rows) % len(labels)).tolist()):
            name, label = f"{part}{i + 1}", labels[choice]
            codes = background(LENGTH, rng)
            rule = rules[label] if choice else list(rules.values())[int(rng.integers(len(rules)))]
            planted = [_plant(codes, *site, rng, decoy=not choice) for site in rule(rng)]
            truth += [_bed_line(name, site) for site in planted if choice]
            lines.append(f"{name}\t{decode_bases(codes)}\t{label}")
        (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n")
    (folder / "truth.bed").write_text("\n".join(truth) + "\n")


def _write_genome(folder: Path, rng: np.random.Generator) -> None:
    truth = []
    with (folder / "genome.fa").open("w") as out:
        for contig, length in CONTIGS.items():
            codes = background(length, rng)
            start = int(rng.geometric(1 / GENOME_SPACING))
            while start + 50 < length:
                motif = list(MOTIFS)[int(rng.integers(len(MOTIFS)))]
                planted = _plant(codes, motif, start, _strand(rng), rng, decoy=False)
                truth.append(_bed_line(contig, planted))
                start = planted.end + int(rng.geometric(1 / GENOME_SPACING))
            text = decode_bases(codes)
            out.write(f">{contig}\n")
            out.writelines(text[i : i + 80] + "\n" for i in range(0, length, 80))
    (folder / "genome.truth.bed").write_text("\n".join(truth) + "\n")


def _bed_line(chrom: str, site: Planted) -> str:
    return f"{chrom}\t{site.start}\t{site.end}\t{MOTIFS[site.motif].accession} {site.motif}\t0\t{site.strand}"


def _strand(rng: np.random.Generator) -> str:
    return "+-"[int(rng.integers(2))]
