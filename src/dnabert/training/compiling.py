"""Whether training goes through `torch.compile`: where that gains, and what it takes."""

import importlib.util
import os
import shlex
import shutil
import sysconfig
from pathlib import Path

import torch

from dnabert import processes

COMPILERS = {"cpu": ("CXX", "g++", "clang++"), "cuda": ("CC", "gcc", "clang")}
"""What torch compiles with for a device: the variable that names a compiler, and those looked for without it."""


def gains(device: torch.device, precision: torch.dtype, checkpoint_activations: bool) -> bool:
    """Whether compiled training is known to be faster: not tried on several GPUs, nor with activations computed
    again."""
    known = device.type == "cuda" and precision == torch.bfloat16
    return known and processes.count() == 1 and not checkpoint_activations


def missing(device: torch.device) -> str | None:
    """Say what is missing to compile for a device; None if nothing is."""
    variable, *usual = COMPILERS.get(device.type, COMPILERS["cpu"])
    wanted = shlex.split(os.environ.get(variable, ""))[:1] or usual  # without its options
    if not any(shutil.which(name) for name in wanted):
        words = f"a C compiler is required, {' or '.join(wanted)}, and there is none here"
        return f"{words}; install one, name it in {variable}"
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "the package triton is required, and there is none here; install it"
        header = Path(sysconfig.get_paths()["include"]) / "Python.h"
        if not header.is_file():
            return (
                f"Python's headers are required, {header}, and are not here; install them (python3-dev, python3-devel)"
            )
    return None
