"""The one error that bad input raises."""


class InputError(ValueError):
    """Say what is required, what came, where, and what to do.

    Everything a user can get wrong (files, tables, options, model directories) raises this.
    The command prints the message in one line on stderr and exits with 2.
    """


def check_at_least(least: int, **options: int | None) -> None:
    """Raise InputError unless the options that are given are this number or more."""
    for name, value in options.items():
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value}: {least} or more is required")
