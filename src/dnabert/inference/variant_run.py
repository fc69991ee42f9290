"""Variants in, scores out: chunk by chunk, so that a run can stop and go on, and the output appears whole.

What is scored is kept in a hidden folder beside the output, one Arrow file a chunk, until the last is there; then the
output is written from them. `--resume` takes the chunks that are there.
"""

import functools
import itertools
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dnabert.errors import InputError
from dnabert.files import check_not_input, replacing
from dnabert.inference import engine, variants
from dnabert.inference.annotation import Annotation, prepare
from dnabert.inference.engine import Advance, Engine
from dnabert.inference.variants import DEFAULT_WINDOW, FLAGS, Settings
from dnabert.model import checkpoint
from dnabert.model.device import describe
from dnabert.progress import say, track_items
from dnabert.sequence import tables
from dnabert.sequence.delimited import find
from dnabert.sequence.genome import same_contig
from dnabert.sequence.variant_files import CHROM_NAMES, VCF_SUFFIXES, Source, is_vcf, open_source
from dnabert.sequence.variants import REASONS, Alleles, disagreeing
from dnabert.sequence.vcf_writing import InfoField, write_vcf
from dnabert.versions import version

CHUNK = 512
"""Alleles of a chunk, what an interrupted run may lose: a minute of work on a CPU."""
RECORD = "dnabert_record"
"""Column of a kept chunk: the record of the input that a row belongs to."""
LONGEST_OF_TBI = 1 << 29
"""Bases of a contig that a .tbi index can hold; longer ones need .csi."""
INDEX_SUFFIXES = (".tbi", ".csi")
OUTPUTS = (*VCF_SUFFIXES, ".tsv", ".csv", *tables.PARQUET_SUFFIXES)


class Summary(NamedTuple):
    """What was scored.

    Attributes
    ----------
    out : pathlib.Path
    records : int
        Of the input.
    alleles : int
        Alternative alleles, one a row of a table.
    scored : int
    not_scored : dict of str to int
        Alleles by the reason why they have no score.
    flagged : dict of str to int
        Scored alleles by what is to be known about their scores.
    windows : int
        Windows computed in this run: passes of the encoder over one sequence.
    fields : tuple of str
        Names of the scores.
    """

    out: Path
    records: int
    alleles: int
    scored: int
    not_scored: dict[str, int]
    flagged: dict[str, int]
    windows: int
    fields: tuple[str, ...]


class Survey(NamedTuple):
    """What a first reading of the input found.

    Attributes
    ----------
    records, alleles : int
    columns : tuple of str
    contigs : tuple of str
        Of VCF records.
    is_sorted : bool
    end : int
        The last position, in bases.
    """

    records: int
    alleles: int
    columns: tuple[str, ...]
    contigs: tuple[str, ...]
    is_sorted: bool
    end: int


