"""The UDFs that the examples beside this file use. Each example runs on a connection with all of them:

>>> con = apsw.Connection("flights.db")
>>> udfvm.sqlite.register(con, *udfs.ALL)
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
import zlib
from typing import Final

import udfvm


@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    """Minutes of departure delay for each 100 miles of the flight."""
    return None if distance == 0 else dep_delay / distance * 100


@udfvm.udf
def clean_name(name: str) -> str:
    """One spelling for a name that people typed: compatibility forms, accents, case and blanks made the same."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return re.sub(r"\s+", " ", plain).strip().title()


@udfvm.udf
def parse_duration(text: str) -> int | None:
    """Seconds of '1h 20m 5s'; None for what is no duration."""
    parts = re.fullmatch(r"\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m)?\s*(?:(\d+)\s*s)?\s*", text)
    if parts is None or not any(parts.groups()):
        return None
    hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds


@udfvm.udf
def basket_total(document: str) -> float | None:
    """The value of a JSON order; None where the document is broken."""
    try:
        order = json.loads(document)
        return math.fsum(line["price"] * line.get("count", 1) for line in order["lines"])
    except (ValueError, KeyError, TypeError):
        return None


@udfvm.udf
def compress(data: bytes) -> bytes:
    """Zlib-compressed copy."""
    return zlib.compress(data, 9)


@udfvm.udf
def decompress(data: bytes) -> bytes:
    """The inverse of compress; damaged data raises zlib.error."""
    return zlib.decompress(data)


class Welford:
    """Running mean and variance (Welford, 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0

    def deviation(self, value: float) -> float | None:
        """Standard deviations between `value` and the mean of the values before it, then adds `value`."""
        spread = math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0
        result = (value - self.mean) / spread if spread > 0 else None
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self.squares += delta * (value - self.mean)
        return result


_seen = Welford()


@udfvm.udf
def anomaly(value: float) -> float | None:
    """How unusual a value is among the earlier ones of the statement. The state lives for one execution of it."""
    return _seen.deviation(value)


@udfvm.udf(isolation="row")
def anomaly_alone(value: float) -> float | None:
    """As anomaly, but each row is a call of its own: it never sees an earlier value."""
    return _seen.deviation(value)


@udfvm.udf
def parse_port(text: str) -> int:
    """A TCP port number."""
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError(f"{port} is not a port number")
    return port


ALL: Final = (score, clean_name, parse_duration, basket_total, compress, decompress, anomaly, anomaly_alone, parse_port)
