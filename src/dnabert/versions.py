"""Versions of packages."""

import importlib.metadata


def version(package: str) -> str:
    """Return the version of an installed package; one that runs from its sources has none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
