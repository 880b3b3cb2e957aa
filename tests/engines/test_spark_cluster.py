"""Functions in Spark: on a standalone cluster of two workers, which have a cache of their own."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from spark_sessions import PATHS, require_spark

PROGRAM = """
    import os, sys

    from pyspark.sql import SparkSession
    from spark_sessions import SETTINGS
    from engine_functions import Total, ratio, upto
    import udfvm

    master, cache = sys.argv[1:]
    builder = SparkSession.builder.master(master)
    settings = {
        **SETTINGS,
        "spark.cores.max": "2",
        "spark.executor.memory": "512m",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "1000s",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",  # both, before the first job
        "spark.task.maxFailures": "1",
        "spark.executorEnv.UDFVM_CACHE": cache,
        "spark.driver.host": "127.0.0.1",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    context = spark.sparkContext

    def prepared(_):
        udfvm.prepare(ratio, Total)
        return os.getcwd()  # a folder of the executor

    executors = set(context.parallelize(range(8), 8).map(prepared).collect())
    print("executors", len(executors))

    factor = 2.0

    @udfvm.udf
    def scaled(x: float) -> float:
        return x * factor

    rows = spark.range(0, 1000, 1, 8).selectExpr("id", "CAST(id AS double) AS a")
    made = rows.select(udfvm.spark.udf(scaled)("a").alias("a"))
    print("scaled", made.agg({"a": "sum"}).first()[0])
    groups = rows.selectExpr("a", "id % 2 AS key")
    found = udfvm.spark.apply_in_arrow(groups, Total, "a", by="key").sort("key").collect()
    print("groups", [each.total for each in found])
    print("rows", udfvm.spark.map_in_arrow(rows.filter("id < 5"), upto, "id").count())
    try:
        udfvm.spark.map_in_arrow(rows.selectExpr("a", "500.5 - a AS b"), ratio).collect()
    except Exception as error:
        print("failed", "ValueError: negative" in str(error))
    spark.stop()
"""


def started(
    arguments: list[str], log: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    import pyspark

    command = Path(pyspark.__file__).parent / "bin" / "spark-class"
    with log.open("wb") as file:
        return subprocess.Popen(
            [str(command), *arguments], stdout=file, stderr=file, env=environment
        )


def said(log: Path, process: subprocess.Popen[bytes], pattern: str) -> str:
    """Waits until a log says something."""
    while (found := re.search(pattern, log.read_text())) is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            raise AssertionError(log.read_text())
    return found[0]


@pytest.fixture
def master(tmp_path: Path) -> Iterator[str]:
    """A cluster on loopback: the address of its master."""
    require_spark()
    deploy = "org.apache.spark.deploy"
    environment = os.environ | {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
    }
    host = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
    processes = []
    try:
        log = tmp_path / "master.log"
        processes.append(started([f"{deploy}.master.Master", *host], log, environment))
        address = said(log, processes[0], r"spark://127\.0\.0\.1:\d+")
        for number in range(2):
            log = tmp_path / f"worker{number}.log"
            work = ["--work-dir", str(tmp_path / f"work{number}"), "-c", "1", "-m", "1g"]
            processes.append(
                started([f"{deploy}.worker.Worker", *host, *work, address], log, environment)
            )
            said(log, processes[-1], "Successfully registered")
        yield address
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


@pytest.mark.slow
def test_a_cluster_of_two_workers(master: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), master, str(cache)],
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": PATHS, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
    )
    assert done.stdout.splitlines() == [
        "executors 2",
        f"scaled {2.0 * sum(range(1000))}",
        f"groups [{sum(range(0, 1000, 2))}.0, {sum(range(1, 1000, 2))}.0]",
        "rows 10",
        "failed True",
    ], done.stderr
    assert any(cache.rglob("*"))  # the workers built the images
