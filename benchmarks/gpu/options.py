"""What the GPU benchmarks share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import transformers
import typer

Out = Annotated[Path, typer.Option(help="Folder for the JSON file.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="Tiny sizes, on the CPU if there is no GPU.")]


def device(smoke: bool) -> torch.device:
    """Return the GPU; without one, the CPU in smoke mode, else stop."""
    if not torch.cuda.is_available() and not smoke:
        raise SystemExit("a GPU is required; --smoke runs on a CPU")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def run(main: Callable[..., None]) -> None:
    """Run a script's function as a command."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    typer.run(main)
