"""Scores of variants against measured effects: saturation mutagenesis MPRA (Kircher et al. 2019), 11 elements.

python -m benchmarks.mpra mpra_saturation_mutagenesis.tsv.gz --pretrained MODEL --finetuned MODEL --train train.csv

Elements are spelled by the Ref column. Beside the models stands what needs none: 6-mer logistic regression trained on
the fine-tuned model's data, the change of GC, and the closeness to the element's middle. Spearman's correlation is that
with the measured log2 effect, and that of the sizes of both.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import typer
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from benchmarks.record import RESULTS, record
from dnabert.inference.variant_run import score_variants
from dnabert.sequence import delimited, tables
from dnabert.sequence.tables import Table

BARCODES = 10
"""Of a variant at least: fewer make its effect too uncertain."""
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def read_elements(path: Path) -> tuple[pa.Table, pa.Table]:
    """Read the measurements: sequences (name, sequence), and variants (chrom, pos, ref, alt, effect) on them."""
    content = delimited.read(path, integers=("pos", "barcodes"))
    element, ref, alt = (np.array(content[name].to_pylist()) for name in ("Element", "Ref", "Alt"))
    pos, barcodes = content["Pos"].to_numpy(), content["Barcodes"].to_numpy()
    effect = np.array([float(text) for text in content["Coefficient"].to_pylist()])
    names, sequences, starts = [], [], {}
    for name in sorted(set(element.tolist())):
        of = element == name
        bases = dict(zip(pos[of].tolist(), ref[of].tolist(), strict=True))
        starts[name] = min(bases)
        names.append(name)
        sequences.append("".join(bases.get(at, "N") for at in range(min(bases), max(bases) + 1)))
    kept = barcodes >= BARCODES
    places = pos - np.array([starts[name] for name in element.tolist()]) + 1
    columns = {"chrom": element, "pos": places, "ref": ref, "alt": alt, "effect": effect}
    return (
        pa.table({"name": names, "sequence": sequences}),
        pa.table({name: pa.array(values[kept]) for name, values in columns.items()}),
    )


def windows(variants: pa.Table, sequences: dict[str, str], window: int) -> list[tuple[str, str]]:
    """Spell both alleles' windows as strings."""
    found = []
    for row in variants.to_pylist():
        sequence, at = sequences[row["chrom"]], row["pos"] - 1
        alt = "" if row["alt"] == "-" else row["alt"]
        changed = sequence[:at] + alt + sequence[at + 1 :]
        start = max(0, min(at - (window - 1) // 2, len(changed) - window))
        found.append((sequence[start : start + window], changed[start : start + window]))
    return found


def kmer_baseline(train: Table) -> Pipeline:
    """Train logistic regression on counts of 6-mers of both strands."""
    counts = CountVectorizer(analyzer=both_strands, lowercase=False, binary=False)
    model = make_pipeline(counts, LogisticRegression(C=0.01, max_iter=1000))
    assert train.labels is not None
    return model.fit(train.sequences.to_pylist(), [int(label) for label in train.labels.to_pylist()])


def both_strands(sequence: str) -> list[str]:
    """List the 6-mers of a sequence and of its reverse complement."""
    sequence = sequence.upper()
    return [
        strand[i : i + 6] for strand in (sequence, sequence[::-1].translate(COMPLEMENT)) for i in range(len(strand) - 5)
    ]


def correlations(scores: np.ndarray, variants: pa.Table, deletion: np.ndarray) -> dict[str, Any]:
    """Correlate with the effects, an element at a time and by kind."""
    element, effect = np.array(variants["chrom"].to_pylist()), variants["effect"].to_numpy()
    figures: dict[str, Any] = {}
    for kind, of_kind in (("substitutions", ~deletion), ("deletions", deletion)):
        signed, sizes = {}, {}
        for name in sorted(set(element.tolist())):
            rows = of_kind & (element == name) & np.isfinite(scores)
            if rows.sum() < 20 or np.ptp(scores[rows]) == 0:
                continue
            signed[name] = round(float(spearmanr(scores[rows], effect[rows]).statistic), 3)
            sizes[name] = round(float(spearmanr(np.abs(scores[rows]), np.abs(effect[rows])).statistic), 3)
        if signed:
            figures[kind] = {
                "mean": round(float(np.mean(list(signed.values()))), 3),
                "mean of sizes": round(float(np.mean(list(sizes.values()))), 3),
                "with the effect": signed,
                "of sizes": sizes,
            }
    return figures


def main(
    data: Annotated[Path, typer.Argument(help="mpra_saturation_mutagenesis.tsv.gz.")],
    pretrained: Annotated[Path | None, typer.Option(help="Pre-trained model, scored zero-shot.")] = None,
    finetuned: Annotated[Path | None, typer.Option(help="Model fine-tuned on promoters.")] = None,
    train: Annotated[Path | None, typer.Option(help="Table it was fine-tuned on, for the k-mer baseline.")] = None,
    window: Annotated[int, typer.Option(help="Bases around a variant for the pre-trained model.")] = 201,
    finetuned_window: Annotated[int, typer.Option(help="Bases for the fine-tuned model and the baseline.")] = 70,
    distance: Annotated[str, typer.Option(help="Embedding distance: cosine, l2 or none.")] = "none",
    rows: Annotated[int | None, typer.Option(help="Every n-th variant, so that about so many are scored.")] = None,
    name: Annotated[str, typer.Option(help="Name of the result.")] = "mpra",
    folder: Annotated[Path, typer.Option(help="Where the result goes.")] = RESULTS,
) -> None:
    """Score all variants in every way and correlate."""
    elements, variants = read_elements(data)
    if rows:
        variants = variants.take(np.arange(0, variants.num_rows, max(1, variants.num_rows // rows)))
    sequences = dict(zip(elements["name"].to_pylist(), elements["sequence"].to_pylist(), strict=True))
    deletion = np.array(variants["alt"].to_pylist()) == "-"
    ways: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as scratch:
        tables.write(elements, Path(scratch) / "elements.tsv")
        tables.write(variants, Path(scratch) / "variants.tsv")

        def scored(model: Path, width: int, of_embeddings: str | None) -> pa.Table:
            out, elements_file = (Path(scratch) / name for name in ("scores.parquet", "elements.tsv"))
            options: dict[str, Any] = {"sequences": elements_file, "window": width, "distance": of_embeddings}
            score_variants(model, Path(scratch) / "variants.tsv", out, **options)
            return pyarrow.parquet.read_table(out)

        if pretrained:
            table = scored(pretrained, window, distance)
            ways["zero-shot, log-likelihood ratio"] = table["llr"].to_numpy()
            if distance != "none":
                ways[f"zero-shot, {distance} distance"] = table[distance].to_numpy()
        if finetuned:
            table = scored(finetuned, finetuned_window, None)
            ways["fine-tuned, log-odds"] = -table["log_odds"].to_numpy()
            ways["fine-tuned, difference score"] = table["score"].to_numpy()
    if train:
        baseline = kmer_baseline(tables.read(train))
        ref, alt = zip(*windows(variants, sequences, finetuned_window), strict=True)
        ways["6-mer logistic regression"] = baseline.decision_function(alt) - baseline.decision_function(ref)
    letters = [np.array(variants[column].to_pylist()) for column in ("ref", "alt")]
    gc = [np.isin(part, ["C", "G"]).astype(float) for part in letters]
    half = np.array([len(sequences[one]) / 2 for one in variants["chrom"].to_pylist()])
    ways["null: change of GC"] = gc[1] - gc[0]
    ways["null: closeness to the middle"] = half - np.abs(variants["pos"].to_numpy() - 0.5 - half)
    figures: dict[str, Any] = {
        "variants": variants.num_rows,
        "deletions": int(deletion.sum()),
        "elements": {one: len(sequence) for one, sequence in sequences.items()},
        "pretrained": None if pretrained is None else pretrained.name,
        "finetuned": None if finetuned is None else finetuned.name,
        "window": window,
        "finetuned window": finetuned_window,
        "Spearman": {way: correlations(scores, variants, deletion) for way, scores in ways.items()},
    }
    record(name, figures, folder)


if __name__ == "__main__":
    typer.run(main)
