"""Loads a function and answers its calls.

The payload of LOAD is 8 bytes, little endian, the length of the JSON that follows; then the parts
whose lengths the JSON lists, those of class Payload. This module does not need pyarrow: a base
image for scalar functions has none.
"""

from __future__ import annotations

import gc
import importlib
import json
import linecache
import os
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple, NoReturn

import _udfvm_advice
import _udfvm_agent
import _udfvm_describe
import _udfvm_scalar
import _udfvm_source
import cloudpickle
from _udfvm_agent import (
    REQUEST_AGGREGATE,
    REQUEST_BATCH,
    REQUEST_COLUMNS,
    REQUEST_DESCRIBE,
    REQUEST_FETCH,
    REQUEST_LOAD,
    REQUEST_TABLE,
    ROW_OF_SAMPLE,
)
from _udfvm_fork import become_child
from _udfvm_report import report
from _udfvm_signature import Signature
from _udfvm_user_modules import UserModules
from _udfvm_value_types import in_pyarrow
from _udfvm_warmup import RUNS, SampleError, repeat, repeat_sample, warm_up_reports

# Only calls of many rows need garbage collections: few objects are alive when a call begins (the
# others are frozen), and a short call never collects. Few containers that hold much memory are
# collected, too: garbage.c.
GC_THRESHOLD: Final = 50_000

# Arrays that use up what numpy and the C library have free of their sizes, mostly.
ARRAYS: Final = 256

# What loads functions of every form. The base image has it, so that no layer need.
_FOR_FUNCTIONS: Final = (
    "aggregate",
    "column_batch",
    "decorators",
    "describe",
    "host",
    "script",
    "source",
    "table",
)
_FOR_COLUMNS: Final = (
    "arrow_columns",
    "column_streams",
    "nested_batch",
    "script_tables",
    "stream",
    "vectorized",
    "vectorized_aggregate",
)

Answer = tuple[int, int]
Handler = Callable[[int, int], Answer]
Loaded = tuple[
    _udfvm_agent.ScalarFunction | _udfvm_agent.NumbersFunction | _udfvm_agent.Aggregate | None,
    _udfvm_agent.Stream | None,
    Handler,
]


def serve_load() -> None:
    """Seals the base image, then answers the LOAD request. Never returns."""
    for name in _FOR_FUNCTIONS + (_FOR_COLUMNS if "pyarrow" in sys.modules else ()):
        importlib.import_module(f"_udfvm_{name}")
    _rehearse()
    _settle()
    _udfvm_agent.serve(None, None, _load_or_report, report, None)


def _rehearse() -> None:
    """Runs through what LOAD does with every function, so that what it sets up on first use is in
    the base image. A layer has fewer pages then, which each new VM copies.
    """
    json.loads(json.dumps({"names": ["x"], "nullable": True, "result": None}))
    pickled = cloudpickle.dumps(lambda x: None if x is None else x / 2)
    for _ in range(RUNS):
        cloudpickle.loads(pickled)
        warm_up_reports()


def _settle() -> None:
    """Freezes everything that is alive, so that a garbage collection in a call touches none of its
    pages.
    """
    _settle_numpy()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 10, 10)


