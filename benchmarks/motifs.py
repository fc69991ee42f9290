"""The motif finder on attention: seconds, and the ratio to the same algorithm written down plainly.

    python -m benchmarks.motifs

Both get the same scores and sequences. The plain way (`benchmarks/plain_motifs.py`) is Python throughout: it looks each
text up in each sequence and aligns each text with each group. It takes minutes on all of them; a smaller --sample takes
less, and its ratio is smaller too, because the plain time grows with texts times sequences.
"""

import time
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import plain_motifs
from benchmarks.record import peak_memory, record
from dnabert.interpretation.enrichment import enrichment
from dnabert.interpretation.finders import LEVEL, MIN_LENGTH, WINDOW, Finder, find_by_attention
from dnabert.interpretation.merging import merge, windows_of
from dnabert.interpretation.regions import find_regions, select_texts, texts_of
from dnabert.sequence import tables
from dnabert.sequence.alphabet import decode_bases
from dnabert.sequence.simulate import MOTIFS, background, draw_instance
from dnabert.sequence.tables import Table


def planted(rows: int, length: int, rng: np.random.Generator) -> tuple[list[str], list[str], np.ndarray]:
    """Draw positives with a motif each, negatives, and scores that rise there and at two other places."""
    positives, negatives = [], []
    scores = 0.001 + 0.0005 * rng.random((rows, length))
    for row in range(rows):
        codes = background(length, rng)
        site = draw_instance(list(MOTIFS)[row % len(MOTIFS)], rng)
        starts = rng.integers(0, length - 24, 3)
        codes[starts[0] : starts[0] + len(site)] = site
        for start in starts:
            first = start + int(rng.integers(0, 4))
            scores[row, first : first + int(rng.integers(6, 20))] = 0.05 + 0.1 * rng.random()
        positives.append(decode_bases(codes))
        negatives.append(decode_bases(background(length, rng)))
    return positives, negatives, scores


def side_by_side(positives: list[str], negatives: list[str], scores: np.ndarray) -> dict[str, Any]:
    """Run both ways on the same input, check that they agree, and time them."""
    begin = time.perf_counter()
    plain = plain_motifs.find(list(scores), positives, negatives, MIN_LENGTH, LEVEL, WINDOW)
    plain_seconds = time.perf_counter() - begin
    table, other = tables.from_sequences(positives), tables.from_sequences(negatives)
    begin = time.perf_counter()
    find_by_attention(scores, table, other, Finder())
    fast_seconds = time.perf_counter() - begin
    return {
        "sequences": f"{len(positives):,} + {len(negatives):,}",
        "texts": len(plain.p),
        "enriched": sum(q <= LEVEL for q in plain.q.values()),
        "plain, seconds": round(plain_seconds, 2),
        "dnabert, seconds": round(fast_seconds, 4),
        "ratio": round(plain_seconds / fast_seconds, 1),
        "same regions, p-values, groups and windows": same(plain, table, other, scores),
    }


def same(plain: plain_motifs.Plain, positives: Table, negatives: Table, scores: np.ndarray) -> bool:
    """Say whether the fast finder's steps give what the plain one's give."""
    regions = find_regions(scores, MIN_LENGTH)
    texts = texts_of(positives, regions)
    tested = enrichment(texts, positives, negatives)
    chosen = select_texts(texts, tested.q <= LEVEL)
    members = merge(chosen, MIN_LENGTH)
    windows = windows_of(chosen, members, np.diff(positives.offsets), WINDOW)
    spelled = [decode_bases(part) for part in np.split(texts.codes, texts.offsets[1:-1])]
    return bool(
        list(zip(*map(np.ndarray.tolist, regions), strict=True)) == plain.regions
        and np.allclose(tested.p, [plain.p[text] for text in spelled], rtol=1e-9)
        and [list(zip(*map(np.ndarray.tolist, one), strict=True)) for one in windows] == plain.windows
    )


def main(
    sequences: Annotated[int, typer.Option(help="Positives, and as many negatives.")] = 5_000,
    length: Annotated[int, typer.Option(help="Bases of each.")] = 300,
    sample: Annotated[int, typer.Option(help="Positives, and negatives, for the plain way too.")] = 5_000,
) -> None:
    """Time the finder on all, and both ways on a sample."""
    rng = np.random.default_rng(0)
    positives, negatives, scores = planted(sequences, length, rng)
    part = side_by_side(positives[:50], negatives[:50], scores[:50])  # compiles the kernels
    part = side_by_side(positives[:sample], negatives[:sample], scores[:sample])
    table, other = tables.from_sequences(positives), tables.from_sequences(negatives)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        search = find_by_attention(scores, table, other, Finder())
        seconds.append(time.perf_counter() - begin)
    figures = {
        "all": {
            "sequences": f"{sequences:,} + {sequences:,} of {length} bp",
            "seconds": round(sorted(seconds)[1], 3),
            **search.steps,
            "motifs": len(search.motifs),
            "peak memory of the process (MB)": round(peak_memory()),
        },
        "sample": part,
    }
    record("motifs", figures)


if __name__ == "__main__":
    typer.run(main)
