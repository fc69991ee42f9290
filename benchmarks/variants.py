"""Variants scored end to end beside the obvious ways through transformers.

    python -m benchmarks.variants chr20_1Mb_1000genomes.vcf.gz hg19_pieces.fa.gz --pretrained MODEL --finetuned MODEL

All records are scored once in a process of its own (variants a second, peak memory). On a sample three ways run in
turns, on one strand, with the same windows: dnabert; transformers, two predictions a variant, one at a time;
transformers in batches, padded, in the order of the file. Then a region of 300 bases is saturated with `mini` and
`base`.
"""

import itertools
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet
import pysam
import torch
import transformers
import typer

from benchmarks.inputs import K, padded, random_model
from benchmarks.record import RESULTS, interleaved, rate, record
from dnabert.inference import engine, variants
from dnabert.inference.variants import Settings
from dnabert.sequence.genome import Genome
from dnabert.sequence.kmers import FIRST_KMER, MASK, middle_offset
from dnabert.sequence.tokenizer import KmerTokenizer
from dnabert.sequence.variant_files import open_source, vcf_chunks

BATCH = 32
"""Sequences of transformers' batches."""
END_TO_END = """
import sys, time
from benchmarks.record import peak_memory
from dnabert.inference.variant_run import score_variants
model, vcf, genome, out, window, strand, distance, precision = sys.argv[1:]
start = time.perf_counter()
done = score_variants(model, vcf, out, genome=genome, window=int(window), strand=strand, distance=distance or None,
                      precision=precision)
print(done.records, done.scored, done.windows, time.perf_counter() - start, peak_memory())
"""


