"""Warming up: runs every path that a call takes, so that what is built on first use is in the image."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import _udfvm_agent
import pyarrow as pa
from _udfvm_report import report
from _udfvm_scalar import scalar_function
from _udfvm_stream import Stream
from _udfvm_vectorized import VectorizedFunction

RUNS: Final = 16
SECONDS: Final = 0.05


def warm_up(function: _udfvm_agent.Function | VectorizedFunction, stream: Stream, metadata: dict[str, Any], sample: bytes) -> None:
    """Warms up for a loaded function.

    The user's function runs on the sample; without one, a vectorised function runs on an empty batch, and whatever it raises then does not
    count: nobody promised that it takes one. The paths around it run with functions of our own.
    """
    report(_raised(), 0)
    if isinstance(function, VectorizedFunction):
        _warm_up_vectorized(stream)
        if sample:
            batch = pa.ipc.open_stream(sample).read_next_batch()
            _repeat(lambda: stream.write(function(batch)))
        else:
            with contextlib.suppress(BaseException):
                stream.write(function(_batch(stream, [pa.nulls(0, type_) for type_ in stream.schema.types])))
        return
    _warm_up_scalar(stream, metadata["default_row"])
    if sample:
        _repeat(lambda: _udfvm_agent.run_batch(function, stream.native, sample))
    if metadata["sample_row"]:
        row = bytes.fromhex(metadata["sample_row"])
        _repeat(lambda: _udfvm_agent.run_row(function, row))


def _raised() -> BaseException:
    try:
        raise ValueError("warming up")
    except ValueError as exception:
        return exception


def _repeat(run: Callable[[], object]) -> None:
    until = time.monotonic() + SECONDS
    for _ in range(RUNS):
        run()
        if time.monotonic() > until:
            break


def _warm_up_scalar(stream: Stream, default_row: str) -> None:
    def internal(*_: object) -> None:
        return None

    function = scalar_function(internal, stream.schema.types, [True] * len(stream.schema), stream.type, True)
    if default_row:
        row = bytes.fromhex(default_row)
        _repeat(lambda: _udfvm_agent.run_row(function, row))
    if len(stream.schema):
        two = _two_rows(stream)
        _repeat(lambda: _udfvm_agent.run_batch(function, stream.native, two))


def _warm_up_vectorized(stream: Stream) -> None:
    two = _two_rows(stream)
    count = len(stream.schema)

    def internal(*columns: Any) -> Any:
        return pa.nulls(len(columns[0]), stream.type)

    for nullable in (True, False):
        for numpy in (False, True) if "numpy" in sys.modules else (False,):
            function = VectorizedFunction(internal, [nullable] * count, [numpy] * count, stream)
            _repeat(lambda: stream.write(function(stream.read(two))))  # noqa: B023 - runs in this turn of the loop


def _batch(stream: Stream, columns: list[pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(columns, schema=stream.schema)


def _two_rows(stream: Stream) -> pa.Buffer:
    """The stream of a batch with a row of nulls and a row of zeros."""
    batch = _batch(stream, [_null_and_zero(type_) for type_ in stream.schema.types])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _null_and_zero(type_: pa.DataType) -> pa.Array:
    if pa.types.is_null(type_):
        return pa.nulls(2)
    zeros = [pa.py_buffer(bytes(64)) for _ in range(type_.num_buffers - 1)]
    return pa.Array.from_buffers(type_, 2, [pa.py_buffer(b"\x02"), *zeros], 1)