def score_variants(
    model: str | os.PathLike[str],
    variants_file: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    genome: str | os.PathLike[str] | None = None,
    sequences: str | os.PathLike[str] | None = None,
    saturation: str | None = None,
    window: int | None = None,
    offsets: Sequence[int] = (0,),
    strand: str | None = None,
    distance: str | None = None,
    strict: bool = False,
    annotate: Sequence[str | os.PathLike[str]] = (),
    motifs: str | os.PathLike[str] | None = None,
    motif_names: Sequence[str] = (),
    resume: bool = False,
    device: str = "auto",
    precision: str = "float32",
    batch_tokens: int | None = None,
) -> Summary:
    """Score variants from a file and write the scores.

    Parameters
    ----------
    model : path
        A pre-trained model or a classifier.
    variants_file : path or None
        VCF or BCF; a table with `chrom`, `pos` (1-based), `ref`, `alt`, or with `sequence`, `pos`, `ref`, `alt`; the
        original's file of `index`, `start`, `end` and allele. None with `saturation`.
    out : path
        `.vcf`, `.vcf.gz` or `.bcf` for VCF input: the records with more in INFO. `.tsv`, `.csv` or `.parquet`: one row
        an alternative allele.
    genome : path, optional
        FASTA file that the variants are on.
    sequences : path, optional
        Table or FASTA of sequences that stand in for a genome.
    saturation : str, optional
        Region (`chr20:1000-1300`, 0-based half-open) or BED file: all substitutions of every base there.
    window : int, optional
        Bases of both alleles' windows. By default the length of the sequences that a classifier was fine-tuned on, 201
        for a pre-trained model; with `sequences` as long as they are, up to the model's limit.
    offsets : sequence of int
        Bases that the variant lies right of the window's middle; scores are averaged over them.
    strand : str, optional
        `both` (averaged), `+` or `-`. By default `both` for a pre-trained model and for one that was fine-tuned on both
        strands, else `+`.
    distance : str, optional
        Of both alleles' mean embeddings, for pre-trained models alone: `cosine` (the default), `l2`, or `none` (a third
        of the time).
    strict : bool
        Refuse files in which a REF disagrees with the genome; otherwise it is flagged and the stated REF is scored.
    annotate : sequence of path
        BED files: the names of the intervals that a variant overlaps, one column a file.
    motifs : path, optional
        `.meme`, `.pfm` or `.jaspar`: the motif whose best match an allele changes most.
    motif_names : sequence of str
        Look at these motifs alone.
    resume : bool
        Take what an interrupted run of the same settings has scored.
    device, precision : str
        As in `dnabert.load`; float32 here, because differences between alleles drown in bfloat16.
    batch_tokens : int, optional
        Tokens computed at a time.

    Returns
    -------
    Summary

    Raises
    ------
    InputError
        If a file, a model or an option is not as required.
    """
    target = Path(out)
    _check_output(target, variants_file, (genome, sequences, saturation, motifs, *annotate))
    loaded = checkpoint.load(model)
    if distance is not None and loaded.task != "masked-lm":
        raise InputError(
            f"--distance {distance}: this is a score of pre-trained models, and {model} is fine-tuned for "
            f"{loaded.task}; leave it out, or give a pre-trained model"
        )
    source = open_source(variants_file, genome=genome, sequences=sequences, saturation=saturation)
    settings = Settings(
        _window(window, loaded, model, source, genome is None),
        tuple(offsets),
        strand or _strand(loaded),
        distance or "cosine",
    )
    variants.check_settings(loaded, settings)
    annotation = prepare(source.genome, [Path(path) for path in annotate], motifs, motif_names)
    fields = variants.fields(loaded, settings)
    survey = _survey(source, strict)
    _check_names(source.path, survey.columns, ["flags", *(field.name for field in fields)], list(annotation.info))
    started = engine.start(loaded, device, precision)
    say(
        f"Scoring {survey.alleles:,} alleles of {survey.records:,} records in windows of {settings.window} bases on "
        f"{describe(started.device, started.precision)}"
    )
    names = [*(Path(path) for path in annotate), *([Path(motifs)] if motifs else [])]
    run = {
        "files": [_fingerprint(path) for path in (*source.files, *names)],
        "model": _model_fingerprint(Path(model)),
        "settings": settings._asdict() | {"saturation": saturation, "motif_names": list(motif_names), "chunk": CHUNK},
        "precision": str(started.precision),
        "version": version("dnabert"),
    }
    folder = _claim_parts(target, run, resume)
    try:
        ends = genome is not None  # sequences of their own are whole elements
        parts, computed = _score_chunks(started, source, settings, annotation, survey, folder, run, batch_tokens, ends)
    finally:
        if not any(folder.glob("*.arrow")):  # nothing that a resumed run could use
            shutil.rmtree(folder, ignore_errors=True)
    _write(target, source, survey, parts, fields, annotation, _notes(model, settings))
    summary = _summarise(target, survey, parts, computed, fields)
    shutil.rmtree(folder, ignore_errors=True)
    return summary


# --- before anything is computed --------------------------------------------------------------------------------------


def _check_output(
    out: Path, source: str | os.PathLike[str] | None, others: Sequence[str | os.PathLike[str] | None]
) -> None:
    if out.is_dir():
        raise InputError(f"{out}: a file is required, but this is a folder; name a file in it")
    check_not_input(out, source, *others)
    if is_vcf(out):
        if source is None or not is_vcf(source):
            raise InputError(f"{out}: scores go into a VCF only from a VCF; give a name that ends in .tsv or .parquet")
        return
    if out.suffix.lower() not in OUTPUTS:
        raise InputError(f"{out}: scores are written as .vcf, .vcf.gz, .bcf, .tsv, .csv or .parquet; end the name so")


