"""A cluster of Ray, where that is installed: one for the tests of a process that need it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = str(Path(__file__).parents[1])
_NODE = {"num_cpus": 4, "include_dashboard": False}


def started(start: Callable[[], Any]) -> Any:
    """Starts a node. One that a busy machine does not start within Ray's 15 s is started again."""
    for attempt in range(5):
        try:
            return start()
        except Exception as error:
            if "startup" not in str(error) or attempt == 4:
                raise
    raise AssertionError


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yields a cluster with one node that this process is connected to."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # it would write a token to the home folder
        patch.setenv("PYTHONPATH", os.pathsep.join([TESTS, os.environ.get("PYTHONPATH", "")]))
        cluster = started(lambda: Cluster(initialize_head=True, head_node_args=_NODE))
        ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        try:
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture
def second_ray_node(ray_cluster: Any, tmp_path: Path) -> Iterator[Path]:
    """Adds a node with a cache of its own, which is empty, and with the resource ``second``. Yields
    the cache's folder.
    """
    cache = tmp_path / "cache"
    cache.mkdir()
    variables = {"UDFVM_CACHE": str(cache)}
    resources = {"second": 4}
    node = started(lambda: ray_cluster.add_node(**_NODE, env_vars=variables, resources=resources))
    try:
        yield cache
    finally:
        ray_cluster.remove_node(node)
