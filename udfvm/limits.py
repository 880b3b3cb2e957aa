"""Limits of a UDF's calls, as users write them and as the core takes them."""

from __future__ import annotations

import re

from udfvm.checks import (
    MAX_COUNT,
    MAX_SECONDS,
    MIN_SECONDS,
    check_count,
    check_seconds,
    check_switch,
    is_whole,
    options_of,
    shown,
)
from udfvm.errors import OptionError
from udfvm.log import Log, check_log
from udfvm.static_typing import Any, Final
from udfvm.texts import format_size
from udfvm.tuples import NamedTuple

MEBIBYTE: Final = 1 << 20
MEMORY_UNIT: Final = 2 * MEBIBYTE
DEFAULT_MEMORY: Final = 512 * MEBIBYTE
MIN_MEMORY: Final = 16 * MEBIBYTE
MAX_MEMORY: Final = 64 << 30
WINDOW: Final = 128 * MEBIBYTE
# Address space for the large memory blocks of a call. It counts as the call's memory.
SCRATCH: Final = 128 * MEBIBYTE
DEFAULT_TIMEOUT: Final = 10.0
DEFAULT_BUILD_TIMEOUT: Final = 300.0
DEFAULT_LOG: Final = 64 * 1024
DEFAULT_HOST_CALLS: Final = 10_000

_SIZE: Final = r"\s*(\d{1,30})(?:\.(\d{1,30}))?\s*([KMGT]?)(i?)B?\s*"


def parse_size(
    size: int | str, option: str = "size", minimum: int = 0, maximum: int = MAX_COUNT
) -> int:
    """Returns the bytes of a size: a number, or text such as ``"64MiB"``, ``"1.5 GB"``, ``"512K"``.

    Units with an i are powers of 1024, others of 1000. Raises OptionError, a ValueError, for
    anything else.

    >>> parse_size("64MiB"), parse_size("1.5 kB"), parse_size(4096)
    (67108864, 1500, 4096)
    """
    if is_whole(size):
        return _in_range(option, size, int(size), minimum, maximum)
    match = re.fullmatch(_SIZE, size, re.I | re.A) if isinstance(size, str) else None
    if match is None:
        raise OptionError(
            f"{option}={shown(size)} is not a size; write a whole number of bytes, or text such as"
            " '64MiB'"
        )
    number, fraction, prefix, binary = match[1], match[2] or "", match[3], match[4]
    unit = (1024 if binary else 1000) ** " KMGT".index(prefix.upper() or " ")
    found = int(number + fraction) * unit // 10 ** len(fraction)
    return _in_range(option, size, found, minimum, maximum)


def _in_range(option: str, size: int | str, found: int, minimum: int, maximum: int) -> int:
    """Returns the bytes of a size. Raises OptionError unless they are in a range."""
    if minimum <= found <= maximum:
        return found
    if maximum < MAX_COUNT:
        wanted = f"from {format_size(minimum)} to {format_size(maximum)}"
    else:
        wanted = f"at least {format_size(minimum)}, and below 2**60 bytes"
    raise OptionError(f"{option}={shown(size)} must be {wanted}")


def _nanoseconds(option: str, seconds: float | None) -> int:
    """Returns the nanoseconds of an option in seconds; 0, no deadline, for None. Raises
    OptionError.
    """
    if seconds is None:
        return 0
    try:
        return max(1, int(check_seconds(option, seconds, MIN_SECONDS, MAX_SECONDS) * 1e9))
    except OptionError as error:
        raise OptionError(f"{error}; None means no deadline") from None


class Limits(NamedTuple):
    """What a call may use. The host enforces every limit.

    Attributes:
        memory: bytes of guest memory, interpreter and packages included; a multiple of 2 MiB.
        timeout_ns: wall-clock nanoseconds of one call; 0 for no deadline.
        max_output: bytes of the result; 0 for as many as the memory.
        max_log: bytes of standard output and error.
        files: True if the function may read the interpreter's and packages' files, as late imports
            do.
        deterministic: True if clock and randomness are fixed.
        host_calls: how many host functions a call may call.
        build_timeout_ns: wall-clock nanoseconds of each step of building the image; 0 for no
            deadline.
        log: what happens to the standard output and error. With "strict" more than ``max_log``
            bytes fail the call.
    """

    memory: int = DEFAULT_MEMORY
    timeout_ns: int = int(DEFAULT_TIMEOUT * 1e9)
    max_output: int = 0
    max_log: int = DEFAULT_LOG
    files: bool = True
    deterministic: bool = False
    host_calls: int = DEFAULT_HOST_CALLS
    build_timeout_ns: int = int(DEFAULT_BUILD_TIMEOUT * 1e9)
    log: Log = "forward"

    @classmethod
    def parse(
        cls,
        *,
        memory: int | str = DEFAULT_MEMORY,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_output: int | str | None = None,
        max_log: int | str = DEFAULT_LOG,
        files: bool = True,
        deterministic: bool = False,
        host_calls: int = DEFAULT_HOST_CALLS,
        build_timeout: float | None = DEFAULT_BUILD_TIMEOUT,
        log: Log = "forward",
    ) -> Limits:
        """Returns limits as users write them.

        Args:
            memory, max_output, max_log: sizes, as for ``parse_size``.
            timeout, build_timeout: seconds; None for no deadline.
            files, deterministic, host_calls, log: as in ``Limits``.

        Raises:
            OptionError: a value makes no sense.

        >>> Limits.parse(memory="64MiB", timeout=0.5).timeout_ns
        500000000
        """
        size = parse_size(memory, "memory", MIN_MEMORY, MAX_MEMORY)
        size += -size % MEMORY_UNIT
        output = 0
        if max_output is not None:
            try:
                output = parse_size(max_output, "max_output", 1)
            except OptionError as error:
                raise OptionError(f"{error}; None means as much as the memory") from None
        check_log(log)
        return cls(
            size,
            _nanoseconds("timeout", timeout),
            output,
            parse_size(max_log, "max_log"),
            check_switch("files", files),
            check_switch("deterministic", deterministic),
            check_count("host_calls", host_calls),
            _nanoseconds("build_timeout", build_timeout),
            log,
        )

    @classmethod
    def of(cls, udf: str, **options: Any) -> Limits:
        """Returns the limits of a UDF, from the arguments of ``parse``. Raises OptionError, which
        names it.
        """
        with options_of(f"UDF {udf!r}"):
            return cls.parse(**options)