def end_to_end(
    model: Path, vcf: Path, genome: Path, window: int, strand: str, distance: str, precision: str
) -> dict[str, Any]:
    """Score a whole file with the command's function, in a process of its own, start included."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.vcf.gz"
        words = (model, vcf, genome, out, window, strand, distance, precision)
        command = [sys.executable, "-c", END_TO_END, *map(str, words)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    records, scored, windows, seconds, memory = done.stdout.split()
    return {
        "records": int(records),
        "alleles scored": int(scored),
        "windows computed": int(windows),
        "seconds": round(float(seconds), 1),
        "variants/s": round(int(scored) / float(seconds), 1),
        "peak memory (MB)": round(float(memory)),
    }


def sample(vcf: Path, genome: Genome, path: Path, count: int) -> Path:
    """Write a part of a VCF: records that stand evenly in it, of plain alleles."""
    alleles = itertools.chain.from_iterable(chunk.record[chunk.reason == 0] for chunk in vcf_chunks(vcf, genome, 4096))
    records = np.unique(np.fromiter(alleles, dtype=np.int64))
    kept = set(records[:: max(1, len(records) // count)][:count].tolist())
    with pysam.BGZFile(str(vcf), "rb") as lines, path.open("wb") as out:
        number = 0
        for line in lines:
            if line.startswith(b"#") or number in kept:
                out.write(line + b"\n")
            number += not line.startswith(b"#")
    return path


def spelled(vcf: Path, contigs: dict[str, str], window: int) -> Iterator[tuple[str, str, int, str, str]]:
    """Spell both windows of each allele as the obvious script would: strings; and where the alleles are."""
    with pysam.VariantFile(str(vcf)) as file:
        for entry in file:
            sequence = contigs[entry.chrom]
            for alt in entry.alts or ():
                ref, at = str(entry.ref), entry.start
                lost = max(0, len(ref) - len(alt))
                start = max(0, min(at - (window - len(ref)) // 2, len(sequence) - window - lost))
                changed = sequence[start:at] + alt + sequence[at + len(ref) : at + len(ref) + window]
                yield sequence[start : start + window], changed[:window], at - start, ref, alt


class Transformers:
    """The obvious ways: a model as `from_pretrained` gives it, and token ids from strings."""

    def __init__(self, folder: Path, task: str) -> None:
        kinds = {
            "masked-lm": transformers.BertForMaskedLM,
            "classification": transformers.BertForSequenceClassification,
        }
        self.task = task
        self.model = kinds[task].from_pretrained(folder).eval()
        self.tokenizer = KmerTokenizer(k=K)

    def inputs(self, vcf: Path, contigs: dict[str, str], window: int) -> Iterator[tuple[torch.Tensor, int, str]]:
        """Make the ids of both alleles' windows; for a masked model hidden bases, with their first one and letters."""
        for *sequences, left, ref, alt in spelled(vcf, contigs, window):
            first, only = left, [ref, alt]
            if self.task == "masked-lm":
                while all(only) and only[0][-1] == only[1][-1]:
                    only = [part[:-1] for part in only]
                while all(only) and only[0][0] == only[1][0]:
                    only, first = [part[1:] for part in only], first + 1
                flank = int(len(only[0]) != len(only[1]))
                first = max(0, first - flank)
            for sequence, allele in zip(sequences, only, strict=True):
                ids = torch.tensor(self.tokenizer(sequence)["input_ids"])
                last = min(len(sequence), first + len(allele) + 2 * flank) if self.task == "masked-lm" else first
                if self.task == "masked-lm":
                    ids[max(0, first - K + 1) + 1 : min(last, len(ids) - 2) + 1] = MASK
                yield ids, first, sequence[first:last]

    def value(self, logits: torch.Tensor, first: int, hidden: str) -> float:
        """Turn the logits of one sequence into the value that is compared between alleles."""
        if self.task == "classification":
            return float(logits[1] - logits[0])
        total, middle = 0.0, middle_offset(K)
        for i, base in enumerate(hidden):
            token = max(0, min(first + i - middle, len(logits) - 3))
            offset = first + i - token
            chances = logits[token + 1].softmax(dim=0)[FIRST_KMER:].view(4**offset, 4, -1)
            if base in "ATCG":
                total += math.log(4 * float(chances[:, "ATCG".index(base)].sum()))
        return total

    def one_by_one(self, vcf: Path, contigs: dict[str, str], window: int) -> np.ndarray:
        """Predict each sequence alone."""
        with torch.inference_mode():
            values = [
                self.value(self.model(input_ids=ids[None]).logits[0], first, hidden)
                for ids, first, hidden in self.inputs(vcf, contigs, window)
            ]
        return np.array(values[1::2]) - np.array(values[::2])

    def in_batches(self, vcf: Path, contigs: dict[str, str], window: int) -> np.ndarray:
        """Predict batches, padded to their longest sequence."""
        values = []
        every = self.inputs(vcf, contigs, window)
        with torch.inference_mode():
            while batch := list(itertools.islice(every, BATCH)):
                logits = self.model(**padded([ids for ids, _, _ in batch])).logits
                for row, (ids, first, hidden) in zip(logits, batch, strict=True):
                    of_one = row if self.task == "classification" else row[: len(ids)]
                    values.append(self.value(of_one, first, hidden))
        return np.array(values[1::2]) - np.array(values[::2])


def compare(
    model: Path, task: str, vcf: Path, fasta: Path, genome: Genome, window: int, repeats: int, precisions: list[str]
) -> dict[str, Any]:
    """Time the ways in turns on one sample and one strand, and how far their scores are apart."""
    contigs = {}
    for name in {chrom for chrom in genome.names if chrom in _contigs(vcf)}:
        codes = genome.window(name, 0, int(genome.lengths[genome.contig_index(name)]))
        contigs[name] = np.frombuffer(b"ATCGN", dtype=np.uint8)[codes].tobytes().decode()
    rival = Transformers(model, task)
    settings = Settings(window, strand="+", distance="none")
    ways: dict[str, Callable[[], np.ndarray]] = {
        "transformers, one at a time": lambda: rival.one_by_one(vcf, contigs, window),
        f"transformers, batches of {BATCH}": lambda: rival.in_batches(vcf, contigs, window),
    }
    for precision in precisions:
        started = engine.start(model, precision=precision)
        ways[f"dnabert, {precision}"] = lambda started=started: ours(started, vcf, fasta, settings)  # type: ignore[misc]
    seconds = interleaved(ways, repeats)
    expected = next(iter(ways.values()))()
    figures: dict[str, Any] = {"alleles": len(expected)}
    for name, times in seconds.items():
        figures[name] = {"variants/s": rate(len(expected), times)}
        for rival_name in list(ways)[:2]:
            figures[name][f"times {rival_name}"] = round(
                statistics.median(seconds[rival_name]) / statistics.median(times), 2
            )
        figures[name]["largest difference"] = float(f"{np.abs(ways[name]() - expected).max():.2g}")
    return figures


