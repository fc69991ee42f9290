"""How long `dnabert --help` takes, as a process.

python -m benchmarks.startup
"""

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.record import median_seconds, record


def main() -> None:
    """Time the installed command and an empty Python."""
    command = shutil.which("dnabert", path=str(Path(sys.executable).parent)) or "dnabert"
    record(
        "startup",
        {
            "dnabert --help (s)": round(
                median_seconds(lambda: subprocess.run([command, "--help"], capture_output=True, check=True), 15), 3
            ),
            "python -c pass (s)": round(
                median_seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 15), 3
            ),
        },
    )


if __name__ == "__main__":
    main()
