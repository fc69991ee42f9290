"""The `dnabert` command, and other work, in processes of their own that have the heavy libraries at hand.

To import them takes longer than most of what tests ask for, so processes are forked from one that has imported them and
done nothing else.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(["dnabert.cli", "dnabert.interpretation.explain", "dnabert.training.suite"])


def run(
    arguments: list[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command, here and in this environment by default; return what it printed and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = start(_command, arguments, out=out, err=err, cwd=cwd, env=env)
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def start(
    function: Callable[..., Any],
    *arguments: Any,
    out: Path,
    err: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Start a function that can be pickled in a process of its own; what it prints goes to two files."""
    place = (out, err, cwd or Path.cwd(), dict(env or os.environ))
    process = _WARM.Process(target=_work, args=(place, function, arguments))
    process.start()
    return process


def _work(
    place: tuple[Path, Path, Path, dict[str, str]], function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    out, err, cwd, env = place
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)

    import torch

    torch.set_num_threads(1)
    function(*arguments)


def _command(arguments: list[str]) -> None:
    from dnabert.cli import main

    sys.argv = ["dnabert", *arguments]
    main()
