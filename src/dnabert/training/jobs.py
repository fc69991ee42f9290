"""Work in processes of its own, some at a time."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple, cast

import numba
import threadpoolctl
import torch

from dnabert.errors import InputError
from dnabert.progress import say
from dnabert.threads import launch_numba


class Job(NamedTuple):
    """A piece of work.

    Attributes
    ----------
    name : str
        For messages.
    log : pathlib.Path
        Where what it says goes, if it has a process of its own.
    run : callable
        The work; can be pickled.
    after : tuple of str
        Names of work that is to be done before.
    """

    name: str
    log: Path
    run: Callable[[], None]
    after: tuple[str, ...] = ()


def side_by_side(work: Sequence[Job], jobs: int) -> Iterator[str]:
    """Do work in processes of their own, each with its share of the cores, and give the name of each as it is done.

    The processes are forked from one that imports what this one has of the package as the first of them is needed.

    If one fails or the user interrupts, those that run are interrupted and end before the error goes on.

    Parameters
    ----------
    work : sequence of Job
        One or more; what stands first begins first, as far as it can.
    jobs : int
        How many run at a time.

    Raises
    ------
    InputError
        What the work raised, or that its process ended before its time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in sys.modules if name.partition(".")[0] == "dnabert"])
    threads = max(1, torch.get_num_threads() // min(jobs, len(work)))
    waiting, running = list(work), dict[Connection, tuple[Job, Any]]()
    try:
        while waiting or running:
            while len(running) < jobs and (job := _next(waiting, running)) is not None:
                waiting.remove(job)
                job.log.parent.mkdir(parents=True, exist_ok=True)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_aside, args=(job, threads, dict(os.environ), theirs), daemon=True)
                process.start()
                theirs.close()
                running[ours] = job, process
            for pipe in cast(list[Connection], wait(list(running))):
                job, process = running.pop(pipe)
                try:
                    error: str | None = pipe.recv()
                except EOFError:  # it died
                    error = (
                        "its process ended before its time; the same command goes on, with fewer --jobs if memory ran "
                        f"short (what it said: {job.log})"
                    )
                process.join()
                if error is not None:
                    raise InputError(f"{job.name}: {error}")
                yield job.name
    finally:
        if running:
            say("Stopping what runs; fine-tunings save a checkpoint first.")
        for _, process in running.values():
            if process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGINT)
        for _, process in running.values():
            process.join()


def _next(waiting: Sequence[Job], running: dict[Connection, tuple[Job, Any]]) -> Job | None:
    """Find the first work that waits for no other."""
    left = {job.name for job in (*waiting, *(job for job, _ in running.values()))}
    return next((job for job in waiting if left.isdisjoint(job.after)), None)


def _aside(job: Job, threads: int, environment: Mapping[str, str], result: Connection) -> None:
    """Work with a share of the cores, let the words go to a file, and send what is wrong, or None."""
    os.environ.clear()  # it is that of the time when the first was forked
    os.environ.update(environment)
    os.setpgrp()  # a terminal's Ctrl-C is for the first process, which passes it on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    launch_numba()
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    with job.log.open("a") as out, contextlib.redirect_stderr(out), threadpoolctl.threadpool_limits(threads):
        try:
            job.run()
        except InputError as error:
            result.send(str(error))
        except KeyboardInterrupt:
            result.send("stopped")
        except Exception as error:
            traceback.print_exc()
            result.send(f"{type(error).__name__}: {error} (where: {job.log}); please report it")
        else:
            result.send(None)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: nobody would know of it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
