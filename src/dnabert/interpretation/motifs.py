"""Motifs that a model uses, named and located: what `dnabert motifs` does."""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from dnabert.errors import InputError
from dnabert.files import check_apart, claim_folder, replacing_files
from dnabert.inference.attention import Chosen
from dnabert.inference.engine import Engine
from dnabert.inference.predict import STRANDS
from dnabert.interpretation import plots
from dnabert.interpretation.attribution import target_class
from dnabert.interpretation.enrichment import log_p
from dnabert.interpretation.explain import OF_A_CLASS, Settings, check_layers, compute, start
from dnabert.interpretation.finders import (
    LEVEL,
    MIN_INSTANCES,
    MIN_LENGTH,
    WINDOW,
    Finder,
    Search,
    find_by_attention,
    find_by_modisco,
)
from dnabert.interpretation.matching import Instances, Match, best_matches, consensus, find_instances, trim
from dnabert.interpretation.pages import Entry, write_index
from dnabert.interpretation.places import check_places, place_of
from dnabert.interpretation.regions import above_quartile
from dnabert.interpretation.scores import Scores, check_belongs, read_npz
from dnabert.model.heads import reads_mean
from dnabert.progress import say
from dnabert.sequence import tables, windows
from dnabert.sequence.motif_files import Motifs, read_database, write_meme
from dnabert.sequence.tables import Table

FINDERS = ("attention", "modisco")
METHODS = {"attention": ("attention",), "modisco": OF_A_CLASS}
"""Whose scores each finder takes; the first where none is named."""
LOGOS = 50
"""Motifs drawn at most, the first of the table."""


class Motif(NamedTuple):
    """A motif of the final table.

    Attributes
    ----------
    name : str
        `motif_1` is the most enriched.
    frequencies : np.ndarray, float64, shape (width, 4)
        Shares of A, C, G, T, ends without information cut off.
    consensus : str
        With two-base letters of IUPAC.
    sites : int
        Windows or seqlets it was made of.
    instances : int
        Places of FIMO in all sequences.
    positives, negatives : int
        Given with an instance.
    log_p : float
        Natural log of the chance of so many positives (hypergeometric); NaN without negatives.
    match : Match or None
        Of the database; None without one.
    """

    name: str
    frequencies: np.ndarray
    consensus: str
    sites: int
    instances: int
    positives: int
    negatives: int
    log_p: float
    match: Match | None


class FoundMotifs(NamedTuple):
    """What `find_motifs` found and wrote.

    Attributes
    ----------
    folder : pathlib.Path
    motifs : tuple of Motif
        The most enriched first; without negatives the most frequent.
    steps : dict of str to int
        What was left after each step of the finder.
    """

    folder: Path
    motifs: tuple[Motif, ...]
    steps: dict[str, int]


