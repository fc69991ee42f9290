"""A genome as a memory-mapped array of base codes.

A FASTA file is read once; its base codes are kept in a cache folder (`DNABERT_CACHE`, else the user's cache folder)
under a key made of the file's path, size and time of change. Opening it again maps that file and reads nothing.
"""

import difflib
import functools
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import filelock
import numba
import numpy as np

from dnabert.errors import InputError
from dnabert.files import existing_file, replacing
from dnabert.progress import track_bytes
from dnabert.sequence.alphabet import CODE_OF_BYTE, FOREIGN, UNKNOWN, describe_foreign, reverse_complement

_READ_SIZE = 1 << 22
_CACHE_FORMAT = 2
_ROMAN = (
    *("0", "I", "II", "III", "IV", "V", "VI", "VII", "VIII"),
    *("IX", "X", "XI", "XII", "XIII", "XIV", "XV", "XVI"),
)
"""Yeast's and the worm's chromosomes by their number."""
_EOF_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
"""What every whole bgzip file ends in (SAM specification, section 4.1.2)."""


class Genome(NamedTuple):
    """Contigs of a FASTA file as base codes.

    Attributes
    ----------
    path : pathlib.Path
        The FASTA file.
    codes : np.ndarray, uint8, shape (bases,)
        Base codes of all contigs, one after the other; memory-mapped, read-only.
    names : tuple of str
        Names of the contigs: the first word of each header. Empty where contigs are rows of a table.
    starts : np.ndarray, int64, shape (contigs + 1,)
        Where each contig starts in `codes`; the last entry is the number of bases.
    """

    path: Path
    codes: np.ndarray
    names: tuple[str, ...]
    starts: np.ndarray

    @classmethod
    def open(cls, fasta: str | os.PathLike[str]) -> "Genome":
        """Open a FASTA file (plain, gzip or bgzip), reading it only if the cache does not hold it.

        Parameters
        ----------
        fasta : str or path-like
            The file. Lower case (soft-masked) bases count as upper case, IUPAC ambiguity codes as N.

        Returns
        -------
        Genome

        Raises
        ------
        InputError
            If the file is missing, empty, truncated, no FASTA, holds foreign characters or a contig name twice.
        """
        path = existing_file(fasta, "FASTA file").resolve()
        entry = _cache_entry(path)
        if not (entry / "contigs.json").is_file():
            _convert(path, entry)
        contigs = json.loads((entry / "contigs.json").read_text())
        starts = np.concatenate([[0], np.cumsum(contigs["lengths"], dtype=np.int64)])
        return _mapped(path, entry / "codes.u8", tuple(contigs["names"]), starts)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let other processes map the file too, instead of sending them its bases."""
        file = getattr(self.codes, "filename", None)
        if file is not None and file.is_file() and file.stat().st_size == len(self.codes):
            return _mapped, (self.path, file, self.names, self.starts)
        return Genome, tuple(self)

    @classmethod
    def of_letters(cls, path: Path, names: Sequence[str], letters: np.ndarray, offsets: np.ndarray) -> "Genome":
        """Hold sequences in memory as contigs.

        Parameters
        ----------
        path : pathlib.Path
            Where they come from, for messages.
        names : sequence of str, length contigs
        letters : np.ndarray, uint8, shape (bytes,)
            All sequences, one after the other. What is no nucleotide letter reads as unknown.
        offsets : np.ndarray, int64, shape (contigs + 1,)
            Where each sequence starts in `letters`.

        Returns
        -------
        Genome
        """
        codes = np.minimum(CODE_OF_BYTE[letters[offsets[0] : offsets[-1]]], UNKNOWN)
        return cls(path, codes, tuple(names), offsets - offsets[0])

    @property
    def lengths(self) -> np.ndarray:
        """int64, shape (contigs,): bases of each contig."""
        return np.diff(self.starts)

    def contig_index(self, contig: str) -> int:
        """Return the position of a contig among `names`, or raise InputError that names those there are and like it."""
        try:
            return self.names.index(contig)
        except ValueError:
            shown = ", ".join(self.names[:8]) + (f", … ({len(self.names)} in all)" if len(self.names) > 8 else "")
            advice = meant(contig, self.names) or "use its names"
            raise InputError(
                f"{self.path.name}: there is no contig '{contig}'; this genome has {shown}; {advice}"
            ) from None

    def window(self, contig: str, start: int, end: int, strand: str = "+") -> np.ndarray:
        """Read the bases of an interval.

        Parameters
        ----------
        contig : str
            Name of the contig.
        start, end : int
            0-based half-open interval.
        strand : str
            `-` for the reverse complement; `+` and `.` read forwards.

        Returns
        -------
        np.ndarray, uint8, shape (end - start,)
            Base codes. Forwards this is a view of the mapped file.

        Raises
        ------
        InputError
            If there is no such contig, or the interval is empty or leaves it.
        """
        i = self.contig_index(contig)
        length = int(self.starts[i + 1] - self.starts[i])
        if not 0 <= start < end <= length:
            raise InputError(
                f"{contig}:{start}-{end} does not lie inside its contig, which has {length:,} bases in "
                f"{self.path.name} (0-based half-open: 0 <= start < end <= {length})"
            )
        codes = self.codes[self.starts[i] + start : self.starts[i] + end]
        return reverse_complement(codes) if strand == "-" else codes


def _mapped(path: Path, codes: Path, names: tuple[str, ...], starts: np.ndarray) -> Genome:
    return Genome(path, np.memmap(codes, dtype=np.uint8, mode="r"), names, starts)


def similar_names(name: str, names: Sequence[str]) -> list[str]:
    """Find what a contig may be called elsewhere: `chr20` for `20`, `chrIV` for `chr4`, else names spelt alike.

    Parameters
    ----------
    name : str
        The name that was not found.
    names : sequence of str
        The names there are.

    Returns
    -------
    list of str
        At most 3.
    """
    return same_contig(name, names)[:3] or difflib.get_close_matches(name, names, 3, 0.8)


def same_contig(name: str, names: Sequence[str]) -> list[str]:
    """Find the names of the same contig in another style: `chr20` for `20`, `chrM` for `MT`, `chrIV` for `chr4`.

    X is the tenth only of contigs that have a IX; elsewhere it is a sex chromosome.
    """
    tenth, alike = _styled(tuple(names))
    return list(alike.get(_in_one_style(_without_prefix(name), tenth), ()))


@functools.lru_cache(maxsize=4)
def _styled(names: tuple[str, ...]) -> tuple[bool, dict[str, list[str]]]:
    """Say whether X is the tenth of these contigs, and which of them have a name in one style."""
    plain = [_without_prefix(name) for name in names]
    tenth = "IX" in plain
    alike: dict[str, list[str]] = {}
    for name, bare in zip(names, plain, strict=True):
        alike.setdefault(_in_one_style(bare, tenth), []).append(name)
    return tenth, alike


def meant(name: str, names: Sequence[str]) -> str:
    """Ask whether one of the names that are like it was meant; empty where none is."""
    similar = similar_names(name, names)
    return f"did you mean {' or '.join(map(repr, similar))}?" if similar else ""


def _without_prefix(name: str) -> str:
    return re.sub(r"^(chromosome|chr)_?", "", name, flags=re.IGNORECASE).upper()


def _in_one_style(plain: str, tenth: bool) -> str:
    if re.fullmatch("[0-9]+", plain) and int(plain) < len(_ROMAN) and (tenth or _ROMAN[int(plain)] != "X"):
        return _ROMAN[int(plain)]
    return "M" if plain in ("MT", "MITO") else plain


def cache_folder() -> Path:
    """Return the folder that holds converted genomes: `DNABERT_CACHE`, else the user's cache folder."""
    named = os.environ.get("DNABERT_CACHE")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("dnabert"))


