"""A session of Spark, which all tests of a process share."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
#: Python workers find the package, and the modules of the tests.
PATHS = f"{TESTS.parent}{os.pathsep}{TESTS}"
SETTINGS = {
    "spark.executorEnv.PYTHONPATH": PATHS,
    "spark.log.level": "OFF",
    "spark.python.task.killTimeout": "1000s",  # so that only closed connections end calls
    "spark.python.udf.pipelined.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def require_spark() -> None:
    """Skips the test where Spark cannot run."""
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs java")


@functools.cache
def spark_session() -> Any:
    """Returns a session of ``local[2]``. It ends with the process. Skips the test where Spark
    cannot run.
    """
    require_spark()
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()
