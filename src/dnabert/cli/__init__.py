"""The command: thin faces on the functions, one module each. Heavy libraries are imported when a command runs."""

import os
import sys
from typing import Any, NoReturn

import typer

from dnabert.cli import (
    benchmark,
    check_leakage,
    evaluate,
    explain,
    finetune,
    motifs,
    negatives,
    predict,
    pretrain,
    simulate,
    variants,
)
from dnabert.errors import InputError

app = typer.Typer(
    name="dnabert",
    help="Read DNA with a language model: pre-train on genomes, fine-tune on few labels, predict, explain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    pretrain.pretrain,
    finetune.finetune,
    evaluate.evaluate,
    predict.predict,
    explain.explain,
    motifs.motifs,
    variants.variants,
    negatives.negatives,
    check_leakage.check_leakage,
    benchmark.benchmark,
    simulate.simulate,
)
for command in COMMANDS:
    app.command(no_args_is_help=True)(command)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from dnabert import versions

        print(f"dnabert {versions.version('dnabert')}")
        raise typer.Exit


_UsageError: Any = typer.BadParameter.__base__
"""Of click, which newer versions of typer bring along under another name."""


def main() -> None:
    """Run the command: bad input, options too, is one line on stderr and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        sys.exit("Aborted!")
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
            error.show()
            sys.exit(2)
        what = " ".join(error.format_message().split()).rstrip(".")
        _refuse(f"{what}; see '{error.ctx.command_path if error.ctx else 'dnabert'} --help'")
    except InputError as error:
        _refuse(str(error))
    sys.exit(code)


def _refuse(words: str) -> NoReturn:
    print(f"dnabert: error: {words}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a reader's thread may still be winding down, and on a busy machine the destructors of the
    # libraries then abort the process (exit code 134 instead of 2).
    os._exit(2)
