"""What several tests use."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

from dnabert.model import checkpoint, presets
from dnabert.model.checkpoint import Checkpoint
from dnabert.sequence.alphabet import decode_bases
from tests import commands

# compiling a kernel takes its time once; what a test takes is no property of the code it tests
hypothesis.settings.register_profile("dnabert", deadline=None)
hypothesis.settings.load_profile("dnabert")

TINY = presets.Preset(layers=2, hidden=32, heads=4)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep converted genomes out of the user's cache, but share them among the tests of a session."""
    monkeypatch.setenv("DNABERT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models run slower on several threads, and the suite runs in several processes."""
    torch.set_num_threads(1)


@pytest.fixture
def real_data() -> Path:
    """The folder of real data, or a skip that says what is missing."""
    folder = os.environ.get("DNABERT_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DNABERT_TEST_DATA points to no folder of real data")
    return Path(folder).resolve()


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(7)


def random_dna(length: int, rng: np.random.Generator) -> str:
    """Draw DNA."""
    return decode_bases(rng.integers(0, 4, length).astype(np.uint8))


def write_fasta(path: Path, contigs: dict[str, str], width: int = 60) -> Path:
    """Write a FASTA file."""
    with path.open("w") as out:
        for name, sequence in contigs.items():
            out.write(f">{name}\n")
            out.writelines(sequence[i : i + width] + "\n" for i in range(0, len(sequence), width))
    return path


def tiny_model(
    folder: Path, task: str = "masked-lm", k: int = 4, labels: tuple[str, ...] = (), seed: int = 3, **entries: Any
) -> Path:
    """Write the directory of a tiny random model, with more entries of its configuration."""
    config = presets.configuration(TINY, k, **(checkpoint.outputs(task, labels) if labels else {}) | entries)
    model = presets.new_model(config, task, k, seed)
    with torch.no_grad():  # far from its start, so that no agreement comes from weights near 0
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    checkpoint.save(Checkpoint(model, task, k, 1, labels), folder, {"seed": seed})
    return folder


def write_splits(folder: Path, header: str, row: Callable[[], str], rows: int = 160) -> Path:
    """Write a folder of train, dev and test tables."""
    folder.mkdir()
    for name, count in (("train", rows), ("dev", 40), ("test", 40)):
        (folder / f"{name}.tsv").write_text("\n".join([header, *(row() for _ in range(count))]) + "\n")
    return folder


def write_bound(folder: Path, rng: np.random.Generator) -> Path:
    """Write a task that the composition of a sequence answers."""

    def row() -> str:
        bound = rng.integers(2)
        weights = [0.4, 0.2, 0.2, 0.2] if bound else [0.2, 0.2, 0.2, 0.4]
        return "".join(rng.choice(list("GCAT"), 40, p=weights)) + f"\t{'yes' if bound else 'no'}"

    return write_splits(folder, "sequence\tlabel", row)


def run_command(
    *arguments: object, expect: int = 0, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the `dnabert` command in a process of its own and check its exit code."""
    done = commands.run([str(argument) for argument in arguments], cwd, env)
    assert done.returncode == expect, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2, one line on stderr, nothing written. Returns the line."""

    def check(*arguments: object) -> str:
        before = _listing(tmp_path)
        done = run_command(*arguments, expect=2)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("dnabert: error: ")
        assert _listing(tmp_path) == before
        return lines[0]

    return check


def _listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