def ours(started: engine.Engine, vcf: Path, fasta: Path, settings: Settings) -> np.ndarray:
    """Read and score a file chunk by chunk; the difference of log-odds in nats, or the log-likelihood ratio."""
    source = open_source(vcf, genome=fasta)
    values = []
    for chunk in source.chunks(2048):
        scores = variants.score(started, source.genome, chunk, settings, advance=lambda _: None).values
        values.append(scores[:, 0] if started.checkpoint.task == "masked-lm" else -math.log(2) * scores[:, 4])
    return np.concatenate(values)


def _contigs(vcf: Path) -> set[str]:
    with pysam.VariantFile(str(vcf)) as file:
        return {entry.chrom for entry in file}


def saturation(preset: str, task: str, fasta: Path, region: str, window: int, precision: str) -> dict[str, Any]:
    """Score all substitutions of a region, reading and writing included."""
    from dnabert.inference.variant_run import score_variants

    with tempfile.TemporaryDirectory() as folder:
        model = random_model(preset, task, Path(folder) / "model")
        out = Path(folder) / "out.parquet"
        start = time.perf_counter()
        options: dict[str, Any] = {"window": window, "precision": precision}
        if task == "masked-lm":
            options["distance"] = "none"
        done = score_variants(model, None, out, genome=fasta, saturation=region, **options)
        seconds = time.perf_counter() - start
        assert pyarrow.parquet.read_table(out).num_rows == done.scored
    return {"substitutions": done.scored, "windows computed": done.windows, "seconds": round(seconds, 1)}


def main(
    vcf: Annotated[Path, typer.Argument(help="chr20_1Mb_1000genomes.vcf.gz.")],
    fasta: Annotated[Path, typer.Argument(help="hg19_pieces.fa.gz.")],
    pretrained: Annotated[Path | None, typer.Option(help="Pre-trained mini model; random weights without.")] = None,
    finetuned: Annotated[Path | None, typer.Option(help="Fine-tuned mini model; random weights without.")] = None,
    window: Annotated[int, typer.Option(help="Bases around a variant.")] = 201,
    count: Annotated[int, typer.Option("--sample", help="Variants of the comparison.")] = 300,
    repeats: Annotated[int, typer.Option(help="Timed turns.")] = 5,
    region: Annotated[str, typer.Option(help="Region to saturate.")] = "z:500000-500300",
    presets: Annotated[str, typer.Option(help="Sizes that saturate it.")] = "mini,base",
    whole: Annotated[bool, typer.Option(help="Score all records, too.")] = True,
    folder: Annotated[Path, typer.Option(help="Where the result goes.")] = RESULTS,
) -> None:
    """Measure whole files, the ways side by side, and saturation."""
    pysam.set_verbosity(0)  # the file's header lacks its contig
    genome = Genome.open(fasta)
    figures: dict[str, Any] = {"window": window, "threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as scratch:
        few = sample(vcf, genome, Path(scratch) / "sample.vcf", count)
        for task, given in (("masked-lm", pretrained), ("classification", finetuned)):
            model = given or random_model("mini", task, Path(scratch) / task)
            figures[f"mini, {task}, sample, one strand"] = compare(
                model, task, few, fasta, genome, window, repeats, ["float32", "auto"]
            )
            if whole:
                zero_shot = task == "masked-lm"
                strand, distance = ("both", "none") if zero_shot else ("+", "")
                figures[f"mini, {task}, all records, {'both strands' if zero_shot else 'forward strand'}"] = end_to_end(
                    model, vcf, fasta, window, strand, distance, "float32"
                )
    for preset in filter(None, presets.split(",")):
        for task in ("masked-lm", "classification"):
            figures[f"saturation, {preset}, {task}, both strands"] = saturation(
                preset, task, fasta, region, window, "float32"
            )
    record("variants", figures, folder)


if __name__ == "__main__":
    typer.run(main)
