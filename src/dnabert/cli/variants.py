"""`dnabert variants`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dnabert.cli.options import BatchTokens, Device, whole_numbers


def variants(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Pre-trained or fine-tuned model directory.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="File to write: .vcf, .vcf.gz, .bcf (from VCF), .tsv, .csv or .parquet.", show_default=False
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="VCF",
            help="VCF or BCF; table with chrom, pos, ref, alt (or sequence, pos, ref, alt); or the original's file of "
            "index, start, end, allele. None with --saturation.",
            show_default=False,
        ),
    ] = None,
    genome: Annotated[
        Path | None, typer.Option("--genome", help="FASTA file that the variants are on.", show_default=False)
    ] = None,
    sequences: Annotated[
        Path | None,
        typer.Option("--sequences", help="Table or FASTA of sequences in place of a genome.", show_default=False),
    ] = None,
    saturation: Annotated[
        str | None,
        typer.Option(
            "--saturation",
            metavar="REGION",
            help="All substitutions in chr20:1000-1300 (0-based half-open), a contig, or a BED file.",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            help="Bases around the variant; default: the length the model was fine-tuned on, or 201.",
            min=1,
        ),
    ] = None,
    offsets: Annotated[
        str, typer.Option("--offsets", help="Bases from the window's middle to the variant, averaged: -50,0,50.")
    ] = "0",
    strand: Annotated[
        str | None,
        typer.Option("--strand", help="both (averaged), + or -; default: as in training.", show_default=False),
    ] = None,
    distance: Annotated[
        str | None,
        typer.Option(
            "--distance",
            help="Of both alleles' mean embeddings (pre-trained models): cosine (default), l2, or none, faster.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a file with a REF that the genome lacks.")] = False,
    annotate: Annotated[
        list[Path] | None,
        typer.Option("--annotate", metavar="BED", help="Name overlapped intervals; repeatable.", show_default=False),
    ] = None,
    motifs: Annotated[
        Path | None,
        typer.Option("--motifs", help="Motifs (.meme, .pfm, .jaspar) that alleles may change.", show_default=False),
    ] = None,
    motif: Annotated[
        list[str] | None,
        typer.Option("--motif", metavar="NAME", help="Look at this motif alone; repeatable.", show_default=False),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure",
            help="Draw (PNG and SVG): a map of --saturation, or scores against --measured.",
            show_default=False,
        ),
    ] = None,
    measured: Annotated[
        str | None,
        typer.Option(
            "--measured", metavar="COLUMN", help="Column of measured effects to compare with.", show_default=False
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep what an interrupted run has scored.")] = False,
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="float32 (exact); bfloat16 blurs small differences.")
    ] = "float32",
    batch_tokens: BatchTokens = None,
) -> None:
    """Score variants: VCF and genome in, scores out."""
    from dnabert.cli.report import print_variants
    from dnabert.inference import variant_run

    if figure is not None or measured is not None:
        from dnabert.interpretation import variant_figures

        regions = variant_figures.check(figure, measured, out, file, saturation, genome, sequences)
    try:
        summary = variant_run.score_variants(
            model,
            file,
            out,
            genome=genome,
            sequences=sequences,
            saturation=saturation,
            window=window,
            offsets=whole_numbers(offsets, "--offsets"),
            strand=strand,
            distance=distance,
            strict=strict,
            annotate=annotate or (),
            motifs=motifs,
            motif_names=motif or (),
            resume=resume,
            device=device,
            precision=precision,
            batch_tokens=batch_tokens,
        )
    except KeyboardInterrupt:
        kept = variant_run.parts_folder(out).exists()
        words = "go on with the same command and --resume" if kept else "nothing was finished that could be kept"
        print(f"Stopped; {words}.", file=sys.stderr)
        raise typer.Exit(130) from None
    print_variants(summary)
    if measured is not None:
        variant_figures.report(out, summary.fields, measured)
    if figure is not None:
        for path in variant_figures.draw(out, figure, summary.fields, measured, regions):
            print(f"Figure: {path}")