def _settle_numpy() -> None:
    """Makes numpy forget the small blocks that it keeps for shapes and values of its next arrays,
    which lie here and there, and keep neighbours instead: a call writes fewer pages.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        arrays = [numpy.empty(0) for _ in range(ARRAYS)]
        while arrays:
            arrays.pop()


def _load_or_report(request: int, length: int) -> Answer:
    if request == REQUEST_DESCRIBE:
        return _udfvm_describe.answer(length)
    try:
        return _load(request, length)
    except SampleError as error:
        return report(error.__cause__ or error, ROW_OF_SAMPLE)


def _load(request: int, length: int) -> Answer:
    """Handles LOAD. Returns for scripts alone: the life of a function continues in serve()."""
    if request != REQUEST_LOAD:
        raise RuntimeError(f"request {request} before a function was loaded")
    data = bytes(_udfvm_agent.input()[:length])
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    if "script" in metadata:
        return _run_script(data)
    if "source" in metadata:
        _load_source(metadata)
    return _load_pickled(data)


def _load_pickled(data: bytes) -> NoReturn:
    """Handles LOAD of a function of the host. Returns only by an exception."""
    sys.modules["udfvm"] = importlib.import_module("_udfvm_decorators")
    payload = Payload.parse(data)
    for filename, text in payload.metadata["sources"].items():
        # For tracebacks: the files exist on the host only. linecache never checks an entry
        # without a time against a file.
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    if payload.metadata["user_files"]:
        from _udfvm_user_files import unpack

        unpack(payload.metadata["user_files"])
    UserModules(payload.metadata["user_modules"], payload.metadata["user_data"]).install()
    if payload.metadata["host_functions"]:
        import _udfvm_host

        _udfvm_host.install(payload.metadata["host_functions"])
    for name in payload.metadata["imports"]:
        import_quietly(name)
    warm_up_reports()
    function = _function(payload)
    native, stream, handler = LOADERS[payload.metadata["form"]](function, payload)
    if payload.metadata["deterministic"] and "numpy" in sys.modules:
        import_quietly("numpy.random")  # numpy imports it at first use, which would be in a row
    _find_temporary_directory()
    begin = become_child()
    _settle()
    _udfvm_agent.serve(native, stream, handler, report, begin)


def _function(payload: Payload) -> Callable[..., Any]:
    """Returns the function of a LOAD request: unpickled, or made of its source text."""
    if not payload.metadata["code"]:
        unpickled: Callable[..., Any] = cloudpickle.loads(payload.function)
        return unpickled
    names = {}
    if offered := payload.metadata["host_functions"]:
        import _udfvm_host

        names = {each["name"]: _udfvm_host.find(each["name"]) for each in offered}
    return _udfvm_source.loaded(payload.metadata, payload.function.decode(), names)


class Payload(NamedTuple):
    metadata: dict[str, Any]
    schema: bytes  # of the arguments: Arrow IPC message
    result_schema: bytes
    template: bytes  # record batch message of a result of one row
    function: bytes  # pickled, or source text
    warm: bytes  # Arrow IPC stream: a row of nulls, a row of zeros
    sample: bytes  # Arrow IPC stream; for tables and aggregates pickled rows; may be empty

    @classmethod
    def parse(cls, payload: bytes) -> Payload:
        return cls(*_parts_of(payload))


def _parts_of(payload: bytes) -> list[Any]:
    """Returns the metadata of LOAD, and the parts that follow them."""
    position = 8 + int.from_bytes(payload[:8], "little")
    metadata = json.loads(payload[8:position])
    parts = [metadata]
    for size in metadata["lengths"]:
        parts.append(payload[position : position + size])
        position += size
    return parts


def _run_script(data: bytes) -> Answer:
    """Handles LOAD of a script, which runs now, and once."""
    from _udfvm_script import answer

    warm_up_reports()
    metadata, *parts = _parts_of(data)
    return answer(metadata, parts)


def _load_source(metadata: dict[str, Any]) -> NoReturn:
    """Handles LOAD of source text. Returns only by an exception."""
    _udfvm_advice.stored = True
    warm_up_reports()
    loaded, answer_columns = _udfvm_source.load(metadata)

    def handle(request: int, _: int) -> Answer:
        if request != REQUEST_COLUMNS or answer_columns is None:
            raise RuntimeError(
                f"a function that was loaded from source does not answer request {request}"
            )
        return answer_columns()

    _find_temporary_directory()
    begin = become_child()
    _settle()
    _udfvm_agent.serve(loaded, None, handle, report, begin)


def _load_scalar(function: Callable[..., object], payload: Payload) -> Loaded:
    metadata = payload.metadata
    signature = Signature.of(metadata)
    if any(map(in_pyarrow, (*signature.parameters.types, signature.result))):
        native, answer_batch = None, _nested_batches(function, payload)
        loaded = _udfvm_scalar.of_rows(function, signature)
    else:
        native, answer_batch = (
            _udfvm_agent.Stream(payload.schema, payload.result_schema, payload.template),
            None,
        )
        loaded = _udfvm_scalar.load(function, metadata, native, payload.warm, payload.sample)
    answer_columns = None
    if metadata["in_columns"]:
        from _udfvm_column_batch import scalar_columns

        answer_columns = scalar_columns(function, signature)

    def handle(request: int, length: int) -> Answer:
        if request == REQUEST_BATCH and answer_batch is not None:
            return answer_batch(length)
        if request != REQUEST_COLUMNS or answer_columns is None:
            raise RuntimeError(f"a scalar function does not answer request {request}")
        return answer_columns()

    return loaded, native, handle


def _nested_batches(function: Callable[..., object], payload: Payload) -> Callable[[int], Answer]:
    import pyarrow as pa
    from _udfvm_nested_batch import NestedBatches
    from _udfvm_stream import Stream

    stream = Stream.of(payload)
    batches = NestedBatches(function, payload.metadata, stream)
    internal = NestedBatches(lambda *_: None, {**payload.metadata, "result_nullable": True}, stream)
    repeat(lambda: internal.run(stream.read(pa.py_buffer(payload.warm))))
    if payload.sample:
        repeat_sample(lambda: batches.run(stream.read(pa.py_buffer(payload.sample))))
    return lambda length: batches.answer(stream.read_window(length))


def _load_vectorized(function: Callable[..., object], payload: Payload) -> Loaded:
    import _udfvm_vectorized
    from _udfvm_stream import Stream

    metadata = payload.metadata
    stream = Stream.of(payload)
    loaded = _udfvm_vectorized.load(function, metadata, stream, payload.warm, payload.sample)
    answer_columns = None
    if metadata["in_columns"]:
        from _udfvm_arrow_columns import vectorized_columns

        answer_columns = vectorized_columns(
            loaded,
            stream.schema,
            metadata["result"],
            Signature.of(metadata).parameters.in_errors,
        )

    def handle(request: int, length: int) -> Answer:
        if request == REQUEST_COLUMNS and answer_columns is not None:
            return answer_columns()
        if request != REQUEST_BATCH:
            raise RuntimeError(f"a vectorised function does not answer request {request}")
        return stream.write(loaded(stream.read_window(length)))

    return loaded.native(), stream.native, handle


def _load_table(function: Callable[..., Any], payload: Payload) -> Loaded:
    from _udfvm_table import TableFunction

    table = TableFunction(function, payload.metadata, (payload.schema, payload.result_schema))
    if payload.sample:
        arguments = cloudpickle.loads(payload.sample)
        repeat_sample(lambda: table.rows_of(arguments))

    def handle(request: int, _: int) -> Answer:
        if request not in (REQUEST_TABLE, REQUEST_FETCH):
            raise RuntimeError(f"a table function does not answer request {request}")
        return table.answer(request)

    return None, None, handle


def _load_aggregate(cls: Callable[..., Any], payload: Payload) -> Loaded:
    from _udfvm_aggregate import Aggregate

    user_class: Any = cls
    schemas = payload.schema, payload.result_schema
    if payload.metadata["vectorized"]:
        from _udfvm_vectorized_aggregate import VectorizedAggregate

        aggregate: Aggregate = VectorizedAggregate(user_class, payload.metadata, schemas)
    else:
        aggregate = Aggregate(user_class, payload.metadata, schemas)
    if payload.sample:
        rows = cloudpickle.loads(payload.sample)
        repeat_sample(lambda: aggregate.run(rows))

    def handle(request: int, _: int) -> Answer:
        if request != REQUEST_AGGREGATE:
            raise RuntimeError(f"an aggregate does not answer request {request}")
        return aggregate.answer()

    return aggregate.native, None, handle


LOADERS: Final[dict[str, Callable[[Callable[..., Any], Payload], Loaded]]] = {
    "scalar": _load_scalar,
    "vectorized": _load_vectorized,
    "table": _load_table,
    "aggregate": _load_aggregate,
}


def _find_temporary_directory() -> None:
    """Makes tempfile find its directory. At its first use, in a row, it would draw more random
    numbers than in later rows. No file is written.
    """
    tempfile: Any = sys.modules.get("tempfile")
    if (
        tempfile is not None
        and tempfile.tempdir is None
        and hasattr(tempfile, "_candidate_tempdir_list")
    ):
        candidates = tempfile._candidate_tempdir_list()
        tempfile.tempdir = next(
            (each for each in candidates if os.access(each, os.W_OK | os.X_OK)), None
        )


def import_quietly(name: str) -> None:
    """Imports a module of a function's body ahead of the first call. If that fails, the import in
    the body fails.
    """
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001 - a module may raise anything
        sys.modules.pop(name, None)