def find_motifs(
    model: str | os.PathLike[str],
    positives: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    negatives: str | os.PathLike[str] | None = None,
    database: str | os.PathLike[str] | None = None,
    finder: str = "attention",
    method: str | None = None,
    scores: str | os.PathLike[str] | None = None,
    genome: str | os.PathLike[str] | None = None,
    target: str | None = None,
    strand: str | None = None,
    layers: Chosen = None,
    heads: Chosen = None,
    min_length: int = MIN_LENGTH,
    min_instances: int = MIN_INSTANCES,
    window: int = WINDOW,
    level: float = LEVEL,
    overwrite: bool = False,
    device: str = "auto",
    precision: str = "auto",
    batch_tokens: int | None = None,
) -> FoundMotifs:
    """Find the motifs a model uses, name them, locate them, and draw them.

    Parameters
    ----------
    model : path
        A fine-tuned model directory.
    positives : path
        Table, FASTA file or intervals, as in `dnabert.sequence.tables.read`. A labelled table may bring its negatives
        along: then the rows of the class `target` are the positives.
    out : path
        A folder for `motifs.tsv`, `motifs.meme`, `instances.bed`, logos and `index.html`.
    negatives : path, optional
        The finder `attention` needs some, of like length and composition.
    database : path, optional
        Motifs to compare with: MEME, JASPAR or TRANSFAC.
    finder : str
        `attention` (the paper's) or `modisco` (TF-MoDISco).
    method : str, optional
        For `modisco`: `ism` (default) or `ig`.
    scores : path, optional
        `scores.npz` of `dnabert explain` for the same model and positives; else scores are computed.
    genome : path, optional
        FASTA file that intervals refer to.
    target : str, optional
        The class: the second of two by default.
    strand : str
        `given`, or `both`: as in `dnabert.explain`.
    layers, heads : sequence of int or `all`, optional
        As in `dnabert.explain`.
    min_length : int
        For `attention`: bases of the shortest region.
    min_instances : int
        For `attention`: fewest windows of a motif.
    window : int
        For `attention`: bases of a window.
    level : float
        Largest corrected p-value of an enriched text, and of a motif's instances, in positives against negatives.
    overwrite : bool
        Replace what another run left in `out`.
    device, precision : str
        As in `dnabert.explain`.
    batch_tokens : int, optional
        Tokens computed at a time.

    Returns
    -------
    FoundMotifs
        None at all where nothing stands out.

    Raises
    ------
    InputError
        If the model, a file or an option is not as required.
    """
    given = None if scores is None else read_npz(scores)
    settings = _settings(finder, method, given, scores, target, strand, layers, heads, batch_tokens)
    options = Finder(min_length, min_instances, window, level)
    _check_options(options)
    check_apart(out, model, positives, negatives, database, scores, genome)
    folder = claim_folder(out, overwrite)
    known = None if database is None else read_database(database)
    started = start(model, settings.method, device, precision)
    settings = settings._replace(target=_target_label(started, target), strand=strand or started.strand)
    table, other = _read(positives, negatives, genome, str(settings.target), finder)
    for part in (table, other):
        if part is not None:
            check_places(part)
    values = _scores(started, table, settings, given, scores)
    if finder == "attention":
        assert other is not None
        values = above_quartile(values) if reads_mean(started.checkpoint.model.config) else values
        search = find_by_attention(values, table, other, options)
    else:
        search = find_by_modisco(values, table)
    motifs, places = describe(search, table, other, known, options.level)
    steps = search.steps | {"motifs": len(search.motifs), "enriched motifs": len(motifs)}
    if not motifs:
        say(f"No motif: {', '.join(f'{count:,} {what}' for what, count in steps.items())}")
    with replacing_files(folder) as temporary:
        facts = {"model": str(model), "positives": f"{table.rows:,} ({positives})"}
        facts |= {"negatives": f"{other.rows:,}"} if other is not None else {}
        facts |= {"database": str(database)} if database is not None else {}
        facts |= {what: f"{count:,}" for what, count in steps.items()}
        _write(temporary, motifs, places, table, other, facts)
        record = {"command": "motifs", "arguments": sys.argv, "options": options._asdict()} | facts
        record |= {"settings": settings._asdict(), "finder": finder}
        (temporary / "run.json").write_text(json.dumps(record, indent=2, default=str) + "\n")
    return FoundMotifs(folder, tuple(motifs), steps)


def _settings(
    finder: str,
    method: str | None,
    given: Scores | None,
    scores: str | os.PathLike[str] | None,
    target: str | None,
    strand: str | None,
    layers: Chosen,
    heads: Chosen,
    batch_tokens: int | None,
) -> Settings:
    for option, value, allowed in (("--finder", finder, FINDERS), ("--strand", strand or "given", STRANDS)):
        if value not in allowed:
            raise InputError(f"{option} {value}: give one of {', '.join(allowed)}")
    if given is not None:
        if layers is not None or heads is not None:
            raise InputError("--layers and --heads choose what is computed; leave them out with --scores")
        if given.method not in METHODS[finder]:
            needed = " or ".join(METHODS[finder])
            raise InputError(f"{scores}: scores of {given.method}, the finder {finder} needs {needed}")
        if method not in (None, given.method):
            raise InputError(f"{scores}: scores of {given.method}, not {method}; leave --method out")
        method = given.method
    method = method or METHODS[finder][0]
    if method not in METHODS[finder]:
        raise InputError(f"--method {method}: the finder {finder} takes {' or '.join(METHODS[finder])}")
    settings = Settings(method, target, layers, heads, batch_tokens=batch_tokens)
    check_layers(settings)
    return settings


