"""The processes that torchrun started, or this one alone."""

import os


def count() -> int:
    """Return how many processes work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Tell whether this process is the one that writes files and speaks."""
    return int(os.environ.get("RANK", "0")) == 0
