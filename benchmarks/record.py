"""Keep a benchmark's figures: printed, and saved with date, hardware and versions."""

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def record(name: str, figures: dict[str, Any]) -> None:
    """Print the figures and write them to `results/NAME.json`."""
    packages = ("dnabert", "torch", "transformers", "numpy", "numba", "pyarrow")
    content = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": {"processor": _processor(), "cores": os.cpu_count()},
        "versions": {package: importlib.metadata.version(package) for package in packages}
        | {"python": platform.python_version()},
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


def median_seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Call a function once to warm up, then take the median time of some calls."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
