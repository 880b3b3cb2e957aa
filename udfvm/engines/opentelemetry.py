"""Spans of OpenTelemetry for calls: ``udfvm.opentelemetry.instrument()``.

``pip install 'udfvm[opentelemetry]'`` installs OpenTelemetry's API. The program chooses an SDK and
exporters, as for its own spans. Names of attributes follow OpenTelemetry's semantic conventions
where these have one (``code.function.name``, ``error.type``).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from udfvm.call.hooks import CallHook, on_call
from udfvm.call.reports import PHASES, RETURNED, CallReport
from udfvm.engines.packages import load_package

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument"]

_trace: Final = load_package(
    "opentelemetry.trace", engine="opentelemetry", package="opentelemetry-api", oldest="1.40"
)

_SECOND: Final = 1_000_000_000  # nanoseconds
_MEASURES: Final = (
    "rows", "exchanges", "input_bytes", "output_bytes", "printed_bytes", "host_calls", "exits",
    "pages_restored", "written_bytes", "peak_memory_bytes",
    *(f"{phase}_seconds" for phase in PHASES),
)  # fmt: skip


def instrument(tracer_provider: TracerProvider | None = None) -> CallHook:
    """Makes a span of each call of a UDF, of whichever function, once it has ended.

    A span has the name of the function, the start and the end of the call, and what its report says
    as attributes: ``udfvm.rows``, ``udfvm.guest_seconds`` and so on. Its parent is the span that
    is current on the thread that made the call. A call that failed has the status ERROR, and the
    class of the error as ``error.type``.

    Args:
        tracer_provider: takes the spans; None: the provider of the program.

    Returns:
        What ends it: ``CallHook``, also a context manager.

    >>> from opentelemetry.sdk.trace import TracerProvider
    >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    >>> import udfvm.opentelemetry
    >>> exporter, provider = InMemorySpanExporter(), TracerProvider()
    >>> provider.add_span_processor(SimpleSpanProcessor(exporter))
    >>> @udfvm.udf
    ... def eighth(x: float) -> float:
    ...     return x / 8
    >>> with udfvm.opentelemetry.instrument(provider):
    ...     eighth(16.0)
    2.0
    >>> [(span.name, span.attributes["udfvm.rows"]) for span in exporter.get_finished_spans()]
    [('eighth', 1)]
    """
    tracer = _trace.get_tracer("udfvm", tracer_provider=tracer_provider)

    def trace(report: CallReport) -> None:
        since = max(time.monotonic() - report.ended, 0.0)
        end = time.time_ns() - int(since * _SECOND)
        span = tracer.start_span(
            report.function,
            start_time=end - int(report.seconds * _SECOND),
            attributes=_attributes(report),
        )
        if report.ending != RETURNED:
            span.set_status(_trace.Status(_trace.StatusCode.ERROR, report.ending))
        span.end(end)

    return on_call(trace)


def _attributes(report: CallReport) -> dict[str, str | int | float | bool]:
    failed = {} if report.ending == RETURNED else {"error.type": report.ending}
    return {
        "code.function.name": report.function,
        **{f"udfvm.{name}": getattr(report, name) for name in _MEASURES},
        "udfvm.jailed": report.is_jailed,
        "udfvm.streaming": report.is_streaming,
        **failed,
    }


def __dir__() -> list[str]:
    return sorted(__all__)
