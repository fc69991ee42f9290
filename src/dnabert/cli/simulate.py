"""`dnabert simulate`."""

from dnabert.cli.options import Out, Overwrite, Seed


def simulate(out: Out, seed: Seed = 0, overwrite: Overwrite = False) -> None:
    """Write three labelled tasks and a genome with planted motifs, and what was planted where."""
    from dnabert.sequence import simulate as simulation

    result = simulation.simulate(out, seed, overwrite)
    for name, folder in result.tasks.items():
        print(f"{name}\t{folder}")
    print(f"genome\t{result.genome}")
