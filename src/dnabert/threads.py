"""The threads that numba computes with, beside torch's."""

import functools


@functools.cache
def launch_numba() -> None:
    """Start numba's threads; to be called before anything that computes with them, here or in a library.

    As they start, numba's OpenMP layer sets the threads of the whole process, torch's too, to the number of logical
    cores: more than the user may have asked for, and more than torch takes by itself where a core has two of them.
    So the numbers of all are put back.
    """
    import numba
    import threadpoolctl

    with threadpoolctl.threadpool_limits():
        numba.get_num_threads()
