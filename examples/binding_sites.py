"""One factor from binding sites to its motif: fine-tune, look at what the model looks at, name what it found.

    python examples/binding_sites.py --genome sacCer3.fa.gz --sites Reb1.bed --database JASPAR2022_fungi.pfm \\
        --model yeast --out reb1

`--sites` is a BED file of binding sites, for example the ChIP-exo sites of Rossi et al. 2021 (doi
10.1038/s41586-021-03314-8); `--model` a model pre-trained on the genome. docs/interpretation.md walks through what it
writes.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.compute as pc
import typer
from pyarrow import csv

import dnabert

SPLIT = (0.8, 0.1, 0.1)
TSV = csv.WriteOptions(delimiter="\t", quoting_style="none")
AWAY = 500
"""Bases between a negative window and the nearest site, at least."""


def main(
    genome: Annotated[Path, typer.Option(help="FASTA file.")],
    sites: Annotated[Path, typer.Option(help="BED file of binding sites.")],
    database: Annotated[Path, typer.Option(help="Known motifs.")],
    model: Annotated[Path, typer.Option(help="A pre-trained model.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    width: Annotated[int, typer.Option(help="Bases of a window.")] = 101,
    epochs: Annotated[int | None, typer.Option(help="Of fine-tuning; by default by the number of sites.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    mutated: Annotated[int, typer.Option(help="Sites, the surest, whose every mutation is computed.")] = 20,
) -> None:
    """Make negatives, fine-tune, evaluate, explain, and find motifs."""
    data, all_sites, few = (out / f"{name}.tsv" for name in ("windows", "sites", "surest"))
    out.mkdir(parents=True, exist_ok=True)
    rows = dnabert.make_negatives(
        sites, data, method="genome", genome=genome, length=width, margin=AWAY, seed=seed
    ).columns
    positives = rows.filter(pc.equal(rows["label"], "1"))
    csv.write_csv(positives, all_sites, TSV)

    # whole chromosomes are held out; binding has no strand
    tuned = out / "model"
    result = dnabert.finetune(
        data, model, tuned, split=SPLIT, split_by="contig", strand="both", epochs=epochs, seed=seed, overwrite=True
    )
    assert result.test is not None
    mcc = result.test.metrics["mcc"]
    print(f"Test chromosomes: MCC {mcc.value:.3f} ({mcc.low:.3f} to {mcc.high:.3f})")

    sure = dnabert.load(tuned).predict(positives["sequence"].to_pylist()).probabilities[:, 1]
    csv.write_csv(positives.take(np.argsort(-sure, kind="stable")[:mutated]), few, TSV)

    dnabert.explain(tuned, all_sites, out / "attention", genome=genome, overwrite=True)
    for method in ("ism", "ig"):
        dnabert.explain(tuned, few, out / method, method=method, genome=genome, overwrite=True)
    dnabert.explain(tuned, few, out / "context", method="context", position=width // 2, genome=genome, overwrite=True)

    found = dnabert.find_motifs(tuned, data, out / "motifs", target="1", database=database, overwrite=True).motifs
    for motif in found[:5]:
        named = f"{motif.match.name}, q = {motif.match.q:.1e}" if motif.match else ""
        print(f"{motif.name}\t{motif.consensus}\t{motif.positives} positives, {motif.negatives} negatives\t{named}")
    print(f"Figures: {', '.join(str(out / name / 'index.html') for name in ('attention', 'ism', 'context', 'motifs'))}")


if __name__ == "__main__":
    typer.run(main)
