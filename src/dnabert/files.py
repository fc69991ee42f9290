"""Files and folders that appear whole or not at all, and what tells the content of one."""

import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dnabert.errors import InputError

RUN_FILES = ("run.json", "dnabert.json")
"""A folder that holds one of these was written by dnabert: the settings of a run, the record of a model."""


def existing_file(path: str | os.PathLike[str], what: str = "file") -> Path:
    """Return `path` if it is a non-empty file.

    Parameters
    ----------
    path : str or path-like
        The file.
    what : str
        What the file is, for the message.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        If there is no such file, it is a folder, cannot be read, or is empty.
    """
    found = Path(path)
    if found.is_dir():
        raise InputError(f"{path}: a {what} is required, but this is a folder")
    if not found.is_file():
        raise InputError(f"{path}: no such {what}; check the path")
    if not os.access(found, os.R_OK):
        raise InputError(f"{path}: this {what} cannot be read; check its permissions")
    if found.stat().st_size == 0:
        raise InputError(f"{path}: this {what} is empty")
    return found


def fingerprint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Tell the content of a file: its `path` in full, size in `bytes` and `sha256`."""
    file = Path(path).resolve()
    status = file.stat()
    return {"path": str(file), "bytes": status.st_size, "sha256": _sha256(file, status.st_size, status.st_mtime_ns)}


@functools.lru_cache(maxsize=1024)  # a suite looks at the same files for each of its fits
def _sha256(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_not_input(out: str | os.PathLike[str], *inputs: str | os.PathLike[str] | None) -> None:
    """Raise InputError if the output is one of the inputs, or a file in one that is a folder: it would be replaced."""
    if not Path(out).exists():
        return
    for given in (Path(path) for path in inputs if path is not None):
        for file in (given, *given.rglob("*")):
            if file.exists() and file.samefile(out):
                within = "" if file == given else f", a file in {given}"
                raise InputError(f"{out}: this is an input{within}; name another --out")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it to `path` when the block succeeds.

    A block that fails (out of disk space, Ctrl-C) leaves what was at `path` before, and no temporary file.
    The temporary name keeps the suffix of `path`, so writers that look at suffixes do the same as for `path`.

    Parameters
    ----------
    path : str or path-like
        The file or folder that the block writes. A folder that exists is replaced as a whole.

    Yields
    ------
    pathlib.Path
        The temporary path. Nothing exists there yet.

    Raises
    ------
    InputError
        If the disk is full, or the folder that holds `path` cannot be written.
    """
    target = Path(path)
    with _reported(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    temporary = holder / target.name
    try:
        with _reported(target):
            yield temporary
            if temporary.is_dir() and target.is_dir():
                target.rename(holder / "replaced")
            temporary.replace(target)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _usual_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextmanager
def _reported(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise InputError(
            f"{target}: writing failed ({reason}); what was there before is untouched, make room or name another place"
        ) from error


def check_apart(out: str | os.PathLike[str], *inputs: str | os.PathLike[str] | None) -> None:
    """Raise InputError if an input is the output folder or lies in it: `--overwrite` would delete it."""
    folder = Path(out).resolve()
    for given in inputs:
        if given is not None and folder in (path := Path(given).resolve(), *path.parents):
            raise InputError(f"--out {out}: the input {given} is in this folder; name another")


def claim_folder(path: str | os.PathLike[str], overwrite: bool = False, resume: bool = False) -> Path:
    """Check that a run may write into a folder, and empty it where the user asked for that.

    Parameters
    ----------
    path : str or path-like
        The output folder. It is not made here: a run that fails early leaves nothing behind.
    overwrite : bool
        Delete what another run left there.
    resume : bool
        Go on with what is there.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        If the folder holds something and neither `overwrite` nor `resume` is given, or it is a file.
    """
    folder = Path(path)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"{folder}: an output folder is required, but {there} is a file; name another --out")
    if resume or not folder.is_dir() or not any(folder.iterdir()):
        return folder
    if not any((folder / name).is_file() for name in RUN_FILES):
        raise InputError(
            f"{folder}: an output folder that is new, empty or of an earlier run is required, and this one holds "
            f"something else ({next(folder.iterdir()).name}); name another --out"
        )
    if not overwrite:
        raise InputError(
            f"{folder}: this output folder already holds a run; name another --out, or give --overwrite to replace it"
        )
    shutil.rmtree(folder)
    return folder


@contextmanager
def replacing_files(folder: str | os.PathLike[str], last: str = "") -> Iterator[Path]:
    """Give a temporary folder and move its files into `folder` when the block succeeds.

    Parameters
    ----------
    folder : str or path-like
        Where the files go. It is made if needed; files of other names in it stay.
    last : str
        Name of the file that is moved after all others: where it stands, they do.

    Yields
    ------
    pathlib.Path
        The temporary folder, on the same disk.

    Raises
    ------
    InputError
        If the disk is full, or the folder cannot be written.
    """
    target = Path(folder)
    made = not target.exists()
    with _reported(target):
        target.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=target))
    try:
        with _reported(target):
            yield temporary
            for path in sorted(temporary.iterdir(), key=lambda path: (path.name == last, path.name)):
                path.chmod(_usual_mode())  # some writers make files that only their owner may read
                path.replace(target / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if made and not any(target.iterdir()):  # it failed: not even the folder is left
            target.rmdir()