def _check_options(options: Finder) -> None:
    if options.min_length < 2 or options.min_instances < 1 or options.window < options.min_length:
        raise InputError(
            "--min-length of 2 or more, --min-instances of 1 or more, --window of --min-length or more are required, "
            f"not {options.min_length}, {options.min_instances} and {options.window}"
        )
    if not 0 < options.level <= 1:
        raise InputError(f"--level {options.level}: a p-value above 0, up to 1, is required")


def _target_label(started: Engine, target: str | None) -> str:
    column = target_class(started.checkpoint, target)
    labels = started.checkpoint.labels
    if column is None:
        raise InputError(f"say which class's motifs to find: --target {' or '.join(labels)}")
    return labels[column]


def _read(
    positives: str | os.PathLike[str],
    negatives: str | os.PathLike[str] | None,
    genome: str | os.PathLike[str] | None,
    target: str,
    finder: str,
) -> tuple[Table, Table | None]:
    table, rest = _by_class(tables.read(positives, genome=genome), target)
    if not table.rows:
        raise InputError(f"{table.path}: no row has the label '{target}', so there are no positives; name --target")
    if negatives is not None:
        other = tables.read(negatives, genome=genome)
        return table, _by_class(other, target)[1] or other
    if rest is None and finder == "attention":
        raise InputError(
            f"{table.path}: the finder attention compares positives with negatives; name them with --negatives, or use "
            "the finder modisco"
        )
    return table, rest


def _by_class(table: Table, target: str) -> tuple[Table, Table | None]:
    """Part the rows of a class from the others: there are no others in a table without labels, or with one for all."""
    if table.labels is None or len(pc.unique(table.labels)) < 2:
        return table, None
    own = pc.equal(table.labels, pa.scalar(target, table.labels.type)).to_numpy(zero_copy_only=False)
    return tables.select(table, np.flatnonzero(own)), tables.select(table, np.flatnonzero(~own))


def _scores(
    started: Engine, table: Table, settings: Settings, given: Scores | None, path: str | os.PathLike[str] | None
) -> np.ndarray:
    loaded = started.checkpoint
    windows.check_lengths(table, loaded.k, loaded.stride, loaded.longest, long=False)
    if given is not None:
        check_belongs(given, str(path), loaded, table)
        if given.target not in ("", settings.target):
            raise InputError(f"{path}: these scores explain the class '{given.target}', not '{settings.target}'")
        return given.values
    longest = int(np.diff(table.offsets).max())
    shape = (table.rows, longest, 4) if settings.method == "ism" else (table.rows, longest)
    values, _ = compute(started, table, settings, lambda _: np.empty(shape, dtype=np.float32))
    return values


def describe(
    search: Search, table: Table, other: Table | None, known: Motifs | None, level: float
) -> tuple[list[Motif], list[list[Instances]]]:
    """Trim, spell, locate and name motifs, the most enriched first; with their places in both sets.

    A motif whose own instances are not enriched is left out: a few long regions that are alike by chance make one.
    """
    shares = [found.counts / found.counts.sum(axis=1, keepdims=True) for found in search.motifs]
    shares = [one[trim(one)] for one in shares]
    numbered = {str(i): one for i, one in enumerate(shares)}
    sets = [table] if other is None else [table, other]
    places = list(zip(*(find_instances(numbered, one) for one in sets), strict=True))
    hits = np.array([[len(np.unique(one.rows)) for one in pair] for pair in places], dtype=np.int64)
    hits = hits.reshape(len(shares), len(sets))
    logs = np.full(len(shares), np.nan) if other is None else log_p(hits[:, 0], hits[:, 1], table.rows, other.rows)
    sites = np.array([found.instances for found in search.motifs])
    order = np.lexsort((-sites, logs)) if other is not None else np.argsort(-sites, kind="stable")
    if other is not None and len(order):
        order = order[stats.false_discovery_control(np.exp(logs))[order] <= level]
    matches: list[Match | None] = [None] * len(shares) if known is None else list(best_matches(numbered, known))
    motifs = [
        Motif(
            f"motif_{rank}",
            shares[i],
            consensus(shares[i]),
            int(sites[i]),
            sum(len(one.rows) for one in places[i]),
            int(hits[i, 0]),
            0 if other is None else int(hits[i, 1]),
            float(logs[i]),
            matches[i],
        )
        for rank, i in enumerate(order.tolist(), start=1)
    ]
    return motifs, [list(places[i]) for i in order]


