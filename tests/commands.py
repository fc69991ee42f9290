"""The `dnabert` command in processes of its own that have the heavy libraries at hand.

To import them takes longer than most of what tests ask the command for, so processes are forked from one that has
imported them and done nothing else.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(["dnabert.cli", "dnabert.interpretation.explain", "dnabert.training.suite"])


def run(
    arguments: list[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command, here and in this environment by default; return what it printed and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _WARM.Process(target=_command, args=(arguments, cwd or Path.cwd(), dict(env or os.environ), out, err))
        process.start()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def _command(arguments: list[str], cwd: Path, env: dict[str, str], out: Path, err: Path) -> None:
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["dnabert", *arguments]

    import torch

    from dnabert.cli import main

    torch.set_num_threads(1)
    main()
