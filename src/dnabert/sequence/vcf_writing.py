"""VCF with more in its INFO column, and every other byte of its records as it was.

A VCF file is text: what is added is spliced into the lines, because htslib writes numbers anew (`100.0` as `100`) and
refuses records whose tags the header does not declare. BCF goes through htslib's text.
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from dnabert.errors import InputError
from dnabert.sequence.variant_files import opened_vcf, quiet_htslib, vcf_records


class InfoField(NamedTuple):
    """A field of INFO as the header declares it: `Number` is `A` (one for each alternative) or `.`."""

    name: str
    number: str
    kind: str
    description: str

    def declaration(self) -> str:
        """Spell the header's line."""
        text = self.description.replace("\\", "/").replace('"', "'")
        return f'##INFO=<ID={self.name},Number={self.number},Type={self.kind},Description="{text}">\n'


def write_vcf(
    source: Path,
    target: Path,
    fields: Sequence[InfoField],
    notes: Sequence[str],
    infos: Iterable[str],
    contigs: Sequence[str],
    index: str | None,
) -> None:
    """Copy a VCF or BCF file and add to the INFO of its records.

    Parameters
    ----------
    source, target : pathlib.Path
        The form of the target is that of its suffix: `.vcf`, `.vcf.gz` (bgzip) or `.bcf`.
    fields : sequence of InfoField
        What is added. Fields of these names that the source has are replaced.
    notes : sequence of str
        Further lines of the header, without `##`.
    infos : iterable of str
        What to add to each record, in order: `KEY=VALUE` joined by `;`, empty for nothing.
    contigs : sequence of str
        Contigs of the records: BCF needs them in its header.
    index : str, optional
        Index to write beside a compressed target, `tbi` or `csi`; records must be sorted. BCF has `csi` alone.
    """
    import pysam

    name = target.name.lower()
    lines = _lines(source, fields, notes, infos, contigs if name.endswith(".bcf") else ())
    with quiet_htslib():
        if name.endswith(".bcf"):
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                text = Path(folder) / "text.vcf"
                with text.open("wb") as out:
                    out.writelines(lines)
                _to_bcf(text, target)
        elif name.endswith(".vcf"):
            with target.open("wb") as out:
                out.writelines(lines)
        else:
            with contextlib.closing(pysam.BGZFile(str(target), "wb")) as compressed:
                for line in lines:
                    compressed.write(line)
        if index and not name.endswith(".vcf"):
            preset = "bcf" if name.endswith(".bcf") else "vcf"
            pysam.tabix_index(str(target), preset=preset, csi=index == "csi", force=True)


def _to_bcf(text: Path, target: Path) -> None:
    from pysam import SamtoolsError, bcftools

    try:  # not pysam's own writer: it adds END to symbolic alleles, which the header need not declare
        bcftools.view("--no-version", "-Ob", "-o", str(target), str(text), catch_stdout=False)
    except SamtoolsError as error:
        raise InputError(
            f"{target.name}: htslib does not write this as BCF: there is no room, or records have INFO, FORMAT or "
            "FILTER that the header does not declare; name it .vcf.gz and give --resume, what is scored is kept"
        ) from error


def _lines(
    source: Path,
    fields: Sequence[InfoField],
    notes: Sequence[str],
    infos: Iterable[str],
    contigs: Sequence[str] = (),
) -> Iterator[bytes]:
    keys = [f.name.encode() for f in fields]
    ours = tuple(b"##INFO=<ID=" + key + b"," for key in keys)
    again = False
    declared: set[bytes] = set()
    added = iter(infos)
    for line in _text_lines(source):
        if line.startswith(b"#"):
            if line.startswith(ours):
                again = True
                continue
            if line.startswith(b"##contig=<ID="):
                declared.add(line[13:].split(b",")[0].split(b">")[0])
            if line.startswith(b"#CHROM"):
                yield from (
                    f"##contig=<ID={contig}>\n".encode() for contig in contigs if contig.encode() not in declared
                )
                yield from (field.declaration().encode() for field in fields)
                yield from (f"##{note}\n".encode() for note in notes)
            yield line
        elif line.strip():
            yield _spliced(line, next(added).encode(), keys if again else [])


def _spliced(line: bytes, added: bytes, stale: Sequence[bytes]) -> bytes:
    parts = line.rstrip(b"\r\n").split(b"\t", 8)
    end = line[len(line.rstrip(b"\r\n")) :] or b"\n"
    if stale:
        kept = [entry for entry in parts[7].split(b";") if entry.split(b"=")[0] not in stale]
        parts[7] = b";".join(kept) or b"."
    if added:
        parts[7] = added if parts[7] in (b".", b"") else parts[7] + b";" + added
    return b"\t".join(parts) + end


def _text_lines(source: Path) -> Iterator[bytes]:
    """Go through the lines of a VCF file, or of a BCF file as htslib spells them."""
    import pysam

    with source.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    with opened_vcf(source) as file:
        if file.is_bcf:
            yield from str(file.header).encode().splitlines(keepends=True)
            yield from (str(record).encode() for record in vcf_records(file, source))
            return
    opened: IO[bytes] | Any = pysam.BGZFile(str(source), "rb") if compressed else source.open("rb")
    with contextlib.closing(opened) as lines:
        for line in lines:
            yield line if line.endswith(b"\n") else line + b"\n"
