"""One factor from binding sites to its motif: fine-tune, look at what the model looks at, name what it found.

    python examples/reb1.py --genome sacCer3.fa.gz --sites Reb1.bed --database yeast.meme --model yeast --out reb1

`--sites` is a BED file of binding sites, for example the ChIP-exo sites of Rossi et al. 2021 (doi
10.1038/s41586-021-03314-8); `--model` a model pre-trained on yeast. Negatives are other places of the same chromosomes.
docs/interpretation.md walks through what it writes.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import dnabert

DEV, TEST = ("chrV", "chrXI"), ("chrIV", "chrXIV")
"""Chromosomes whose windows are held out."""
AWAY = 500
"""Bases between a negative window and the nearest site, at least."""


def windows(sites: Path, genome: dnabert.Genome, width: int, limit: int, seed: int) -> list[tuple[str, int, int, int]]:
    """Cut a window around each site, and as many elsewhere on the same chromosomes: chrom, start, end, label."""
    rng = np.random.default_rng(seed)
    lengths = dict(zip(genome.names, genome.lengths.tolist(), strict=True))
    middles: dict[str, list[int]] = {}
    lines = sites.read_text().splitlines()
    for line in lines[:: max(1, len(lines) // limit) if limit else 1]:
        chrom, start, end = line.split("\t")[:3]
        middles.setdefault(chrom, []).append((int(start) + int(end)) // 2)
    rows = []
    for chrom, places in middles.items():
        known = np.array(places)
        for middle in places:
            first = middle - width // 2
            if first >= 0 and first + width <= lengths[chrom]:
                rows.append((chrom, first, first + width, 1))
            other = int(rng.integers(0, lengths[chrom] - width))
            while np.abs(known - other - width // 2).min() < AWAY:
                other = int(rng.integers(0, lengths[chrom] - width))
            rows.append((chrom, other, other + width, 0))
    return rows


def write_parts(rows: list[tuple[str, int, int, int]], folder: Path) -> None:
    """Write train, dev and test tables by chromosome, and the positives and negatives of train and of test."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[tuple[str, int, int, int]]] = {"train": [], "dev": [], "test": []}
    for row in rows:
        parts["dev" if row[0] in DEV else "test" if row[0] in TEST else "train"].append(row)
    for name, part in parts.items():
        for suffix, kept in (("", (0, 1)), (".positives", (1,)), (".negatives", (0,))):
            place = folder / f"{name}.tsv" if not suffix else folder / "sets" / f"{name}{suffix}.tsv"
            place.parent.mkdir(exist_ok=True)
            lines = ["chrom\tstart\tend\tlabel"] + ["\t".join(map(str, row)) for row in part if row[3] in kept]
            place.write_text("\n".join(lines) + "\n")


def main(
    genome: Annotated[Path, typer.Option(help="FASTA file.")],
    sites: Annotated[Path, typer.Option(help="BED file of binding sites.")],
    database: Annotated[Path, typer.Option(help="Known motifs.")],
    model: Annotated[Path, typer.Option(help="A pre-trained model.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    width: Annotated[int, typer.Option(help="Bases of a window.")] = 101,
    epochs: Annotated[int, typer.Option(help="Of fine-tuning.")] = 10,
    learning_rate: Annotated[float, typer.Option(help="Of fine-tuning.")] = 2e-4,
    limit: Annotated[int, typer.Option(help="Use about so many sites, spread evenly; 0 is all.")] = 0,
    mutated: Annotated[int, typer.Option(help="Test sites whose every mutation is computed.")] = 20,
    strand: Annotated[str, typer.Option(help="Binding has no strand: both.")] = "both",
) -> None:
    """Fine-tune, evaluate, explain, and find motifs."""
    rows = windows(sites, dnabert.Genome.open(genome), width, limit, seed=0)
    write_parts(rows, out / "data")
    sets = out / "data" / "sets"
    tuned = out / "model"
    dnabert.finetune(
        out / "data", model, tuned, genome=genome, epochs=epochs, learning_rate=learning_rate, overwrite=True
    )
    mcc = dnabert.evaluate(tuned, out / "data" / "test.tsv", genome=genome).metrics["mcc"]
    print(f"Test chromosomes: MCC {mcc.value:.3f} ({mcc.low:.3f} to {mcc.high:.3f})")
    positives = sets / "test.positives.tsv"
    dnabert.explain(tuned, positives, out / "attention", genome=genome, strand=strand, overwrite=True)
    few = sets / "few.tsv"
    few.write_text("".join(positives.read_text().splitlines(keepends=True)[: mutated + 1]))
    for method in ("ism", "ig"):
        dnabert.explain(tuned, few, out / method, method=method, genome=genome, strand=strand, overwrite=True)
    middle = width // 2
    dnabert.explain(tuned, positives, out / "context", method="context", position=middle, genome=genome, overwrite=True)
    found = dnabert.find_motifs(
        tuned,
        sets / "train.positives.tsv",
        out / "motifs",
        negatives=sets / "train.negatives.tsv",
        database=database,
        genome=genome,
        strand=strand,
        overwrite=True,
    )
    for motif in found.motifs[:5]:
        named = f"{motif.match.name}, q = {motif.match.q:.1e}" if motif.match else ""
        print(f"{motif.name}\t{motif.consensus}\t{motif.positives} positives, {motif.negatives} negatives\t{named}")
    print(f"Figures: {', '.join(str(out / name / 'index.html') for name in ('attention', 'ism', 'context', 'motifs'))}")


if __name__ == "__main__":
    typer.run(main)
