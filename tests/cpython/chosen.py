"""Which modules of CPython's own tests run when."""

from __future__ import annotations

# What each run of the suite has: what uses the guest kernel most for its time.
SUITE = (
    "test_bufio",
    "test_epoll",
    "test_fcntl",
    "test_file",
    "test_fileio",
    "test_genericpath",
    "test_glob",
    "test_largefile",
    "test_mmap",
    "test_os",
    "test_pathlib",
    "test_poll",
    "test_posix",
    "test_posixpath",
    "test_resource",
    "test_sched",
    "test_select",
    "test_sqlite3",
    "test_stat",
    "test_tempfile",
    "test_thread",
    "test_threading_local",
    "test_time",
)


def all_modules() -> list[str]:
    """Returns the modules of CPython's own tests. Raises ImportError where these are not
    installed.
    """
    try:
        from test.libregrtest.findtests import findtests  # since 3.11.5
    except ModuleNotFoundError:
        from test.libregrtest.runtest import findtests  # type: ignore[no-redef]
    return list(findtests())
