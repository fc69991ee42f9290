"""Progress bars on stderr, shown only on a terminal and only for work that lasts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.console
import rich.progress
import rich.text

from dnabert import processes


def console() -> rich.console.Console:
    """Return a console on stderr: what a command says about its work, never its results."""
    return rich.console.Console(stderr=True)


def say(line: str) -> None:
    """Print a line on stderr as it is; of several processes the first speaks for all."""
    if processes.is_first():
        console().print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def track_bytes(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of bytes read; the function it gives takes the bytes so far."""
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(),
        rich.progress.TransferSpeedColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console(), transient=True, disable=not _wanted()) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def track_items(description: str, total: int, unit: str, shown: bool = True) -> Iterator[Callable[[float], None]]:
    """Show a bar of items done with their rate and the time left; the function it gives takes the items just done.

    Work that is part of work with a bar of its own passes `shown=False`: a terminal has room for one.
    """
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn(unit),
        _Rate(unit),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(
        *columns, console=console(), transient=True, disable=not (shown and _wanted())
    ) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done: progress.advance(task, done)


class _Rate(rich.progress.ProgressColumn):
    """Items a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: rich.progress.Task) -> rich.text.Text:
        """Say it, once there is one."""
        return rich.text.Text("" if task.speed is None else f"{task.speed:,.3g} {self.unit}/s")


def _wanted() -> bool:
    return processes.is_first() and console().is_terminal
