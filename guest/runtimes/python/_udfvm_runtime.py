"""Loads a function and answers its calls.

Payload of LOAD: 8 bytes little endian, the length of the JSON that follows; then the parts whose lengths it lists: schema of the arguments
and schema of the result (Arrow IPC messages), the pickled function, the sample (Arrow IPC stream, may be empty).
"""

from __future__ import annotations

import gc
import importlib
import json
import linecache
import random
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import _udfvm_agent
import cloudpickle
import pyarrow as pa
from _udfvm_report import report
from _udfvm_scalar import scalar_function
from _udfvm_stream import Stream
from _udfvm_vectorized import VectorizedFunction
from _udfvm_warmup import warm_up

REQUEST_LOAD: Final = 2
REQUEST_BATCH: Final = 4
# Collections are for calls of many rows: few objects live when a call begins (the rest is frozen), and a short call never collects.
GC_THRESHOLD: Final = 50_000

Answer = tuple[int, int]
Handler = Callable[[int, int], Answer]


def serve_load() -> None:
    """Seals the base image, then answers the LOAD request. Never returns."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    _settle()
    _serve(None, None, _load, None)


def _serve(
    function: _udfvm_agent.Function | _udfvm_agent.NumpyFunction | None,
    stream: Stream | None,
    handler: Handler,
    begin: Callable[[], object] | None,
) -> None:
    streams = tuple(each for each in (sys.__stdout__, sys.__stderr__) if each is not None)
    _udfvm_agent.serve(function, None if stream is None else stream.native, handler, report, begin, streams)


def _settle() -> None:
    """Moves everything alive out of the collector's sight, so that a collection in a call touches none of its pages."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 10, 10)


def _load(request: int, length: int) -> Answer:
    """Handles LOAD. Returns only by an exception: the function's life continues in _serve."""
    if request != REQUEST_LOAD:
        raise RuntimeError(f"request {request} before a function was loaded")
    payload = _Payload.parse(bytes(_udfvm_agent.input()[:length]))
    for filename, text in payload.metadata["sources"].items():
        # For tracebacks: files that exist on the host only. An entry without a time is never checked against a file.
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    for name in payload.metadata["imports"]:
        _import_quietly(name)
    function, stream = _function(payload)
    warm_up(function, stream, payload.metadata, payload.sample)

    def handle(request: int, length: int) -> Answer:
        if request != REQUEST_BATCH or not isinstance(function, VectorizedFunction):
            raise RuntimeError(f"this function does not answer request {request}")
        return stream.write(function(stream.read_window(length)))

    _settle()
    native = function.native() if isinstance(function, VectorizedFunction) else function
    _serve(native, stream, handle, _reseed if payload.metadata["random"] else None)
    raise AssertionError("serve() never returns")


class _Payload(NamedTuple):
    metadata: dict[str, Any]
    schema: bytes
    result_schema: bytes
    function: bytes
    sample: bytes

    @classmethod
    def parse(cls, payload: bytes) -> _Payload:
        position = 8 + int.from_bytes(payload[:8], "little")
        metadata = json.loads(payload[8:position])
        parts = []
        for size in metadata["lengths"]:
            parts.append(payload[position : position + size])
            position += size
        return cls(metadata, *parts)


def _function(payload: _Payload) -> tuple[_udfvm_agent.Function | VectorizedFunction, Stream]:
    function = cloudpickle.loads(payload.function)
    result = pa.ipc.read_schema(pa.py_buffer(payload.result_schema)).field(0).type
    stream = Stream(pa.ipc.read_schema(pa.py_buffer(payload.schema)), result)
    parameters = payload.metadata["parameters"]
    nullable = [parameter["nullable"] for parameter in parameters]
    if payload.metadata["vectorized"]:
        return VectorizedFunction(function, nullable, [parameter["numpy"] for parameter in parameters], stream), stream
    return scalar_function(function, stream.schema.types, nullable, result, payload.metadata["result_nullable"]), stream


def _import_quietly(name: str) -> None:
    """An import in a function's body, done ahead of the first call. Where it fails, the body will see it fail."""
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001 - a module may raise anything
        sys.modules.pop(name, None)


def _reseed() -> None:
    """What random generators hold is in the image, so each call begins with new seeds, from the randomness of the call."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
