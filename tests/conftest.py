"""Shared fixtures: one image cache for the session, and the flights."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import worker_crashes
from hypothesis import settings

from udfvm.cli import flights

# Whatever the shell says: tests start hundreds of programs that import the package, which is
# compiled once.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Hypothesis would fail an example that takes 200 ms: a busy machine takes as long as it takes.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")


@pytest.fixture(scope="session", autouse=True)
def sigint_as_in_the_foreground() -> Iterator[None]:
    """Shells start what runs in the background with SIGINT ignored, and so would start all programs
    of the tests.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def standard_descriptors_stay() -> Iterator[None]:
    """Nothing closes the program's own descriptors: who frees a structure that was only zeroed
    closes number 0.
    """
    yield
    for number in range(3):
        os.fstat(number)


def session_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a session share, where pytest-xdist starts more."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def kept_folder(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Returns a folder of a name for this session, all its processes, and later ones."""

    def folder(name: str) -> Path:
        if pytestconfig.pluginmanager.has_plugin("cacheprovider"):
            return pytestconfig.cache.mkdir(name)
        made = session_directory(tmp_path_factory) / name
        made.mkdir(exist_ok=True)
        return made

    return folder


@pytest.fixture(scope="session", autouse=True)
def zig_cache(kept_folder: Callable[[str], Path]) -> None:
    """Zig compiles its C library for each target: once."""
    os.environ["ZIG_GLOBAL_CACHE_DIR"] = os.environ["ZIG_LOCAL_CACHE_DIR"] = str(kept_folder("zig"))


@pytest.fixture(scope="session", autouse=True)
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the session, shared by its processes, unless ``UDFVM_CACHE`` names one."""
    chosen = os.environ.get("UDFVM_CACHE")
    directory = Path(chosen) if chosen else session_directory(tmp_path_factory) / "cache"
    os.environ["UDFVM_CACHE"] = str(directory)
    yield directory
    if chosen is None:
        del os.environ["UDFVM_CACHE"]


@pytest.fixture(scope="session")
def flights_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The 336,776 flights: an SQLite file with the table ``flights``, and a Parquet file."""
    directory = tmp_path_factory.mktemp("flights")
    database, parquet = directory / "flights.db", directory / "flights.parquet"
    assert flights.write(database, parquet) == 336_776
    return database, parquet


@pytest.fixture(scope="session")
def flights_db(flights_files: tuple[Path, Path]) -> Path:
    """The SQLite file."""
    return flights_files[0]


@pytest.fixture(scope="session")
def flights_parquet(flights_files: tuple[Path, Path]) -> Path:
    """The Parquet file."""
    return flights_files[1]


@pytest.hookimpl(trylast=True)  # after pytest's own faulthandler
def pytest_configure(config: pytest.Config) -> None:
    if (plugin := worker_crashes.plugin(config)) is not None:
        config.pluginmanager.register(plugin)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """With several processes (``-n``), one that has no tests left takes some of another's: so files
    are run by one process mostly, and what their tests share is made once.
    """
    if config.getoption("numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """``-n auto`` is two processes for each processor: tests that wait leave one idle."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest begin: no process is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """Garbage collections look at none of the hundreds of thousands of objects that modules and
    tests are: they live as long as the session.
    """
    gc.collect()
    gc.freeze()
