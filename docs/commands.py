"""Write the command reference, docs/commands.md, from the command itself.

python docs/commands.py          write the page
python docs/commands.py --check  exit 1 if the page is not what the command says
"""

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "commands.md"
COMMANDS = (
    "simulate",
    "pretrain",
    "finetune",
    "evaluate",
    "predict",
    "explain",
    "motifs",
    "variants",
    "negatives",
    "check-leakage",
    "benchmark",
)


def help_text(*words: str) -> str:
    """Return what `dnabert WORDS --help` prints, 100 columns wide."""
    command = [sys.executable, "-c", "import sys; sys.argv[0] = 'dnabert'; from dnabert.cli import main; main()"]
    environment = os.environ | {"COLUMNS": "100", "TERMINAL_WIDTH": "100"}
    done = subprocess.run([*command, *words, "--help"], capture_output=True, text=True, check=True, env=environment)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def page() -> str:
    """Return the text of the page."""
    parts = ["# Commands\n\nWritten by `docs/commands.py` from the command itself.\n", f"```text\n{help_text()}\n```\n"]
    parts += [f"## dnabert {name}\n\n```text\n{help_text(name)}\n```\n" for name in COMMANDS]
    return "\n".join(parts)


def main() -> None:
    """Write or check the page."""
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