def _check_names(path: Path, columns: Sequence[str], scores: Sequence[str], annotations: Sequence[str]) -> None:
    """Refuse names that would stand for two things in the output."""
    for name in columns:
        if name in (*scores, *annotations):
            raise InputError(f"{path}: the output has a column '{name}' of its own; rename that of the input")
    for name in annotations:
        if name in scores:
            raise InputError(f"--annotate {name}.bed: the output has a column '{name}' of its own; rename the file")


def _window(
    asked: int | None,
    loaded: checkpoint.Checkpoint,
    model: str | os.PathLike[str],
    source: Source,
    own: bool,
) -> int:
    longest = (loaded.longest - 1) * loaded.stride + loaded.k
    if asked is not None:
        return asked
    length = getattr(loaded.model.config, "bases", None)
    if own and length is None:
        return int(min(longest, source.genome.lengths.max()))
    if loaded.task == "masked-lm":
        return min(longest, DEFAULT_WINDOW)
    if length is None:
        raise InputError(
            f"{model}: the model does not say how long the sequences were that it was fine-tuned on; give this length "
            "as --window"
        )
    return min(longest, int(length))


def _strand(loaded: checkpoint.Checkpoint) -> str:
    both = loaded.task == "masked-lm" or getattr(loaded.model.config, "strand", "given") == "both"
    return "both" if both else "+"


def _survey(source: Source, strict: bool) -> Survey:
    """Read the input once before anything is computed: what is wrong with it is said now, not after hours."""
    records = alleles = wrong = end = 0
    columns: tuple[str, ...] = ()
    first_wrong = ""
    unknown: dict[str, None] = {}
    known = False
    contigs: dict[str, None] = {}
    unsorted = ""
    last: tuple[str, int] = ("", -1)
    for chunk in source.chunks(CHUNK):
        records = int(chunk.record[-1]) + 1 if chunk.rows else records
        alleles += chunk.rows
        columns = tuple(chunk.columns.column_names)
        end = max(end, int(chunk.start.max(initial=0)))
        missing = chunk.contig < 0
        known |= not missing.all()
        if missing.any():
            name = str(find(chunk.columns.column_names, CHROM_NAMES))
            absent = chunk.columns[name].filter(pa.array(missing)).cast(pa.large_string())
            unknown |= dict.fromkeys(pc.unique(absent).to_pylist())
        if source.kind == "vcf" and chunk.rows:
            last, unsorted = _follow(chunk, contigs, last, unsorted)
        disagrees = disagreeing(chunk, source.genome)
        if disagrees.any() and not wrong:
            first_wrong = _describe(chunk, int(disagrees.argmax()))
        wrong += int(disagrees.sum())
    _check_contigs(source, list(unknown), known)
    if strict and wrong:
        raise InputError(
            f"{source.path}: REF of {wrong:,} alleles disagrees with {source.genome.path.name}, the first is "
            f"{first_wrong}; is it the right genome? Without --strict they are flagged"
        )
    if unsorted:
        say(f"Warning: {source.path} is not sorted (first at {unsorted}); the order is kept, and no index is written")
    return Survey(records, alleles, columns, tuple(contigs), not unsorted, end)


def _follow(
    chunk: Alleles, contigs: dict[str, None], last: tuple[str, int], unsorted: str
) -> tuple[tuple[str, int], str]:
    """Note the contigs of a chunk of VCF records, and the first record that stands before its neighbour."""
    coded = chunk.columns["chrom"].combine_chunks().dictionary_encode()
    names, index = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    turns = np.flatnonzero(np.concatenate([[True], index[1:] != index[:-1]]))
    for first, end in itertools.pairwise([*turns.tolist(), len(index)]):
        name = names[index[first]]
        if name != last[0]:
            if name in contigs:
                unsorted = unsorted or _describe(chunk, first)
            contigs.setdefault(name)
            last = (name, -1)
        starts = np.concatenate([[last[1]], chunk.start[first:end]])
        back = np.flatnonzero(np.diff(starts) < 0)
        if len(back):
            unsorted = unsorted or _describe(chunk, first + int(back[0]))
        last = (name, int(starts[-1]))
    return last, unsorted


