"""The UDFs that the examples beside this file use. `udfvm demo --keep .` makes flights.db, with the
table of flights that some use. Each example runs on a connection with all UDFs:

>>> con = apsw.Connection("flights.db")
>>> udfvm.sqlite.register(con, *udfs.ALL, policy=udfvm.sqlite.Policy(allow_create=True))
>>> udfvm.sqlite.register(con, *udfs.IN_SCHEMA, in_schema=True)
"""

from __future__ import annotations

import json
import math
import operator
import random
import re
import statistics
import unicodedata
import zlib
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

import udfvm


@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    """Minutes of departure delay for each 100 miles of the flight."""
    return None if distance == 0 else dep_delay / distance * 100


@udfvm.udf
def clean_name(name: str) -> str:
    """One spelling for a name that people typed: compatibility forms, accents, case and blanks made
    the same.
    """
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
def cosine(a: list[float], b: list[float]) -> float | None:
    """How alike two vectors are, from -1 to 1; None where one has no direction."""
    lengths = math.hypot(*a) * math.hypot(*b)
    return sum(map(operator.mul, a, b)) / lengths if lengths else None


class Outline(TypedDict):
    """What ``outline`` says of a list: its largest number, and the means of its first and second
    half.
    """

    largest: float
    halves: list[float]


@udfvm.udf
def outline(numbers: list[float]) -> Outline | None:
    """A list of numbers in short; None for one of fewer than two."""
    if len(numbers) < 2:
        return None
    middle = len(numbers) // 2
    return {
        "largest": max(numbers),
        "halves": [statistics.fmean(numbers[:middle]), statistics.fmean(numbers[middle:])],
    }


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
        """Standard deviations between `value` and the mean of the values before it, then adds
        `value`.
        """
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
    """How unusual a value is among the earlier ones of the statement. The state lives for one
    execution of it.
    """
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


@udfvm.udf(vectorized=True)
def speed(
    distance: npt.NDArray[np.float64], air_time: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Miles an hour, of whole columns at once."""
    return distance / air_time * 60


class LogLine(NamedTuple):
    """A line of a log."""

    number: int
    level: str
    message: str


@udfvm.table_function
def parse_log(log: bytes) -> Iterator[LogLine]:
    """The lines of a log that have a level; a line that has none belongs to the one before."""
    found: LogLine | None = None
    for number, line in enumerate(log.decode(errors="replace").splitlines(), 1):
        parts = re.fullmatch(r"\S+ (DEBUG|INFO|WARNING|ERROR) (.*)", line)
        if parts is None:
            found = found and found._replace(message=f"{found.message} / {line.strip()}")
            continue
        if found:
            yield found
        found = LogLine(number, parts[1], parts[2])
    if found:
        yield found


@udfvm.table_function(columns={"word": str, "count": int})
def word_counts(text: str) -> list[tuple[str, int]]:
    """The words of a text, the most frequent first."""
    counts = Counter(re.findall(r"\w+", text.lower()))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


@udfvm.aggregate
class gini:  # noqa: N801 - named as in SQL
    """Inequality: 0 where all values are the same, towards 1 where one has everything (the Gini
    coefficient).
    """

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: float) -> None:
        self.values.append(value)

    def merge(self, other: gini) -> None:
        self.values += other.values

    def finish(self) -> float | None:
        ordered = sorted(self.values)
        count, total = len(ordered), math.fsum(ordered)
        return (
            sum((2 * i - count + 1) * value for i, value in enumerate(ordered)) / (count * total)
            if total
            else None
        )


@udfvm.aggregate
class surprise:  # noqa: N801
    """How many standard deviations the last value of a window is off the mean of the others."""

    def __init__(self) -> None:
        self.values: deque[float] = deque()

    def step(self, value: float) -> None:
        self.values.append(value)

    def inverse(self, value: float) -> None:
        self.values.popleft()

    def finish(self) -> float | None:
        *others, last = self.values or (0.0,)
        if len(others) < 2:
            return None
        spread = statistics.stdev(others)
        return (last - statistics.fmean(others)) / spread if spread else None


@udfvm.udf(deterministic=True)
def phone(text: str) -> str | None:
    """A telephone number in international form; numbers without a country are British. None for
    what is no number.
    """
    digits = re.sub(r"[^0-9+]", "", text)
    if len(digits) < 7:
        return None
    return digits if digits.startswith("+") else f"+44{digits.removeprefix('0')}"


@udfvm.udf
def ticket(name: str) -> str:
    """A name with a random number: not the same twice."""
    return f"{name}-{random.getrandbits(32):08x}"


IN_SCHEMA: Final = (phone, ticket)  # that the schema of a database may use too

ALL: Final = (
    score,
    clean_name,
    parse_duration,
    basket_total,
    cosine,
    outline,
    compress,
    decompress,
    anomaly,
    anomaly_alone,
    parse_port,
    speed,
    parse_log,
    word_counts,
    gini,
    surprise,
)
