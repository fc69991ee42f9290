"""Known answers, real: do the motifs of models fine-tuned on binding sites match the factors' own entries?

    python -m benchmarks.known_motifs --chipexo chipexo --genome sacCer3.fa.gz --yeast JASPAR2022_fungi.pfm \\
        --ctcf hg19_ctcf_100bp_peaks.fa.gz --vertebrates JASPAR2022_vertebrates.pfm --model pretrained --out known

Five yeast factors (ChIP-exo, Rossi et al. 2021), with windows of the genome as negatives whole chromosomes held out;
and human CTCF, with dinucleotide-shuffled peaks as negatives and a tenth of the rows held out. A factor is found if the
database's most similar motif to the first motif is the factor's own entry, at TOMTOM's q below 0.01. A model that is
there already is not fine-tuned again.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

import dnabert
from benchmarks.record import RESULTS, record
from dnabert.interpretation.motifs import Motif
from dnabert.sequence import tables

YEAST = ("Reb1", "Abf1", "Cbf1", "Rap1", "Mcm1")
NAMED = 0.01


def yeast_sites(chipexo: Path, genome: Path, factor: str, width: int, out: Path) -> None:
    """Write the labelled windows of a yeast factor: around its sites, and as many elsewhere."""
    dnabert.make_negatives(chipexo / f"{factor}.bed", out, method="genome", genome=genome, length=width, margin=500)


def ctcf_peaks(fasta: Path, rows: int, out: Path) -> None:
    """Write the first CTCF peaks and their shuffles."""
    peaks = tables.select(tables.read(fasta), np.arange(rows))
    part = out.with_name("peaks.tsv")
    tables.write(pa.table({"sequence": peaks.sequences}), part)
    dnabert.make_negatives(part, out, method="shuffle")


def line(motif: Motif) -> dict[str, Any]:
    """Say a motif in short."""
    match = motif.match
    named = {"match": match.name, "q": float(f"{match.q:.1e}")} if match else {}
    return {"consensus": motif.consensus, "positives": motif.positives, "negatives": motif.negatives, **named}


def main(
    chipexo: Annotated[Path, typer.Option(help="Folder of BED files.")],
    genome: Annotated[Path, typer.Option(help="sacCer3.")],
    yeast: Annotated[Path, typer.Option(help="Motifs of yeast.")],
    ctcf: Annotated[Path, typer.Option(help="FASTA file of CTCF peaks.")],
    vertebrates: Annotated[Path, typer.Option(help="Motifs of vertebrates.")],
    model: Annotated[Path, typer.Option(help="A pre-trained model.")],
    out: Annotated[Path, typer.Option(help="Folder of the models and motifs.")],
    width: Annotated[int, typer.Option(help="Bases of a window in yeast.")] = 101,
    peaks: Annotated[int, typer.Option(help="CTCF peaks that are used.")] = 5000,
    finder: Annotated[str, typer.Option(help="attention or modisco.")] = "attention",
    method: Annotated[str | None, typer.Option(help="For modisco: ism or ig.")] = None,
    results: Annotated[Path, typer.Option(help="Folder for the figures.")] = RESULTS,
) -> None:
    """Fine-tune on every factor and compare its motifs with the database."""
    figures: dict[str, Any] = {}
    for factor in (*YEAST, "CTCF"):
        folder = out / factor
        folder.mkdir(parents=True, exist_ok=True)
        data, tuned = folder / "windows.tsv", folder / "model"
        human = factor == "CTCF"
        if human:
            ctcf_peaks(ctcf, peaks, data)
        else:
            yeast_sites(chipexo, genome, factor, width, data)
        start = time.monotonic()
        if not (tuned / "metrics.json").is_file():
            dnabert.finetune(
                data,
                model,
                tuned,
                split=(0.8, 0.1, 0.1),
                split_by="rows" if human else "contig",
                strand="both",
                overwrite=True,
            )
        trained = time.monotonic()
        motifs = dnabert.find_motifs(
            tuned,
            data,
            folder / f"motifs_{finder}",
            target="1",
            finder=finder,
            method=method,
            database=vertebrates if human else yeast,
            strand="both",
            overwrite=True,
        ).motifs
        found = motifs[0].match if motifs else None
        figures[factor] = {
            "named": found is not None and factor.lower() in found.name.lower() and found.q < NAMED,
            "test MCC": json.loads((tuned / "metrics.json").read_text())["test"]["metrics"]["mcc"],
            "motifs": len(motifs),
            "first three": [line(motif) for motif in motifs[:3]],
            "seconds": {"fine-tuning": round(trained - start), "motifs": round(time.monotonic() - trained)},
        }
    figures["named"] = sum(one["named"] for one in figures.values())
    record("known_motifs" + ("" if finder == "attention" else f"_{finder}"), figures, results)


if __name__ == "__main__":
    typer.run(main)
