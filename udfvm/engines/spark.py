"""Functions in Apache Spark: of columns, of groups and windows, of the rows of frames, and in SQL.

Spark's Python workers call them with batches of Arrow. Nothing is done for each row in Python on
the host. The functions are pickled to the workers as name, source and options. A machine of a
cluster finds or builds their images in its own cache.

In the examples, ``spark`` is a session: ``SparkSession.builder.master("local[2]").getOrCreate()``.

>>> @udfvm.udf
... def speed(distance: float, hours: float) -> float | None:
...     return distance / hours if hours else None
>>> flights = spark.createDataFrame([(300.0, 2.0), (100.0, 0.0)], "distance double, hours double")
>>> flights.select(udfvm.spark.udf(speed)("distance", "hours").alias("speed")).collect()
[Row(speed=150.0), Row(speed=None)]
"""

from __future__ import annotations

from udfvm.engines.spark_columns import udf
from udfvm.engines.spark_frames import apply_in_arrow, map_in_arrow
from udfvm.engines.spark_interrupts import cancel_on_another_thread
from udfvm.engines.spark_package import pyspark
from udfvm.engines.spark_sql import register, unregister

__all__ = ["apply_in_arrow", "map_in_arrow", "register", "udf", "unregister"]

cancel_on_another_thread(pyspark.SparkContext)


def __dir__() -> list[str]:
    return sorted(__all__)
