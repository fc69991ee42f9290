"""Keep a benchmark's figures: printed, and saved with date, hardware and versions."""

import datetime
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dnabert.versions import version

RESULTS = Path(__file__).parent / "results"


def record(name: str, figures: dict[str, Any], folder: Path = RESULTS) -> None:
    """Print the figures and write them to `results/NAME.json`, or into another folder."""
    write(name, figures, folder)
    print(json.dumps(figures, indent=2))


def write(name: str, figures: dict[str, Any], folder: Path = RESULTS) -> None:
    """Write figures without a word: those of a long run as they come, so that one that is cut leaves what it found."""
    packages = ("dnabert", "torch", "transformers", "numpy", "numba", "pyarrow")
    content = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": {"processor": _processor(), "cores": os.cpu_count()} | _accelerator(),
        "versions": {package: version(package) for package in packages} | {"python": platform.python_version()},
        "figures": figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def median_seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Call a function once to warm up, then take the median time of some calls."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def interleaved(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Call each way once to warm up, then all in turns, so that what else the machine does meets them alike.

    Returns
    -------
    dict of str to list of float
        Seconds of each call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, function in ways.items():
            start = time.perf_counter()
            function()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def rate(items: float, seconds: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Turn the seconds of some calls into items a second: their median and range."""
    return {
        "median": round(items / statistics.median(seconds), digits),
        "lowest": round(items / max(seconds), digits),
        "highest": round(items / min(seconds), digits),
    }


def peak_memory() -> float:
    """Return the largest memory this process has held, in MB.

    Not `ru_maxrss`, where that can be had: a process inherits it from the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def _accelerator() -> dict[str, str]:
    torch = sys.modules.get("torch")  # a benchmark that has not imported it computes nothing there
    if torch is None or not torch.cuda.is_available():
        return {}
    return {"accelerator": torch.cuda.get_device_name(), "CUDA": str(torch.version.cuda)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
