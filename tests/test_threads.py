"""The threads of numba and torch."""

import os
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from dnabert.interpretation import matching
from dnabert.sequence import kmers, tables
from tests import commands

REB1 = np.eye(4)[[3, 3, 0, 1, 1, 1, 2, 2]]

PARALLEL: dict[str, Callable[[], object]] = {
    "encode": lambda: kmers.encode(np.zeros(kmers._PARALLEL_FROM + 9, dtype=np.uint8), 3),
    "TOMTOM": lambda: matching.compare({"a": REB1}, {"b": REB1}),
    "FIMO": lambda: matching.find_instances({"a": REB1}, tables.from_sequences(["ACGTTTACCCGGA"])),
}


def _work(name: str) -> None:
    torch.set_num_threads(threads := numba.config.NUMBA_NUM_THREADS + 1)
    PARALLEL[name]()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", PARALLEL)
def test_numba_leaves_torch_its_threads(name: str, tmp_path: Path) -> None:
    process = commands.start(_work, name, out=tmp_path / "out", err=tmp_path / "err", env=os.environ)
    process.join()
    assert process.exitcode == 0, (tmp_path / "err").read_text()
