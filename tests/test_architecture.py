"""The house: a floor imports only floors below it, and the package stays light to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dnabert

SOURCE = Path(dnabert.__file__).parent
FLOORS = ("sequence", "model", "inference", "training", "interpretation", "cli")
GROUND = {"errors", "files", "processes", "progress", "threads", "versions"}


def imported_floors(path: Path) -> set[str]:
    """List the parts of the package that a module imports."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dnabert"):
            words = node.module.split(".")
            parts |= {words[1]} if len(words) > 1 else {alias.name for alias in node.names}
    return parts


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_floors_below_it(floor: str) -> None:
    allowed = GROUND | set(FLOORS[: FLOORS.index(floor) + 1])
    for path in (SOURCE / floor).glob("*.py"):
        assert imported_floors(path) <= allowed, path.name


def test_importing_the_package_imports_neither_torch_nor_transformers() -> None:
    code = "import sys, dnabert; print({'torch', 'transformers', 'numpy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_can_be_had() -> None:
    for name in dnabert.__all__:
        assert getattr(dnabert, name) is not None
    assert set(dir(dnabert)) == set(dnabert.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dnabert.nothing  # noqa: B018
