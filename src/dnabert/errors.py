"""The one error that bad input raises."""


class InputError(ValueError):
    """Say what is required, what came, where, and what to do.

    Everything a user can get wrong (files, tables, options, model directories) raises this.
    The command prints the message in one line on stderr and exits with 2.
    """