def _describe(chunk: Alleles, row: int) -> str:
    if "chrom" in chunk.columns.column_names:
        return f"{chunk.columns['chrom'][row]}:{int(chunk.start[row]) + 1} {chunk.ref[row]}>{chunk.alt[row]}"
    return f"record {int(chunk.record[row]) + 1:,}"


def _check_contigs(source: Source, unknown: Sequence[str], known: bool) -> None:
    for name in unknown:
        if same_contig(name, source.genome.names) or not known:
            try:
                source.genome.contig_index(name)
            except InputError as error:
                raise InputError(f"{source.path}: {error}") from None
    if unknown:
        shown = ", ".join(unknown[:5])
        say(f"Warning: {source.genome.path.name} has no contig {shown}: variants on it are kept and not scored")


# --- chunks -----------------------------------------------------------------------------------------------------------


def _fingerprint(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _model_fingerprint(path: Path) -> list[Any]:
    if not path.is_dir():
        return [str(path)]
    return [_fingerprint(file) for file in sorted(path.glob("*")) if file.is_file()]


def parts_folder(out: Path) -> Path:
    """Say where the chunks of a run are kept until its output is written, whatever its form."""
    stem = next((out.name.removesuffix(suffix) for suffix in OUTPUTS if out.name.endswith(suffix)), out.name)
    return out.with_name(f".{stem}.parts")


def _claim_parts(out: Path, run: dict[str, Any], resume: bool) -> Path:
    """Find the folder of chunks, and empty it where nothing of it is to be used."""
    folder = parts_folder(out)
    kept = folder / "run.json"
    if not kept.is_file():
        if resume:
            say(f"Nothing is left of an interrupted run to {out}; starting anew")
        return folder
    if not resume:
        raise InputError(
            f"{out}: another run to this file was interrupted, or is still under way; give --resume to take what it "
            f"scored, or delete {folder}"
        )
    before, now = json.loads(kept.read_text()), json.loads(json.dumps(run))
    if before != now:
        raise InputError(
            f"{out}: the interrupted run had other {_differences(before, now)}; give the same, or delete {folder}"
        )
    return folder


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Say in which entries two records of a run differ, and how where that is short."""
    found = []
    for name in now:
        if before.get(name) == now[name]:
            continue
        if isinstance(now[name], dict) and isinstance(before.get(name), dict):
            found += [
                f"{key} ({before[name].get(key)}, not {value})"
                for key, value in now[name].items()
                if before[name].get(key) != value
            ]
        else:
            found.append(name)
    return " and ".join(found)


def _score_chunks(
    started: Engine,
    source: Source,
    settings: Settings,
    annotation: Annotation,
    survey: Survey,
    folder: Path,
    run: dict[str, Any],
    batch_tokens: int | None,
    ends: bool,
) -> tuple[list[Path], int]:
    """Score what is not scored yet; returns the files of all chunks in order, and the windows computed."""
    names = [field.name for field in variants.fields(started.checkpoint, settings)]
    paths, computed = [], 0
    with track_items("Scoring", survey.alleles, "variants") as advance:
        for number, chunk in enumerate(source.chunks(CHUNK)):
            path = folder / f"{number:06d}.arrow"
            paths.append(path)
            if path.is_file():
                advance(chunk.rows)
                continue
            if not (folder / "run.json").is_file():
                with replacing(folder / "run.json") as temporary:
                    temporary.write_text(json.dumps(run))
            told = functools.partial(_advance, advance, chunk.rows)
            scores = variants.score(started, source.genome, chunk, settings, batch_tokens, told, ends)
            computed += scores.windows
            columns = chunk.columns.append_column("flags", scores.flags)
            for name, values in zip(names, scores.values.T, strict=True):
                columns = columns.append_column(name, pa.array(values, mask=np.isnan(values)))
            for name, values in annotation.columns(chunk).items():
                columns = columns.append_column(name, values)
            columns = columns.append_column(RECORD, pa.array(chunk.record))
            with replacing(path) as temporary, pa.ipc.new_file(str(temporary), columns.schema) as file:
                file.write(columns)
    return paths, computed


def _advance(advance: Advance, rows: int, part: float) -> None:
    advance(rows * part)


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


# --- the output -------------------------------------------------------------------------------------------------------


def _write(
    out: Path,
    source: Source,
    survey: Survey,
    parts: Sequence[Path],
    fields: Sequence[variants.Field],
    annotation: Annotation,
    notes: Sequence[str],
) -> None:
    if not is_vcf(out):
        tables.write_parts(lambda: (_read(path).drop_columns([RECORD]) for path in parts), out, pa.table({}))
        return
    declared = {field.name: InfoField("", "A", "Float", field.description) for field in fields}
    declared |= {"flags": InfoField("", "A", "String", "why there is no score, or what is to be known about it")}
    declared |= {name: InfoField("", *rest) for name, rest in annotation.info.items()}
    keys = _info_keys(list(declared))
    info = [declared[name]._replace(name=key) for name, key in keys.items()]
    infos = itertools.chain.from_iterable(_infos(_read(path), keys, declared) for path in parts)
    with replacing(out) as temporary:
        end = max(int(source.genome.lengths.max()), survey.end)
        index = None if not survey.is_sorted else "tbi" if end < LONGEST_OF_TBI else "csi"
        write_vcf(source.path, temporary, info, notes, infos, survey.contigs, index)
        for suffix in INDEX_SUFFIXES:
            new, old = (path.with_name(path.name + suffix) for path in (temporary, out))
            if new.exists():
                new.replace(old)
            else:  # of another file that was here
                old.unlink(missing_ok=True)


def _info_keys(names: Sequence[str]) -> dict[str, str]:
    """Name the fields of INFO: `DNABERT_` and the column's name in what letters INFO allows; two alike get a number."""
    keys: dict[str, str] = {}
    for name in names:
        key = "DNABERT_" + re.sub(r"[^A-Z0-9_.]", "_", name.upper())
        while key in keys.values():
            key += "_2"
        keys[name] = key
    return keys


def _infos(part: pa.Table, keys: dict[str, str], declared: dict[str, InfoField]) -> Iterator[str]:
    """Spell what is added to each record: a value an alternative allele, or one for all of them."""
    bounds = [*np.flatnonzero(np.diff(part[RECORD].to_numpy(), prepend=-1)).tolist(), part.num_rows]
    texts = {name: [_info_text(value) for value in part[name].to_pylist()] for name in keys}
    alts = part["alt"].to_pylist()
    for first, end in itertools.pairwise(bounds):
        entries = []
        for name, key in keys.items():
            values = texts[name][first : end if declared[name].number == "A" else first + 1]
            if any(value != "." for value in values) and (alts[first] != "." or declared[name].number != "A"):
                entries.append(f"{key}={','.join(values)}")
        yield ";".join(entries)


def _info_text(value: Any) -> str:
    if value is None or value == "":
        return "."
    if isinstance(value, float):
        return f"{value:.6g}"
    return re.sub(r"[\s;=,]", "_", str(value))


def _notes(model: str | os.PathLike[str], settings: Settings) -> list[str]:
    offsets = ",".join(map(str, settings.offsets))
    return [
        f"dnabert_variants=<Version={version('dnabert')},Model={Path(model).name},Window={settings.window},"
        f'Offsets="{offsets}",Strand="{settings.strand}">'
    ]


def _summarise(
    out: Path, survey: Survey, parts: Sequence[Path], computed: int, fields: Sequence[variants.Field]
) -> Summary:
    counts: Counter[str] = Counter()
    for path in parts:
        for entry in _read(path)["flags"].value_counts().to_pylist():
            counts[entry["values"] or ""] += entry["counts"]
    not_scored: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    for text, count in counts.items():
        words = text.split("|")
        if words[0] in REASONS[1:]:
            not_scored[words[0]] += count
        else:
            flagged.update({word: count for word in words if word in FLAGS})
    scored = survey.alleles - sum(not_scored.values())
    names = tuple(field.name for field in fields)
    return Summary(out, survey.records, survey.alleles, scored, dict(not_scored), dict(flagged), computed, names)
