"""``udfvm.opentelemetry``: spans of calls, by OpenTelemetry's own SDK."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import udfvm

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import udfvm.opentelemetry


@udfvm.udf
def traced(x: float) -> float:
    return 12.0 / x


class Traced:
    """A provider, and the spans that it got."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> dict[str, Any]:
        return {each.name: each for each in self._exporter.get_finished_spans()}


@pytest.fixture
def found() -> Iterator[Traced]:
    made = Traced()
    with udfvm.opentelemetry.instrument(made.provider):
        yield made


def test_a_span_lasts_as_long_as_its_call(found: Traced) -> None:
    before = time.time_ns()
    traced(3.0)
    after = time.time_ns()
    span, report = found.spans()["traced"], traced.last_call
    assert report is not None
    assert span.end_time - span.start_time == int(report.seconds * 1e9)
    assert before - 10_000_000 <= span.start_time <= span.end_time <= after + 10_000_000
    attributes = dict(span.attributes)
    assert attributes["code.function.name"] == "traced" and "error.type" not in attributes
    for name in ("rows", "exits", "input_bytes", "guest_seconds", "restore_seconds"):
        assert attributes[f"udfvm.{name}"] == getattr(report, name), name
    assert span.status.status_code is StatusCode.UNSET and span.parent is None


def test_its_parent_is_the_current_span_of_the_thread(found: Traced) -> None:
    tracer = found.provider.get_tracer("test")
    with tracer.start_as_current_span("statement"):
        traced(3.0)
        inner = found.spans()["traced"]
        other = threading.Thread(target=traced, args=(4.0,))
        other.start()
        other.join()
    assert inner.parent.span_id == found.spans()["statement"].context.span_id
    assert found.spans()["traced"].parent is None  # that of the other thread, which has no span


def test_a_call_that_fails_is_an_error(found: Traced) -> None:
    with pytest.raises(udfvm.UDFError):
        traced(0.0)
    span = found.spans()["traced"]
    assert span.status.status_code is StatusCode.ERROR and span.status.description == "UDFError"
    assert span.attributes["error.type"] == "UDFError"


def test_it_ends() -> None:
    made = Traced()
    hook = udfvm.opentelemetry.instrument(made.provider)
    hook.remove()
    traced(3.0)
    assert not made.spans()