def _write(
    folder: Path,
    motifs: list[Motif],
    places: list[list[Instances]],
    table: Table,
    other: Table | None,
    facts: dict[str, str],
) -> None:
    columns = as_table(motifs, table.rows, None if other is None else other.rows)
    tables.write(columns, folder / "motifs.tsv")
    write_meme(
        {motif.name: motif.frequencies for motif in motifs},
        {motif.name: motif.sites for motif in motifs},
        folder / "motifs.meme",
    )
    with (folder / "instances.bed").open("w") as out:
        for motif, both in zip(motifs, places, strict=True):
            for one, of in zip(both, [table, other], strict=False):
                assert of is not None
                out.writelines(_bed_lines(motif.name, one, of))
    entries = []
    for motif in motifs[:LOGOS]:
        title = f"{motif.name}, {motif.sites:,} sites, in {motif.positives:,} of {table.rows:,} positives"
        match = motif.match
        named = "" if match is None else f"{match.name} ({match.strand}), q = {match.q:.1e}"
        figure = (
            plots.motif_logo(motif.frequencies, title=title)
            if match is None
            else plots.motif_logo(
                motif.frequencies, title=title, match=match.motif, match_title=named, offset=match.offset
            )
        )
        png, svg = plots.save(figure, folder / motif.name)
        entries.append(Entry(png.name, svg.name, f"{motif.name}: {motif.consensus}. {named}"))
    rows = [columns.column_names, *zip(*columns.to_pydict().values(), strict=True)]
    write_index(folder / "index.html", "Motifs", facts, entries, rows)


def as_table(motifs: list[Motif], positives: int, negatives: int | None) -> pa.Table:
    """Lay motifs out as the final table: motif, consensus, instances, enrichment, best match, q."""
    strings, counts, values = pa.string(), pa.int64(), pa.float64()
    columns: dict[str, pa.Array] = {
        "motif": pa.array([motif.name for motif in motifs], strings),
        "consensus": pa.array([motif.consensus for motif in motifs], strings),
        "sites": pa.array([motif.sites for motif in motifs], counts),
        "instances": pa.array([motif.instances for motif in motifs], counts),
        "positives": pa.array([motif.positives for motif in motifs], counts),
        "positive_share": pa.array([motif.positives / positives for motif in motifs], values),
    }
    if negatives is not None:
        columns |= {
            "negatives": pa.array([motif.negatives for motif in motifs], counts),
            "negative_share": pa.array([motif.negatives / negatives for motif in motifs], values),
            "log10_p": pa.array([motif.log_p / np.log(10) for motif in motifs], values),
        }
    named = [motif.match for motif in motifs]
    columns |= {
        "match": pa.array([match.name if match else "" for match in named], strings),
        "match_p": pa.array([match.p if match else None for match in named], values),
        "match_q": pa.array([match.q if match else None for match in named], values),
    }
    return pa.table(columns)


def _bed_lines(name: str, places: Instances, table: Table) -> list[str]:
    """Write instances as BED: on the genome where rows are intervals, else in the sequence by its name."""
    lines = []
    for row, first, last, turned, p in zip(
        *(part.tolist() for part in (places.rows, places.starts, places.ends, places.minus, places.p)), strict=True
    ):
        score = min(1000, round(-100 * np.log10(max(p, 1e-10))))
        contig, start, end, minus = place_of(table, row, first, last, turned)
        lines.append(f"{contig}\t{start}\t{end}\t{name}\t{score}\t{'-' if minus else '+'}\n")
    return lines
