"""The package of Spark, and what udfvm imports of it."""

from typing import Any, Final

from udfvm.engines.packages import load_package

pyspark: Final[Any] = load_package("pyspark", engine="spark", package="pyspark", oldest="4.1")

from pyspark.sql import functions  # noqa: E402 - after the check
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema  # noqa: E402
from pyspark.sql.types import StructField, StructType  # noqa: E402

__all__ = ["StructField", "StructType", "from_arrow_type", "functions", "to_arrow_schema"]