def _convert(path: Path, entry: Path) -> None:
    """Write a genome into the cache; of several processes that want it, one does, the others wait."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(entry.with_name(f"{entry.name}.lock")):
            if not (entry / "contigs.json").is_file():
                with replacing(entry) as temporary:
                    temporary.mkdir()
                    _write_codes(path, temporary)
    except OSError as error:
        raise InputError(
            f"{entry.parent}: the cache of genomes cannot be written ({error.strerror}); make room, or set "
            "DNABERT_CACHE to another folder"
        ) from error


def _cache_entry(path: Path) -> Path:
    status = path.stat()
    key = f"{_CACHE_FORMAT} {path} {status.st_size} {status.st_mtime_ns}"
    return cache_folder() / "genomes" / f"{path.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _write_codes(path: Path, folder: Path) -> None:
    lengths: dict[str, int] = {}
    contig = ""
    with (folder / "codes.u8").open("wb") as out:
        for name, codes in read_fasta(path):
            if name is not None:
                if name in lengths:
                    raise InputError(f"{path}: the contig name '{name}' stands twice; names must be unique, rename one")
                contig = name
                lengths[contig] = 0
            out.write(codes.tobytes())
            lengths[contig] += len(codes)
    if not sum(lengths.values()):
        raise InputError(f"{path}: the FASTA file holds headers but no sequence; give one with bases")
    (folder / "contigs.json").write_text(json.dumps({"names": list(lengths), "lengths": list(lengths.values())}))


def read_fasta(path: Path) -> Iterator[tuple[str | None, np.ndarray]]:
    """Read a FASTA file in pieces of bounded size.

    Parameters
    ----------
    path : pathlib.Path
        Plain, gzip or bgzip.

    Yields
    ------
    name : str or None
        First word of the header for a contig's first piece, None for its further ones.
    codes : np.ndarray, uint8
        Base codes of the piece; may be empty.

    Raises
    ------
    InputError
        If the file does not start with `>`, holds a foreign character, a header without a name, or ends too early.
    """
    line_number = 1
    contig: str | None = None
    rest = b""
    for block in _blocks(path):
        block = rest + block
        rest = b""
        at = 0
        while at < len(block):
            if block[at : at + 1] == b">":
                end = block.find(b"\n", at)
                if end < 0:  # the header goes on in the next block
                    rest = block[at:]
                    break
                contig = _contig_name(block[at + 1 : end], path, line_number)
                yield contig, np.empty(0, dtype=np.uint8)
                line_number += 1
                at = end + 1
                continue
            if contig is None:
                if block[at : at + 1] in b"\r\n":
                    line_number += block[at : at + 1] == b"\n"
                    at += 1
                    continue
                raise InputError(
                    f"{path} line {line_number}: a FASTA file starts with a '>' header, this one starts with "
                    f"'{block[at : at + 20].decode('latin-1').split(chr(10))[0]}'; is it FASTA?"
                )
            header = block.find(b"\n>", at)
            piece = np.frombuffer(block, dtype=np.uint8)[at : header + 1 if header >= 0 else len(block)]
            codes = np.empty(len(piece), dtype=np.uint8)
            count, lines, foreign_at = _translate(piece, CODE_OF_BYTE, codes)
            if foreign_at >= 0:
                raise InputError(
                    f"{path} line {line_number + lines}, contig {contig}: {describe_foreign(int(piece[foreign_at]))}"
                )
            line_number += lines
            at += len(piece)
            yield None, codes[:count]
    if rest or contig is None:
        raise InputError(f"{path} line {line_number}: the FASTA file ends in a header without a sequence")


@numba.njit(nogil=True, cache=True)
def _translate(raw: np.ndarray, table: np.ndarray, codes: np.ndarray) -> tuple[int, int, int]:
    count = 0
    lines = 0
    for i in range(len(raw)):
        byte = raw[i]
        code = table[byte]
        if code != FOREIGN:
            codes[count] = code
            count += 1
        elif byte == 10:
            lines += 1
        elif byte != 13 and byte != 32 and byte != 9:
            return count, lines, i
    return count, lines, -1


def _contig_name(header: bytes, path: Path, line_number: int) -> str:
    words = header.decode("utf-8", "replace").split()
    if not words:
        raise InputError(f"{path} line {line_number}: the header has no name; write '>NAME' before each sequence")
    return words[0]


def check_bgzip_end(path: Path) -> None:
    """Raise InputError if a bgzip file lacks its last block: cut between two blocks, it reads as whole but shorter."""
    with path.open("rb") as file:
        head = file.read(16)
        if head[:2] == b"\x1f\x8b" and head[12:14] == b"BC":
            file.seek(-min(len(_EOF_BLOCK), path.stat().st_size), os.SEEK_END)
            if file.read() != _EOF_BLOCK:
                raise InputError(f"{path}: the bgzip file is truncated (its last block is missing); fetch it again")


def _blocks(path: Path) -> Iterator[bytes]:
    check_bgzip_end(path)
    with path.open("rb") as raw, track_bytes(f"Reading {path.name}", path.stat().st_size) as advance:
        stream: IO[bytes] | gzip.GzipFile = raw
        if raw.peek(2)[:2] == b"\x1f\x8b":
            stream = gzip.open(raw)  # noqa: SIM115 - closed with the file it reads
        try:
            while block := stream.read(_READ_SIZE):
                advance(raw.tell())
                yield block
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{path}: the gzip file is truncated or damaged ({error}); fetch or compress it again"
            ) from error


def fraction_unknown(codes: np.ndarray) -> float:
    """Return the share of bases that are unknown (N), 0 to 1."""
    return float(np.count_nonzero(codes >= UNKNOWN)) / max(1, len(codes))
